package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// demoCredit lets the organisation's agents work, and compares every answer with
// what the purse says. The demo's goroutine owns it.
type demoCredit struct {
	client *client.Client
	world  *demoWorld
	purse  *demoPurse
	events []*demoEvent // captured
	deeds  []demoDeed   // in the order of the table
	// faults of holds and captures, and of what the kill left.
	faults, lost []error
	// What is read at the end.
	grants  []client.Grant
	notices []client.Notification
	trial   client.LimitUsed
	budget  client.LimitUsed
	asks    []client.TopUpRequest
}

// demoDeed is what became of a call, as the server says.
type demoDeed struct {
	call      demoHold
	held      client.Money
	captured  *client.Captured  // nil: it was not
	refused   *client.Shortfall // nil: it was not
	grant     decimal.Decimal   // what paid
	paid      decimal.Decimal
	available client.Money // of the organisation after it
}

func newDemoCredit(w *demoWorld, c *client.Client) *demoCredit {
	return &demoCredit{client: c, world: w, purse: newDemoPurse(w.plan)}
}

// again asks until there is an answer: connections do not survive the kill. Every
// request of the demo may be repeated.
func again(ctx context.Context, op func(context.Context) error) error {
	return client.Retry(ctx, 20*time.Millisecond, op)
}

// work does calls one after another.
func (c *demoCredit) work(ctx context.Context, calls []demoHold) error {
	for _, call := range calls {
		deed, err := c.place(ctx, call)
		if err != nil {
			return err
		}
		if deed.refused == nil {
			err = c.capture(ctx, deed)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fault notes a fault of a call unless ok.
func (c *demoCredit) fault(ok bool, call demoHold, format string, args ...any) {
	if !ok {
		c.faults = append(c.faults, fmt.Errorf("%w: %s %s", errDemo, call.id, fmt.Sprintf(format, args...)))
	}
}

// place holds a call's estimate. A hold that does not fit is done with.
func (c *demoCredit) place(ctx context.Context, call demoHold) (*demoDeed, error) {
	deed := demoDeed{call: call}
	var held client.Held
	err := again(ctx, func(ctx context.Context) (err error) {
		estimate := &client.Estimate{Type: "llm.tokens", Model: call.model, Usage: call.estimate}
		held, err = c.client.Hold(ctx, client.NewHold{ID: call.id, Account: call.account, Estimate: estimate, TTL: call.ttl})
		return err
	})
	if short, ok := client.ShortfallOf(err); ok {
		deed.refused, err = &short, nil
	}
	if err != nil {
		return nil, err
	}
	amount := call.cost(c.world, call.estimate)
	_, short := c.purse.hold(call, amount)
	if short == nil && deed.refused == nil {
		deed.held = held.Amount
		c.fault(held.Amount.Equal(amount), call, "holds %s, want %s", held.Amount, amount)
	} else {
		c.fault(sameShortfall(short, deed.refused), call, "is refused for %+v, want %+v", deed.refused, short)
	}
	if err := c.look(ctx, &deed); err != nil {
		return nil, err
	}
	c.deeds = append(c.deeds, deed)
	return &c.deeds[len(c.deeds)-1], nil
}

func sameShortfall(a, b *client.Shortfall) bool {
	return a != nil && b != nil && a.Account == b.Account && a.Limit == b.Limit && a.Asked.Equal(b.Asked.Decimal) && a.Left.Equal(b.Left.Decimal)
}

// capture charges what a held call used.
func (c *demoCredit) capture(ctx context.Context, deed *demoDeed) error {
	call := deed.call
	e := call.event()
	var captured client.Captured
	err := again(ctx, func(ctx context.Context) (err error) {
		captured, err = c.client.Capture(ctx, call.id, e.Event)
		return err
	})
	if err != nil {
		return err
	}
	booked, err := c.client.Booked(ctx, e.Source, e.ID)
	if err != nil {
		return err
	}
	deed.captured, deed.grant, deed.paid = &captured, decimal.Zero, decimal.Zero
	for _, t := range booked.Transfers {
		switch t.DebitClass {
		case "promo_grants":
			deed.grant = deed.grant.Add(t.Amount.Decimal)
		case "paid":
			deed.paid = deed.paid.Add(t.Amount.Decimal)
		}
	}
	want := c.purse.capture(call, call.cost(c.world, call.used))
	c.fault(captured.Charged.Equal(want.charged) && captured.Released.Equal(want.released) && captured.Lost.IsZero(), call,
		"is charged %s and releases %s, want %s and %s", captured.Charged, captured.Released, want.charged, want.released)
	c.fault(deed.grant.Equal(want.grant) && deed.paid.Equal(want.paid), call,
		"is paid %s by the grant and %s from paid credit, want %s and %s", deed.grant, deed.paid, want.grant, want.paid)
	c.events = append(c.events, e)
	return c.look(ctx, deed)
}

// look sees what the organisation has now.
func (c *demoCredit) look(ctx context.Context, deed *demoDeed) error {
	b, err := c.client.Balance(ctx, demoOrg)
	if err != nil {
		return err
	}
	if b.Available == nil {
		return fmt.Errorf("%w: the credit of %s is said to be unlimited", errDemo, demoOrg)
	}
	deed.available = *b.Available
	held := c.purse.held().sum()
	c.fault(b.Available.Equal(c.purse.available()) && b.Held.Equal(held), deed.call,
		"leaves %s available and %s held, want %s and %s", b.Available, b.Held, c.purse.available(), held)
	return nil
}

// open places the holds that the kill must not touch, and says what they hold.
func (c *demoCredit) open(ctx context.Context) (decimal.Decimal, error) {
	for _, call := range c.world.plan.across {
		if _, err := c.place(ctx, call); err != nil {
			return decimal.Zero, err
		}
	}
	return c.purse.held().sum(), nil
}

// survived looks at these holds after the kill, and captures them. Then it leaves
// a hold alone.
func (c *demoCredit) survived(ctx context.Context) error {
	first := len(c.deeds) - len(c.world.plan.across)
	for i := range c.world.plan.across {
		deed := &c.deeds[first+i]
		var found client.HoldHistory
		err := again(ctx, func(ctx context.Context) (err error) {
			found, err = c.client.GetHold(ctx, deed.call.id)
			return err
		})
		if err != nil {
			return err
		}
		want := c.purse.open[deed.call.id]
		granted := decimal.Zero
		for _, g := range found.Grants {
			granted = granted.Add(g.Amount.Decimal)
		}
		if found.State != "held" || !found.Amount.Equal(want.sum()) || !granted.Equal(want.grant) {
			c.lost = append(c.lost, fmt.Errorf("%w: after the kill %s is %s with %s, %s of it the grant's; want %s held, %s the grant's",
				errDemo, deed.call.id, found.State, found.Amount, granted, want.sum(), want.grant))
		}
	}
	for i := range c.world.plan.across {
		if err := c.capture(ctx, &c.deeds[first+i]); err != nil {
			return err
		}
	}
	_, err := c.place(ctx, c.world.plan.left)
	return err
}

// finish does the rest: the hold that was left alone expires, the credit runs
// out and is topped up, the budget is reached.
func (c *demoCredit) finish(ctx context.Context) error {
	if _, err := c.await(ctx, "hold.expired"); err != nil {
		return err
	}
	left := &c.deeds[len(c.deeds)-1]
	c.purse.expire(left.call)
	if err := c.look(ctx, left); err != nil {
		return err
	}
	if err := c.work(ctx, c.world.plan.poorer); err != nil {
		return err
	}
	if err := c.pay(ctx); err != nil {
		return err
	}
	if err := c.work(ctx, c.world.plan.later); err != nil {
		return err
	}
	return c.read(ctx)
}

// pay answers the request for a top-up, as who runs the payments would.
func (c *demoCredit) pay(ctx context.Context) error {
	notice, err := c.await(ctx, "topup.requested")
	if err != nil {
		return err
	}
	var asked demoNotice
	if err := json.Unmarshal(notice.Data, &asked); err != nil {
		return err
	}
	if _, err := c.client.AnswerTopUp(ctx, asked.Request, client.TopUpAnswer{ID: "paid-" + asked.Request, Status: "paid"}); err != nil {
		return err
	}
	c.purse.refill()
	deed := demoDeed{call: demoHold{id: "top-up", remark: fmt.Sprintf("%s answered: paid %s", asked.Request, asked.Amount)}}
	if err := c.look(ctx, &deed); err != nil {
		return err
	}
	c.deeds = append(c.deeds, deed)
	return nil
}

// demoNotice is what notifications say, each some of it.
type demoNotice struct {
	Request, Hold, Limit, Per, Amount, Available, Threshold, Spent string
}

// await reads the notifications until there is one of a type.
func (c *demoCredit) await(ctx context.Context, kind string) (client.Notification, error) {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	for after := uint64(0); ; {
		notices, err := c.client.Notifications(ctx, after, time.Second)
		if err != nil {
			return client.Notification{}, fmt.Errorf("wait for %s: %w", kind, err)
		}
		for _, n := range notices {
			if after = n.Sequence; n.Type == kind {
				return n, nil
			}
		}
	}
}

// read reads what is there in the end.
func (c *demoCredit) read(ctx context.Context) (err error) {
	if c.grants, err = c.client.Grants(ctx, demoOrg); err != nil {
		return err
	}
	if c.notices, err = c.client.Notifications(ctx, 0, 0); err != nil {
		return err
	}
	if c.asks, err = c.client.TopUpRequests(ctx, demoOrg); err != nil {
		return err
	}
	c.trial, err = c.limit(ctx, demoBot, demoTrial)
	if err == nil {
		c.budget, err = c.limit(ctx, demoTeam, demoBudget)
	}
	return err
}

func (c *demoCredit) limit(ctx context.Context, account, name string) (client.LimitUsed, error) {
	all, err := c.client.Limits(ctx, account)
	for _, l := range all.Limits {
		if l.Name == name {
			return l, nil
		}
	}
	return client.LimitUsed{}, errors.Join(err, fmt.Errorf("%w: %s has no limit %s", errDemo, account, name))
}
