package engine

import (
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"farthing/refusal"
)

// creditSub is a subscription.
type creditSub struct {
	spec       SubscriptionSpec
	account    *creditAccount
	plan       PlanSpec
	pending    *PlanSpec
	state      string // active, ending, ended
	n          uint64
	start, end int64
	credited   decimal.Decimal
	current    *creditGrant
}

// due is when a subscription's next period begins, or the last one ends.
func (s *creditSub) due() int64 {
	if s.n == 0 {
		return s.spec.Starts.UnixNano()
	}
	return s.end
}

// creditBoundary is the anchor of a period after a time, or with before the last one at or
// before it, midnight UTC.
func creditBoundary(period string, anchor uint32, at int64, before bool) int64 {
	t := time.Unix(0, at).UTC()
	y, mo, d := t.Date()
	var last, next time.Time
	switch period {
	case "day":
		last = time.Date(y, mo, d, 0, 0, 0, 0, time.UTC)
		next = last.AddDate(0, 0, 1)
	case "week":
		back := (int(t.Weekday()) + 6 - (int(anchor) - 1) + 7) % 7
		last = time.Date(y, mo, d-back, 0, 0, 0, 0, time.UTC)
		next = last.AddDate(0, 0, 7)
	default:
		in := func(month time.Month) time.Time {
			days := time.Date(y, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
			return time.Date(y, month, min(int(anchor), days), 0, 0, 0, 0, time.UTC)
		}
		if last, next = in(mo), in(mo+1); last.After(t) {
			last, next = in(mo-1), last
		}
	}
	if before {
		return last.UnixNano()
	}
	return next.UnixNano()
}

// creditShare is the part of an amount that a part of a stretch of time has, cut to minor units.
func creditShare(amount decimal.Decimal, part, whole int64, digits int32) decimal.Decimal {
	if part == whole {
		return amount // in full: not even cut
	}
	q, _ := amount.Mul(decimal.NewFromInt(part)).QuoRem(decimal.NewFromInt(whole), digits)
	return q
}

func (m *creditTwin) subscribe(spec SubscriptionSpec) creditAnswer {
	var c creditCheck
	if m.once(&c, "subscription", spec.ID, spec) {
		return creditAnswer{duplicate: true}
	}
	a := m.root(&c, spec.Account)
	c.that(slices.Contains([]string{"month", "week", "day"}, spec.Period), refusal.Invalid, "")
	most := map[string]uint32{"month": 31, "week": 7}[spec.Period]
	c.that(spec.Anchor <= most, refusal.Invalid, "")
	c.that(spec.Starts.IsZero() || spec.Starts.UnixNano() >= m.now, refusal.Invalid, "")
	c.that(spec.Plan.Allowance.Sign() >= 0 && spec.Plan.Price.Sign() >= 0, refusal.Invalid, "")
	if c.failed() {
		return c.answer()
	}
	m.use("subscription", spec.ID, spec)
	if spec.Starts.IsZero() {
		spec.Starts = time.Unix(0, m.now).UTC()
	}
	if starts := spec.Starts.UTC(); spec.Anchor == 0 {
		spec.Anchor = map[string]uint32{"month": uint32(starts.Day()), "week": uint32((int(starts.Weekday())+6)%7 + 1)}[spec.Period]
	}
	m.subs = append(m.subs, &creditSub{spec: spec, account: a, plan: spec.Plan, state: "active"})
	return creditAnswer{}
}

// boundary is the moment between two periods.
func (m *creditTwin) boundary(s *creditSub) {
	if s.state == "ending" {
		s.state = "ended"
		return
	}
	from := s.due()
	if s.pending != nil {
		s.plan, s.pending = *s.pending, nil
	}
	m.carry(s, from)
	m.begin(s, from, creditBoundary(s.spec.Period, s.spec.Anchor, from, false))
	m.afterLast(s.account)
}

// whole is how long the full period is that a time lies in.
func (s *creditSub) whole(at int64) int64 {
	return creditBoundary(s.spec.Period, s.spec.Anchor, at, false) - creditBoundary(s.spec.Period, s.spec.Anchor, at, true)
}

// begin begins a period: the price is charged, the allowance given, both by the share that it
// is of a full one.
func (m *creditTwin) begin(s *creditSub, from, to int64) {
	a, whole := s.account, s.whole(from)
	s.n, s.start, s.end, s.current = s.n+1, from, to, nil
	price := creditShare(s.plan.Price.Decimal(), to-from, whole, a.digits())
	a.take(price)
	m.class(a.code(), "subscription_income", price)
	allowance := creditShare(s.plan.Allowance.Decimal(), to-from, whole, a.digits())
	if !allowance.IsPositive() {
		return
	}
	g := m.give(a, "subscription", allowance, s.plan.Priority, s.plan.Scope)
	g.sub, g.expires, s.current = s, to, g
	if s.plan.Rollover != nil {
		for range s.plan.Rollover.Periods {
			g.expires = creditBoundary(s.spec.Period, s.spec.Anchor, g.expires, false)
		}
	}
}

// carry keeps at most what the plan allows of the older grants that live on at a boundary, even if
// that is booked so late that they have expired; the oldest loses first. What is reserved of them
// counts for nothing and is not taken.
func (m *creditTwin) carry(s *creditSub, at int64) {
	if s.plan.Rollover == nil {
		return
	}
	free := func(g *creditGrant) decimal.Decimal { return g.remaining.Sub(m.heldOn(g)) }
	excess := s.plan.Rollover.Max.Decimal().Neg()
	var list []*creditGrant
	for _, g := range m.grants {
		if g.sub == s && g.expires > at && free(g).IsPositive() {
			list = append(list, g)
			excess = excess.Add(free(g))
		}
	}
	for _, g := range list {
		if lost := decimal.Min(free(g), excess); lost.IsPositive() {
			m.lose(g, lost)
			excess = excess.Sub(lost)
		}
	}
}

// creditChanged is a plan with what a change brings.
func creditChanged(p PlanSpec, c *SubscriptionChange) PlanSpec {
	if c.Allowance != nil {
		p.Allowance = *c.Allowance
	}
	if c.Price != nil {
		p.Price = *c.Price
	}
	if c.Priority != nil {
		p.Priority = *c.Priority
	}
	if c.Scope != nil {
		p.Scope = *c.Scope
	}
	if c.Rollover != nil {
		if p.Rollover = c.Rollover; c.Rollover.Max.IsZero() {
			p.Rollover = nil
		}
	}
	return p
}

func (m *creditTwin) sub(id string) *creditSub {
	for _, s := range m.subs {
		if s.spec.ID == id {
			return s
		}
	}
	return nil
}

// changeSub changes or cancels. One that has not begun begins with what it was changed to, or
// not at all. A change at the period's end is one of what is to come then; one at once is of the
// current plan, and what was to come is forgotten.
func (m *creditTwin) changeSub(spec SubscriptionChange) creditAnswer {
	var c creditCheck
	if m.once(&c, "change", spec.ID, spec) {
		return creditAnswer{duplicate: true}
	}
	s := m.sub(spec.Subscription)
	if s == nil {
		return creditNo(refusal.NotFound, "")
	}
	c.that(s.state != "ended", refusal.AccountConflict, "subscription_ended")
	c.that(s.state != "ending" || spec.Cancel, refusal.AccountConflict, "subscription_ending")
	if c.failed() {
		return c.answer()
	}
	m.use("change", spec.ID, spec)
	base, begun := s.plan, s.n > 0
	if s.pending != nil && !spec.Now {
		base = *s.pending
	}
	next := creditChanged(base, &spec)
	switch {
	case spec.Cancel:
		s.pending, s.state = nil, "ending"
		if spec.Now || !begun {
			s.state = "ended"
		}
	case !begun:
		s.plan = next
	default:
		s.pending = &next
	}
	if !begun || !spec.Now {
		return creditAnswer{}
	}
	m.cutShort(s)
	if s.pending = nil; !spec.Cancel {
		s.plan = next
		m.begin(s, m.now, s.end)
	}
	m.after(s.account)
	return creditAnswer{}
}

// cutShort ends the current period now: what is left of its grant goes back, and of the price
// the share of the time that remains of a full period.
func (m *creditTwin) cutShort(s *creditSub) {
	if g := s.current; g != nil {
		if rest := m.free(g); rest.IsPositive() {
			m.lose(g, rest)
		}
		g.expires = m.now
	}
	credit := creditShare(s.plan.Price.Decimal(), s.end-m.now, s.whole(m.now), s.account.digits())
	s.account.repay(credit)
	m.class(s.account.code(), "subscription_income", credit.Neg())
	s.credited = s.credited.Add(credit)
}
