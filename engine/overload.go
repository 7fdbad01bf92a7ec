package engine

import (
	"sync/atomic"
	"time"
)

// flow bounds how long an admitted request waits, by bounding what is queued before it: by Little's law the wait is what is queued, over the
// rate at which it goes. The fixed budgets of admission bound memory; this bounds time.
//
// The cost of a request is its body's bytes and a constant. The rate is measured where it is the disk's or the sequencer's
// alone: over groups that were full, which means that work was left over for the next one. Such a group is as large as groups
// get, whatever the limit is, so the limit does not feed back into what it is made of, and cannot swing. A group that was not
// full says nothing about how much would have gone into it, and is not counted.
//
// A group may look full by accident: a request comes as the one before it is handed over, on a disk that takes its time for the two of them.
// So the limit is never below limitMin, which is less than a quarter of what is full by its bytes: a few clients are no overload, however slow the disk.
//
// The limit is never below two full groups either, one being committed and one being filled: so where the limit refuses anything, the
// next group is full, and measured. A limit that is out of date (the disk has become fast again) is corrected by the next
// groups, and no group is smaller than it could be because of the limit. An idle engine has nothing queued and admits
// whatever comes.
//
// Small requests (single events, reads) are sure of a quarter of the limit and large ones (batches) of half of it, so neither keeps the other out;
// what one does not use, the other may. So no more than one and a half times the limit is queued, and the last request admitted.
//
// Who sends slowly does not use what is measured here. So the cost of a body still on its way counts for at most 200 ms; a
// request that arrives later asks again before it is queued.
type flow struct {
	target time.Duration

	// The committer's: sums over full groups, in which each counts three quarters of the one after it, and
	// the usual cost of a full group.
	cost, took int64
	full       int64
	last       int64 // when the last group was done, on the engine's monotonic clock

	limit    atomic.Int64
	refused  atomic.Bool                              // since the last group
	refusals atomic.Int64                             // since the start
	queued   [flowClasses]atomic.Int64                // cost of what is on the ring or in a group
	arriving [arrivingSlots][flowClasses]atomic.Int64 // cost of admitted requests that are not queued yet, by slot
	patient  bool                                     // nothing is refused
	slot     atomic.Uint32                            // the current one; the watch's goroutine moves on every 100 ms
}

// The classes of requests.
const (
	smallRequest = iota
	largeRequest
	flowClasses
)

const (
	// smallCost is the cost up to which a request is small: about ten events.
	smallCost = 4 << 10
	// requestCost is what a request costs beside its body: what it takes to hand it through, in bytes of body.
	requestCost = 256
	// fullCost is what a full group is taken to cost, in multiples of its bytes, before one was seen: a JSON event
	// takes two to three times the bytes of its command. Groups are taken to be no smaller than fullBytes then.
	fullCost, fullBytes = 4, 1 << 20
	// limitMin is some hundred small requests, or a batch of a thousand events.
	limitMin = 256 << 10
	// arrivingSlots times 100 ms is longer than any body may take to arrive, so that a slot is empty when its turn comes again.
	arrivingSlots = 1024
	slotTime      = 100 * time.Millisecond
)

// flowTicket is a request's place in the flow.
type flowTicket struct {
	class   int
	cost    int64
	slot    uint32
	arrives bool // counted under its slot, not yet as queued
}

func newFlow(target time.Duration, groupBytes int) *flow {
	f := &flow{target: target, full: fullCost * int64(max(groupBytes, fullBytes))}
	f.setLimit()
	return f
}

// setLimit computes the limit anew. The committer alone, after the start. Costs are cut off at 4 GiB, so that nothing overflows with a
// target of up to a second.
func (f *flow) setLimit() {
	limit := max(2*f.full, limitMin)
	if f.took > 0 {
		limit = max(limit, min(f.cost, 1<<32)*int64(f.target)/f.took)
	}
	f.limit.Store(limit)
}

// group takes in a group that is done: what its requests cost, whether it was full, and when its first request was executed. The committer
// alone.
func (f *flow) group(cost [flowClasses]int64, full bool, begun, done int64) {
	start := max(f.last, begun)
	f.last = done
	sum := int64(0)
	for class, c := range cost {
		f.queued[class].Add(-c)
		sum += c
	}
	refused := f.refused.Swap(false)
	switch limit := f.limit.Load(); {
	case full && sum > 0:
		if f.took == 0 {
			f.full = sum
		}
		f.cost, f.took = f.cost*3/4+sum, f.took*3/4+max(done-start, 1)
		f.full += (sum - f.full) / 4
	case refused && f.queuedCost()+sum >= limit/2:
		f.full += f.full / 8 // refused although the group had room: a full one costs more than was thought
	default:
		return
	}
	f.setLimit()
}

func (f *flow) queuedCost() (n int64) {
	for class := range f.queued {
		n += f.queued[class].Load()
	}
	return n
}

// room reports whether one more request of a class may come. Several that ask at the same moment may all be told so: at most one a processor.
func (f *flow) room(class int) bool {
	slot, limit := f.slot.Load(), f.limit.Load()
	var held [flowClasses]int64
	sum := int64(0)
	for c := range held {
		held[c] = f.queued[c].Load() + f.arriving[slot%arrivingSlots][c].Load() + f.arriving[(slot-1)%arrivingSlots][c].Load()
		sum += held[c]
	}
	sure := limit / 4
	if class == largeRequest {
		sure = limit / 2
	}
	if sum < limit || held[class] < sure || f.patient {
		return true
	}
	f.refused.Store(true)
	f.refusals.Add(1)
	return false
}

// costOf is the cost of a request whose body has so many bytes, and its class.
func costOf(bodyBytes int64) (cost int64, class int) {
	if cost = bodyBytes + requestCost; cost > smallCost {
		return cost, largeRequest
	}
	return cost, smallRequest
}

// take counts an admitted request as one that arrives.
func (f *flow) take(t *flowTicket, bodyBytes int64) {
	cost, class := costOf(bodyBytes)
	*t = flowTicket{class: class, cost: cost, slot: f.slot.Load(), arrives: true}
	f.arriving[t.slot%arrivingSlots][class].Add(cost)
}

// grow adds to the cost of a request whose body is larger than it was taken for.
func (f *flow) grow(t *flowTicket, bodyBytes int64) {
	t.cost += bodyBytes
	f.arriving[t.slot%arrivingSlots][t.class].Add(bodyBytes)
}

// current reports whether a request may be queued: one that took long to arrive counts no more among those that were admitted and has to have room
// now.
func (f *flow) current(t *flowTicket) bool {
	return f.slot.Load()-t.slot < 2 || f.room(t.class)
}

// enqueue counts a request as queued, until its group is done.
func (f *flow) enqueue(t *flowTicket) {
	f.leave(t)
	f.queued[t.class].Add(t.cost)
}

// leave takes a request that was never queued out.
func (f *flow) leave(t *flowTicket) {
	if t.arrives {
		t.arrives = false
		f.arriving[t.slot%arrivingSlots][t.class].Add(-t.cost)
	}
}

// tick moves on to the next slot. One goroutine.
func (f *flow) tick() { f.slot.Add(1) }
