package publish

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// session is one producer epoch, from its fence to the error that ends it. Owned by the goroutine in Run.
type session struct {
	r         *Relay
	id        triple // the next batch's
	confirmed uint64
	attempted uint64 // the first StreamSeq of the batch whose attempt was recorded with the last confirmation
	next      int64  // the offset the next batch is expected at
	renewAt   time.Time
}

// open makes everything before the new epoch certain: look, epoch, fence, read-back, confirm what was found. A final answer that
// the partition can give without being touched is given before the epoch and the fence: a relay that must not publish neither
// lengthens a topic that is not its own nor stops the one that may publish.
func (r *Relay) open(ctx context.Context) (*session, error) {
	r.tracker.setState(StateStarting)
	pos, err := r.box.Position()
	if err != nil {
		return nil, fmt.Errorf("read outbox position: %w", err)
	}
	b := r.newReadback(pos.Confirmed)
	seen, err := r.look(ctx, pos, b)
	if err != nil {
		return nil, err
	}
	if err := r.takeEpoch(ctx); err != nil {
		return nil, err
	}
	s := &session{r: r, id: triple{producer: r.held}, confirmed: pos.Confirmed, next: pos.NextOffset, renewAt: r.o.Now().Add(r.o.RenewEvery)}
	fence, err := s.fence(ctx)
	if err != nil {
		return nil, err
	}
	if fence < pos.NextOffset {
		return nil, fmt.Errorf("%w: a new record got offset %d, confirmed ones reach up to %d", ErrLost, fence, pos.NextOffset)
	}
	if fence < seen {
		return nil, fmt.Errorf("%w: a new record got offset %d, the partition was read up to %d", errReopen, fence, seen)
	}
	found, err := s.readBack(ctx, b, seen, fence)
	if err != nil {
		return nil, err
	}
	s.opened(pos, fence, found)
	return s, nil
}

// takeEpoch asks the coordinator for the next epoch. The first time in a run it takes over from whoever was there. Later it names
// what it holds, so that a relay which slept through its own replacement is refused instead of replacing the successor.
func (r *Relay) takeEpoch(ctx context.Context) error {
	next, err := r.broker.initProducer(ctx, r.held)
	switch {
	case err == nil:
		r.held = next
		return nil
	case classify(err) == fenced:
		return fmt.Errorf("%w: %w", ErrFenced, err)
	case classify(err) == restart:
		r.held = noProducer // the coordinator knows the transactional id no more under this producer id
	}
	return err
}

// opened reports the session.
func (s *session) opened(pos Position, fence int64, found uint64) {
	s.r.tracker.update(func(st *Stats) {
		st.Sessions++
		st.Found += found
		st.ProducerID, st.Epoch = s.id.id, s.id.epoch
		st.Confirmed, st.NextOffset = s.confirmed, s.next
	})
	s.r.log.Info("publishing epoch opened", "producer_id", s.id.id, "epoch", s.id.epoch, "fence_offset", fence,
		"confirmed", s.confirmed, "found", found, "in_doubt", pos.Attempt != nil)
}

// readBack reads on from where look has ended to the fence, and confirms what stands there.
func (s *session) readBack(ctx context.Context, b *readback, seen, fence int64) (found uint64, err error) {
	if err := s.r.broker.read(ctx, seen, fence, b.visit); err != nil {
		return 0, err
	}
	if fence, err = s.fenceStrays(ctx, b, fence); err != nil {
		return 0, err
	}
	before := s.confirmed
	for _, c := range b.confirmations(s.r.o.Topic, s.r.o.Partition, fence+1) {
		if err := s.confirm(c, nil); err != nil {
			return 0, err
		}
	}
	s.next = fence + 1
	return s.confirmed - before, nil
}

// publish sends what is sealed until an error or the renewal ends the session.
func (s *session) publish(ctx context.Context) error {
	f := s.feed(ctx)
	defer f.stop()
	for {
		item, err := s.await(ctx, f)
		if err != nil {
			return err
		}
		for more := item.records > 0; more; {
			if item, more, err = s.deliver(ctx, item.chunk, f); err != nil {
				return err
			}
		}
	}
}

// await returns the next chunk, or says that the outbox was found empty.
func (s *session) await(ctx context.Context, f *feed) (fed, error) {
	left := s.renewAt.Sub(s.r.o.Now())
	if left <= 0 {
		return fed{}, errRenew
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case item := <-f.items:
		if item.idle {
			s.r.tracker.setState(StateWaiting)
			s.r.backoff.reset()
		} else if item.err == nil && !s.renewAt.After(s.r.o.Now()) {
			return fed{}, errRenew // it became due in a sleep
		}
		return item, item.err
	case <-timer.C:
		return fed{}, nil // whether it is due the clock of the options says
	case <-ctx.Done():
		return fed{}, ctx.Err()
	}
}

// deliver takes a batch through attempt, send and confirm. If the batch after it is ready by then and may follow, its attempt is
// recorded with the confirmation, in one write, and it is returned as more.
func (s *session) deliver(ctx context.Context, c chunk, f *feed) (next fed, more bool, err error) {
	if s.attempted != c.first {
		if err := s.r.box.Attempt(s.attemptOf(c)); err != nil {
			return next, false, fmt.Errorf("record attempt of %d to %d: %w", c.first, c.last, err)
		}
	}
	s.r.tracker.setState(StatePublishing)
	base, err := s.send(ctx, c.stamp(s.r.o.Now(), s.id), c.records)
	if errors.Is(err, errLocated) {
		base, err = s.locate(ctx, c.first, c.last)
	}
	if err != nil {
		return next, false, err
	}
	if err := s.checkBefore(ctx, base); err != nil {
		return next, false, err
	}
	s.id.sequence = nextSequence(s.id.sequence, c.records)
	s.r.tracker.update(func(st *Stats) { st.Sent += uint64(c.records); st.Batches++ })
	done := Confirmation{First: c.first, Last: c.last, Topic: s.r.o.Topic, Partition: s.r.o.Partition,
		BaseOffset: base, NextOffset: base + int64(c.records)}
	if s.renewAt.After(s.r.o.Now()) {
		select {
		case next = <-f.items:
			more = next.err == nil && !next.idle
		default:
		}
	}
	if !more {
		if err := s.confirm(done, nil); err != nil {
			return next, false, err
		}
		return next, false, s.noticed(next)
	}
	a := s.attemptOf(next.chunk)
	return next, true, s.confirm(done, &a)
}

// noticed takes the news of a feed that was asked in passing.
func (s *session) noticed(item fed) error {
	if item.idle {
		s.r.tracker.setState(StateWaiting)
	}
	return item.err
}

func (s *session) attemptOf(c chunk) Attempt {
	return Attempt{ProducerID: s.id.id, Epoch: s.id.epoch, Sequence: s.id.sequence, First: c.first, Last: c.last}
}

// confirm makes c durable, with the attempt that follows it if there is one, and moves on.
func (s *session) confirm(c Confirmation, next *Attempt) (err error) {
	if c.First != s.confirmed+1 || c.Last < c.First || c.NextOffset < c.BaseOffset+int64(c.Last-c.First)+1 {
		panic(fmt.Sprintf("BUG: confirmation %+v after %d", c, s.confirmed))
	}
	if next == nil {
		err = s.r.box.Confirm(c)
	} else {
		err = s.r.box.ConfirmAttempt(c, *next)
		s.attempted = next.First
	}
	if err != nil {
		return fmt.Errorf("record confirmation of %d to %d: %w", c.First, c.Last, err)
	}
	s.confirmed, s.next = c.Last, c.NextOffset
	s.r.backoff.reset() // not earlier: an outbox that fails after each fence must not be met at full speed
	s.r.tracker.update(func(st *Stats) { st.Confirmed, st.NextOffset = s.confirmed, s.next })
	return nil
}

// send sends a batch of so many records until it is answered: only the identical bytes follow an answer that leaves it open.
func (s *session) send(ctx context.Context, set []byte, records int) (base int64, err error) {
	for {
		base, err = s.r.broker.produce(ctx, set)
		if err == nil {
			return base, nil
		}
		switch classify(err) {
		case fenced:
			return 0, fmt.Errorf("%w: %w", ErrFenced, err)
		case restart:
			return 0, fmt.Errorf("%w: %w", errReopen, err)
		case located:
			return 0, errLocated
		case tooLarge:
			if s.r.shrink(ctx, len(set)-setLengthBytes, records) {
				return 0, fmt.Errorf("%w: %w", errReopen, err)
			}
		}
		if err := s.r.failed(ctx, err); err != nil {
			return 0, err
		}
		s.r.tracker.update(func(st *Stats) { st.Resent++ })
	}
}

// locate finds the batch that the broker says it has.
func (s *session) locate(ctx context.Context, first, last uint64) (int64, error) {
	_, end, err := s.r.broker.bounds(ctx)
	if err != nil {
		return 0, err
	}
	b := s.r.newReadback(s.confirmed)
	if err := s.r.broker.read(ctx, s.next, end, b.visit); err != nil {
		return 0, err
	}
	if len(b.runs) != 1 || b.runs[0].First != first || b.runs[0].Last != last {
		return 0, fmt.Errorf("%w: called a duplicate, yet %d to %d is not in the topic as one batch", errReopen, first, last)
	}
	return b.runs[0].BaseOffset, nil
}

// checkBefore looks at what somebody else appended between our last batch and the one at base. It is normally nothing. A
// producer that the broker has forgotten can no longer be fenced; this is where it is noticed.
func (s *session) checkBefore(ctx context.Context, base int64) error {
	if base < s.next {
		return fmt.Errorf("%w: a new batch got offset %d, confirmed ones reach up to %d", ErrLost, base, s.next)
	}
	if base == s.next {
		return nil
	}
	s.r.log.Warn("somebody else appended to our partition", "from_offset", s.next, "to_offset", base)
	return s.r.broker.read(ctx, s.next, base, s.r.newReadback(s.confirmed).visit)
}
