package ledger

import (
	"slices"

	"farthing/money"
)

// credit does something to a customer's credit that is no usage.
func (h *history) credit(r Ref, n int) {
	switch n {
	case 0, 1, 2, 3:
		h.give(r)
	case 4, 5:
		h.endGrant(r)
	case 6:
		h.extendGrant()
	case 7:
		if a := h.most(h.l.Rows.At(uint32(r)).Refundable()); a.Sign() > 0 {
			h.l.Refund(r, a)
			h.w.refund(r, a.Decimal())
			h.happened("refund", true)
		}
	case 8:
		h.refundGrant()
	case 9, 10:
		to, ok := h.pick(Customer, h.l.Participant(r).Currency)
		if a := h.most(h.l.Rows.At(uint32(r)).Refundable()); ok && to != r && a.Sign() > 0 {
			h.l.Move(r, to, a)
			h.w.moveCredit(r, to, a.Decimal())
			h.happened("move", true)
		}
	case 11:
		a := h.amount()
		h.l.ChargePlan(r, a)
		h.w.chargePlan(r, a.Decimal())
		h.happened("charge-plan", true)
	case 12:
		a := h.amount()
		h.l.CreditPlan(r, a)
		h.w.creditPlan(r, a.Decimal())
		h.happened("credit-plan", true)
	}
}

func (h *history) expiry() int64 {
	if h.rng.IntN(3) == 0 {
		return Never
	}
	return h.now + 1 + h.rng.Int64N(60) // few enough that some are equal
}

func (h *history) give(r Ref) {
	g := twinGrant{account: r, kind: PaidKind + GrantKind(h.rng.IntN(3)), priority: h.rng.Uint32N(3), expires: h.expiry()}
	if h.rng.IntN(3) == 0 {
		g.scope = historyScopes[h.rng.IntN(len(historyScopes))]
	}
	a := h.amount()
	if a.IsZero() {
		return
	}
	n := h.l.Give(Grant{Account: r, Kind: g.kind, Priority: g.priority, Expires: g.expires, Scope: g.scope}, a)
	if int(n) != len(h.w.grants) {
		h.t.Fatalf("grant %d of %d", n, len(h.w.grants))
	}
	h.w.give(g, a.Decimal())
	h.happened("give", true)
}

// someGrant returns a random grant of which a part is free.
func (h *history) someGrant(want func(*Grant) bool) (n uint32, free money.Amount, ok bool) {
	count := h.l.Grants.Len()
	if count == 0 {
		return 0, free, false
	}
	start := h.rng.Uint32N(count)
	for i := range count {
		n = (start + i) % count
		if g := h.l.Grants.At(n); g.Free().Sign() > 0 && want(g) {
			return n, g.Free(), true
		}
	}
	return 0, free, false
}

// endGrant books the expiry of one of a customer's grants, or an early loss of a part of it.
func (h *history) endGrant(r Ref) {
	if n, free, ok := h.someGrant(func(g *Grant) bool { return g.Over(h.now) }); ok && h.rng.IntN(2) == 0 {
		if got := h.l.Expire(n); got != free {
			h.t.Fatalf("grant %d: %s of %s expired", n, got, free)
		}
		h.w.lapse(n, free.Decimal())
		h.happened("expire", true)
		return
	}
	if n, free, ok := h.someGrant(func(g *Grant) bool { return g.Account == r }); ok && h.rng.IntN(3) == 0 {
		a := h.most(free)
		if got := h.l.Lapse(n, a); got != a {
			h.t.Fatalf("grant %d: %s of %s lapsed", n, got, a)
		}
		h.w.lapse(n, a.Decimal())
		h.happened("lapse", true)
	}
}

// extendGrant moves the expiry of a grant, of a used one too.
func (h *history) extendGrant() {
	if len(h.w.grants) == 0 {
		return
	}
	n, expires := h.rng.Uint32N(uint32(len(h.w.grants))), h.expiry()
	h.l.Extend(n, expires)
	h.w.grants[n].expires = expires
	h.happened("extend", true)
}

func (h *history) refundGrant() {
	if n, free, ok := h.someGrant(func(g *Grant) bool { return g.Kind == PaidKind }); ok {
		a := h.most(free)
		h.l.RefundGrant(n, a)
		h.w.refundGrant(n, a.Decimal())
		h.happened("refund-grant", true)
	}
}

// holding does something with holds.
func (h *history) holding(payer Ref, n int) {
	switch {
	case n < 6:
		h.reserve(payer, -1)
	case len(h.holds) == 0:
	case n < 9:
		more := h.rng.IntN(len(h.holds))
		h.reserve(h.holds[more].payer, more)
	case n == 9:
		hold := h.takeHold()
		h.l.Release(hold.payer, hold.has)
		h.w.hold(hold.payer, &hold.twin, -1)
		h.happened("release", true)
	default:
		h.capture()
	}
}

// takeHold takes a random hold out of the open ones.
func (h *history) takeHold() openHold {
	i := h.rng.IntN(len(h.holds))
	hold := h.holds[i]
	h.holds = slices.Delete(h.holds, i, i+1)
	return hold
}

// reserve places a hold, or adds to an open one.
func (h *history) reserve(payer Ref, more int) {
	amount, v := h.amount(), twinUsage{payer: payer, now: h.now}
	var scopes Scopes
	scopes, v.scopes = h.scopes()
	o := Overdraft{Limit: h.amount(), Unlimited: h.rng.IntN(4) == 0}
	limit := o.Limit.Decimal()
	overdraft := &limit
	if o.Unlimited {
		overdraft = nil
	}
	got, left, ok := h.l.Reserve(payer, amount, scopes, h.now, o, h.parts[:0])
	want, short := h.w.reserve(&v, amount.Decimal(), overdraft)
	if ok != (short == nil) || (!ok && !left.Decimal().Equal(*short)) {
		h.t.Fatalf("a hold of %s with %s left: %v, the twin says %v", amount, left, ok, short)
	}
	if !ok {
		h.happened("hold-refused", true)
		return
	}
	parts := h.split(&twinSplit{parts: want.parts}).Parts
	if !slices.Equal(got.Parts, parts) || !got.Pool.Decimal().Equal(want.pool) {
		h.t.Fatalf("a hold of %s reserves %+v, the twin's %+v", amount, got, want)
	}
	h.l.Hold(payer, got)
	h.w.hold(payer, &want, 1)
	got.Parts = slices.Clone(got.Parts)
	if more < 0 {
		h.holds = append(h.holds, openHold{payer, got, want})
		h.happened("hold", true)
		return
	}
	old := &h.holds[more]
	s := twinSplit{parts: old.twin.parts}
	for i, p := range want.parts {
		s.add(p.grant, p.amount)
		old.has.Parts = AddPart(old.has.Parts, got.Parts[i])
	}
	old.twin.parts, old.twin.pool, old.has.Pool = s.parts, old.twin.pool.Add(want.pool), old.has.Pool.MustAdd(got.Pool)
	h.happened("hold-more", true)
}

// capture ends a hold with a rating of any size and any policy.
func (h *history) capture() {
	hold := h.takeHold()
	u, v := h.rating(hold.payer)
	if h.rng.IntN(3) == 0 { // about what was reserved
		all := hold.has.Pool
		for _, p := range hold.has.Parts {
			all = all.MustAdd(p.Amount)
		}
		u.Amount, u.Fee = h.part(all), money.Amount{}
		if h.rng.IntN(3) == 0 {
			u.Amount = all
		}
		v.amount, v.fee = u.Amount.Decimal(), u.Fee.Decimal()
	}
	x, y := h.excess()
	// What was added may burn before what there was: Capture wants it in order.
	inOrder := func(a, b Part) int { return h.l.Compare(a.Grant, b.Grant) }
	ordered := slices.IsSortedFunc(hold.has.Parts, inOrder)
	slices.SortFunc(hold.has.Parts, inOrder)
	h.l.CountEvent(hold.payer)
	got := h.l.captured(&u, hold.has, x)
	h.w.event(hold.payer)
	want := h.w.capture(&v, &hold.twin, &y)
	h.same(&u, got, &want)
	h.booked = append(h.booked, past{hold.payer, u.Payee, u.Amount, u.Fee, want})
	h.happened("capture", true)
	if u.Amount.Sign() <= 0 {
		h.happened("capture-negative", u.Amount.Sign() < 0)
		return
	}
	h.happened("capture-unordered", !ordered)
	h.noteCapture(&v, &hold.twin, &y, &want)
}

// excess is a random policy.
func (h *history) excess() (x Excess, y twinExcess) {
	x.Bounded = h.rng.IntN(2) == 0
	if x.Bounded {
		if x.Room = h.amount(); h.rng.IntN(8) == 0 {
			x.Room = x.Room.Neg() // the limits were passed before
		}
		room := x.Room.Decimal()
		y.room = &room
	}
	x.Overdraft = Overdraft{h.amount(), h.rng.IntN(4) == 0}
	if !x.Overdraft.Unlimited {
		overdraft := x.Overdraft.Limit.Decimal()
		y.overdraft = &overdraft
	}
	x.Unlimited = h.rng.IntN(3) == 0
	if !x.Unlimited {
		if h.rng.IntN(2) == 0 {
			x.Beyond = h.amount()
		}
		beyond := x.Beyond.Decimal()
		y.beyond = &beyond
	}
	return x, y
}

// noteCapture notes what was special about a capture.
func (h *history) noteCapture(v *twinUsage, hold *twinHold, x *twinExcess, s *twinSplit) {
	for _, p := range s.parts {
		g := h.w.grants[p.grant]
		had := twinPart{}
		for _, q := range hold.parts {
			if q.grant == p.grant {
				had = q
			}
		}
		h.happened("capture-of-scope", g.scope != 0)
		h.happened("capture-from-expired", g.expires <= v.now)
		h.happened("excess-from-grants", p.amount.GreaterThan(had.amount))
	}
	h.happened("excess-from-pool", x.beyond != nil && x.beyond.IsZero() && s.pool().GreaterThan(hold.pool))
	h.happened("excess-on-debt", x.beyond != nil && x.beyond.IsPositive() && s.lost.IsPositive())
	h.happened("excess-out-of-room", x.room != nil && x.overdraft == nil && s.lost.IsPositive())
	h.happened("lost", s.lost.IsPositive())
	share := v.fee
	if h.w.accounts[v.payee].kind == Operator {
		share = v.amount
	}
	h.happened("lost-beyond-own-share", s.lost.GreaterThan(share))
}
