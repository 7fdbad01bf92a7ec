package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

const (
	declinedEvery = 5 // requests of an organisation that raised themselves
	bankListens   = 500 * time.Millisecond
	lookEvery     = 10 * time.Millisecond
)

// bank reads the notifications and answers the requests among them. One goroutine owns it.
type bank struct {
	client *client.Client
	rng    *rand.Rand
	orgs   map[string]*organisation

	heard    []client.Notification // all, in order
	paid     map[string]decimal.Decimal
	declined int
	raised   map[string]int // requests that raised themselves, by organisation
	asked    map[string]int // requests raised by hand
	hungry   map[string]bool
}

func newBank(c *client.Client, rng *rand.Rand, orgs []*organisation) *bank {
	b := &bank{client: c, rng: rng, orgs: map[string]*organisation{}, paid: map[string]decimal.Decimal{}, raised: map[string]int{}, asked: map[string]int{}, hungry: map[string]bool{}}
	for _, o := range orgs {
		b.orgs[o.id] = o
	}
	return b
}

// run answers until stopped says so and nothing is left to be heard.
func (b *bank) run(ctx context.Context, stopped func() bool) error {
	for {
		last := stopped() // what was told before is heard below
		var heard []client.Notification
		err := client.Retry(ctx, reconnectEvery, func(ctx context.Context) (err error) {
			heard, err = b.client.Notifications(ctx, uint64(len(b.heard)), bankListens)
			return err
		})
		if err != nil {
			return err
		}
		for _, n := range heard {
			if n.Sequence != uint64(len(b.heard))+1 {
				return fmt.Errorf("%w: notification %d follows %d", errAnswer, n.Sequence, len(b.heard))
			}
			b.heard = append(b.heard, n)
			if n.Type == "topup.requested" {
				if err := b.answer(ctx, n); err != nil {
					return fmt.Errorf("request %s: %w", n.Data, err)
				}
			}
		}
		if err := b.feed(ctx); err != nil {
			return err
		}
		if last && len(heard) == 0 {
			return nil
		}
	}
}

// answer pays a request or declines it. An organisation whose request was declined runs dry
// until it asks by hand: the next request of its own would come a minute later.
func (b *bank) answer(ctx context.Context, n client.Notification) error {
	var r struct {
		Request string       `json:"request"`
		Amount  client.Money `json:"amount"`
		By      string       `json:"by"`
	}
	if err := json.Unmarshal(n.Data, &r); err != nil {
		return err
	}
	a := client.TopUpAnswer{ID: "pay-" + r.Request, Status: "paid", Reference: "wire " + r.Request}
	if r.By == "auto" {
		b.raised[n.Account]++
	}
	switch {
	case r.By == "auto" && b.raised[n.Account]%declinedEvery == 2:
		a.Status, b.hungry[n.Account] = "declined", true
	case b.rng.IntN(5) == 0: // it pays more than was asked
		more := client.Money{Decimal: r.Amount.Mul(decimal.NewFromInt(2)).Add(decimal.New(1, -18))}
		a.Amount = &more
	}
	for range 1 + b.rng.IntN(2) {
		var got client.TopUpRequest
		err := client.Retry(ctx, reconnectEvery, func(ctx context.Context) (err error) {
			got, err = b.client.AnswerTopUp(ctx, r.Request, a)
			return err
		})
		if err != nil {
			return err
		}
		if got.State != a.Status || !got.Amount.Equal(r.Amount.Decimal) || got.Account != n.Account {
			return fmt.Errorf("%w: %+v to %+v", errAnswer, got, a)
		}
	}
	switch {
	case a.Status == "declined":
		b.declined++
	case a.Amount != nil:
		b.paid[a.ID] = a.Amount.Decimal
	default:
		b.paid[a.ID] = r.Amount.Decimal
	}
	return nil
}

// feed raises a request by hand for an organisation that was declined and has run dry.
func (b *bank) feed(ctx context.Context) error {
	for id, o := range b.orgs {
		select {
		case <-o.short:
		default:
			continue
		}
		if !b.hungry[id] {
			continue
		}
		name, amount := fmt.Sprintf("%s-asks-%d", id, b.asked[id]), part(o.spend, 6)
		err := client.Retry(ctx, reconnectEvery, func(ctx context.Context) error {
			_, err := b.client.AskTopUp(ctx, id, name, amount)
			return err
		})
		if err != nil {
			return err
		}
		b.asked[id]++
		delete(b.hungry, id)
	}
	return nil
}

// looker reads limits and balances while streams run: at no look is a bound passed.
type looker struct {
	client *client.Client
	rng    *rand.Rand
	plan   *gatewayPlan
	bound  []string // accounts with limits

	looks, full int // full: nothing was left under a limit
	faults      []error
}

func (l *looker) fault(format string, args ...any) {
	l.faults = append(l.faults, fmt.Errorf(format, args...))
}

func (l *looker) run(ctx context.Context, stop <-chan struct{}) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := l.look(ctx); err != nil && !client.Temporary(err) {
			l.fault("a look: %w", err)
			return
		}
	}
}

func (l *looker) look(ctx context.Context) error {
	id := l.bound[l.rng.IntN(len(l.bound))]
	if l.rng.IntN(2) == 0 {
		for _, above := range chainOf(id)[1:] {
			if parentOf(above) != "" {
				id = above // a team, whose budget is what matters most
			}
		}
	}
	limits, err := l.client.Limits(ctx, id)
	if err != nil {
		return err
	}
	l.looks++
	for _, u := range limits.Limits {
		l.used(limits.Account, u)
	}
	root, err := l.client.Balance(ctx, l.plan.orgs[l.rng.IntN(len(l.plan.orgs))].id)
	if err != nil {
		return err
	}
	if root.Available == nil || root.Available.IsNegative() || root.Held.IsNegative() || root.Posted.LessThan(root.Held.Decimal) {
		l.fault("%s: posted %s, held %s, available %v", root.ID, root.Posted, root.Held, root.Available)
	}
	rows, err := l.client.TrialBalance(ctx)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if !row.Debits.Equal(row.Credits.Decimal) {
			l.fault("debits %s, credits %s", row.Debits, row.Credits)
		}
	}
	return nil
}

// used checks that a limit is not passed by a unit.
func (l *looker) used(account string, u client.LimitUsed) {
	reached := u.Spent.Add(u.Held.Decimal)
	if u.Per != "call" && u.Amount != nil && reached.GreaterThan(u.Amount.Decimal) || u.Count != nil && u.Calls > *u.Count || u.Passed {
		l.fault("%s: limit %s of %v and %v is passed: spent %s, held %s, %d calls", account, u.Name, u.Amount, u.Count, u.Spent, u.Held, u.Calls)
	}
	if u.Amount != nil && u.Per == "month" && reached.GreaterThan(part(u.Amount.Decimal, 99).Decimal) || u.Count != nil && u.Calls == *u.Count {
		l.full++
	}
}

// beside runs bank and looker until the returned function is called, which waits for both.
func (g *gateway) beside(ctx context.Context, b *bank, l *looker) (end func() error) {
	stop := make(chan struct{})
	var all sync.WaitGroup
	var err error
	all.Go(func() {
		err = b.run(ctx, func() bool {
			select {
			case <-stop:
				return true
			default:
				return false
			}
		})
	})
	all.Go(func() { l.run(ctx, stop) })
	return sync.OnceValue(func() error {
		close(stop)
		all.Wait()
		return err
	})
}
