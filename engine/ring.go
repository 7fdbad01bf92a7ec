package engine

import (
	"math/bits"
	"sync/atomic"
)

// ring is a bounded queue from many producers to one consumer, without locks.
//
// Each slot carries a turn number. For position p (counted from 0 without end) and
// capacity n, a slot is
//
//	turn == p      free: the producer that claimed p may fill it
//	turn == p+1    full: the consumer may take it
//	turn == p+n    free again, for the next lap
//
// Proof. (1) A position is claimed by exactly one producer: tail grows by
// compare-and-swap only. (2) The producer of p writes request only between seeing
// turn == p and storing p+1; the consumer reads it only between seeing p+1 and
// storing p+n; so nobody else touches the slot meanwhile, and the two stores
// publish it (Go's atomics are sequentially consistent: what was written before
// the store is seen after the load that observes it). (3) Positions are taken in
// order, so requests of one producer stay in its order. (4) push refuses only when
// the slot a lap behind is still occupied, that is when n requests are queued: the
// admission budget hands out fewer than n places, so in the engine push never refuses.
//
// A producer between claim and store delays the consumer at that position, but no
// other producer; it holds no lock and does not wait there.
//
// The padding keeps the producers' tail, the consumer's head and the slots on
// different cache lines.
type ring struct {
	slots []ringSlot
	mask  uint64
	_     [64]byte
	tail  atomic.Uint64 // next position to claim; producers
	_     [56]byte
	head  uint64 // next position to take; the consumer alone
	_     [56]byte
	taken atomic.Uint64 // head as of the last drain, for metrics
	// asleep is set by the consumer before it waits; the producer that swaps it back
	// sends the one token.
	asleep atomic.Bool
	wake   chan struct{}
}

type ringSlot struct {
	turn    atomic.Uint64
	request *Request
	_       [48]byte // one slot a cache line: neighbours are filled by different cores
}

// newRing returns a ring for at least capacity requests (rounded up to a power of two).
func newRing(capacity int) *ring {
	n := uint64(1) << bits.Len(uint(max(capacity, 2)-1))
	r := &ring{slots: make([]ringSlot, n), mask: n - 1, wake: make(chan struct{}, 1)}
	for i := range r.slots {
		r.slots[i].turn.Store(uint64(i))
	}
	return r
}

// push queues q; false when the ring is full. Safe for any number of goroutines.
func (r *ring) push(q *Request) bool {
	for {
		p := r.tail.Load()
		slot := &r.slots[p&r.mask]
		switch turn := slot.turn.Load(); {
		case turn == p:
			if !r.tail.CompareAndSwap(p, p+1) {
				continue
			}
			slot.request = q
			slot.turn.Store(p + 1)
			r.rouse()
			return true
		case turn < p:
			return false // the request of the last lap is still here
		}
		// turn > p: another producer claimed p since tail was read.
	}
}

// rouse wakes the consumer if it is waiting.
func (r *ring) rouse() {
	if r.asleep.Load() && r.asleep.CompareAndSwap(true, false) {
		r.wake <- struct{}{} // never blocks: one token per sleep
	}
}

// pop takes the oldest request, or nil when there is none. The consumer alone.
func (r *ring) pop() *Request {
	slot := &r.slots[r.head&r.mask]
	if slot.turn.Load() != r.head+1 {
		return nil
	}
	q := slot.request
	slot.request = nil
	slot.turn.Store(r.head + uint64(len(r.slots)))
	r.head++
	return q
}

// empty reports whether pop would return nil. The consumer alone.
func (r *ring) empty() bool { return r.slots[r.head&r.mask].turn.Load() != r.head+1 }

// sleep announces that the consumer is about to wait on wake. False: a request came
// in between, do not wait. After waiting (or not), call woken.
func (r *ring) sleep() bool {
	r.asleep.Store(true)
	return r.empty()
}

// woken ends a sleep that was not ended by a token, and takes the token if a producer
// sent it meanwhile.
func (r *ring) woken() {
	if !r.asleep.CompareAndSwap(true, false) {
		<-r.wake
	}
}

// report publishes how far the consumer got. The consumer alone.
func (r *ring) report() { r.taken.Store(r.head) }

// depth is about how many requests are queued; for metrics.
func (r *ring) depth() int { return int(r.tail.Load() - r.taken.Load()) }
