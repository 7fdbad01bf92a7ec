package engine

import (
	"slices"

	"github.com/shopspring/decimal"

	"farthing/refusal"
)

// creditGrant is a grant as it stands.
type creditGrant struct {
	id       string // empty: a subscription gave it
	account  *creditAccount
	sub      *creditSub
	kind     string
	priority uint32
	expires  int64 // 0: never
	scope    Scope
	age      int

	amount, remaining, lost decimal.Decimal
	expired                 bool // its expiry was booked
	warned                  bool
}

// creditPart is an amount of a grant.
type creditPart struct {
	grant  *creditGrant
	amount decimal.Decimal
}

// class credits a class of the operator (or debits it, below zero).
func (m *creditTwin) class(code, class string, amount decimal.Decimal) {
	if m.classes[code] == nil {
		m.classes[code] = map[string]decimal.Decimal{}
	}
	m.classes[code][class] = m.classes[code][class].Add(amount)
}

func (m *creditTwin) grantsOf(a *creditAccount) (out []*creditGrant) {
	for _, g := range m.grants {
		if g.account == a {
			out = append(out, g)
		}
	}
	return out
}

// heldOn is what open holds reserve on a grant.
func (m *creditTwin) heldOn(g *creditGrant) (sum decimal.Decimal) {
	for _, h := range m.openHolds(g.account) {
		for _, p := range h.parts {
			if p.grant == g {
				sum = sum.Add(p.amount)
			}
		}
	}
	return sum
}

// free is what of a grant nobody reserved and may still be used.
func (m *creditTwin) free(g *creditGrant) decimal.Decimal {
	if m.over(g) {
		return decimal.Zero
	}
	return g.remaining.Sub(m.heldOn(g))
}

func (m *creditTwin) over(g *creditGrant) bool { return g.expires != 0 && m.now >= g.expires }

// poolHeld is what open holds reserve on a root's pool.
func (m *creditTwin) poolHeld(root *creditAccount) (sum decimal.Decimal) {
	for _, h := range m.openHolds(root) {
		sum = sum.Add(h.pool)
	}
	return sum
}

// poolFree is what a root's pool has for a hold; nil: any amount.
func (m *creditTwin) poolFree(root *creditAccount) *decimal.Decimal {
	if root.overdraft == nil {
		return nil
	}
	free := root.paid.Sub(root.due).Sub(m.poolHeld(root)).Sub(root.transit).Add(*root.overdraft)
	return &free
}

// available is that of any account; nil: unlimited.
func (m *creditTwin) available(a *creditAccount) *decimal.Decimal {
	if a.spec.Kind == "provider" {
		return &a.due
	}
	least := m.poolFree(a.root)
	if least != nil {
		for _, g := range m.grantsOf(a.root) {
			if creditScopeEmpty(&g.scope) {
				*least = least.Add(g.remaining.Sub(m.heldOn(g))) // until its expiry is booked
			}
		}
	}
	if a.parent == nil {
		return least
	}
	for _, node := range a.chain() {
		for _, l := range node.limits {
			if l.spec.Mode != "hard" || l.spec.Amount == nil || l.spec.Per == "call" || !creditScopeEmpty(&l.spec.Scope) {
				continue
			}
			left := l.spec.Amount.Decimal().Sub(m.spent(l)).Sub(m.heldUnder(node, l, nil))
			if least == nil || left.LessThan(*least) {
				least = &left
			}
		}
	}
	return least
}

// posted is what an account has with us.
func (m *creditTwin) posted(a *creditAccount) decimal.Decimal {
	if a.spec.Kind == "provider" {
		return a.due
	}
	sum := a.paid.Sub(a.due)
	for _, g := range m.grantsOf(a) {
		sum = sum.Add(g.remaining)
	}
	return sum
}

// repay is money that comes in: it pays what is owed, the rest is paid credit.
func (a *creditAccount) repay(amount decimal.Decimal) {
	repaid := decimal.Min(a.due, amount)
	a.due = a.due.Sub(repaid)
	a.paid = a.paid.Add(amount.Sub(repaid))
}

// take takes from the pool: paid credit first, what is missing is owed. Nobody has paid credit
// and owes at once.
func (a *creditAccount) take(amount decimal.Decimal) {
	paid := decimal.Min(a.paid, amount)
	a.paid = a.paid.Sub(paid)
	a.due = a.due.Add(amount.Sub(paid))
}

// burn takes up to an amount from the free part of the grants that match.
func (m *creditTwin) burn(root *creditAccount, u *creditUsage, amount decimal.Decimal) (parts []creditPart, rest decimal.Decimal) {
	parts, rest = m.reservable(root, u, amount)
	for _, p := range parts {
		p.grant.remaining = p.grant.remaining.Sub(p.amount)
	}
	return parts, rest
}

// reservable says what of an amount the grants would take.
func (m *creditTwin) reservable(root *creditAccount, u *creditUsage, amount decimal.Decimal) (parts []creditPart, rest decimal.Decimal) {
	list := m.grantsOf(root)
	slices.SortFunc(list, creditByBurn)
	for _, g := range list {
		if part := decimal.Min(m.free(g), amount); part.IsPositive() && creditMatches(&g.scope, u) {
			parts = append(parts, creditPart{g, part})
			amount = amount.Sub(part)
		}
	}
	return parts, amount
}

// topUp books an outside payment.
func (m *creditTwin) topUp(u TopUp) creditAnswer {
	var c creditCheck
	if m.once(&c, "topup", u.ID, u) {
		return creditAnswer{duplicate: true}
	}
	a := m.root(&c, u.Account)
	c.amount(u.Amount.Decimal())
	if c.failed() {
		return c.answer()
	}
	m.use("topup", u.ID, u)
	m.receive(a, u.Amount.Decimal())
	m.after(a)
	return creditAnswer{}
}

func (m *creditTwin) receive(a *creditAccount, amount decimal.Decimal) {
	a.repay(amount)
	m.class(a.code(), "cash", amount.Neg())
}

// creditFaces says which class faces a grant of a kind when it is given and when it expires.
func creditFaces(kind string) (given, expired string) {
	switch kind {
	case "paid":
		return "cash", "revenue"
	case "promo":
		return "promo_expense", "promo_expense"
	}
	return "subscription_income", "subscription_income"
}

func (m *creditTwin) grant(spec GrantSpec) creditAnswer {
	var c creditCheck
	if m.once(&c, "grant", spec.ID, spec) {
		return creditAnswer{duplicate: true}
	}
	a := m.root(&c, spec.Account)
	c.amount(spec.Amount.Decimal())
	c.that(slices.Contains([]string{"paid", "promo", "subscription"}, spec.Kind), refusal.Invalid, "")
	c.that(spec.Priority <= 1_000_000, refusal.Invalid, "")
	c.that(spec.Expires.IsZero() || spec.Expires.UnixNano() > m.now, refusal.Invalid, "grant_expired")
	if c.failed() {
		return c.answer()
	}
	m.use("grant", spec.ID, spec)
	g := m.give(a, spec.Kind, spec.Amount.Decimal(), spec.Priority, spec.Scope)
	g.id = spec.ID
	if !spec.Expires.IsZero() {
		g.expires = spec.Expires.UnixNano()
	}
	m.grantIDs[spec.ID] = g
	m.after(a)
	return creditAnswer{}
}

// give gives a grant, which does not repay what is owed.
func (m *creditTwin) give(a *creditAccount, kind string, amount decimal.Decimal, priority uint32, scope Scope) *creditGrant {
	m.age++
	g := &creditGrant{account: a, kind: kind, priority: priority, scope: scope, age: m.age, amount: amount, remaining: amount}
	m.grants = append(m.grants, g)
	given, _ := creditFaces(kind)
	m.class(a.code(), given, amount.Neg())
	return g
}

// lose moves an unreserved part of a grant to what it faces at its expiry.
func (m *creditTwin) lose(g *creditGrant, amount decimal.Decimal) {
	_, expired := creditFaces(g.kind)
	g.remaining, g.lost = g.remaining.Sub(amount), g.lost.Add(amount)
	m.class(g.account.code(), expired, amount)
}

// loseExpired takes what came back to grants that have expired: it is lost at once.
func (m *creditTwin) loseExpired() {
	for _, g := range m.grants {
		if rest := g.remaining.Sub(m.heldOn(g)); m.over(g) && rest.IsPositive() {
			g.expired = true
			m.lose(g, rest)
		}
	}
}

// stateOf is open, used or expired. A grant expires even if nothing is left of it.
func (m *creditTwin) stateOf(g *creditGrant) string {
	switch {
	case m.over(g):
		return "expired"
	case g.remaining.IsZero():
		return "used"
	}
	return "open"
}

// refundable is what of the paid credit may leave the account.
func (m *creditTwin) refundable(a *creditAccount) decimal.Decimal {
	return decimal.Max(decimal.Zero, a.paid.Sub(m.poolHeld(a)).Sub(a.transit))
}

func creditMissing(account, limit string, asked, left decimal.Decimal) creditAnswer {
	a := creditNo(refusal.InsufficientFunds, "")
	a.short = &creditShort{account, limit, asked, left}
	return a
}

func (m *creditTwin) refund(spec RefundSpec) creditAnswer {
	var c creditCheck
	if m.once(&c, "refund", spec.ID, spec) {
		return creditAnswer{duplicate: true}
	}
	a := m.root(&c, spec.Account)
	c.amount(spec.Amount.Decimal())
	g := m.grantIDs[spec.Grant]
	if spec.Grant != "" {
		switch {
		case g == nil:
			c.that(false, refusal.NotFound, "")
		case g.account != a:
			c.that(false, "", "") // not found, or invalid
		default:
			c.that(g.kind == "paid", refusal.Invalid, "")
		}
	}
	if c.failed() {
		return c.answer()
	}
	left, amount := m.refundable(a), spec.Amount.Decimal()
	if g != nil {
		left = m.free(g)
	}
	if amount.GreaterThan(left) {
		return creditMissing(spec.Account, "", amount, left)
	}
	m.use("refund", spec.ID, spec)
	if g != nil {
		g.remaining = g.remaining.Sub(amount)
	} else {
		a.paid = a.paid.Sub(amount)
	}
	m.class(a.code(), "cash", amount)
	m.after(a)
	return creditAnswer{}
}

func (m *creditTwin) move(spec MoveSpec) creditAnswer {
	var c creditCheck
	if m.once(&c, "move", spec.ID, spec) {
		return creditAnswer{duplicate: true}
	}
	from, to := m.root(&c, spec.From), m.root(&c, spec.To)
	c.amount(spec.Amount.Decimal())
	c.that(spec.From != spec.To, refusal.Invalid, "")
	if from != nil && to != nil {
		c.that(from.spec.Owner != "" && from.spec.Owner == to.spec.Owner, refusal.Invalid, "not_one_owner")
		c.that(from.spec.Currency == to.spec.Currency, refusal.Invalid, "currency_mismatch")
		c.that(from.state != "frozen" && to.state != "frozen", "", "") // open roots only
	}
	if c.failed() {
		return c.answer()
	}
	if left := m.refundable(from); spec.Amount.Decimal().GreaterThan(left) {
		return creditMissing(spec.From, "", spec.Amount.Decimal(), left)
	}
	m.use("move", spec.ID, spec)
	from.paid = from.paid.Sub(spec.Amount.Decimal())
	to.repay(spec.Amount.Decimal())
	m.after(from)
	m.after(to)
	return creditAnswer{}
}
