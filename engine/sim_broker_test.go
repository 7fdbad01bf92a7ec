package engine

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// simBroker is a model of one partition and of what the broker remembers of its producers, with a
// model of the relay beside it: the procedure of package publish on the real outbox. It is not that
// package: its client brings goroutines and sockets of its own.
type simBroker struct {
	s        *sim
	topic    []simRecord
	flushed  int       // records that every replica has
	epoch    int16     // that was given out last
	arriving []simSend // requests on their way that nobody waits for any more

	down     bool
	lose     int // answers that get lost
	late     int // requests that arrive late
	stopping bool
	busy     bool // the relay is in the middle of something
}

type simRecord struct {
	stream uint64 // 0: a fence
	sum    [32]byte
	triple simTriple // of its batch
}

// simTriple is what a broker knows a batch by; there is one producer. Sequences count batches.
type simTriple struct {
	epoch    int16
	sequence int32
}

type simSend struct {
	triple  simTriple
	records []simRecord
}

func newSimBroker(s *sim) *simBroker { return &simBroker{s: s, epoch: -1} }

var (
	errSimBroker = errors.New("no answer")
	errSimFenced = errors.New("fenced")
	errSimOrder  = errors.New("out of order")
)

// lost is the end of the relay's process: what it sent may still arrive.
func (b *simBroker) lost() { b.stopping, b.busy = false, false }

// ask is a request with its way there and back; an error leaves open whether it was carried out.
func (b *simBroker) ask(do func() error, send *simSend) error {
	b.s.sleep(b.s.between(time.Millisecond, 20*time.Millisecond))
	if b.down {
		return errSimBroker
	}
	if b.late > 0 && send != nil {
		b.late--
		b.arriving = append(b.arriving, *send)
		b.s.sleep(10 * time.Second) // until nobody waits any more
		return errSimBroker
	}
	err := do()
	if b.lose > 0 {
		b.lose--
		b.s.sleep(10 * time.Second)
		return errSimBroker
	}
	return err
}

// arrive lets requests arrive that were on their way.
func (b *simBroker) arrive() {
	for i := range b.arriving {
		_, _ = b.append(&b.arriving[i])
	}
	b.arriving = nil
}

// restart loses what not every replica has, and the memory of it.
func (b *simBroker) restart() { b.topic = b.topic[:b.flushed] }

// last is the last batch that was appended.
func (b *simBroker) last() simTriple {
	if len(b.topic) == 0 {
		return simTriple{-1, 0}
	}
	return b.topic[len(b.topic)-1].triple
}

func (b *simBroker) initProducer() (t simTriple, err error) {
	err = b.ask(func() error {
		b.epoch++
		t = simTriple{b.epoch, 0}
		return nil
	}, nil)
	return t, err
}

// append appends a batch unless it is there already.
func (b *simBroker) append(send *simSend) (int64, error) {
	last := b.last()
	switch {
	case send.triple.epoch < last.epoch: // the epoch of the last batch in the topic fences older ones
		return 0, errSimFenced
	case send.triple.epoch == last.epoch && send.triple.sequence <= last.sequence:
		for at := range b.topic {
			if b.topic[at].triple == send.triple {
				return int64(at), nil
			}
		}
		return 0, errSimOrder
	case send.triple.epoch == last.epoch && send.triple.sequence > last.sequence+1, send.triple.epoch > last.epoch && send.triple.sequence > 0:
		return 0, errSimOrder
	}
	at := int64(len(b.topic))
	for _, r := range send.records {
		b.s.check.published(b.s, r)
		r.triple = send.triple
		b.topic = append(b.topic, r)
	}
	return at, nil
}

// send appends a batch and returns where it stands once every replica has it.
func (b *simBroker) send(s simSend) (at int64, err error) {
	err = b.ask(func() error {
		at, err = b.append(&s)
		return err
	}, &s)
	if err == nil {
		b.flushed = len(b.topic)
	}
	return at, err
}

func simSum(r *Record) simRecord {
	return simRecord{stream: r.StreamSeq, sum: sha256.Sum256([]byte(recordText(r)))}
}

// relay publishes what is sealed until its process ends.
func (b *simBroker) relay(e *Engine) {
	box := e.Outbox()
	for back := time.Second; !b.stopping; back = min(2*back, b.s.backMax()) {
		b.busy = true
		err := b.session(e, box)
		b.busy = false
		switch {
		case errors.Is(err, errSimFenced), b.stopping: // a closing engine lets nobody read
			return
		case err != nil && !errors.Is(err, errSimBroker) && !errors.Is(err, errSimOrder):
			b.s.failf("the relay: %v", err)
		case err != nil:
			b.s.sleep(back)
		}
	}
}

// session has one epoch: look, fence, read what stands there, then send.
func (b *simBroker) session(e *Engine, box *Outbox) error {
	at, err := box.Position()
	if err != nil {
		return err
	}
	if at.Confirmed > 0 && (at.Offset >= int64(len(b.topic)) || b.topic[at.Offset].stream != at.Confirmed) {
		return fmt.Errorf("record %d was confirmed at %d and is not there", at.Confirmed, at.Offset)
	}
	triple, err := b.initProducer()
	if err != nil {
		return err
	}
	fence := simSend{triple, []simRecord{{}}}
	fenced, err := b.sure(fence)
	if err != nil {
		return err
	}
	if at, err = b.readBack(box, at, fenced); err != nil {
		return err
	}
	for next := at.Confirmed + 1; ; {
		triple.sequence++
		records, err := b.next(e, box, next)
		if err != nil || len(records) == 0 {
			return err
		}
		last := records[len(records)-1].stream
		if err := box.Attempt(Attempt{7, triple.epoch, triple.sequence, next, last}); err != nil {
			return err
		}
		offset, err := b.sure(simSend{triple, records})
		if err != nil {
			return err
		}
		if err := box.Confirm(Confirmation{next, last, "t", 0, offset, offset + int64(len(records))}); err != nil {
			return err
		}
		next = last + 1
	}
}

// next waits for records; none: the relay is to stop.
func (b *simBroker) next(e *Engine, box *Outbox, from uint64) (out []simRecord, err error) {
	b.busy = false
	for !b.stopping {
		// Reading would be refused while the engine closes, and there is nothing to wait for then.
		if e.Stats().SealedStream < from {
			b.s.park()
			continue
		}
		b.busy = true
		records, err := box.Records(from, 600)
		for i := range records {
			out = append(out, simSum(&records[i]))
		}
		return out, err
	}
	return nil, nil
}

// sure repeats the identical send until it has an answer. Planted: it does not care whether the
// first one arrived, and sends under a new sequence.
func (b *simBroker) sure(s simSend) (at int64, err error) {
	for range 5 {
		if at, err = b.send(s); !errors.Is(err, errSimBroker) {
			return at, err
		}
		b.s.sleep(time.Second)
		if b.s.bug == "resend" {
			s.triple.sequence++
		}
	}
	return at, err
}

// readBack confirms what stands between the position and the fence.
func (b *simBroker) readBack(box *Outbox, at Position, fence int64) (Position, error) {
	from := at.NextOffset
	for offset := from; offset < fence; offset++ {
		r := b.topic[offset]
		if r.triple = (simTriple{}); r.stream <= at.Confirmed {
			continue
		}
		records, err := box.Records(r.stream, 1)
		if err != nil {
			return at, err
		}
		if r.stream != at.Confirmed+1 || len(records) == 0 || simSum(&records[0]) != r {
			return at, fmt.Errorf("offset %d has record %d, which is not what follows %d in the outbox", offset, r.stream, at.Confirmed)
		}
		if err := box.Confirm(Confirmation{r.stream, r.stream, "t", 0, offset, offset + 1}); err != nil {
			return at, err
		}
		at.Confirmed = r.stream
	}
	return at, nil
}
