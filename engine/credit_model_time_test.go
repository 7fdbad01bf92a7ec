package engine

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"farthing/money"
	"farthing/refusal"
)

// creditNote is a notification. Names that the engine makes up, of requests and of grants of
// subscriptions, stand in it as "@request 3" and "@grant 5": the place in the model's list.
type creditNote struct {
	kind, account string
	at            int64
	data          creditData
}

type creditData map[string]string

func (m *creditTwin) note(kind, account string, data creditData) {
	m.notes = append(m.notes, creditNote{kind, account, m.now, data})
}

// creditRequest is a top-up request.
type creditRequest struct {
	account *creditAccount
	amount  decimal.Decimal
	by      string
	state   string // open, paid, declined
	topUp   string
	at      int64
}

// creditNone is how a value that is not there looks.
const creditNone = "none"

func creditOptional(d *decimal.Decimal) string {
	if d == nil {
		return creditNone
	}
	return d.String()
}

// after looks at a root after a command that touched it: is its credit low, does it want a
// top-up? While nothing says what is low, or all is unlimited, nothing is armed again.
func (m *creditTwin) after(a *creditAccount) {
	available := m.available(a)
	if a.settings.low != nil && available != nil {
		low := available.LessThan(*a.settings.low)
		if low && !a.low {
			m.note("credit.low", a.spec.ID, creditData{"available": available.String(), "threshold": a.settings.low.String()})
		}
		a.low = low
	}
	if !m.wantsTopUp(a) {
		return
	}
	if at := m.waits(a); at > m.now {
		a.lookAt = at
		return
	}
	m.autoTopUp(a)
}

// waits is until when a root's requests have to wait.
func (m *creditTwin) waits(a *creditAccount) int64 {
	if m.dayFull(a) {
		return max(a.backOff, creditPeriod("day", m.now)+int64(24*time.Hour))
	}
	return a.backOff
}

// lookAgain looks at a root whose request had to wait.
func (m *creditTwin) lookAgain(a *creditAccount) {
	a.lookAt = 0
	if m.wantsTopUp(a) && m.waits(a) <= m.now {
		m.after(a)
	}
}

// wantsTopUp reports whether only a back-off or the day's number can keep a root from a request.
func (m *creditTwin) wantsTopUp(a *creditAccount) bool {
	s := a.settings.topUp
	if s == nil || a.state == "closed" || a.parent != nil || m.openRequest(a) != nil {
		return false
	}
	available := m.available(a)
	return available != nil && available.LessThan(s.Threshold.Decimal())
}

// dayFull reports whether a root had its requests of the day; those by hand do not count.
func (m *creditTwin) dayFull(a *creditAccount) bool {
	n := uint32(0)
	for _, r := range m.requests {
		if r.account == a && r.by == "auto" && creditPeriod("day", r.at) == creditPeriod("day", m.now) {
			n++
		}
	}
	return n >= a.settings.topUp.MaxPerDay
}

func (m *creditTwin) openRequest(a *creditAccount) *creditRequest {
	for _, r := range m.requests {
		if r.account == a && r.state == "open" {
			return r
		}
	}
	return nil
}

// autoTopUp requests the least multiple of the amount that closes the gap.
func (m *creditTwin) autoTopUp(a *creditAccount) {
	s := a.settings.topUp
	gap, step := s.Threshold.Decimal().Sub(*m.available(a)), s.Amount.Decimal()
	q, r := gap.QuoRem(step, 0)
	if r.IsPositive() {
		q = q.Add(decimal.NewFromInt(1))
	}
	m.request(a, step.Mul(q), "auto")
}

func (m *creditTwin) request(a *creditAccount, amount decimal.Decimal, by string) {
	m.requests = append(m.requests, &creditRequest{account: a, amount: amount, by: by, state: "open", at: m.now})
	m.note("topup.requested", a.spec.ID, creditData{"request": fmt.Sprintf("@request %d", len(m.requests)-1), "amount": amount.String(),
		"currency": a.code(), "available": creditOptional(m.available(a)), "by": by})
}

func (m *creditTwin) askTopUp(spec TopUpAskSpec) creditAnswer {
	var c creditCheck
	if m.once(&c, "ask", spec.ID, spec) {
		return creditAnswer{duplicate: true}
	}
	a := m.root(&c, spec.Account)
	c.amount(spec.Amount.Decimal())
	if a != nil {
		c.that(m.openRequest(a) == nil, refusal.RequestConflict, "request_open")
	}
	if c.failed() {
		return c.answer()
	}
	m.use("ask", spec.ID, spec)
	m.request(a, spec.Amount.Decimal(), "customer")
	return creditAnswer{}
}

// reply answers a request; place is its place in the list, −1: one that is not there. The
// id of an answer that says paid is the top-up's.
func (m *creditTwin) reply(spec TopUpReplySpec, place int) creditAnswer {
	var c creditCheck
	if m.once(&c, "reply", spec.ID, spec) {
		return creditAnswer{duplicate: true}
	}
	if place < 0 {
		return creditNo(refusal.NotFound, "")
	}
	r := m.requests[place]
	c.that(r.state == "open", refusal.RequestConflict, "")
	c.that(r.account.state != "closed", refusal.AccountConflict, "account_closed")
	amount := r.amount
	if spec.Amount != nil {
		c.that(spec.Paid, refusal.Invalid, "") // what is declined has no amount
		amount = spec.Amount.Decimal()
		c.amount(amount)
	}
	_, used := m.known["topup "+spec.ID]
	c.that(!spec.Paid || !used, refusal.IDConflict, "id_conflict")
	if c.failed() {
		return c.answer()
	}
	m.use("reply", spec.ID, spec)
	a := r.account
	if spec.Paid {
		m.use("topup", spec.ID, TopUp{ID: spec.ID, Account: a.spec.ID, Amount: creditAmount(amount), Reference: spec.Reference})
		r.state, r.topUp, a.declines, a.backOff = "paid", spec.ID, 0, 0
		m.receive(a, amount)
	} else {
		r.state = "declined"
		wait := 24 * time.Hour
		if a.declines < 11 { // 2^11 minutes are more than a day
			wait = min(wait, time.Minute<<a.declines)
		}
		a.declines++
		a.backOff = m.now + int64(wait)
	}
	m.after(a)
	return creditAnswer{}
}

func creditAmount(d decimal.Decimal) money.Amount {
	a, err := money.FromDecimal(d)
	if err != nil {
		panic(err)
	}
	return a
}

// creditDue is something that is to be done by itself.
type creditDue struct {
	at   int64
	rank int   // order of what is due
	due  int64 // of a hold
	age  int
	do   func()
}

// dues are all things that wait for their time. What is due is done in this order: all but
// holds by time, of one moment warnings, periods of subscriptions, expiries of grants, top-ups
// that had to wait, and of one kind the older first; then the holds by time, then age, those that
// are only released first. After each the list is made anew.
func (m *creditTwin) dues() (out []creditDue) {
	for _, g := range m.grants {
		if g.expires == 0 || g.expired || !g.remaining.IsPositive() {
			continue
		}
		out = append(out, creditDue{g.expires, 2, 0, g.age, func() { m.expireGrant(g) }})
		if warning := g.account.settings.warning; warning > 0 && !g.warned && !m.over(g) {
			out = append(out, creditDue{g.expires - int64(warning), 0, 0, g.age, func() { m.warn(g) }})
		}
	}
	for _, id := range m.holdIDs {
		if h := m.holds[id]; h.state == Held {
			rank := creditHolds
			if m.captures(h) {
				rank = creditCaptures
			}
			out = append(out, creditDue{creditSwept(h.due), rank, h.due, h.age, func() { m.expire(h) }})
		}
	}
	for i, s := range m.subs {
		if s.state != "ended" {
			out = append(out, creditDue{s.due(), 1, 0, i, func() { m.boundary(s) }})
		}
	}
	for i, id := range m.names {
		if a := m.accounts[id]; a.lookAt != 0 {
			out = append(out, creditDue{a.lookAt, 3, 0, i, func() { m.lookAgain(a) }})
		}
	}
	return out
}

// The ranks of holds: those that are captured as reported come last, since they wait until it is
// known whether that was booked.
const (
	creditHolds    = 4
	creditCaptures = 8
)

func (m *creditTwin) expireGrant(g *creditGrant) {
	g.expired = true
	if rest := g.remaining.Sub(m.heldOn(g)); rest.IsPositive() {
		m.lose(g, rest)
	}
	m.afterLast(g.account)
}

// afterLast is after, unless the expiry of a grant is due that comes next.
func (m *creditTwin) afterLast(a *creditAccount) {
	for _, g := range m.grantsOf(a) {
		if m.over(g) && g.remaining.GreaterThan(m.heldOn(g)) {
			return
		}
	}
	m.after(a)
}

// warn announces that a grant expires.
func (m *creditTwin) warn(g *creditGrant) {
	g.warned = true
	id := g.id
	if id == "" {
		id = fmt.Sprintf("@grant %d", slices.Index(m.grants, g))
	}
	m.note("grant.expiring", g.account.spec.ID, creditData{"grant": id, "remaining": g.remaining.String(),
		"expires_at": time.Unix(0, g.expires).UTC().Format(time.RFC3339Nano)})
}

// settle does all that is due now.
func (m *creditTwin) settle() {
	for {
		list := slices.DeleteFunc(m.dues(), func(d creditDue) bool { return d.at > m.now })
		if len(list) == 0 {
			return
		}
		slices.MinFunc(list, func(a, b creditDue) int {
			return cmp.Or(cmp.Compare(a.rank/creditHolds, b.rank/creditHolds), cmp.Compare(a.at, b.at), cmp.Compare(a.rank, b.rank), cmp.Compare(a.due, b.due), cmp.Compare(a.age, b.age))
		}).do()
	}
}

// advance lets time pass in one step.
func (m *creditTwin) advance(to int64) {
	m.now = max(m.now, to)
	m.settle()
}

// next is when the next thing is due; 0: nothing is.
func (m *creditTwin) next() (at int64) {
	for _, d := range m.dues() {
		if at == 0 || d.at < at {
			at = d.at
		}
	}
	return at
}
