package ledger

import (
	"cmp"
	"slices"

	"github.com/shopspring/decimal"

	"farthing/money"
)

// twin is the plainest possible ledger: every movement is a list of sources and a list of
// destinations, every grant is looked for in all of them. It knows the rules from the contract,
// not from the code.
type twin struct {
	accounts []*twinAccount
	operator map[money.Currency]*twinAccount
	grants   []*twinGrant
	window   uint64
}

type twinAccount struct {
	currency money.Currency
	kind     Kind
	minimum  decimal.Decimal
	balance  [NumClasses]decimal.Decimal // credits − debits
	gross    map[uint64]*twinGross       // by window
	events   map[uint64]uint64           // rated in a window: of the operator, all of its currency
	carried  decimal.Decimal             // carried_out of the last line
	held     decimal.Decimal             // on the pool
	transit  decimal.Decimal
	bought   decimal.Decimal // came in from outside and did not go out again
	returned decimal.Decimal // of lines, in the open window
	closed   decimal.Decimal // the operator's: what all lines moved
}

type twinGross struct{ debits, credits decimal.Decimal }

type twinGrant struct {
	number              uint32
	account             Ref
	kind                GrantKind
	priority            uint32
	expires             int64
	scope               uint32
	left, held, expired decimal.Decimal
}

// twinSide is one account of the books and what it gives or gets in a movement.
type twinSide struct {
	account *twinAccount
	class   Class
	amount  decimal.Decimal // not below zero
}

// twinPart is what came from a grant.
type twinPart struct {
	grant  uint32
	amount decimal.Decimal
}

// twinSplit is how something was taken; negative: given back.
type twinSplit struct {
	paid, receivable, lost decimal.Decimal
	parts                  []twinPart
}

func (s *twinSplit) pool() decimal.Decimal { return s.paid.Add(s.receivable) }

// add adds to the parts; what comes from one grant is one part.
func (s *twinSplit) add(grant uint32, amount decimal.Decimal) {
	for i := range s.parts {
		if s.parts[i].grant == grant {
			s.parts[i].amount = s.parts[i].amount.Add(amount)
			return
		}
	}
	s.parts = append(s.parts, twinPart{grant, amount})
}

// flow moves what the sources give to the destinations, in their order. What an account moves
// to itself is nobody's gross; window 0 is a closing transfer, which is none either.
func (w *twin) flow(window uint64, from, to []twinSide) {
	for len(from) > 0 && len(to) > 0 {
		a, b := &from[0], &to[0]
		amount := decimal.Min(a.amount, b.amount)
		a.account.balance[a.class] = a.account.balance[a.class].Sub(amount)
		b.account.balance[b.class] = b.account.balance[b.class].Add(amount)
		if a.account != b.account && window != 0 {
			x, y := a.account.grossOf(window), b.account.grossOf(window)
			x.debits, y.credits = x.debits.Add(amount), y.credits.Add(amount)
		}
		a.amount, b.amount = a.amount.Sub(amount), b.amount.Sub(amount)
		if a.amount.IsZero() {
			from = from[1:]
		}
		if b.amount.IsZero() {
			to = to[1:]
		}
	}
	for _, s := range append(slices.Clone(from), to...) {
		if !s.amount.IsZero() {
			panic("the twin moves more on one side than on the other")
		}
	}
}

func (a *twinAccount) grossOf(window uint64) *twinGross {
	if a.gross[window] == nil {
		a.gross[window] = &twinGross{}
	}
	return a.gross[window]
}

func (a *twinAccount) posted() decimal.Decimal {
	var sum decimal.Decimal
	for _, b := range a.balance {
		sum = sum.Add(b)
	}
	return sum
}

func (w *twin) create(p *Participant) {
	add := func(kind Kind, minimum money.Amount) *twinAccount {
		a := &twinAccount{currency: p.Currency, kind: kind, minimum: minimum.Decimal(), gross: map[uint64]*twinGross{}, events: map[uint64]uint64{}}
		w.accounts = append(w.accounts, a)
		return a
	}
	if w.operator[p.Currency] == nil {
		w.operator[p.Currency] = add(Operator, money.Amount{})
	}
	add(p.Kind, p.MinimumPayout)
}

// operators is one side of a movement that a class of the operator's gives or gets.
func (w *twin) operators(r Ref, class Class, amount decimal.Decimal) []twinSide {
	return []twinSide{{w.operator[w.accounts[r].currency], class, amount}}
}

// purse is what of an amount a customer's paid credit and receivable give.
func (a *twinAccount) purse(amount decimal.Decimal) []twinSide {
	paid := decimal.Min(a.balance[Paid], amount)
	return []twinSide{{a, Paid, paid}, {a, Receivable, amount.Sub(paid)}}
}

// debt is where an amount that a customer gets goes: what it owes first.
func (a *twinAccount) debt(amount decimal.Decimal) []twinSide {
	repaid := decimal.Min(a.balance[Receivable].Neg(), amount)
	return []twinSide{{a, Receivable, repaid}, {a, Paid, amount.Sub(repaid)}}
}

func (w *twin) topUp(r Ref, amount decimal.Decimal) {
	w.accounts[r].buy(amount)
	w.flow(w.window, w.operators(r, Cash, amount), w.accounts[r].debt(amount))
}

// buy counts what came in from outside, or went out again: what is bought.
func (a *twinAccount) buy(amount decimal.Decimal) {
	if sum := a.bought.Add(amount); amount.IsNegative() && sum.IsNegative() {
		a.bought = decimal.Min(decimal.Zero, a.bought)
	} else {
		a.bought = sum
	}
}

func (w *twin) refund(r Ref, amount decimal.Decimal) {
	w.accounts[r].buy(amount.Neg())
	w.flow(w.window, []twinSide{{w.accounts[r], Paid, amount}}, w.operators(r, Cash, amount))
}

func (w *twin) moveCredit(from, to Ref, amount decimal.Decimal) {
	w.accounts[from].buy(amount.Neg())
	w.accounts[to].buy(amount)
	w.flow(w.window, []twinSide{{w.accounts[from], Paid, amount}}, w.accounts[to].debt(amount))
}

func (w *twin) chargePlan(r Ref, amount decimal.Decimal) {
	w.flow(w.window, w.accounts[r].purse(amount), w.operators(r, SubscriptionIncome, amount))
}

func (w *twin) creditPlan(r Ref, amount decimal.Decimal) {
	w.flow(w.window, w.operators(r, SubscriptionIncome, amount), w.accounts[r].debt(amount))
}

// refundable is what of the pool no hold reserves, nor a collection that may fail, and was bought
// with money that is here.
func (a *twinAccount) refundable() decimal.Decimal {
	return decimal.Max(decimal.Zero, decimal.Min(a.balance[Paid].Sub(a.held).Sub(a.transit), a.bought.Sub(a.transit)))
}

// free is what a hold may reserve on the pool.
func (a *twinAccount) free(overdraft decimal.Decimal) decimal.Decimal {
	return a.balance[Paid].Add(a.balance[Receivable]).Sub(a.held).Sub(a.transit).Add(overdraft)
}

// faces says where a grant stands, what it is given against and where its rest goes.
func (g *twinGrant) faces() (class, given, expired Class) {
	switch g.kind {
	case PaidKind:
		return PaidGrant, Cash, Revenue
	case PromoKind:
		return PromoGrant, PromoExpense, PromoExpense
	}
	return SubscriptionGrant, SubscriptionIncome, SubscriptionIncome
}

func (g *twinGrant) free() decimal.Decimal { return g.left.Sub(g.held) }

func (w *twin) give(g twinGrant, amount decimal.Decimal) {
	g.number, g.left = uint32(len(w.grants)), amount
	class, given, _ := g.faces()
	if g.kind == PaidKind {
		w.accounts[g.account].buy(amount)
	}
	w.flow(w.window, w.operators(g.account, given, amount), []twinSide{{w.accounts[g.account], class, amount}})
	w.grants = append(w.grants, &g)
}

// source takes from a grant.
func (w *twin) source(g *twinGrant, amount decimal.Decimal) twinSide {
	g.left = g.left.Sub(amount)
	class, _, _ := g.faces()
	return twinSide{w.accounts[g.account], class, amount}
}

func (w *twin) lapse(n uint32, amount decimal.Decimal) {
	g := w.grants[n]
	_, _, heir := g.faces()
	g.expired = g.expired.Add(amount)
	if g.kind == PaidKind {
		w.accounts[g.account].buy(amount.Neg())
	}
	w.flow(w.window, []twinSide{w.source(g, amount)}, w.operators(g.account, heir, amount))
}

func (w *twin) refundGrant(n uint32, amount decimal.Decimal) {
	g := w.grants[n]
	w.accounts[g.account].buy(amount.Neg())
	w.flow(w.window, []twinSide{w.source(g, amount)}, w.operators(g.account, Cash, amount))
}

// open is an account's grants that have something left, in burn order.
func (w *twin) open(r Ref) (out []*twinGrant) {
	for _, g := range w.grants {
		if g.account == r && g.left.IsPositive() {
			out = append(out, g)
		}
	}
	slices.SortFunc(out, twinBurnOrder)
	return out
}

func twinBurnOrder(a, b *twinGrant) int {
	return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.expires, b.expires), cmp.Compare(a.number, b.number))
}

// twinLine is what a window's end does to one account.
type twinLine struct {
	ref             Ref
	signed, carried decimal.Decimal
}

// net makes the lines of the window that is open, as the contract's equation has them.
func (w *twin) net() []twinLine {
	var out []twinLine
	for i, a := range w.accounts {
		line := twinLine{ref: Ref(i)}
		digits := int32(a.currency.Digits())
		switch {
		case a.kind == Customer:
			line.signed = a.balance[Receivable].Truncate(digits)
		case a.kind == Provider && a.balance[Payable].IsPositive() && a.balance[Payable].Cmp(a.minimum) >= 0:
			line.signed = a.balance[Payable].Truncate(digits)
		}
		gross := a.grossOf(w.window)
		line.carried = a.carried.Add(a.returned).Add(gross.credits).Sub(gross.debits).Sub(line.signed)
		out = append(out, line)
	}
	return out
}

func (w *twin) close(l twinLine) {
	a := w.accounts[l.ref]
	a.carried = l.carried
	w.operator[a.currency].closed = w.operator[a.currency].closed.Add(l.signed)
	switch {
	case l.signed.IsNegative():
		a.transit = a.transit.Sub(l.signed)
		a.buy(l.signed.Neg())
		w.flow(0, w.operators(l.ref, InTransit, l.signed.Neg()), a.debt(l.signed.Neg()))
	case l.signed.IsPositive():
		w.flow(0, []twinSide{{a, Payable, l.signed}}, w.operators(l.ref, InTransit, l.signed))
	}
}
