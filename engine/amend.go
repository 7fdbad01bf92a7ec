package engine

import (
	"encoding/binary"

	"farthing/cow"
	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// amendOp says what an amendment does to an event; its numbers are stored.
type amendOp uint8

const (
	amendNone    amendOp = iota
	amendRated           // it had no price and gets one
	amendVoid            // it is taken back
	amendRerated         // it is taken back under its version and rated with a rerate's
)

// rates reports whether an amendment gives the event a new rating.
func (op amendOp) rates() bool { return op == amendRated || op == amendRerated }

// amendment is a command that names an event and changes what it costs by new transfers in
// the open window. It holds everything it depends on, so that nobody who reads the journal
// in order has to look back for the event.
type amendment struct {
	op     amendOp
	origin uint64 // sequence of the event
	prev   uint64 // sequence of the command that stood until now: the event, or its last amendment

	// old is the rating taken back, if there was one (reason priced). Its amount and split
	// are what taking it back moved (negative: returned), its counters what they stood at.
	old eventRecord
	own ledger.Split // what the old rating was taken from
	// new is the rating that stands from here on, where op rates.
	new eventRecord

	id, reason string // of a void
	job        uint32 // the rerate it is part of
}

// amendWork is what the two ratings of an amendment resolve to.
type amendWork struct {
	window           uint64    // that new counts in
	ratedIn          uint64    // that old posted in
	oldSlot, newSlot *rateSlot // nil: no such rating
	slots            [2]rateSlot
	oldAmounts       ratingAmounts
	newAmounts       ratingAmounts
}

// takeOld and takeNew keep copies of the slots: looking for the second may move the first.
func (w *amendWork) takeOld(slot rateSlot) { w.slots[0] = slot; w.oldSlot = &w.slots[0] }
func (w *amendWork) takeNew(slot rateSlot) { w.slots[1] = slot; w.newSlot = &w.slots[1] }

// amendRow says which command an amended event stands as.
type amendRow struct {
	origin, last uint64
	op           amendOp
}

// amendTable finds the last amendment of an event: some 60 bytes for each event that was
// ever amended. It belongs to the owner of the state.
type amendTable struct {
	rows  cow.Table[amendRow]
	index map[uint64]uint32 // by origin; derived
}

func newAmendTable() amendTable { return amendTable{index: map[uint64]uint32{}} }

// last returns the last amendment of an event: its sequence and what it did.
func (t *amendTable) last(origin uint64) (uint64, amendOp) {
	n, ok := t.index[origin]
	if !ok {
		return origin, amendNone
	}
	row := t.rows.At(n)
	return row.last, row.op
}

func (t *amendTable) set(origin, seq uint64, op amendOp) {
	n, ok := t.index[origin]
	if !ok {
		t.index[origin] = t.rows.Append(amendRow{origin, seq, op})
		return
	}
	row := t.rows.Mut(n)
	row.last, row.op = seq, op
}

func (t *amendTable) restored() {
	for n := range t.rows.Len() {
		t.index[t.rows.At(n).origin] = n
	}
}

// voidEntry is a void's id, which is used for ever.
type voidEntry struct {
	id, reason  string
	origin, seq uint64
}

// windowOf returns the settlement window in which a command posted.
func (s *state) windowOf(seq uint64) uint64 {
	if seq >= s.windowFirst {
		return s.ledger.Window()
	}
	if s.pending != nil && seq >= s.pending.window.first {
		return s.pending.window.number
	}
	return s.windows[windowIndex(s.windows, seq)].number
}

// rateAmendment computes what an amendment moves: the old rating taken back, the new one as
// it counts after that. Nothing is changed; the slots of w are set.
func (s *state) rateAmendment(a *amendment, w *amendWork) (refused *refusal.Refusal) {
	if refused = s.checkOpen(s.people[a.old.account].Root); refused != nil {
		return refused
	}
	moved := money.Amount{}
	if w.oldSlot != nil {
		if refused = s.reverse(w.oldSlot, &a.old, &w.oldAmounts, w.ratedIn); refused != nil {
			return refused
		}
		moved = a.old.amount.Abs()
	}
	if w.newSlot != nil {
		if w.oldSlot != nil {
			s.count(w.oldSlot, &a.old, w.ratedIn, -1)
			defer s.count(w.oldSlot, &a.old, w.ratedIn, 1)
		}
		if refused = s.rate(w.newSlot, &a.new, &w.newAmounts, w.window); refused != nil {
			return refused
		}
		var ok bool
		if moved, ok = moved.Add(a.new.amount.Abs()); !ok {
			return overflow()
		}
	}
	if !s.ledger.Fits(s.people[a.old.account].Currency, moved) {
		return overflow()
	}
	return nil
}

// applyAmendment posts an amendment that rateAmendment took.
func (s *state) applyAmendment(a *amendment, w *amendWork) {
	if a.old.reason == priced {
		s.count(w.oldSlot, &a.old, w.ratedIn, -1)
		u := s.movement(w.oldSlot, &a.old)
		u.Own = &a.own
		s.ledger.Correct(u, &a.old.split)
		s.usage.sub(&a.old, &w.oldAmounts)
	} else {
		s.unpriced.remove(a.origin)
	}
	switch a.op {
	case amendRated:
		u := s.movement(w.newSlot, &a.new)
		s.ledger.PostUsage(u, &a.new.split)
	case amendRerated:
		u := s.movement(w.newSlot, &a.new)
		u.Back, u.Lost = a.old.split.Parts, a.lost()
		s.ledger.Correct(u, &a.new.split)
		s.rerates[a.job].add(s.people[a.old.account].Currency, a)
	case amendVoid:
		v := &voidEntry{id: a.id, reason: a.reason, origin: a.origin, seq: s.seq}
		s.voids[v.id] = v
		s.voidLog = append(s.voidLog, v)
	}
	if a.op.rates() {
		s.usage.add(&a.new, &w.newAmounts)
		s.count(w.newSlot, &a.new, w.window, 1)
	}
	s.amends.set(a.origin, s.seq, a.op)
	s.amended(a)
}

// lost is what the operator pays of a new rating: one that was captured at a loss costs its payer
// no more than it did.
func (a *amendment) lost() money.Amount {
	if a.own.Lost.IsZero() {
		return money.Amount{}
	}
	paid := a.own.Pool()
	for _, p := range a.own.Parts {
		paid = paid.MustAdd(p.Amount)
	}
	return notBelowZero(a.new.amount.MustSub(paid))
}

// amended counts what an amendment moved against the limits of the account, when it moves it, and
// takes at once what an expired grant was given back.
func (s *state) amended(a *amendment) {
	root := s.people[a.old.account].Root
	for _, half := range [...]struct {
		e    *eventRecord
		done bool
	}{{&a.old, a.old.reason == priced}, {&a.new, a.op.rates()}} {
		if half.done {
			s.lapse(half.e.split.Parts)
			s.rewarn(half.e.split.Parts)
			s.charge(a.old.account, s.scopesOf(half.e.shape), s.time, half.e.amount.MustSub(half.e.split.Lost), 0, "")
		}
	}
	s.watch(root)
}

// movement is what a rating moves in the ledger. It is valid until the next one.
func (s *state) movement(slot *rateSlot, e *eventRecord) *ledger.Usage {
	root := s.payer(e).root
	u := &s.moving
	*u = ledger.Usage{Payer: root, Payee: slot.payee, Amount: e.amount, Fee: slot.feeOn(e.amount), Now: s.time}
	if len(s.scopes) > 0 && (s.ledger.Rows.At(uint32(root)).Grants != 0 || s.marks(e.account)&markLimits != 0) {
		u.Scopes = s.scopesOf(e.shape)
	}
	return u
}

// unchanged reports whether the new rating moves the same between the same accounts as the
// one that is taken back, component by component. Where periods count it never is: under
// which version a quantity lies decides what others cost.
func (w *amendWork) unchanged() bool {
	a, b := w.oldSlot, w.newSlot
	if a.plan.Counted != 0 || b.plan.Counted != 0 || a.payee != b.payee || a.plan.Price.Fee != b.plan.Price.Fee {
		return false
	}
	for i := range a.plan.Components {
		if w.oldAmounts[i].Neg() != w.newAmounts[i] {
			return false
		}
	}
	return true
}

// append encodes an amendment: what was said of the event once, then its ratings.
func (a *amendment) append(dst []byte) []byte {
	e := &a.old
	dst = append(dst, byte(a.op))
	dst = binary.AppendUvarint(dst, a.origin)
	dst = binary.AppendUvarint(dst, a.prev)
	dst = appendBytes(dst, e.source)
	dst = appendBytes(dst, e.id)
	dst = binary.AppendUvarint(dst, uint64(e.account))
	dst = binary.AppendUvarint(dst, uint64(e.time))
	dst = binary.AppendUvarint(dst, uint64(e.components))
	dst = appendQuantities(dst, e)
	dst = append(dst, byte(e.reason))
	if e.reason == priced {
		dst = appendSplit(appendRating(dst, e), &a.own)
	}
	switch a.op {
	case amendVoid:
		dst = appendBytes(appendBytes(dst, a.id), a.reason)
	case amendRerated:
		dst = binary.AppendUvarint(dst, uint64(a.job))
	}
	if a.op.rates() {
		dst = appendRating(dst, &a.new)
	}
	return dst
}

func appendRating(dst []byte, e *eventRecord) []byte {
	dst = binary.AppendUvarint(dst, uint64(e.shape))
	dst = appendBytes(dst, e.extras)
	dst = binary.AppendUvarint(dst, uint64(e.version))
	dst = e.amount.AppendBinary(dst)
	dst = appendSplit(dst, &e.split)
	return appendCounters(dst, e)
}

// amendment decodes what append wrote. Slices are part of the input.
func (r *reader) amendment(a *amendment, t *tables) {
	*a = amendment{op: amendOp(r.byte()), origin: r.uvarint(), prev: r.uvarint()}
	e := &a.old
	e.source, e.id = r.bytes(), r.bytes()
	e.account, e.time, e.hadTime = ledger.Ref(r.uvarint()), int64(r.uvarint()), true
	n := r.uvarint()
	if n > meter.MaxComponents || int(e.account) >= len(t.people) || e.time < 0 {
		r.fail()
		return
	}
	e.components = int(n)
	r.quantities(e)
	e.reason = unpricedReason(r.byte())
	a.new = *e
	if e.reason == priced {
		r.rating(e, t)
		a.own = r.split(t)
	}
	switch a.op {
	case amendVoid:
		a.id, a.reason = r.str(), r.str()
	case amendRerated:
		a.job = uint32(r.uvarint())
	case amendRated:
	default:
		r.fail()
	}
	if a.op.rates() {
		a.new.reason = priced
		r.rating(&a.new, t)
	}
}

func (r *reader) rating(e *eventRecord, t *tables) {
	e.shape = uint32(r.uvarint())
	e.extras = r.bytes()
	e.version = uint32(r.uvarint())
	e.amount = r.amount()
	e.split = r.split(t)
	r.counters(e, t)
	if int(e.version) >= len(t.versions) || int(e.shape) >= len(t.shapes) || len(t.shapes[e.shape].shape.Components) != e.components {
		r.fail()
	}
}
