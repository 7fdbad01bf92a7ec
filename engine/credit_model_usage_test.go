package engine

import (
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"farthing/refusal"
)

// creditEvent is a booked event and what it took from where.
type creditEvent struct {
	call
	at      int64
	state   string // rated, unpriced, voided
	payer   *creditAccount
	subject *creditAccount
	rated   decimal.Decimal
	fee     decimal.Decimal
	price   *modelPrice
	parts   []creditPart // of grants, in the order in which they burned
	pool    decimal.Decimal
	loss    decimal.Decimal
}

// rate is what a call costs at a time; nil: it has no price.
func (m *creditTwin) rate(c *call, code string, at int64) (*modelPrice, decimal.Decimal) {
	v := inForce(m.versions, at)
	if v == nil {
		return nil, decimal.Zero
	}
	p, _ := v.find(c, code)
	if p == nil {
		return nil, decimal.Zero
	}
	parts, ok := p.rate(usageOf(c), nil)
	if !ok {
		return nil, decimal.Zero
	}
	sum := decimal.Zero
	for _, part := range parts {
		sum = sum.Add(part)
	}
	return p, sum
}

// newEvent is the event that a call becomes, rated; checked before.
func (m *creditTwin) newEvent(c *call) *creditEvent {
	e := &creditEvent{call: *c, at: c.time, state: "unpriced", subject: m.accounts[c.subject]}
	e.payer = e.subject.root
	if e.at == 0 {
		e.at = m.now
	}
	if e.price, e.rated = m.rate(c, e.payer.code(), e.at); e.price != nil {
		e.state = "rated"
		if e.price.payee != "" {
			e.fee = e.rated.Mul(number(e.price.fee)).Truncate(18)
		}
	}
	m.events[identityOf(c)] = e
	m.booked = append(m.booked, e)
	return e
}

// checkCall checks a new event as all are.
func (m *creditTwin) checkCall(c *creditCheck, x *call) {
	a := m.accounts[x.subject]
	c.that(x.time == 0 || x.time <= m.now+int64(5*time.Minute), refusal.Invalid, "event_too_far_ahead")
	switch {
	case a == nil:
		c.that(false, refusal.NotFound, "unknown_account")
	case a.spec.Kind != "customer":
		c.that(false, refusal.Invalid, "not_a_customer")
	default:
		c.that(a.state != "closed", refusal.AccountConflict, "account_closed")
	}
}

// event books direct usage, which always posts.
func (m *creditTwin) event(x *call) creditAnswer {
	if old := m.events[identityOf(x)]; old != nil {
		if old.sameContent(x) {
			return creditAnswer{duplicate: true}
		}
		return creditNo(refusal.IDConflict, "id_conflict")
	}
	var c creditCheck
	if m.checkCall(&c, x); c.failed() {
		return c.answer()
	}
	e := m.newEvent(x)
	if e.price == nil {
		m.call(e.subject, m.now)
		return creditAnswer{unpriced: true}
	}
	e.parts, e.pool = m.burn(e.payer, usageOfCall(x), e.rated)
	e.payer.take(e.pool)
	m.earn(e, e.rated, e.fee)
	m.spend(e.subject, usageOfCall(x), e.rated, m.now, "")
	m.after(e.payer)
	return creditAnswer{}
}

// sameContent compares subject, meter, usage that is not zero and dimensions.
func (e *creditEvent) sameContent(x *call) bool {
	dims := func(c *call) []string {
		var out []string
		for _, d := range c.dims {
			out = append(out, d[0]+"\x00"+d[1])
		}
		slices.Sort(out)
		return out
	}
	a, b := usageOf(&e.call), usageOf(x)
	same := len(a) == len(b)
	for name, q := range a {
		same = same && b[name].Equal(q)
	}
	return same && e.call.subject == x.subject && e.kind == x.kind && slices.Equal(dims(&e.call), dims(x))
}

// earn is the other side of an event: whoever earns it gets all of it.
func (m *creditTwin) earn(e *creditEvent, amount, fee decimal.Decimal) {
	code := e.payer.code()
	if e.price.payee == "" {
		m.class(code, "revenue", amount)
		return
	}
	m.class(code, "fees", fee)
	payee := m.accounts[e.price.payee]
	payee.due = payee.due.Add(amount.Sub(fee))
}

// void takes an event back: what the operator lost first, then the pool, then the grants, the
// last burned first. In limits it counts as negative usage at the time it posts; the call
// stays counted.
func (m *creditTwin) void(spec VoidSpec) creditAnswer {
	var c creditCheck
	c.id(spec.ID)
	identity := spec.Source + "\x00" + spec.Event
	e := m.events[identity]
	if e == nil {
		c.that(false, refusal.NotFound, "")
		return c.answer()
	}
	if of, used := m.voids[spec.ID]; used && of != identity {
		c.that(false, refusal.IDConflict, "id_conflict")
	}
	if c.failed() {
		return c.answer()
	}
	if e.state == "voided" {
		return creditAnswer{duplicate: true}
	}
	m.voids[spec.ID] = identity
	was := e.state
	e.state = "voided"
	if was == "unpriced" {
		return creditAnswer{}
	}
	m.class(e.payer.code(), "operator_loss", e.loss)
	e.payer.repay(e.pool)
	for i := len(e.parts) - 1; i >= 0; i-- {
		p := e.parts[i]
		p.grant.remaining = p.grant.remaining.Add(p.amount)
	}
	m.earn(e, e.rated.Neg(), e.fee.Neg())
	m.unspend(e.subject, usageOfCall(&e.call), e.rated.Sub(e.loss))
	m.loseExpired()
	m.after(e.payer)
	return creditAnswer{}
}

// closeWindow collects from roots and pays providers.
func (m *creditTwin) closeWindow() {
	for _, id := range m.names {
		a := m.accounts[id]
		net := a.due.Truncate(a.digits())
		if a.parent != nil || !net.IsPositive() {
			continue
		}
		if a.spec.Kind == "provider" {
			if a.due.LessThan(a.spec.MinimumPayout.Decimal()) {
				continue
			}
			m.class(a.code(), "in_transit", net)
		} else {
			a.transit = a.transit.Add(net)
			m.class(a.code(), "in_transit", net.Neg())
		}
		a.due = a.due.Sub(net)
	}
}
