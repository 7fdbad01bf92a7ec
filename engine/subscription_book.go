package engine

import (
	"encoding/binary"

	"farthing/ledger"
	"farthing/meter"
	"farthing/period"
	"farthing/refusal"
)

// subscribe begins a subscription. Its payload is only what was asked, so that asking again is
// the same; the first period follows, or is due when it starts.
type subscribe struct {
	name    string
	account ledger.Ref
	unit    period.Unit
	anchor  uint32 // 0: that of the start
	starts  int64  // 0: now
	plan    planTerms
	scope   Scope
}

func (c *subscribe) kind() byte { return kindSubscribe }
func (c *subscribe) id() string { return c.name }

func (c *subscribe) append(dst []byte) []byte {
	dst = append(appendRef(appendBytes(dst, c.name), c.account), byte(c.unit))
	dst = binary.AppendUvarint(dst, uint64(c.anchor))
	dst = binary.AppendUvarint(dst, uint64(c.starts))
	return c.scope.append(c.plan.append(dst))
}

func (r *reader) subscribe() *subscribe {
	return &subscribe{name: r.str(), account: r.ref(), unit: period.Unit(r.byte()), anchor: r.uint32(), starts: int64(r.uvarint()), plan: r.planTerms(),
		scope: r.scope()}
}

// begins is when the subscription starts if it is booked now.
func (c *subscribe) begins(now int64) int64 {
	if c.starts == 0 {
		return now
	}
	return c.starts
}

func (c *subscribe) cycle(starts int64) period.Cycle {
	if c.anchor == 0 {
		return period.Cycle{Unit: c.unit, Anchor: c.unit.Anchor(starts)}
	}
	return period.Cycle{Unit: c.unit, Anchor: uint8(min(c.anchor, 255))}
}

func (c *subscribe) check(s *state) *refusal.Refusal {
	if refused := checkBookedID(c.name); refused != nil {
		return refused
	}
	if refused := s.checkRoot(c.account); refused != nil {
		return refused
	}
	invalid := func(reason, format string, args ...any) *refusal.Refusal {
		return refusal.New(refusal.Invalid, reason, format, args...)
	}
	now := s.clock()
	starts := c.begins(now)
	switch {
	case c.unit < period.Daily || c.unit > period.Monthly:
		return invalid("invalid_period", "period must be month, week or day")
	case starts < now:
		return invalid("invalid_starts_at", "starts_at is in the past")
	case starts > now+startsMax:
		return invalid("invalid_starts_at", "starts_at is more than 10 years ahead")
	case c.plan.scope != 0:
		return invalid("invalid_scope", "a new subscription spells its scope out")
	case s.openPlans(c.account, now) >= plansMax:
		return invalid("too_many_subscriptions", "account %s has %d subscriptions and takes no more", s.people[c.account].ID, plansMax)
	}
	if err := c.cycle(starts).Valid(); err != nil {
		return invalid("invalid_anchor", "%s", err)
	}
	if refused := s.checkScope(&c.scope); refused != nil {
		return refused
	}
	return c.plan.check(s, c.account)
}

func (c *subscribe) apply(s *state) {
	starts := c.begins(s.time)
	row := planRow{plan: c.plan}
	row.plan.scope = s.enterScope(c.scope)
	n := s.planRows.Append(row)
	s.enterPlan(&subscription{id: c.name, account: c.account, cycle: c.cycle(starts), starts: starts, seq: s.seq, time: s.time})
	if starts > s.time {
		s.schedulePlan(n)
		return
	}
	s.following = append(s.following, s.periodOf(n, s.time))
}

func (c *subscribe) transfers(*tables) []transfer { return nil }

// checkBookedID says whether an id may be used for ever.
func checkBookedID(id string) *refusal.Refusal {
	if id == "" {
		return missingID()
	}
	if !meter.ValidID([]byte(id)) {
		return refusal.New(refusal.Invalid, "invalid_id", "id must be 1 to 128 of A-Z a-z 0-9 . _ : - / @")
	}
	return nil
}

// planChange changes or cancels a subscription. Its payload is only what was asked; what it
// moves at once is in the period that follows.
type planChange struct {
	name string
	plan uint32 // number of the subscription
	what changeBits
	// What changes of the plan, as what says. The carried amount and its periods go together.
	terms planTerms
	scope Scope
}

type changeBits byte

const (
	changeCancel changeBits = 1 << iota
	changeNow
	changeAllowance
	changePrice
	changePriority
	changeScope
	changeCarried
	changeTerms = changeAllowance | changePrice | changePriority | changeScope | changeCarried
	changeAll   = changeTerms | changeCancel | changeNow
)

func (c *planChange) kind() byte { return kindChange }
func (c *planChange) id() string { return c.name }

func (c *planChange) append(dst []byte) []byte {
	dst = binary.AppendUvarint(appendBytes(dst, c.name), uint64(c.plan))
	return c.scope.append(c.terms.append(append(dst, byte(c.what))))
}

func (r *reader) change() *planChange {
	c := &planChange{name: r.str(), plan: r.uint32(), what: changeBits(r.byte()), terms: r.planTerms(), scope: r.scope()}
	if c.what&^changeAll != 0 {
		r.fail()
	}
	return c
}

// over is a plan with what the change brings; scope is the number of a new scope.
func (c *planChange) over(t planTerms, scope uint32) planTerms {
	if c.what&changeAllowance != 0 {
		t.allowance = c.terms.allowance
	}
	if c.what&changePrice != 0 {
		t.price = c.terms.price
	}
	if c.what&changePriority != 0 {
		t.priority = c.terms.priority
	}
	if c.what&changeCarried != 0 {
		t.carried, t.periods = c.terms.carried, c.terms.periods
	}
	if c.what&changeScope != 0 {
		t.scope = scope
	}
	return t
}

// base is the plan that the change is of: at once that of the current period, else what the
// next one would begin with.
func (c *planChange) base(row *planRow) planTerms {
	if c.what&changeNow != 0 {
		return row.plan
	}
	return row.begins()
}

func (c *planChange) check(s *state) *refusal.Refusal {
	if refused := checkBookedID(c.name); refused != nil {
		return refused
	}
	if int(c.plan) >= len(s.plans) {
		return refusal.New(refusal.NotFound, "unknown_subscription", "there is no such subscription")
	}
	now, p := s.clock(), s.plans[c.plan]
	cancel := c.what&changeCancel != 0
	conflict := func(reason, format string) *refusal.Refusal {
		return refusal.New(refusal.AccountConflict, reason, format, p.id)
	}
	switch state := s.planStateAt(c.plan, now); {
	case state == planEnded:
		return conflict("subscription_ended", "subscription %s has ended")
	case state == planEnding && !cancel:
		return conflict("subscription_ending", "subscription %s is cancelled and ends with its period")
	case s.nextPeriod(c.plan) <= now:
		return refusal.New(refusal.NotReady, "period_due", "the next period of subscription %s has to begin first", p.id)
	case cancel != (c.what&changeTerms == 0):
		return refusal.New(refusal.Invalid, "missing_field", "a change names what changes of the plan, a cancellation nothing")
	case cancel:
		return nil
	}
	if c.what&changeScope != 0 {
		if refused := s.checkScope(&c.scope); refused != nil {
			return refused
		}
	}
	terms := c.over(c.base(s.planRows.At(c.plan)), 0)
	return terms.check(s, p.account)
}

// apply leaves what moves money to the period that follows. Before the first period nothing
// does: a change is one of the plan that it will begin with, a cancellation ends it at once.
func (c *planChange) apply(s *state) {
	row := s.planRows.Mut(c.plan)
	begun, now := row.number > 0, c.what&changeNow != 0
	if c.what&changeCancel != 0 {
		row.hasNext, row.next = false, planTerms{}
		if row.state = planEnding; now || !begun {
			row.state = planEnded
		}
	} else {
		scope := uint32(0)
		if c.what&changeScope != 0 {
			scope = s.enterScope(c.scope)
		}
		terms := c.over(c.base(row), scope)
		if begun {
			row.hasNext, row.next = true, terms
		} else {
			row.plan = terms
		}
	}
	if begun && now {
		s.following = append(s.following, s.cutPeriod(c.plan))
	}
}

func (c *planChange) transfers(*tables) []transfer { return nil }
