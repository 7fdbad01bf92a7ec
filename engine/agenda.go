package engine

import (
	"container/heap"
	"encoding/binary"

	"farthing/ledger"
	"farthing/refusal"
)

// agenda is what is due at a time: expiries of grants, their announcements, periods of
// subscriptions, looks at accounts whose top-up had to wait. It is derived from the tables and
// holds no truth of its own: what it names is looked at again when it is due, and an item is
// passed over if it would be put elsewhere by then. So the order in which things are done after
// a long wait is not another after a restart, which makes the agenda anew. It belongs to the
// sequencer.
type agenda struct{ items dueItems }

type dueItem struct {
	at  int64
	do  dueKind
	ref uint32 // a grant, a subscription, an account
}

type dueKind uint8

// The order in which things that are due at one moment are done: what ends comes before what
// begins.
const (
	dueWarning dueKind = iota
	duePeriod          // what is carried over is part of the period, so before expiries
	dueExpiry
	dueWatch
)

type dueItems []dueItem

func (d dueItems) Len() int      { return len(d) }
func (d dueItems) Swap(i, j int) { d[i], d[j] = d[j], d[i] }

// Push implements heap.Interface.
func (d *dueItems) Push(x any) { *d = append(*d, x.(dueItem)) }

// Pop implements heap.Interface.
func (d *dueItems) Pop() any {
	last := (*d)[len(*d)-1]
	*d = (*d)[:len(*d)-1]
	return last
}
func (d dueItems) Less(i, j int) bool {
	a, b := &d[i], &d[j]
	switch {
	case a.at != b.at:
		return a.at < b.at
	case a.do != b.do:
		return a.do < b.do
	}
	return a.ref < b.ref
}

func (a *agenda) add(at int64, do dueKind, ref uint32) {
	heap.Push(&a.items, dueItem{at, do, ref})
}

// next returns the first thing that is due now.
func (a *agenda) next(now int64) (dueItem, bool) {
	if len(a.items) == 0 || a.items[0].at > now {
		return dueItem{}, false
	}
	return heap.Pop(&a.items).(dueItem), true
}

// dueStep is how many things are done between two groups.
const dueStep = 256

// nowOf is the time that a command would have now.
func (s *sequencer) nowOf() int64 {
	if s.g.time != 0 {
		return s.g.time
	}
	return max(s.state.time, s.e.now())
}

// due does a bounded part of what is due but holds, in order of time. It reports whether
// something may be left.
func (s *sequencer) due() (more bool) {
	if s.g.bytes >= s.e.o.GroupBytes {
		return true
	}
	now := s.nowOf()
	for range dueStep {
		item, ok := s.state.agenda.next(now)
		if !ok {
			return false
		}
		s.doDue(item)
	}
	return true
}

func (s *sequencer) doDue(item dueItem) {
	st := s.state
	if s.g.time == 0 {
		s.g.time = s.nowOf()
	}
	var b booking
	switch item.do {
	case dueExpiry:
		if g := st.expiryOf(item.ref, s.g.time); g != nil {
			b = g
		}
	case duePeriod:
		// An item that was put twice must not bring the period after it forward.
		if p := st.periodOf(item.ref, s.g.time); p != nil && p.start == item.at {
			b = p
		}
	case dueWarning:
		if st.warnAgain[item.ref] == item.at {
			delete(st.warnAgain, item.ref)
		}
		if st.warningAt(item.ref) == item.at {
			b = &look{item.do, item.ref}
		}
	default:
		if root := ledger.Ref(item.ref); st.lookAt[root] == item.at {
			delete(st.lookAt, root)
			b = &look{item.do, item.ref}
		}
	}
	if b == nil || !st.isDue(b, s.g.time) {
		return
	}
	s.commit(b, b.append(nil))
	s.follow()
}

// look is a command that moves nothing: time has come to look at something, and what that
// tells follows from it.
type look struct {
	what dueKind
	ref  uint32
}

func (l *look) kind() byte { return kindLook }
func (l *look) append(dst []byte) []byte {
	return binary.AppendUvarint(append(dst, byte(l.what)), uint64(l.ref))
}
func (r *reader) look() *look                { return &look{dueKind(r.byte()), uint32(r.uvarint())} }
func (l *look) transfers(*tables) []transfer { return nil }

func (l *look) check(s *state) *refusal.Refusal {
	if !s.isDue(l, s.time) {
		return refusal.New(refusal.Invalid, "not_due", "nothing is due there")
	}
	return nil
}

func (l *look) apply(s *state) {
	if l.what == dueWarning {
		s.warn(l.ref)
		return
	}
	s.watch(ledger.Ref(l.ref))
}

// isDue reports whether a look would tell something; other bookings know it themselves.
func (s *state) isDue(b booking, now int64) bool {
	l, ok := b.(*look)
	switch {
	case !ok:
		return true
	case l.what == dueWarning:
		return int(l.ref) < len(s.grants) && s.warnable(l.ref, now)
	default:
		return int(l.ref) < len(s.people) && s.waited(ledger.Ref(l.ref), now)
	}
}
