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
	payers  []payer      // by event
	holders []ledger.Ref // by operation on holds: whose it is
	rows    []uint32     // by event, or by capture: where its usage is probably counted, + 1; 0: not known
	shapes  []uint32     // by the request's shapes: the interned shape
	nodes   []uint32     // scratch: of the chains of accounts
	sink    uint64       // keeps the loads from being optimised away
}

const (
	// nobodyRef stands for a subject that is no participant.
	nobodyRef = ^ledger.Ref(0)
	// unknownShape stands for a shape that was not interned when the request began.
	unknownShape = ^uint32(0)
)

// prepare looks ahead over some events of a request. The payers are by their place among them.
func (s *sequencer) prepare(r *Request, events []meter.Event) {
	a := &s.ahead
	a.sink += uint64(s.ids.warm(events, r.runs)) + s.state.accounts.warm(events)
	a.payers = a.payers[:0]
	for i := range events {
		p, ok := s.state.accounts.find(events[i].SubjectHash, r.batch.Bytes(events[i].Subject))
		if !ok {
			p.ref = nobodyRef
		}
		a.payers = append(a.payers, p)
	}
	s.warmRows(events)
}

// findShapes finds the interned shapes of those of a request.
func (s *sequencer) findShapes(r *Request) {
	a := &s.ahead
	a.shapes = a.shapes[:0]
	for i := range r.batch.Shapes {
		shape, ok := s.state.rates.lookup(r.batch.Shapes[i].Hash, r.batch.Bytes(r.batch.Shapes[i].Bytes))
		if !ok {
			shape = unknownShape
		}
		a.shapes = append(a.shapes, shape)
	}
}

// lookaheadStep is how many events or operations on holds are looked ahead over at once. Each touches some ten or
// twenty cache lines: those of a thousand would push each other out again.
const lookaheadStep = 128

// prepareHolds begins to look ahead over a request of operations on holds.
func (s *sequencer) prepareHolds(r *Request) {
	s.ahead.holders = s.ahead.holders[:0]
	s.findShapes(r)
}

// aheadOf looks ahead over the next operations, from the first one: where their identities,
// accounts, open holds, limits and usage rows are. Each step is a loop over all of them, whose
// loads do not wait for each other. It decides only who the account of a hold is.
func (s *sequencer) aheadOf(r *Request, first int) {
	ops := r.holds.Ops[first:min(first+lookaheadStep, len(r.holds.Ops))]
	s.warmIdentities(ops, r.runs)
	s.warmAccounts(r, ops)
	s.warmLimits(first)
	s.warmUsage(r, ops, first)
}

// warmIdentities touches where identities, names and open holds would be found.
func (s *sequencer) warmIdentities(ops []HoldOp, runs uint64) {
	a, st, open := &s.ahead, s.state, s.ids.open()
	holds := uint64(len(st.holds.index) - 1)
	for i := range ops {
		op := &ops[i]
		a.sink += uint64(open.touch(op.identity)) + uint64(open.touch(op.end))
		switch {
		case op.Kind == PlaceHold && st.accounts.count > 0:
			a.sink += st.accounts.slot(op.account).hash
		case op.Kind != PlaceHold && st.holds.open > 0:
			a.sink += uint64(st.holds.index[op.wide[0]&holds])
		}
	}
	for i := len(s.ids.generations) - 2; i >= 0 && s.ids.generations[i].number >= runs; i-- {
		for k := range ops {
			a.sink += uint64(s.ids.generations[i].touch(ops[k].identity))
		}
	}
}

// warmAccounts finds the accounts of operations and touches what is changed of them and of open
// holds.
func (s *sequencer) warmAccounts(r *Request, ops []HoldOp) {
	a, st := &s.ahead, s.state
	from := len(a.holders)
	for i := range ops {
		op, ref := &ops[i], nobodyRef
		if op.Kind == PlaceHold {
			if p, ok := st.accounts.find(op.account, r.holds.Bytes(op.Account)); ok {
				ref = p.ref
			}
		} else if n, ok := st.holds.find(op.wide); ok {
			row := st.holds.rows.At(n)
			ref = row.account
			a.sink += row.report + uint64(st.holds.wheel.links[n].prev)
		}
		a.holders = append(a.holders, ref)
	}
	for _, ref := range a.holders[from:] {
		if ref != nobodyRef {
			row, person := st.ledger.Rows.At(uint32(ref)), st.people[ref]
			a.sink += row.Window + row.Holds + uint64(row.Paid.Debits.Sign()) + uint64(row.Held.Sign()) + uint64(person.Root) + uint64(person.ID[0])
		}
	}
}

// warmLimits touches the limits over the accounts that were found last.
func (s *sequencer) warmLimits(from int) {
	a, st := &s.ahead, s.state
	a.nodes = a.nodes[:0]
	for _, ref := range a.holders[from:] {
		if ref == nobodyRef || st.marks(ref)&markLimits == 0 {
			continue
		}
		for ; ref != ledger.NoRef; ref = st.people[ref].Parent {
			if n := st.nodeAt(ref); n != 0 && int(n) <= len(st.nodeLimits) {
				a.nodes = append(a.nodes, n-1)
			}
		}
	}
	for _, n := range a.nodes {
		a.sink += st.nodes.At(n).holds
		for _, row := range st.nodeLimits[n] {
			a.sink += uint64(st.limitMeta[row].scope)
		}
	}
	for _, n := range a.nodes {
		for _, k := range st.nodeLimits[n] {
			row := st.limitRows.At(k)
			a.sink += row.Count + uint64(row.Start) + row.Reserved
		}
	}
}

// warmUsage touches the usage rows of captures, under the day of the group.
func (s *sequencer) warmUsage(r *Request, ops []HoldOp, first int) {
	a, day := &s.ahead, dayOf(s.g.time)
	a.rows = a.rows[:0]
	for i := range ops {
		op, ref := &ops[i], a.holders[first+i]
		if op.Kind != CaptureHold || op.Event < 0 || ref == nobodyRef {
			continue
		}
		if shape := a.shapes[r.batch.Events[op.Event].Shape]; shape != unknownShape {
			a.rows = append(a.rows, s.state.usage.guess(ref, shape, day))
		}
	}
	s.touchUsage()
}

// warmRows touches the payers' rows, and finds and touches the rows that count their usage. A loop touches one thing: the shorter
// it is, the more of its loads are under way at once.
func (s *sequencer) warmRows(events []meter.Event) {
	st, a := s.state, &s.ahead
	for i := range a.payers {
		p := &a.payers[i]
		if p.ref == nobodyRef {
			continue
		}
		at := st.ledger.Rows.At(uint32(p.root))
		a.sink += at.Window + uint64(at.Paid.Credits.Sign()) + uint64(at.GrossDebits.Sign())
		if p.root != p.ref {
			a.sink += uint64(st.marks(p.ref))
		}
	}
	a.rows = a.rows[:0]
	today := dayOf(s.g.time)
	for i := range a.payers {
		p, row := &a.payers[i], uint32(0)
		if n := a.shapes[events[i].Shape]; n != unknownShape && p.ref != nobodyRef {
			day := today
			if events[i].Time != meter.NoTime {
				day = dayOf(events[i].Time)
			}
			row = st.usage.guess(p.ref, n, day)
		}
		a.rows = append(a.rows, row)
	}
	s.touchUsage()
}

// touchUsage touches the usage rows that were guessed: their first, their second and, of every other row, their third cache line.
func (s *sequencer) touchUsage() {
	a := &s.ahead
	for _, row := range a.rows {
		if row != 0 {
			at := s.state.usage.rows.At(row - 1)
			a.sink += at.events + uint64(at.sums[1].amount.Sign()) + uint64(at.sums[2].quantity.Sign())
		}
	}
}
