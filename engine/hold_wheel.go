package engine

import "slices"

// holdWheel finds holds by the time at which they are due: a ring of buckets of a quarter of a
// second, each a list of rows, so that placing and ending a hold costs the same however many
// are open (a heap of 10^7 would wait for memory at each of 23 levels). Only a bucket that is
// over is sorted; a hold expires at most that much after its time, if there is no queue. It is
// derived and belongs to the owner of the table.
type holdWheel struct {
	heads []uint32 // by bucket modulo the ring, row + 1
	links []holdLink
	done  int64 // buckets up to this one are in the queue
	count int
	live  bool      // else nothing is linked: replay expires what the journal says
	queue []dueHold // in order, from next on
	next  int
}

type holdLink struct {
	prev, next uint32 // rows + 1
	head       uint32 // of its bucket, + 1; 0: not linked
}

type dueHold struct {
	row uint32
	due int64
	seq uint64 // the row may be another's by now
}

const (
	wheelShift = 28 // 268 ms a bucket
	wheelRing  = 1 << 22
	// holdTTLMax must fit into the ring: 4,194,304 buckets are 13 days.
	wheelSpan = int64(wheelRing) << wheelShift
)

// start begins to link rows: nothing is due before.
func (w *holdWheel) start(now int64) {
	w.live, w.done = true, now>>wheelShift-1
}

func (w *holdWheel) add(row uint32, due int64) {
	if !w.live {
		return
	}
	if w.heads == nil {
		w.heads = make([]uint32, wheelRing) // 16 MiB of zeros, of which only what is used takes memory
	}
	if int(row) >= len(w.links) {
		w.links = append(w.links, make([]holdLink, int(row)+1-len(w.links)+len(w.links)/8)...)
	}
	at := uint32(max(due>>wheelShift, w.done+1) % wheelRing)
	head := &w.heads[at]
	w.links[row] = holdLink{next: *head, head: at + 1}
	if *head != 0 {
		w.links[*head-1].prev = row + 1
	}
	*head = row + 1
	w.count++
}

func (w *holdWheel) remove(row uint32) {
	if !w.live || w.links[row].head == 0 {
		return // it is in the queue, which looks again
	}
	l := w.links[row]
	if l.prev != 0 {
		w.links[l.prev-1].next = l.next
	} else {
		w.heads[l.head-1] = l.next
	}
	if l.next != 0 {
		w.links[l.next-1].prev = l.prev
	}
	w.links[row] = holdLink{}
	w.count--
}

// advance queues the holds of the buckets that are over now.
func (w *holdWheel) advance(now int64, at func(row uint32) dueHold) {
	over := now>>wheelShift - 1
	if w.count == 0 {
		w.done = max(w.done, over)
		return
	}
	for w.done < over {
		w.done++
		first := len(w.queue)
		for n := w.heads[w.done%wheelRing]; n != 0; {
			row := n - 1
			n = w.links[row].next
			w.links[row] = holdLink{}
			w.queue = append(w.queue, at(row))
			w.count--
		}
		w.heads[w.done%wheelRing] = 0
		slices.SortFunc(w.queue[first:], func(a, b dueHold) int {
			if a.due != b.due {
				return int(min(1, max(-1, a.due-b.due)))
			}
			return int(min(1, max(-1, int64(a.seq)-int64(b.seq))))
		})
		if len(w.queue)-w.next >= dueHoldsMax {
			return
		}
	}
}

// dueHoldsMax bounds the holds that one look at the wheel queues, but for a bucket.
const dueHoldsMax = 1 << 16

// pop returns the next queued hold; false: none.
func (w *holdWheel) pop() (dueHold, bool) {
	if w.next == len(w.queue) {
		w.queue, w.next = w.queue[:0], 0
		return dueHold{}, false
	}
	h := w.queue[w.next]
	w.next++
	return h, true
}
