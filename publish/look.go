package publish

import (
	"context"
	"fmt"
)

// look reads what the partition shows before the relay appends anything to it, and returns the offset up to which it has read.
// It ends in ErrLost if the partition is not the one that the outbox knows, and in ErrForked if it holds what this
// ledger did not seal. Whatever an older epoch appends afterwards stands before the fence and is read by readBack.
//
// The topic id would tell a topic created again by name, but kafka-go's metadata (version 8) has none. The content of the
// last confirmed record tells as much, and accepts a topic that was restored as it was.
func (r *Relay) look(ctx context.Context, pos Position, b *readback) (seen int64, err error) {
	if err := r.sameTopic(pos); err != nil {
		return 0, err
	}
	if pos.Confirmed == 0 { // else a topic created now could only be the wrong one
		if err := r.createTopic(ctx); err != nil {
			return 0, err
		}
	}
	if err := r.check(ctx); err != nil {
		return 0, err
	}
	first, end, err := r.extent(ctx, pos)
	if err != nil {
		return 0, err
	}
	if a := pos.Attempt; a != nil {
		b.note(producer{a.ProducerID, a.Epoch})
	}
	switch {
	case pos.Confirmed == 0:
	case first > pos.Offset:
		// Of what was confirmed nothing is looked for; what was not confirmed is sent again, which consumers drop.
		r.log.Warn("the topic's retention has passed the last confirmed record", "offset", pos.Offset, "first_offset", first)
	default:
		b.last = pos.Offset
	}
	if err := r.broker.read(ctx, max(first, pos.Offset), end, b.visit); err != nil {
		return 0, err
	}
	if b.last != noOffset {
		return 0, fmt.Errorf("%w: no record stands at offset %d, where stream_seq %d was confirmed", ErrLost, b.last, pos.Confirmed)
	}
	return end, nil
}

// sameTopic compares where we published with where we are to publish.
func (r *Relay) sameTopic(pos Position) error {
	if pos.Confirmed == 0 || (pos.Topic == r.o.Topic && pos.Partition == r.o.Partition) {
		return nil
	}
	return fmt.Errorf("%w: stream_seq 1 to %d stand in %s/%d, not in %s/%d",
		ErrLost, pos.Confirmed, pos.Topic, pos.Partition, r.o.Topic, r.o.Partition)
}

// extent returns the partition's bounds once they reach what was confirmed, and ErrLost when they have not for LostAfter.
// In between it drops connections and metadata, so that each look may be at another broker.
func (r *Relay) extent(ctx context.Context, pos Position) (first, end int64, err error) {
	begun := r.o.Now()
	for {
		if first, end, err = r.broker.bounds(ctx); err != nil || end >= pos.NextOffset {
			return first, end, err
		}
		if r.o.Now().Sub(begun) >= r.o.LostAfter {
			return 0, 0, fmt.Errorf("%w: the partition ends at offset %d, confirmed records reach up to %d", ErrLost, end, pos.NextOffset)
		}
		if err := r.failed(ctx, fmt.Errorf("%w: it ends at offset %d, confirmed records reach up to %d", errShort, end, pos.NextOffset)); err != nil {
			return 0, 0, err
		}
	}
}
