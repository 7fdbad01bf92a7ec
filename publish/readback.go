package publish

import (
	"bytes"
	"fmt"
	"slices"
)

// readback compares what stands in the topic with the outbox. It only collects: nothing is confirmed before the whole
// range was seen, so a fork further on leaves no trace in the outbox.
type readback struct {
	box      Outbox
	maxBytes int
	key      string // of our fences
	fence    string // their type
	warn     func(text string, args ...any)
	last     int64              // where record expect-1 must stand, until it was seen there; noOffset: nowhere
	expect   uint64             // the next unconfirmed StreamSeq
	runs     []Confirmation     // First, Last and BaseOffset of what was found, in order
	relays   map[int64]producer // who appended fences and records of ours, each with its newest epoch, by producer id
	page     []Record           // the outbox around the last record looked up
}

// noOffset is no place in a partition.
const noOffset = -1

func (r *Relay) newReadback(confirmed uint64) *readback {
	return &readback{box: r.box, maxBytes: r.o.MaxBatchBytes, key: r.o.transactionalID(), fence: r.o.fenceType(), warn: r.log.Warn,
		last: noOffset, expect: confirmed + 1, relays: map[int64]producer{}}
}

// visit takes the topic's next record.
//
//   - at the place of the last confirmed one: must be that one
//   - no stream_seq: a control record or somebody else's, ignored as consumers ignore it, except for who wrote our fences
//   - the next unconfirmed one: must be equal to the outbox's; it was appended by an earlier session
//   - an older one: a second copy, which consumers drop; must be equal too, if the outbox still has it
//   - a later one, or one that the outbox has not sealed: not sent by this ledger
func (b *readback) visit(t *topicRecord) error {
	if t.offset == b.last {
		return b.visitLast(t)
	}
	if t.hasSeq || (t.ceType == b.fence && string(t.key) == b.key) {
		b.note(t.producer)
	}
	if !t.hasSeq {
		return nil
	}
	if t.streamSeq > b.expect {
		return fmt.Errorf("%w: stream_seq %d at offset %d where %d was due", ErrForked, t.streamSeq, t.offset, b.expect)
	}
	ours, err := b.lookup(t.streamSeq)
	if err != nil {
		return err
	}
	switch {
	case ours == nil && t.streamSeq == b.expect:
		return fmt.Errorf("%w: stream_seq %d at offset %d is not sealed here", ErrForked, t.streamSeq, t.offset)
	case ours == nil:
		b.warn("a confirmed record stands again in the topic and is kept no more to compare", "stream_seq", t.streamSeq, "offset", t.offset)
	case !t.equal(ours):
		return fmt.Errorf("%w: stream_seq %d at offset %d (ce_id %.80q)", ErrForked, t.streamSeq, t.offset, t.id)
	case t.streamSeq == b.expect:
		b.add(t)
	}
	return nil
}

// visitLast takes the record that stands where the last confirmed one must. If the outbox keeps that one no more, its number has to do.
func (b *readback) visitLast(t *topicRecord) error {
	if !t.hasSeq || t.streamSeq != b.expect-1 {
		return fmt.Errorf("%w: at offset %d stands something else (stream_seq %d, ce_id %.80q) than stream_seq %d", ErrLost, t.offset, t.streamSeq, t.id, b.expect-1)
	}
	ours, err := b.lookup(t.streamSeq)
	if err != nil {
		return err
	}
	if ours != nil && !t.equal(ours) {
		return fmt.Errorf("%w: stream_seq %d at offset %d has other content (ce_id %.80q)", ErrLost, t.streamSeq, t.offset, t.id)
	}
	b.note(t.producer)
	b.last = noOffset
	return nil
}

// note remembers an earlier relay of this ledger.
func (b *readback) note(p producer) {
	if known, ok := b.relays[p.id]; p != noProducer && (!ok || p.epoch > known.epoch) {
		b.relays[p.id] = p
	}
}

// equal compares content. Source and time are not content: they follow options and the clock.
func (t *topicRecord) equal(r *Record) bool {
	return t.id == r.ID && t.ceType == r.Type && bytes.Equal(t.key, r.Key) && bytes.Equal(t.value, r.Value) &&
		slices.EqualFunc(t.headers, r.Headers, Header.equal)
}

func (h Header) equal(other Header) bool {
	return h.Key == other.Key && bytes.Equal(h.Value, other.Value)
}

// lookup returns the outbox's record, nil if it has none of that number.
func (b *readback) lookup(seq uint64) (*Record, error) {
	if len(b.page) == 0 || seq < b.page[0].StreamSeq || seq > b.page[len(b.page)-1].StreamSeq {
		page, err := b.box.Records(seq, b.maxBytes)
		if err != nil {
			return nil, fmt.Errorf("read outbox from %d: %w", seq, err)
		}
		b.page = page
	}
	if len(b.page) == 0 || seq < b.page[0].StreamSeq {
		return nil, nil
	}
	return &b.page[seq-b.page[0].StreamSeq], nil
}

// add takes the next unconfirmed record as found.
func (b *readback) add(t *topicRecord) {
	b.expect++
	if n := len(b.runs); n > 0 {
		run := &b.runs[n-1]
		if t.offset == run.BaseOffset+int64(t.streamSeq-run.First) {
			run.Last = t.streamSeq
			return
		}
	}
	b.runs = append(b.runs, Confirmation{First: t.streamSeq, Last: t.streamSeq, BaseOffset: t.offset})
}

// confirmations returns the runs with their NextOffset; end is the offset after all that was read.
func (b *readback) confirmations(topic string, partition int32, end int64) []Confirmation {
	for i := range b.runs {
		run := &b.runs[i]
		run.Topic, run.Partition = topic, partition
		run.NextOffset = run.BaseOffset + int64(run.Last-run.First) + 1
		if i == len(b.runs)-1 {
			run.NextOffset = end
		}
	}
	return b.runs
}
