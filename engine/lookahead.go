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

// prepareHolds looks ahead over operations on holds: where their identities, accounts, open holds
// and usage rows are. Nothing is decided by it but which number a shape has.
func (s *sequencer) prepareHolds(r *Request) {
	a, st, open := &s.ahead, s.state, s.ids.open()
	a.payers, a.shapes = a.payers[:0], a.shapes[:0]
	mask, names, holds := uint64(len(open.slots)-1), uint64(len(st.accounts.slots)-1), uint64(len(st.holds.index)-1)
	for i := range r.holds.Ops {
		op := &r.holds.Ops[i]
		a.sink += uint64(open.slots[op.identity&mask].ref) + uint64(open.slots[op.end&mask].ref)
		switch {
		case op.Kind == PlaceHold && st.accounts.count > 0:
			a.sink += st.accounts.slots[op.account&names].hash
		case op.Kind != PlaceHold && st.holds.open > 0:
			a.sink += uint64(st.holds.index[op.wide[0]&holds])
		}
	}
	for i := len(s.ids.generations) - 2; i >= 0 && s.ids.generations[i].number >= r.runs; i-- {
		slots := s.ids.generations[i].slots
		mask := uint64(len(slots) - 1)
		for k := range r.holds.Ops {
			a.sink += uint64(slots[r.holds.Ops[k].identity&mask].ref)
		}
	}
	for i := range r.batch.Events {
		shape, ok := st.rates.lookup(r.batch.Events[i].ShapeHash, r.batch.Bytes(r.batch.Events[i].Shape))
		if !ok {
			shape = unknownShape
		}
		a.shapes = append(a.shapes, shape)
	}
	s.warmHolds(r)
}

// warmHolds finds the accounts of operations and touches their rows and those of open holds, each
// step a loop over all of them.
func (s *sequencer) warmHolds(r *Request) {
	a, st, day := &s.ahead, s.state, dayOf(s.g.time)
	for i := range r.holds.Ops {
		op, ref := &r.holds.Ops[i], nobodyRef
		if op.Kind == PlaceHold {
			if at, ok := st.accounts.find(op.account, r.holds.Bytes(op.Account), st.people); ok {
				ref = at
			}
		} else if n, ok := st.holds.find(op.wide); ok {
			ref = st.holds.rows.At(n).account
		}
		a.payers = append(a.payers, ref)
	}
	for _, ref := range a.payers {
		if ref != nobodyRef {
			a.sink += st.ledger.Rows.At(uint32(ref)).Window + uint64(st.people[ref].Root)
		}
	}
	for _, ref := range a.payers { // a limit's row is two to three cache lines, and a chain has many
		if ref == nobodyRef || st.marks(ref)&markLimits == 0 {
			continue
		}
		for ; ref != ledger.NoRef; ref = st.people[ref].Parent {
			for _, n := range st.limitsAt(ref) {
				row := st.limitRows.At(n)
				a.sink += uint64(row.Start) + row.Reserved
			}
		}
	}
	u := &st.usage
	if mask := uint64(len(u.index) - 1); u.count > 0 {
		for i := range r.holds.Ops {
			op, ref := &r.holds.Ops[i], a.payers[i]
			if op.Kind != CaptureHold || op.Event < 0 || ref == nobodyRef || a.shapes[op.Event] == unknownShape {
				continue
			}
			if slot := u.index[usageHash(ref, a.shapes[op.Event], day)&mask]; slot.row != 0 {
				a.sink += u.rows.At(slot.row - 1).events
			}
		}
	}
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
