package ledger

import (
	"slices"

	"github.com/shopspring/decimal"
)

// twinUsage is one rating as the twin sees it.
type twinUsage struct {
	payer, payee Ref
	amount, fee  decimal.Decimal
	now          int64
	scopes       map[uint32]bool
	own          *twinSplit
}

// matches reports whether a grant may pay for it.
func (u *twinUsage) matches(g *twinGrant) bool { return g.scope == 0 || u.scopes[g.scope] }

// earners are the operator's share of a rating and the provider's, the operator's first: what it
// pays in a customer's stead covers that before anything else.
func (w *twin) earners(u *twinUsage) []twinSide {
	b, operator := w.accounts[u.payee], w.operator[w.accounts[u.payer].currency]
	if b == operator {
		return []twinSide{{operator, Revenue, u.amount.Abs()}}
	}
	return []twinSide{{operator, Fees, u.fee.Abs()}, {b, Payable, u.amount.Sub(u.fee).Abs()}}
}

// event counts a usage event.
func (w *twin) event(payer Ref) {
	a := w.accounts[payer]
	a.events[w.window]++
	w.operator[a.currency].events[w.window]++
}

// reservable adds to a split what the free parts of grants give of an amount, and returns the
// rest.
func (w *twin) reservable(u *twinUsage, amount decimal.Decimal, s *twinSplit) decimal.Decimal {
	for _, g := range w.open(u.payer) {
		free := g.free()
		for _, p := range s.parts { // it is taken already
			if p.grant == g.number {
				free = free.Sub(p.amount)
			}
		}
		if give := decimal.Min(free, amount); give.IsPositive() && u.matches(g) && u.now < g.expires {
			s.add(g.number, give)
			amount = amount.Sub(give)
		}
	}
	return amount
}

// usage is what a rating moves.
func (w *twin) usage(u *twinUsage) twinSplit {
	var s twinSplit
	if u.amount.IsNegative() {
		return w.giveBack(u)
	}
	given := decimal.Zero // to the pool, by the rating that is taken back
	if u.own != nil {
		given = decimal.Max(decimal.Zero, decimal.Min(u.own.pool().Neg(), u.amount))
	}
	pool := w.reservable(u, u.amount.Sub(given), &s)
	return w.take(u, s, pool.Add(given))
}

// take charges a rating to the parts of a split, to the operator as far as that loses, and to
// the pool.
func (w *twin) take(u *twinUsage, s twinSplit, pool decimal.Decimal) twinSplit {
	from := w.operators(u.payer, OperatorLoss, s.lost)
	for _, p := range s.parts {
		from = append(from, w.source(w.grants[p.grant], p.amount))
	}
	purse := w.accounts[u.payer].purse(pool)
	s.paid, s.receivable = purse[0].amount, purse[1].amount
	w.flow(w.window, append(from, purse...), w.earners(u))
	return s
}

// giveBack is a rating below zero: the operator's loss first, then the pool's part, then the
// grants, the last burned first, each at most what it gave; beyond all of it the pool.
func (w *twin) giveBack(u *twinUsage) (s twinSplit) {
	rest := u.amount.Neg()
	some := func(most decimal.Decimal) decimal.Decimal {
		part := decimal.Max(decimal.Zero, decimal.Min(most, rest))
		rest = rest.Sub(part)
		return part
	}
	var pool decimal.Decimal
	var to []twinSide
	if u.own != nil {
		lost := some(u.own.lost)
		to, s.lost = w.operators(u.payer, OperatorLoss, lost), lost.Neg()
		pool = some(u.own.pool())
		for _, p := range slices.Backward(u.own.parts) {
			if part := some(p.amount); part.IsPositive() {
				s.parts = append(s.parts, twinPart{p.grant, part.Neg()})
				to = append(to, w.source(w.grants[p.grant], part.Neg()))
				to[len(to)-1].amount = part
			}
		}
	}
	debt := w.accounts[u.payer].debt(pool.Add(rest))
	s.receivable, s.paid = debt[0].amount.Neg(), debt[1].amount.Neg()
	w.flow(w.window, w.earners(u), append(to, debt...))
	return s
}

// twinHold is what a hold reserves.
type twinHold struct {
	parts []twinPart
	pool  decimal.Decimal
}

// twinExcess is what a capture may take beyond its hold; nil: all of it.
type twinExcess struct{ room, overdraft, beyond *decimal.Decimal }

// reserve says what a hold of an amount would reserve; short is what there is of it if that does
// not suffice, else nil.
func (w *twin) reserve(u *twinUsage, amount decimal.Decimal, overdraft *decimal.Decimal) (h twinHold, short *decimal.Decimal) {
	var s twinSplit
	h.pool = w.reservable(u, amount, &s)
	h.parts = s.parts
	if overdraft == nil {
		return h, nil
	}
	free := w.accounts[u.payer].free(*overdraft)
	if free.IsNegative() { // what is owed comes out of the grants that are for anything
		anything, scoped, asked := free, decimal.Zero, amount
		for _, g := range w.open(u.payer) {
			switch {
			case !u.matches(g) || u.now >= g.expires:
			case g.scope == 0:
				anything = anything.Add(g.free())
			default:
				scoped = scoped.Add(g.free())
			}
		}
		for _, p := range h.parts {
			if w.grants[p.grant].scope != 0 {
				asked = asked.Sub(p.amount)
			}
		}
		if room := decimal.Max(decimal.Zero, anything); asked.GreaterThan(room) {
			left := scoped.Add(room)
			return h, &left
		}
		return h, nil
	}
	if h.pool.IsPositive() && h.pool.GreaterThan(free) {
		left := decimal.Max(decimal.Zero, amount.Sub(h.pool).Add(free))
		return h, &left
	}
	return h, nil
}

// hold reserves (sign 1) or releases (−1) it.
func (w *twin) hold(r Ref, h *twinHold, sign int64) {
	by := decimal.NewFromInt(sign)
	for _, p := range h.parts {
		w.grants[p.grant].held = w.grants[p.grant].held.Add(p.amount.Mul(by))
	}
	w.accounts[r].held = w.accounts[r].held.Add(h.pool.Mul(by))
}

// capture ends a hold with a rating: what it reserved first, in burn order, then free credit
// within the room, then as the policy says.
func (w *twin) capture(u *twinUsage, h *twinHold, x *twinExcess) twinSplit {
	w.hold(u.payer, h, -1)
	if !u.amount.IsPositive() {
		return w.usage(u)
	}
	var s twinSplit
	left := u.amount
	ordered := slices.Clone(h.parts)
	slices.SortFunc(ordered, func(a, b twinPart) int { return twinBurnOrder(w.grants[a.grant], w.grants[b.grant]) })
	for _, p := range ordered {
		if part := decimal.Min(p.amount, left); part.IsPositive() && u.matches(w.grants[p.grant]) {
			s.add(p.grant, part)
			left = left.Sub(part)
		}
	}
	pool := decimal.Min(h.pool, left)
	left = left.Sub(pool)
	within := left
	if x.room != nil {
		within = decimal.Max(decimal.Zero, decimal.Min(left, x.room.Sub(u.amount.Sub(left))))
	}
	more := w.reservable(u, within, &s)
	left = left.Sub(within.Sub(more))
	if x.overdraft != nil {
		more = decimal.Max(decimal.Zero, decimal.Min(more, w.accounts[u.payer].free(*x.overdraft).Sub(pool)))
	}
	pool, left = pool.Add(more), left.Sub(more)
	onDebt := left
	if x.beyond != nil {
		onDebt = decimal.Min(left, *x.beyond)
	}
	s.lost = left.Sub(onDebt)
	return w.take(u, s, pool.Add(onDebt))
}
