package main

import (
	"maps"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// demoPurse is what the organisation's credit must be, computed beside the
// server: what there is, what open holds reserve of it, and what has to be told.
type demoPurse struct {
	plan        *demoPlan
	paid, grant decimal.Decimal // what is left, with what is held of it
	spent       decimal.Decimal // by the team
	given       decimal.Decimal // to the organisation, in all
	open        map[string]demoReserve
	shadowed    []string // holds above the limit on trial
	seen        int      // holds that the limit on trial has seen
	low, asked  bool     // credit.low was told, a request is open
	told        []string // types of notifications
}

// demoReserve is what a hold reserves.
type demoReserve struct {
	account     string
	grant, paid decimal.Decimal
}

func (r demoReserve) sum() decimal.Decimal { return r.grant.Add(r.paid) }

// demoCharge is what a capture does.
type demoCharge struct{ charged, released, grant, paid decimal.Decimal }

func newDemoPurse(p *demoPlan) *demoPurse {
	return &demoPurse{plan: p, paid: p.topUp, grant: p.grant, given: p.topUp.Add(p.grant), open: map[string]demoReserve{}}
}

// held sums what open holds reserve.
func (p *demoPurse) held() (sum demoReserve) {
	for _, r := range p.open {
		sum.grant, sum.paid = sum.grant.Add(r.grant), sum.paid.Add(r.paid)
	}
	return sum
}

// available is the paid credit that nothing holds. The grant is not for all
// usage, so it is not in it.
func (p *demoPurse) available() decimal.Decimal { return p.paid.Sub(p.held().paid) }

// freeGrant is what a call of a model may take of the grant.
func (p *demoPurse) freeGrant(model string) decimal.Decimal {
	if model != p.plan.model {
		return decimal.Zero
	}
	return p.grant.Sub(p.held().grant)
}

// hold reserves, or says what does not fit: the limits from the agent up, then
// the credit.
func (p *demoPurse) hold(h demoHold, amount decimal.Decimal) (demoReserve, *client.Shortfall) {
	if short := p.refusal(h, amount); short != nil {
		return demoReserve{}, short
	}
	r := demoReserve{account: h.account, grant: decimal.Min(amount, p.freeGrant(h.model))}
	r.paid = amount.Sub(r.grant)
	p.open[h.id] = r
	if h.account == demoBot {
		if p.seen++; amount.GreaterThan(p.plan.trial) {
			p.shadowed = append(p.shadowed, h.id)
		}
	}
	p.look()
	return r, nil
}

// refusal is what does not fit. Each limit is reached once at most in what the agents do.
func (p *demoPurse) refusal(h demoHold, amount decimal.Decimal) *client.Shortfall {
	beyond := func(account, limit string, left decimal.Decimal) *client.Shortfall {
		if !amount.GreaterThan(left) {
			return nil
		}
		return &client.Shortfall{Account: account, Limit: limit, Asked: client.Money{Decimal: amount}, Left: client.Money{Decimal: left}}
	}
	var short *client.Shortfall
	if h.account != demoOrg {
		if short = beyond(demoBot, demoPerCall, p.plan.perCall); short == nil {
			short = beyond(demoTeam, demoBudget, p.budgetLeft())
		}
	}
	if short != nil {
		p.told = append(p.told, "limit.reached")
		return short
	}
	return beyond(demoOrg, "credit", p.freeGrant(h.model).Add(p.available()))
}

// budgetLeft is what the team has left of its budget.
func (p *demoPurse) budgetLeft() decimal.Decimal {
	left := p.plan.budget.Sub(p.spent)
	for _, r := range p.open {
		if r.account != demoOrg {
			left = left.Sub(r.sum())
		}
	}
	return left
}

// capture charges a call: first to what it holds, the grant before paid credit,
// then to what is free, in the same order.
func (p *demoPurse) capture(h demoHold, cost decimal.Decimal) demoCharge {
	r := p.open[h.id]
	delete(p.open, h.id)
	beyond := decimal.Max(cost.Sub(r.sum()), decimal.Zero)
	c := demoCharge{charged: cost, released: r.sum().Sub(cost).Add(beyond)}
	c.grant = decimal.Min(cost, r.grant).Add(decimal.Min(beyond, p.freeGrant(h.model).Sub(r.grant)))
	c.paid = cost.Sub(c.grant)
	p.grant, p.paid = p.grant.Sub(c.grant), p.paid.Sub(c.paid)
	if h.account != demoOrg {
		p.spent = p.spent.Add(cost)
	}
	p.look()
	return c
}

// expire gives a hold's credit back.
func (p *demoPurse) expire(h demoHold) demoReserve {
	r := p.open[h.id]
	delete(p.open, h.id)
	p.told = append(p.told, "hold.expired")
	p.look()
	return r
}

// refill is the answer to the request for a top-up.
func (p *demoPurse) refill() {
	p.paid, p.given = p.paid.Add(p.plan.refill), p.given.Add(p.plan.refill)
	p.asked = false
	p.look()
}

// look sees what has to be told now.
func (p *demoPurse) look() {
	left := p.available()
	if low := left.LessThan(p.plan.low); low != p.low {
		if p.low = low; low {
			p.told = append(p.told, "credit.low")
		}
	}
	if left.LessThan(p.plan.threshold) && !p.asked {
		p.asked = true
		p.told = append(p.told, "topup.requested")
	}
}

// event is what a call used.
func (h demoHold) event() *demoEvent {
	return &demoEvent{
		Event:      client.Event{ID: h.id, Source: demoSource, Type: "llm.tokens", Subject: h.account, Model: h.model, Usage: h.used},
		components: maps.Clone(h.used),
	}
}

// cost is what usage of the call's model costs.
func (h demoHold) cost(w *demoWorld, usage map[string]uint64) decimal.Decimal {
	e := h.event()
	e.components = usage
	return w.rate(e)
}
