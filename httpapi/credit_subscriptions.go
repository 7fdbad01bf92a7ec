package httpapi

import (
	"farthing/engine"
	"farthing/refusal"
)

const (
	// planPriority puts what a subscription gives before other grants, because it does not keep.
	planPriority = 50
	// rolloverPeriodsMax bounds how long a period's rest may live on, and with it how many
	// grants of one subscription are open.
	rolloverPeriodsMax = 100
)

func (s *Server) postSubscription(c *call) (answer, *refusal.Refusal) {
	account, o, no := s.accountBody(c)
	if no != nil {
		return answer{}, no
	}
	spec := subscriptionSpec(o, account)
	if o.no != nil {
		return answer{}, o.no
	}
	sub, created, no := s.engine.Subscribe(spec)
	return booked(&sub, created, no, subscriptionView)
}

func subscriptionSpec(o *object, account string) engine.SubscriptionSpec {
	o.only("id", "period", "anchor", "starts_at", "allowance", "price", "priority", "scope", "rollover")
	spec := engine.SubscriptionSpec{ID: o.requireID("id"), Account: account, Period: o.requireWord("period", "month", "week", "day"), Starts: o.time("starts_at"),
		Plan: engine.PlanSpec{Allowance: o.positive("allowance"), Priority: planPriority, Scope: o.scope(), Rollover: o.rollover(false)}}
	spec.Anchor = o.anchor(spec.Period)
	if price := o.notNegative("price"); price != nil {
		spec.Plan.Price = *price
	}
	if p := o.priority(); p != nil {
		spec.Plan.Priority = *p
	}
	return spec
}

// anchor returns the day that a period begins on; 0 when it is absent.
func (o *object) anchor(period string) uint32 {
	n := o.uint("anchor")
	if n == nil {
		return 0
	}
	most := map[string]uint64{"month": 31, "week": 7}[period]
	if *n < 1 || *n > most {
		o.refuse("invalid_anchor", "anchor must be 1 to 31 for a month and 1 (Monday) to 7 for a week; a day has none")
	}
	return uint32(*n)
}

// rollover returns what of a period's rest lives on; nil when it is absent. Only a change may
// say that nothing does, with a max of 0.
func (o *object) rollover(mayEnd bool) (r *engine.RolloverSpec) {
	o.within("rollover", func(in *object) {
		in.only("max", "periods")
		r = &engine.RolloverSpec{Periods: 1}
		if n := in.uint("periods"); n != nil {
			if *n < 1 || *n > rolloverPeriodsMax {
				in.refuse("invalid_periods", "periods must be 1 to %d", rolloverPeriodsMax)
			}
			r.Periods = uint32(*n)
		}
		if !mayEnd {
			r.Max = in.positive("max")
			return
		}
		in.require("max")
		if most := in.notNegative("max"); most != nil && most.Sign() > 0 {
			r.Max = *most
		} else {
			*r = engine.RolloverSpec{}
		}
	})
	return r
}

func (s *Server) postSubscriptionChange(c *call) (answer, *refusal.Refusal) {
	return s.changeSubscription(c, false)
}

func (s *Server) postSubscriptionCancel(c *call) (answer, *refusal.Refusal) {
	return s.changeSubscription(c, true)
}

func (s *Server) changeSubscription(c *call, cancel bool) (answer, *refusal.Refusal) {
	id, no := c.param(0)
	if no != nil {
		return answer{}, no
	}
	o, no := s.readCold(c)
	if no != nil {
		return answer{}, no
	}
	change := engine.SubscriptionChange{ID: o.requireID("id"), Subscription: id, Cancel: cancel, Now: o.requireWord("at", "period_end", "now") == "now"}
	if cancel {
		o.only("id", "at")
	} else {
		o.changed(&change)
	}
	if o.no != nil {
		return answer{}, o.no
	}
	sub, created, no := s.engine.ChangeSubscription(change)
	return booked(&sub, created, no, subscriptionView)
}

// changed reads what a change names of the plan.
func (o *object) changed(change *engine.SubscriptionChange) {
	o.only("id", "at", "allowance", "price", "priority", "scope", "rollover")
	if o.has("allowance") {
		allowance := o.positive("allowance")
		change.Allowance = &allowance
	}
	change.Price, change.Priority, change.Rollover = o.notNegative("price"), o.priority(), o.rollover(true)
	if o.has("scope") {
		scope := o.scope()
		change.Scope = &scope
	}
	if change.Allowance == nil && change.Price == nil && change.Priority == nil && change.Scope == nil && change.Rollover == nil {
		o.refuse("missing_field", "a change names at least one of allowance, price, priority, scope, rollover")
	}
}

func (s *Server) getSubscription(c *call) (answer, *refusal.Refusal) {
	id, no := c.idOnly()
	if no != nil {
		return answer{}, no
	}
	sub, no := s.engine.Subscription(id)
	return shown(&sub, no, subscriptionView)
}

func (s *Server) getSubscriptions(c *call) (answer, *refusal.Refusal) {
	return accountPage(c, s.engine.Subscriptions, subscriptionView)
}

type subscriptionJSON struct {
	ID       string  `json:"id"`
	Account  string  `json:"account"`
	Period   string  `json:"period"`
	Anchor   *uint32 `json:"anchor"`
	StartsAt *string `json:"starts_at"`
	planJSON
	State        string    `json:"state"`
	PeriodNumber uint64    `json:"period_number"`
	PeriodStart  *string   `json:"period_start"`
	PeriodEnd    *string   `json:"period_end"`
	Next         *planJSON `json:"next"`
	Credited     string    `json:"credited"`
	Sequence     uint64    `json:"sequence"`
	Time         string    `json:"time"`
}

type planJSON struct {
	Allowance string        `json:"allowance"`
	Price     string        `json:"price"`
	Priority  uint32        `json:"priority"`
	Scope     scopeJSON     `json:"scope"`
	Rollover  *rolloverJSON `json:"rollover"`
}

type rolloverJSON struct {
	Max     string `json:"max"`
	Periods uint32 `json:"periods"`
}

func planView(p *engine.PlanSpec) planJSON {
	v := planJSON{Allowance: p.Allowance.String(), Price: p.Price.String(), Priority: p.Priority, Scope: scopeView(&p.Scope)}
	if r := p.Rollover; r != nil {
		v.Rollover = &rolloverJSON{r.Max.String(), r.Periods}
	}
	return v
}

func subscriptionView(s *engine.Subscription) any {
	v := subscriptionJSON{ID: s.ID, Account: s.Account, Period: s.Period, StartsAt: timeOrNull(s.Starts), planJSON: planView(&s.Plan), State: s.State,
		PeriodNumber: s.PeriodNumber, PeriodStart: timeOrNull(s.PeriodStart), PeriodEnd: timeOrNull(s.PeriodEnd),
		Credited: s.Credited.String(), Sequence: s.Sequence, Time: timeText(s.Time)}
	if s.Anchor != 0 {
		v.Anchor = &s.Anchor
	}
	if s.Next != nil {
		next := planView(s.Next)
		v.Next = &next
	}
	return v
}
