package engine

import (
	"bytes"
	"unicode/utf8"

	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// standing is how a durable event stands: as it was booked, or as its last amendment left
// it. It owns its bytes.
type standing struct {
	origin, last uint64 // the event's sequence and its last amendment's; equal: never amended
	op           amendOp
	event        eventRecord // as it stands; of a void the rating that was taken back
}

// standing reads how an event stands whose last amendment, or itself, has the given sequence.
func (b *blockReader) standing(last uint64) (standing, error) {
	c, err := b.at(last)
	if err != nil {
		return standing{}, err
	}
	return c.standing()
}

// standing is how an event stands after the current command, which is it or amends it.
func (c *cursor) standing() (standing, error) {
	st := standing{origin: c.seq, last: c.seq}
	if c.isEvent() {
		st.event = c.event.clone()
		return st, nil
	}
	a, err := c.amendment()
	if err != nil {
		return st, err
	}
	st.origin, st.op = a.origin, a.op
	if a.op.rates() {
		st.event = a.new.clone()
	} else {
		st.event = a.old.clone()
	}
	return st, nil
}

// amendment decodes the current command, which has to be one.
func (c *cursor) amendment() (*amendment, error) {
	var a amendment
	r := reader{p: c.payload}
	if c.kind != kindAmend {
		return nil, errCodec
	}
	r.amendment(&a, c.t)
	return &a, r.end()
}

// clone copies what an event's slices point to.
func (e *eventRecord) clone() eventRecord {
	out := *e
	out.source, out.id, out.raw = bytes.Clone(e.source), bytes.Clone(e.id), bytes.Clone(e.raw)
	out.extras, out.usage = bytes.Clone(e.extras), bytes.Clone(e.usage)
	out.split, out.hold.id = e.split.Clone(), bytes.Clone(e.hold.id)
	return out
}

// amend begins an amendment of the event: what it takes back, and the event itself to be
// rated anew unless it is a void.
func (st *standing) amend(op amendOp) *amendment {
	a := &amendment{op: op, origin: st.origin, prev: st.last, old: st.event, new: st.event, own: st.event.split.Clone()}
	a.old.split, a.new.split = ledger.Split{}, ledger.Split{}
	a.old.hold, a.new.hold = heldRef{}, heldRef{} // a capture's hold ended with it
	a.old.later, a.new.later = nil, nil           // each rating notes what lies above it in memory of its own
	return a
}

// shapeBytes are the canonical bytes of the event's whole shape.
func (e *eventRecord) shapeBytes(t *tables) []byte {
	switch {
	case e.reason != priced:
		return e.raw
	case len(e.extras) == 0:
		return []byte(t.shapes[e.shape].raw)
	}
	full := fullShape(e, t)
	return full.Append(nil)
}

// amend rates and books an amendment whose event still stands as it says. A refusal changed
// nothing.
func (s *sequencer) amend(a *amendment) *refusal.Refusal {
	var w amendWork
	fresh, refused := s.resolveAmendment(a, &w, nil)
	if refused == nil {
		refused = s.state.rateAmendment(a, &w)
	}
	if refused == nil {
		refused = s.book(a, &w, fresh)
	}
	return refused
}

// book books an amendment that was resolved and rated; fresh is its new rating's shape if it
// has to be interned first, which may be refused.
func (s *sequencer) book(a *amendment, w *amendWork, fresh *meter.Shape) *refusal.Refusal {
	if fresh != nil {
		raw := a.new.raw
		if refused := s.intern(&a.new, fresh, s.state.hashOf(raw), raw); refused != nil {
			return refused
		}
	}
	// Nothing below may refuse.
	b := s.begin()
	s.state.applyAmendment(a, w)
	s.scratch = a.append(s.scratch[:0])
	b.Body = appendBytes(append(b.Body, kindAmend), s.scratch)
	s.g.bytes += len(s.scratch) + 4
	s.follow()
	return nil
}

// resolveAmendment finds the prices of an amendment's ratings, the new one under v (nil: under
// that which versionFor says); its shape is returned if it has to be interned.
func (s *sequencer) resolveAmendment(a *amendment, w *amendWork, v *meter.Version) (fresh *meter.Shape, refused *refusal.Refusal) {
	st := s.state
	w.window, w.ratedIn = st.ledger.Window(), st.windowOf(a.prev)
	if a.old.reason == priced {
		w.takeOld(st.slotOf(a.old.shape, st.versions[a.old.version].Version, st.people[a.old.account].Currency))
	}
	if !a.op.rates() {
		return nil, nil
	}
	if v == nil {
		v = st.versionFor(a)
	}
	if v == nil {
		return nil, unratable(noVersion)
	}
	raw := a.old.shapeBytes(&st.tables)
	a.new.raw, a.new.extras = raw, nil
	fresh = s.reshape(&a.new, w, raw, v)
	if a.new.reason != priced {
		return nil, unratable(a.new.reason)
	}
	a.new.version = v.Index
	return fresh, nil
}

// reshape finds the shape of an event that is rated anew and its price, without keeping either:
// what rates ordinary events stays in reach. A shape that is not interned is returned.
func (s *sequencer) reshape(rec *eventRecord, w *amendWork, raw []byte, v *meter.Version) *meter.Shape {
	st := s.state
	currency := st.people[rec.account].Currency
	if n, ok := st.rates.lookup(st.hashOf(raw), raw); ok {
		w.takeNew(st.slotOf(n, v, currency))
		rec.shape, rec.reason = n, w.newSlot.reason
		return nil
	}
	shape, err := meter.ParseShape(raw)
	if err != nil {
		panic("BUG: a booked event's shape does not parse")
	}
	w.takeNew(st.resolve(&shape, v, currency))
	rec.reason = w.newSlot.reason
	return &shape
}

// versionFor is the version that a new rating is under: a rerate's own, or the one in force at
// the event's time.
func (s *state) versionFor(a *amendment) *meter.Version {
	if a.op == amendRerated {
		return s.versions[s.rerates[a.job].version].Version
	}
	return s.rates.book.InForce(a.old.time)
}

// unratable says that a version does not price an event.
func unratable(why unpricedReason) *refusal.Refusal {
	return refusal.New(refusal.Invalid, why.String(), "the price version in force does not price this event")
}

// reasonMax bounds the reason of a void, in bytes.
const reasonMax = 500

// Void takes an event back: counter-transfers in the open window, whether or not its own has
// settled. The first void's answer is that of every later one; a void's id is used for ever.
func (e *Engine) Void(v VoidSpec) (answer Void, created bool, refused *refusal.Refusal) {
	switch {
	case !meter.ValidID([]byte(v.ID)):
		return answer, false, refusal.New(refusal.Invalid, "invalid_id", "id must be 1 to 128 of A-Z a-z 0-9 . _ : - / @")
	case len(v.Reason) > reasonMax || !utf8.ValidString(v.Reason):
		return answer, false, refusal.New(refusal.Invalid, "invalid_reason", "reason must be at most %d bytes of UTF-8", reasonMax)
	}
	done, refused := e.read()
	if refused != nil {
		return answer, false, refused
	}
	defer done()
	blocks := blockReader{e: e}
	origin, refused := e.originOf(v.Source, v.Event, &blocks)
	for refused == nil {
		var at uint64
		if at, created, refused = e.tryVoid(&v, origin, &blocks); at != 0 {
			return e.voidAnswer(at, &blocks, created)
		}
	}
	if refused.Code == refusal.NotFound && e.marks.dropped.load() > 0 {
		return e.voidAgain(&v, &blocks, refused)
	}
	return answer, false, refused
}

// voidAgain answers a void of which the event was dropped meanwhile, as long as the void itself is stored.
func (e *Engine) voidAgain(v *VoidSpec, blocks *blockReader, gone *refusal.Refusal) (answer Void, created bool, refused *refusal.Refusal) {
	var old *voidEntry
	refused = e.do(func(s *sequencer) bool {
		old = s.state.voids[v.ID]
		return false
	})
	if refused != nil || old == nil || old.seq <= e.marks.dropped.load() {
		return answer, false, firstOf(refused, gone)
	}
	if answer, _, refused = e.voidAnswer(old.seq, blocks, false); refused != nil {
		return answer, false, refused
	}
	if answer.Source != v.Source || answer.Event != v.Event || answer.Reason != v.Reason {
		return Void{}, false, refusal.New(refusal.IDConflict, "id_conflict", "void %s was booked with other content", v.ID)
	}
	return answer, false, nil
}

// originOf finds the sequence of an event.
func (e *Engine) originOf(source, id string, blocks *blockReader) (uint64, *refusal.Refusal) {
	at, found, refused := e.locate([]byte(source+"\x00"+id), blocks)
	if refused == nil && !found {
		refused = e.unknownEvent(source, id, blocks)
	}
	return at.seq, refused
}

// tryVoid voids the event as it stands and returns the sequence of the void; 0 without a
// refusal: something amended the event in between, try again.
func (e *Engine) tryVoid(v *VoidSpec, origin uint64, blocks *blockReader) (at uint64, created bool, refused *refusal.Refusal) {
	last, refused := e.lastAmendment(origin)
	if refused != nil {
		return 0, false, refused
	}
	st, err := blocks.standing(last)
	if err != nil {
		return 0, false, e.damaged(err)
	}
	unavailable := e.do(func(s *sequencer) bool {
		at, created, refused = s.void(v, &st)
		return false
	})
	return at, created, firstOf(unavailable, refused)
}

// lastAmendment asks what an event's last amendment is; what it answers is durable.
func (e *Engine) lastAmendment(origin uint64) (last uint64, refused *refusal.Refusal) {
	refused = e.do(func(s *sequencer) bool {
		last, _ = s.state.amends.last(origin)
		return false
	})
	return last, refused
}

// void is the sequencer's part of Void. The order of checks is part of the contract: the
// void's id first, then whether the event was voided.
func (s *sequencer) void(v *VoidSpec, st *standing) (at uint64, created bool, refused *refusal.Refusal) {
	if old := s.state.voids[v.ID]; old != nil {
		if old.origin == st.origin && old.reason == v.Reason {
			return old.seq, false, nil
		}
		return 0, false, refusal.New(refusal.IDConflict, "id_conflict", "void %s was booked with other content", v.ID)
	}
	last, op := s.state.amends.last(st.origin)
	if op == amendVoid {
		return last, false, nil
	}
	if last != st.last {
		return 0, false, nil
	}
	a := st.amend(amendVoid)
	a.id, a.reason = v.ID, v.Reason
	if refused := s.amend(a); refused != nil {
		return 0, false, refused
	}
	at, _ = s.state.amends.last(st.origin) // the last command may be what followed from it
	return at, true, nil
}

// voidAnswer renders a void.
func (e *Engine) voidAnswer(at uint64, blocks *blockReader, created bool) (Void, bool, *refusal.Refusal) {
	c, err := blocks.at(at)
	if err != nil {
		return Void{}, false, e.damaged(err)
	}
	a, err := c.amendment()
	if err != nil {
		return Void{}, false, e.damaged(err)
	}
	out := Void{ID: a.id, Reason: a.reason, Source: string(a.old.source), Event: string(a.old.id), Sequence: at, Time: timeOf(c.time),
		Account: c.t.people[a.old.account].ID, Currency: c.t.people[a.old.account].Currency, Priced: a.old.reason == priced}
	if out.Priced {
		out.Amount = a.old.amount.Neg()
		out.Transfers = amendmentLegs(a, c.t, newEarners())
	}
	return out, created, nil
}

// amendmentLegs are the transfers of an amendment: what goes back, then what is charged.
func amendmentLegs(a *amendment, t *tables, x *earners) []EventTransfer {
	var out []EventTransfer
	reason := "void"
	if a.op != amendVoid {
		reason = "rerate"
	}
	if a.old.reason == priced {
		out = ratingLegs(&a.old, t, x, reason, reason+"_fee")
	}
	switch a.op {
	case amendRated:
		out = append(out, eventLegs(&a.new, t, x)...)
	case amendRerated:
		out = append(out, ratingLegs(&a.new, t, x, reason, reason+"_fee")...)
	}
	for i := range out {
		out[i].source, out[i].event = string(a.old.source), string(a.old.id)
	}
	return out
}

// legSource is a source of a rating and what is left of its part.
type legSource struct {
	account, class, grant string
	left                  money.Amount
}

// legTaker makes the transfers of one rating from its sources.
type legTaker struct {
	sources []legSource
	back    bool // the transfers go to the sources
	out     []EventTransfer
}

// newLegTaker lists the sources of a split in burn order; the last takes what no other does.
func newLegTaker(e *eventRecord, t *tables) *legTaker {
	payer := t.people[t.people[e.account].Root].ID
	l := &legTaker{back: e.amount.Sign() < 0}
	for _, p := range e.split.Parts {
		g := t.grants[p.Grant]
		l.sources = append(l.sources, legSource{payer, g.kind.Class().String(), g.id, p.Amount.Abs()})
	}
	l.sources = append(l.sources, legSource{payer, ledger.Paid.String(), "", e.split.Paid.Abs()},
		legSource{payer, ledger.Receivable.String(), "", e.split.Receivable.Abs()},
		legSource{ledger.OperatorID, ledger.OperatorLoss.String(), "", e.split.Lost.Abs()})
	return l
}

// take adds the transfers of a part of the rating. An amount of 0 is shown as a debt of 0.
func (l *legTaker) take(amount money.Amount, other, class, reason string) {
	if amount.IsZero() {
		owed := l.sources[len(l.sources)-2]
		l.add(&owed, other, class, amount, reason)
	}
	for i := range l.sources {
		src := &l.sources[i]
		part := src.left
		if amount.Cmp(part) < 0 {
			part = amount
		}
		if part.IsZero() {
			continue
		}
		src.left, amount = src.left.MustSub(part), amount.MustSub(part)
		l.add(src, other, class, part, reason)
	}
}

func (l *legTaker) add(src *legSource, other, class string, amount money.Amount, reason string) {
	t := EventTransfer{Debit: src.account, DebitClass: src.class, Credit: other, CreditClass: class, Amount: amount, Reason: reason, Grant: src.grant}
	if l.back {
		t.Debit, t.DebitClass, t.Credit, t.CreditClass = t.Credit, t.CreditClass, t.Debit, t.DebitClass
	}
	l.out = append(l.out, t)
}

// ratingLegs are the transfers of a rating: amount − fee with the payee, then the fee with
// the operator, each from the sources in burn order; a negative amount goes back.
func ratingLegs(e *eventRecord, t *tables, x *earners, reason, feeReason string) []EventTransfer {
	who := x.of(e, t)
	l := newLegTaker(e, t)
	if who.price.Payee == "" {
		l.take(e.amount.Abs(), ledger.OperatorID, ledger.Revenue.String(), reason)
		return l.out
	}
	fee := who.feeOf(e.amount).Abs()
	l.take(e.amount.Abs().MustSub(fee), t.people[who.payee].ID, ledger.Payable.String(), reason)
	if !fee.IsZero() {
		l.take(fee, ledger.OperatorID, ledger.Fees.String(), feeReason)
	}
	return l.out
}
