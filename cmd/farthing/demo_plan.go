package main

import (
	"context"
	"fmt"
	"time"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// The prepaid organisation: the root has the money, the team a budget, and the
// agent's key a limit for each call.
const (
	demoOrg  = "lumen"
	demoTeam = "lumen-search"
	demoBot  = "lumen-search-bot"

	demoGrant   = "welcome"  // a promo grant
	demoBudget  = "budget"   // limits
	demoPerCall = "per-call" // that refuses
	demoTrial   = "trial"    // that only says what it would refuse
)

// demoPlan is how the organisation is set up, and what its agents do. The amounts
// are such that the credit runs out once, and then the team's budget.
type demoPlan struct {
	topUp, grant           decimal.Decimal
	low, threshold, refill decimal.Decimal // credit.low, and the automatic top-up
	budget, perCall, trial decimal.Decimal
	model                  string // that the grant is for
	per                    string // period of the budget
	expires                time.Time
	// first are done before the traffic, across are open at the kill, left is never
	// captured, poorer run the credit down, later come after the top-up.
	first, across, poorer, later []demoHold
	left                         demoHold
}

// demoHold is a call of an agent: what it is estimated at, and what it uses.
type demoHold struct {
	id, account, model string
	estimate, used     map[string]uint64
	ttl                time.Duration // 0: the server's default
	remark             string
}

func newDemoPlan(now time.Time) *demoPlan {
	amount := decimal.RequireFromString
	p := &demoPlan{
		topUp: amount("2.5"), grant: amount("1"), low: amount("1"), threshold: amount("0.5"), refill: amount("2"),
		budget: amount("4"), perCall: amount("0.8"), trial: amount("0.5"),
		model: "claude-sonnet-4-5", per: budgetPeriod(now), expires: now.AddDate(0, 0, 30).UTC().Truncate(time.Second),
	}
	n := 0
	// An estimate is 0.6 of a claude, 0.3 of a gpt; output says what comes out.
	call := func(model string, estimate, output uint64, remark string) demoHold {
		n++
		input := map[string]uint64{"gpt-5-mini": 400_000, p.model: 100_000}[model]
		tokens := func(output uint64) map[string]uint64 { return map[string]uint64{"input": input, "output": output} }
		return demoHold{id: fmt.Sprintf("call-%d", n), account: demoBot, model: model, estimate: tokens(estimate), used: tokens(output), remark: remark}
	}
	claude := func(output uint64, remark string) demoHold { return call(p.model, 20_000, output, remark) }
	gpt := func(output uint64, remark string) demoHold { return call("gpt-5-mini", 100_000, output, remark) }
	p.first = []demoHold{claude(12_000, "the grant pays first"), gpt(200_000, "used more than held")}
	p.across = []demoHold{claude(16_000, "across the kill -9; grant, then paid"), gpt(75_000, "across the kill -9")}
	p.left = claude(0, "never captured: expired")
	p.left.ttl = time.Second
	p.poorer = []demoHold{claude(20_000, ""), claude(20_000, "credit is low"), gpt(75_000, "a top-up is requested"), claude(20_000, "out of credit")}
	p.later = []demoHold{claude(20_000, "on it goes"), call(p.model, 40_000, 40_000, "too much for one call"), claude(20_000, "the budget is reached"), claude(12_000, demoOrg+" itself has no budget")}
	p.later[3].account = demoOrg
	return p
}

// budgetPeriod is the month, except in a month's last minute: then the budget
// would begin anew in the middle of the demo.
func budgetPeriod(now time.Time) string {
	if now.UTC().Month() != now.Add(time.Minute).UTC().Month() {
		return "total"
	}
	return "month"
}

// accounts are the organisation's, parents first.
func (p *demoPlan) accounts() []client.Account {
	return []client.Account{
		{ID: demoOrg, Currency: "USD", Kind: "customer", Billing: "prepaid"},
		{ID: demoTeam, Currency: "USD", Kind: "customer", Parent: demoOrg},
		{ID: demoBot, Currency: "USD", Kind: "customer", Parent: demoTeam},
	}
}

// create gives the credit and sets the limits. The accounts are open.
func (p *demoPlan) create(ctx context.Context, c *client.Client) error {
	money := func(d decimal.Decimal) *client.Money { return &client.Money{Decimal: d} }
	if err := c.TopUp(ctx, demoOrg, "topup-"+demoOrg, *money(p.topUp)); err != nil {
		return err
	}
	_, err := c.Grant(ctx, demoOrg, client.NewGrant{
		ID: demoGrant, Kind: "promo", Amount: *money(p.grant), ExpiresAt: &p.expires,
		Scope: &client.Scope{Types: []string{"llm.tokens"}, Match: map[string]string{"model": p.model}},
	})
	if err != nil {
		return err
	}
	_, err = c.PutSettings(ctx, demoOrg, client.NewSettings{
		CreditLow: money(p.low), AutoTopUp: &client.AutoTopUp{Threshold: *money(p.threshold), Amount: *money(p.refill)},
	})
	if err != nil {
		return err
	}
	_, err = c.PutLimits(ctx, demoTeam, client.NewLimits{Limits: []client.Limit{{Name: demoBudget, Per: p.per, Amount: money(p.budget)}}})
	if err != nil {
		return err
	}
	_, err = c.PutLimits(ctx, demoBot, client.NewLimits{Limits: []client.Limit{
		{Name: demoPerCall, Per: "call", Amount: money(p.perCall)},
		{Name: demoTrial, Per: "call", Amount: money(p.trial), Mode: "shadow"},
	}})
	return err
}
