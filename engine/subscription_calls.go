package engine

import (
	"math"
	"time"

	"farthing/ledger"
	"farthing/money"
	"farthing/period"
	"farthing/refusal"
)

// Subscribe begins a subscription.
func (e *Engine) Subscribe(spec SubscriptionSpec) (out Subscription, created bool, no *refusal.Refusal) {
	scope, no := canonicalScope(spec.Plan.Scope)
	if no != nil {
		return out, false, no
	}
	created, no = e.bookOf(func(s *sequencer) (identified, *refusal.Refusal) {
		ref, no := s.state.customerRef(spec.Account)
		if spec.ID == "" {
			no = missingID()
		}
		c := &subscribe{name: spec.ID, account: ref, anchor: spec.Anchor, starts: startNanos(spec.Starts), scope: scope,
			plan: planTerms{allowance: spec.Plan.Allowance, price: spec.Plan.Price, priority: spec.Plan.Priority}}
		c.unit, _ = period.ParseUnit(spec.Period)
		c.plan.rollover(spec.Plan.Rollover)
		return c, no
	}, func(s *sequencer, _ Booked) { out = s.state.planView(s.state.planID[spec.ID], s.state.clock()) })
	return out, created, no
}

// startNanos is a given start; 0: none was given. What nanoseconds cannot say is as far in the
// past or in the future as they can.
func startNanos(at time.Time) int64 {
	switch {
	case at.IsZero():
		return 0
	case at.Year() < 1970:
		return 1
	case at.Year() > 2200:
		return math.MaxInt64
	}
	return max(1, at.UnixNano())
}

// rollover takes what a caller says of it; a most of 0 is none.
func (t *planTerms) rollover(r *RolloverSpec) {
	t.carried, t.periods = money.Amount{}, 0
	if r != nil && !r.Max.IsZero() {
		t.carried, t.periods = r.Max, r.Periods
	}
}

// ChangeSubscription changes or cancels a subscription.
func (e *Engine) ChangeSubscription(spec SubscriptionChange) (out Subscription, created bool, no *refusal.Refusal) {
	c := &planChange{name: spec.ID}
	if spec.Scope != nil {
		if c.scope, no = canonicalScope(*spec.Scope); no != nil {
			return out, false, no
		}
	}
	c.says(&spec)
	created, no = e.bookOf(func(s *sequencer) (identified, *refusal.Refusal) {
		var no *refusal.Refusal
		if c.plan, no = s.state.planOf(spec.Subscription); no == nil && spec.ID == "" {
			no = missingID()
		}
		if no != nil {
			return nil, no
		}
		s.catchUp(c.plan)
		return c, nil
	}, func(s *sequencer, _ Booked) { out = s.state.planView(c.plan, s.state.clock()) })
	return out, created, no
}

// says takes what a caller changes.
func (c *planChange) says(spec *SubscriptionChange) {
	set := func(bit changeBits, on bool) {
		if on {
			c.what |= bit
		}
	}
	set(changeCancel, spec.Cancel)
	set(changeNow, spec.Now)
	set(changeAllowance, spec.Allowance != nil)
	set(changePrice, spec.Price != nil)
	set(changePriority, spec.Priority != nil)
	set(changeScope, spec.Scope != nil)
	set(changeCarried, spec.Rollover != nil)
	if spec.Allowance != nil {
		c.terms.allowance = *spec.Allowance
	}
	if spec.Price != nil {
		c.terms.price = *spec.Price
	}
	if spec.Priority != nil {
		c.terms.priority = *spec.Priority
	}
	c.terms.rollover(spec.Rollover)
}

// catchUp books the periods of a subscription that are due, as the agenda would a moment later:
// a change is of the period that its time lies in.
func (s *sequencer) catchUp(n uint32) {
	for b := s.state.periodOf(n, s.g.time); b != nil; b = s.state.periodOf(n, s.g.time) {
		s.commit(b, b.append(nil))
		s.follow()
	}
}

// planOf finds a subscription by its id.
func (s *state) planOf(id string) (uint32, *refusal.Refusal) {
	n, ok := s.planID[id]
	if !ok {
		return 0, refusal.New(refusal.NotFound, "unknown_subscription", "there is no subscription %s", id)
	}
	return n, nil
}

// Subscription shows a subscription.
func (e *Engine) Subscription(id string) (out Subscription, refused *refusal.Refusal) {
	unavailable := e.do(func(s *sequencer) bool {
		var n uint32
		if n, refused = s.state.planOf(id); refused == nil {
			out = s.state.planView(n, s.state.clock())
		}
		return false
	})
	return out, firstOf(unavailable, refused)
}

// Subscriptions lists an account's subscriptions, oldest first.
func (e *Engine) Subscriptions(account, cursor string, limit int) (Page[Subscription], *refusal.Refusal) {
	return listOf(e, account, cursor, limit, func(s *state, ref ledger.Ref) []uint32 { return s.plansOf[ref] },
		func(s *state, n uint32) Subscription { return s.planView(n, s.clock()) })
}

var planStateNames = [numPlanStates]string{"active", "ending", "ended"}

// planView shows a subscription as it stands.
func (s *state) planView(n uint32, now int64) Subscription {
	p, row := s.plans[n], s.planRows.At(n)
	out := Subscription{SubscriptionSpec: SubscriptionSpec{ID: p.id, Account: s.people[p.account].ID, Period: p.cycle.Unit.String(),
		Anchor: uint32(p.cycle.Anchor), Starts: timeOf(p.starts), Plan: s.planSpec(&row.plan)},
		State: planStateNames[s.planStateAt(n, now)], PeriodNumber: row.number, Credited: row.credited, Booked: Booked{p.seq, timeOf(p.time)}}
	if row.number > 0 {
		out.PeriodStart, out.PeriodEnd = timeOf(row.start), timeOf(row.end)
	}
	if row.hasNext {
		next := s.planSpec(&row.next)
		out.Next = &next
	}
	return out
}

func (s *state) planSpec(t *planTerms) PlanSpec {
	spec := PlanSpec{Allowance: t.allowance, Price: t.price, Priority: t.priority, Scope: s.scopeOf(t.scope)}
	if t.periods > 0 {
		spec.Rollover = &RolloverSpec{Max: t.carried, Periods: t.periods}
	}
	return spec
}
