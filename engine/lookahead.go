package engine

import (
	"farthing/ledger"
	"farthing/meter"
)

// lookahead finds what the events of a request will need before they are executed one by
// one. Executing an event is a chain of look-ups at random places (identity, name,
// participant, row, usage), each of which waits for memory; here each step is a loop over
// all events whose loads do not depend on each other, so that their waits overlap. It
// changes nothing and decides only what cannot change within a request: who the payer is
// and which number an interned shape has.
type lookahead struct {
	payers []ledger.Ref // by event
	shapes []uint32     // by event: the interned shape
	sink   uint64       // keeps the loads from being optimised away
}

const (
	// nobodyRef stands for a subject that is no participant.
	nobodyRef = ^ledger.Ref(0)
	// unknownShape stands for a shape that was not interned when the request began.
	unknownShape = ^uint32(0)
)

// prepare looks ahead over the events of a request.
func (s *sequencer) prepare(r *Request) {
	events, a := r.batch.Events, &s.ahead
	a.sink += uint64(s.ids.warm(events, r.runs)) + s.state.accounts.warm(events)
	a.payers, a.shapes = a.payers[:0], a.shapes[:0]
	for i := range events {
		ref, ok := s.state.accounts.find(events[i].SubjectHash, r.batch.Bytes(events[i].Subject), s.state.people)
		if !ok {
			ref = nobodyRef
		}
		a.payers = append(a.payers, ref)
		shape, ok := s.state.rates.lookup(events[i].ShapeHash, r.batch.Bytes(events[i].Shape))
		if !ok {
			shape = unknownShape
		}
		a.shapes = append(a.shapes, shape)
	}
	s.warmRows()
}

// warm touches the slots of the subjects of events.
func (x *nameIndex) warm(events []meter.Event) (sink uint64) {
	if x.count == 0 {
		return 0
	}
	mask := uint64(len(x.slots) - 1)
	for i := range events {
		sink += x.slots[events[i].SubjectHash&mask].hash
	}
	return sink
}

// warmRows touches the payers' rows and the usage slots of their shapes, under the day
// of the group: an event of another day finds its slot cold.
func (s *sequencer) warmRows() {
	st, a := s.state, &s.ahead
	u := &st.usage
	mask := uint64(len(u.index) - 1)
	day := dayOf(s.g.time)
	for i, ref := range a.payers {
		if ref == nobodyRef {
			continue
		}
		a.sink += st.ledger.Rows.At(uint32(ref)).Window
		if n := a.shapes[i]; n != unknownShape && u.count > 0 {
			slot := u.index[usageHash(ref, n, day)&mask]
			if slot.row != 0 {
				a.sink += u.rows.At(slot.row - 1).events
			}
		}
	}
}
