package main

import (
	"errors"
	"fmt"
	"slices"
)

// check notes what the organisation's credit must come to.
func (c *demoCredit) check(d *demo) {
	d.check("every hold, capture and refusal of "+demoOrg+" came to what it must", errors.Join(c.faults...))
	d.check("the holds that were open at the kill -9 were all there after it", errors.Join(c.lost...))
	d.check("the promo grant was used up before paid credit", c.checkGrant())
	d.check("low credit, one request for a top-up, and limits reached were told once each", c.checkNotices())
	d.check("the budget counts what was spent, and the shadow limit what it would have refused", c.checkLimits())
}

func (c *demoCredit) checkGrant() error {
	used := c.world.plan.grant.Sub(c.purse.grant)
	if len(c.grants) != 1 {
		return fmt.Errorf("%w: %d grants, want 1", errDemo, len(c.grants))
	}
	g := c.grants[0]
	if g.ID != demoGrant || !g.Used.Equal(used) || !g.Remaining.Equal(c.purse.grant) || !g.Held.IsZero() || !g.Expired.IsZero() {
		return fmt.Errorf("%w: grant %+v, want %s used and %s left", errDemo, g, used, c.purse.grant)
	}
	left := c.world.plan.grant
	for _, deed := range c.deeds {
		left = left.Sub(deed.grant)
		if deed.call.model == c.world.plan.model && deed.paid.IsPositive() && !left.IsZero() {
			return fmt.Errorf("%w: %s took %s of paid credit although the grant had %s left", errDemo, deed.call.id, deed.paid, left)
		}
	}
	return nil
}

func (c *demoCredit) checkNotices() error {
	var told []string
	for i, n := range c.notices {
		if told = append(told, n.Type); n.Sequence != uint64(i)+1 {
			return fmt.Errorf("%w: notification %d has number %d", errDemo, i+1, n.Sequence)
		}
	}
	if !slices.Equal(told, c.purse.told) {
		return fmt.Errorf("%w: told %v, want %v", errDemo, told, c.purse.told)
	}
	if len(c.asks) != 1 || c.asks[0].State != "paid" || !c.asks[0].Amount.Equal(c.world.plan.refill) {
		return fmt.Errorf("%w: requests %+v, want one of %s, paid", errDemo, c.asks, c.world.plan.refill)
	}
	return nil
}

// recentHolds is how many holds a shadow limit keeps.
const recentHolds = 8

func (c *demoCredit) checkLimits() error {
	if b := c.budget; !b.Spent.Equal(c.purse.spent) || !b.Held.IsZero() {
		return fmt.Errorf("%w: the budget has %s spent and %s held, want %s and none", errDemo, b.Spent, b.Held, c.purse.spent)
	}
	want := slices.Clone(c.purse.shadowed)
	slices.Reverse(want) // the latest first
	want = want[:min(len(want), recentHolds)]
	if t := c.trial; t.WouldHaveRefused != uint64(len(c.purse.shadowed)) || !slices.Equal(t.Recent, want) {
		return fmt.Errorf("%w: the shadow limit would have refused %d, the last %v; want %d, %v", errDemo, t.WouldHaveRefused, t.Recent, len(c.purse.shadowed), want)
	}
	return nil
}
