package engine

import (
	"encoding/binary"

	"github.com/zeebo/xxh3"

	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// The identities of holds stand in the same runs as those of events, which have a source:
// a hold's id has none, the end of a hold and an extension have one that no event can have.
const (
	sourceEnd    = "\x01"
	sourceExtend = "\x02"
)

// endKey is by the hash of the hold's id: that is all an open hold keeps of it.
func endKey(dst []byte, hold [2]uint64) []byte {
	return appendHoldID(append(dst, sourceEnd+"\x00"...), hold)
}

// Add appends an operation, whose Hold and other spans are interned; its event, if it has one, is
// in batch.
func (b *HoldBatch) Add(op HoldOp, batch *meter.Batch) {
	id := b.Bytes(op.Hold)
	op.wide = holdID(id, b.seed)
	op.account = xxh3.HashSeed(b.Bytes(op.Account), b.seed)
	start := len(b.arena)
	switch op.Kind {
	case PlaceHold:
		b.arena = append(append(b.arena, 0), id...)
	case ExtendHold:
		b.arena = append(append(b.arena, sourceExtend+"\x00"...), b.Bytes(op.ID)...)
	case CaptureHold, VoidHold:
		b.end = endKey(b.end[:0], op.wide)
		op.end = xxh3.HashSeed(b.end, b.seed)
	}
	op.key = meter.Span{Off: uint32(start), Len: uint32(len(b.arena) - start)}
	if op.key.Len > 0 {
		op.identity = xxh3.HashSeed(b.Bytes(op.key), b.seed)
	}
	var event uint64
	if op.Event >= 0 {
		e := &batch.Events[op.Event]
		event = e.Content
		if op.Kind == CaptureHold {
			op.identity = e.Identity
		}
		if op.Kind == ExtendHold {
			event ^= e.Identity
		}
	}
	op.content = holdContent(id, b.Bytes(op.Account), op.Amount, op.HasAmount, op.ttl(), event, b.seed)
	b.Ops = append(b.Ops, op)
}

// ttl is how long the hold shall live; of an extension 0 means that it stays as it is.
func (op *HoldOp) ttl() int64 {
	if op.Kind == PlaceHold && op.TTL == 0 {
		return holdTTLDefault
	}
	return int64(op.TTL)
}

// holdContent is the hash of what is said of a hold or an extension. The hold's id is part of an
// extension's content, and of a hold's it does no harm.
func holdContent(hold, account []byte, amount money.Amount, has bool, ttl int64, event, seed uint64) uint64 {
	var buf [512]byte
	p := append(append(append(buf[:0], hold...), 0), account...)
	p = appendBool(p, has)
	if has {
		p = amount.AppendBinary(p)
	}
	p = binary.LittleEndian.AppendUint64(p, uint64(ttl))
	return xxh3.HashSeed(binary.LittleEndian.AppendUint64(p, event), seed)
}

// probed returns what an operation is looked up by in the runs; 0: it is not.
func (r *Request) probed(i int) (hash uint64, id []byte) {
	if len(r.holds.Ops) == 0 {
		e := &r.batch.Events[i]
		return e.Identity, r.batch.IdentityBytes(e)
	}
	op := &r.holds.Ops[i]
	if op.Kind == CaptureHold && op.Event >= 0 {
		return op.identity, r.batch.IdentityBytes(&r.batch.Events[op.Event])
	}
	return op.identity, r.holds.Bytes(op.key)
}

// probes is how many look-ups a request has.
func (r *Request) probes() int {
	if n := len(r.holds.Ops); n > 0 {
		return n
	}
	return len(r.batch.Events)
}

// holdOps executes a request's operations on holds, each for itself.
func (s *sequencer) holdOps(r *Request) {
	known := r.known
	s.prepareHolds(r)
	r.results = r.results[:0]
	for i := range r.holds.Ops {
		if i%lookaheadStep == 0 {
			s.aheadOf(r, i)
		}
		op := &r.holds.Ops[i]
		r.results = append(r.results, HoldResult{Index: op.Index})
		res := &r.results[i]
		var old seen
		var found bool
		switch hash, id := r.probed(i); {
		case len(known) > 0 && known[0].event == i:
			old, found, known = known[0].seen, true, known[1:]
		case hash != 0:
			old, found = s.ids.find(hash, id, r.runs)
		}
		if found {
			res.Outcome, res.Sequence, res.known = HoldDuplicate, old.seq, old
			continue
		}
		if refused := s.holdOp(r, op, i, res); refused != nil {
			res.Outcome, res.Refusal = HoldRefused, refused
		}
		s.follow()
	}
	r.result.Sequence = max(r.result.Sequence, s.state.seq)
}

func (s *sequencer) holdOp(r *Request, op *HoldOp, i int, res *HoldResult) *refusal.Refusal {
	if op.Kind == PlaceHold {
		return s.place(r, op, s.ahead.holders[i], res)
	}
	n, ok := s.state.holds.find(op.wide)
	if !ok {
		res.absent = true
		return refusal.New(refusal.NotFound, "unknown_hold", "there is no hold %s", r.holds.Bytes(op.Hold))
	}
	row := s.state.holds.rows.At(n)
	if refused := s.state.checkOpen(row.account); refused != nil {
		return refused
	}
	if row.due <= s.g.time {
		// It expires at once, so that what is answered is history; unless its usage is to be captured.
		// That is asked anew of who captures it: the account's settings may have changed meanwhile.
		toCapture := s.state.toCapture(n)
		if !toCapture {
			s.expire([]uint32{n})
		}
		if !toCapture || !r.abandoned {
			return holdConflict("hold_expired", r.holds.Bytes(op.Hold), "expired")
		}
	}
	switch op.Kind {
	case ExtendHold:
		return s.extend(r, op, n, res)
	case CaptureHold:
		if op.Event < 0 {
			return s.captureByAmount(r, op, n, res)
		}
		return s.captureByEvent(r, op, n, res)
	default: // VoidHold
		s.releaseHold(r, op, n, res)
		return nil
	}
}

func holdConflict(reason string, id []byte, what string) *refusal.Refusal {
	return refusal.New(refusal.HoldConflict, reason, "hold %s is %s", id, what)
}

// place places a hold of the account that was found, or refuses it for good.
func (s *sequencer) place(r *Request, op *HoldOp, ref ledger.Ref, res *HoldResult) *refusal.Refusal {
	st, p := s.state, &s.planned
	if ref == nobodyRef {
		return unknownAccount(string(r.holds.Bytes(op.Account)))
	}
	if refused := s.mayHold(ref, op.Currency); refused != nil {
		return refused
	}
	p.id, p.account, p.ttl, p.amount, p.byShape, p.old = r.holds.Bytes(op.Hold), ref, op.ttl(), op.Amount, op.Event >= 0, nil
	p.scopes, p.est = nil, &s.rec
	if refused := checkTTL(p.ttl); refused != nil {
		return refused
	}
	if p.byShape {
		if refused := s.estimate(r, op.Event, p); refused != nil {
			return refused
		}
	} else if p.amount.Sign() <= 0 {
		return refusal.New(refusal.Invalid, "invalid_amount", "amount must be above 0")
	}
	if refused := st.checkHeld(p); refused != nil {
		return refused
	}
	st.plan(p)
	// Nothing below may refuse but for want of funds, which is booked as well.
	b := s.begin()
	before := len(b.Body)
	s.scratch = p.append(s.scratch[:0])
	b.Body = appendBytes(append(b.Body, kindHold), s.scratch)
	s.g.bytes += len(b.Body) - before
	st.applyHold(p)
	s.ids.add(op.identity, r.holds.Bytes(op.key), seen{st.seq, op.content})
	res.Sequence, res.Amount = st.seq, p.amount
	if p.denied != nil {
		return deniedRefusal(p.denied, &st.tables)
	}
	res.Outcome, res.State, res.Expires = HoldDone, Held, timeOf(st.time+p.ttl)
	s.showAvailable(r, ref, res)
	return nil
}

// showAvailable is for a request of one operation; a thousand would read it a thousand times.
func (s *sequencer) showAvailable(r *Request, ref ledger.Ref, res *HoldResult) {
	if len(r.holds.Ops) == 1 {
		if free, bounded := s.state.availableTo(ref); bounded {
			res.Available = &free
		}
	}
}

func deniedRefusal(d *denial, t *tables) *refusal.Refusal {
	short := d.shortfall(t)
	out := refusal.New(refusal.InsufficientFunds, "insufficient_funds", "%s of account %s leaves %s, %s was asked", short.Limit, short.Account, short.Left, short.Asked)
	out.Shortfall = short
	return out
}

// mayHold checks an account for a new hold.
func (s *sequencer) mayHold(ref ledger.Ref, currency money.Currency) *refusal.Refusal {
	if refused := s.state.checkCustomer(ref); refused != nil {
		return refused
	}
	if refused := s.state.checkThawed(ref); refused != nil {
		return refused
	}
	if p := s.state.people[ref]; !currency.IsZero() && currency != p.Currency {
		return refusal.New(refusal.Invalid, "currency_mismatch", "account %s has the currency %s", p.ID, p.Currency.Code())
	}
	return nil
}

// estimate rates a hold's estimate into the plan.
func (s *sequencer) estimate(r *Request, event int32, p *holdPlan) *refusal.Refusal {
	rec, e := &s.rec, &r.batch.Events[event]
	rec.account, rec.time, rec.hadTime = p.account, s.g.time, false
	if _, refused := s.price(r, e); refused != nil {
		return refused
	}
	if rec.reason != priced {
		return refusal.New(refusal.Invalid, "unpriced_estimate", "the book does not price the estimate: %s", rec.reason)
	}
	p.amount = notBelowZero(rec.amount)
	p.scopes = s.state.scopesOf(rec.shape)
	return nil
}

// extend adds to a hold, restarts its time, notes what was used so far.
func (s *sequencer) extend(r *Request, op *HoldOp, n uint32, res *HoldResult) *refusal.Refusal {
	st := s.state
	old := *st.holds.rows.At(n)
	x := &extension{plan: holdPlan{id: r.holds.Bytes(op.Hold), account: old.account, amount: op.Amount, ttl: int64(op.TTL), old: &old,
		scopes: st.heldScopes(&old)}, name: string(r.holds.Bytes(op.ID)), prev: old.last}
	switch {
	case !op.HasAmount && op.TTL == 0 && op.Event < 0:
		return refusal.New(refusal.Invalid, "empty_extension", "an extension has an amount, a ttl or an event")
	case op.HasAmount && op.Amount.Sign() <= 0:
		return refusal.New(refusal.Invalid, "invalid_amount", "amount must be above 0")
	}
	if x.plan.ttl != 0 {
		if refused := checkTTL(x.plan.ttl); refused != nil {
			return refused
		}
	}
	if op.Event >= 0 {
		var refused *refusal.Refusal
		if x.report, refused = s.reported(r, &r.batch.Events[op.Event], x, old.account); refused != nil {
			return refused
		}
	}
	if op.HasAmount {
		if refused := s.mayHold(old.account, money.Currency{}); refused != nil {
			return refused
		}
		if refused := st.checkHeld(&x.plan); refused != nil {
			return refused
		}
		if st.plan(&x.plan); x.plan.denied != nil {
			return deniedRefusal(x.plan.denied, &st.tables)
		}
	}
	s.command(kindExtend, x.append(nil))
	st.applyExtension(x, n)
	s.ids.add(op.identity, r.holds.Bytes(op.key), seen{st.seq, op.content})
	row := st.holds.rows.At(n)
	res.Outcome, res.State, res.Amount, res.Sequence, res.Expires = HoldDone, Held, row.amount, st.seq, timeOf(row.due)
	s.showAvailable(r, old.account, res)
	return nil
}

// reported checks the usage that an extension reports, as far as it can be known now.
func (s *sequencer) reported(r *Request, e *meter.Event, x *extension, account ledger.Ref) (*report, *refusal.Refusal) {
	if string(r.batch.Bytes(e.Subject)) != s.state.people[account].ID {
		return nil, wrongAccount(x.plan.id, s.state.people[account].ID)
	}
	p := &report{hold: append([]byte(nil), x.plan.id...), account: s.state.people[account].ID, source: string(r.batch.Bytes(e.Source)), id: string(r.batch.Bytes(e.ID)),
		raw: append([]byte(nil), r.batch.Bytes(r.batch.ShapeOf(e).Bytes)...), usage: append([]byte(nil), r.batch.Bytes(e.Raw)...), time: e.Time}
	for i := range int(r.batch.ShapeOf(e).Components) {
		p.quantities = append(p.quantities, r.batch.Quantity(e, i))
	}
	return p, nil
}

func wrongAccount(hold []byte, account string) *refusal.Refusal {
	return refusal.New(refusal.Invalid, "wrong_account", "hold %s is of account %s: the event's subject has to be it", hold, account)
}

// captureByEvent captures a hold with the usage it was for, which is booked as any event.
func (s *sequencer) captureByEvent(r *Request, op *HoldOp, n uint32, res *HoldResult) *refusal.Refusal {
	st, e := s.state, &r.batch.Events[op.Event]
	row := st.holds.rows.At(n)
	id := r.holds.Bytes(op.Hold)
	if string(r.batch.Bytes(e.Subject)) != st.people[row.account].ID {
		return wrongAccount(id, st.people[row.account].ID)
	}
	rec := &s.rec
	slot, refused := s.examine(r, e, st.payerOf(row.account))
	if refused != nil {
		return refused
	}
	rec.hold = heldRef{id: id, last: row.last, amount: row.amount}
	s.bookEvent(r, e, slot)
	s.endHold(op.wide)
	res.Outcome, res.State, res.Amount, res.Sequence = HoldDone, HoldCaptured, rec.hold.amount, st.seq
	if res.Unpriced = rec.reason != priced; res.Unpriced {
		res.Released = rec.hold.amount
		return nil
	}
	res.charged(rec.amount, &rec.split, rec.hold.amount)
	return nil
}

// charged fills in what a capture cost.
func (res *HoldResult) charged(amount money.Amount, split *ledger.Split, held money.Amount) {
	res.Charged, res.Lost = amount.MustSub(split.Lost), split.Lost
	res.Released = notBelowZero(held.MustSub(notBelowZero(res.Charged)))
}

// endHold remembers where a hold ended: at the current sequence.
func (s *sequencer) endHold(id [2]uint64) {
	s.endScratch = endKey(s.endScratch[:0], id)
	s.ids.add(s.state.hashOf(s.endScratch), s.endScratch, seen{s.state.seq, 0})
}

func (s *sequencer) captureByAmount(r *Request, op *HoldOp, n uint32, res *HoldResult) *refusal.Refusal {
	st, row := s.state, s.state.holds.rows.At(n)
	switch {
	case op.Amount.Sign() <= 0 || op.Amount.Cmp(amountMax) > 0:
		return refusal.New(refusal.Invalid, "invalid_amount", "amount must be above 0 and at most %s", amountMax)
	case !st.ledger.Fits(st.people[row.account].Currency, op.Amount):
		return overflow()
	}
	c := &amountCapture{held: heldRef{id: r.holds.Bytes(op.Hold), last: row.last, amount: row.amount}, account: row.account, amount: op.Amount}
	b := s.begin() // what came of it is part of the command
	st.captureAmount(n, c.amount, c.held.id, &c.split)
	payload := c.append(nil)
	b.Body = appendBytes(append(b.Body, kindCapture), payload)
	s.g.bytes += len(payload) + 4
	s.endHold(op.wide)
	res.Outcome, res.State, res.Amount, res.Sequence = HoldDone, HoldCaptured, c.held.amount, st.seq
	res.charged(c.amount, &c.split, c.held.amount)
	return nil
}

func (s *sequencer) releaseHold(r *Request, op *HoldOp, n uint32, res *HoldResult) {
	row := s.state.holds.rows.At(n)
	v := &holdVoid{held: heldRef{id: r.holds.Bytes(op.Hold), last: row.last, amount: row.amount}, account: row.account}
	s.command(kindRelease, v.append(nil))
	s.state.release(n)
	s.endHold(op.wide)
	res.Outcome, res.State, res.Amount, res.Released, res.Sequence = HoldDone, HoldVoided, v.held.amount, v.held.amount, s.state.seq
}
