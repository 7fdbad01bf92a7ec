package publish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// fence appends the control record that opens the epoch, under sequence 0, and returns its offset. From there on no
// older epoch of this producer id can append. Until it stands, they can: the new epoch alone fences nobody.
func (s *session) fence(ctx context.Context) (int64, error) {
	base, err := s.appendFence(ctx, s.id)
	if errors.Is(err, errLocated) {
		return 0, fmt.Errorf("%w: the fence of epoch %d is there without an offset", errReopen, s.id.epoch)
	}
	if err != nil {
		return 0, err
	}
	s.id.sequence = nextSequence(s.id.sequence, 1)
	return base, nil
}

func (s *session) appendFence(ctx context.Context, t triple) (int64, error) {
	return s.send(ctx, encodeFence(&s.r.o, s.r.o.Now(), t), 1)
}

// fenceStrays fences earlier relays of this ledger that had another producer id, and returns the offset of the last
// fence. The coordinator forgets a transactional id a week after its last InitProducerID, whatever was sent since, and moves to a new
// producer id when the epochs of one are used up. Its next epoch then fences nobody. But the partition shows under which ids relays of
// this ledger wrote since the last confirmed record, every relay of ours starts by writing there, and a broker
// takes a batch without transaction under any higher epoch: so we append one under each of those ids. What they append
// in the meantime is read back too.
func (s *session) fenceStrays(ctx context.Context, b *readback, fence int64) (int64, error) {
	done := map[int64]bool{s.id.id: true}
	for {
		last := fence
		for _, id := range slices.Sorted(maps.Keys(b.relays)) {
			if done[id] {
				continue
			}
			done[id] = true
			base, err := s.fenceStray(ctx, b.relays[id])
			if err != nil {
				return 0, err
			}
			last = max(last, base)
		}
		if last == fence {
			return fence, nil
		}
		if err := s.r.broker.read(ctx, fence+1, last, b.visit); err != nil {
			return 0, err
		}
		fence = last
	}
}

// fenceStray returns the offset of the fence, or -1 if there is nothing left to fence.
func (s *session) fenceStray(ctx context.Context, p producer) (int64, error) {
	if p.epoch == math.MaxInt16 {
		s.r.log.Warn("an earlier relay has the highest epoch and cannot be fenced", "producer_id", p.id)
		return -1, nil
	}
	s.r.log.Warn("fencing an earlier relay under its own producer id", "producer_id", p.id, "epoch", p.epoch)
	base, err := s.appendFence(ctx, triple{producer: producer{p.id, p.epoch + 1}})
	if errors.Is(err, ErrFenced) {
		return -1, nil // a still higher epoch has done so
	}
	return base, err
}
