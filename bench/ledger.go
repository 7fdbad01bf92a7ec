package bench

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// credit is what a payer of holds has at the beginning: more than a run of days
// uses, and a whole number of billionths.
const credit = "1000000000"

// The limits of every account of a chain: of three kinds, none of which bites.
// The last one's counts are compared at the end.
const (
	wideCount  = uint64(1) << 60
	wideAmount = "1000000000000"
	limitTotal = "total"
)

func wideLimits() client.NewLimits {
	amount, count := client.M(wideAmount), wideCount
	return client.NewLimits{Limits: []client.Limit{
		{Name: "rate", Per: "minute", Count: &count},
		{Name: "daily", Per: "day", Amount: &amount},
		{Name: limitTotal, Per: "total", Amount: &amount},
	}}
}

// prepare opens the accounts, gives those of holds credit, and puts the prices.
func (r *run) prepare(ctx context.Context) error {
	if err := r.client.Ready(ctx); err != nil {
		return err
	}
	err := r.errands(ctx, providers, func(i int) errand {
		return post(http.MethodPost, "/v1/accounts", client.Account{ID: r.tree.names.provider(i), Currency: "USD", Kind: "provider"})
	}, nil)
	if err != nil {
		return err
	}
	for level := range r.tree.depth { // a parent comes before its children
		err := r.errands(ctx, r.tree.count(level), func(i int) errand {
			return post(http.MethodPost, "/v1/accounts", r.account(level, i))
		}, nil)
		if err != nil {
			return err
		}
	}
	if err := r.prepareCredit(ctx); err != nil {
		return err
	}
	return r.client.PutPrices(ctx, r.tree.names.book(), priceBook(r.tree.names, r.models, time.Now()))
}

func (r *run) account(level, number int) client.Account {
	a := client.Account{ID: r.tree.name(level, number), Currency: "USD", Kind: "customer", Parent: r.tree.parent(level, number)}
	switch {
	case level > 0: // as the root
	case r.opts.Workload.prepaid():
		a.Billing = "prepaid"
	default:
		a.Billing = "postpaid"
	}
	return a
}

// prepareCredit gives the roots credit and, in chains, every account its limits.
func (r *run) prepareCredit(ctx context.Context) error {
	if !r.opts.Workload.prepaid() {
		return nil
	}
	err := r.errands(ctx, r.tree.count(0), func(i int) errand {
		root := r.tree.name(0, i)
		return post(http.MethodPost, accountPath(root)+"/topups", map[string]string{"id": root, "amount": credit, "reference": "bench"})
	}, nil)
	if err != nil || !r.opts.Chain {
		return err
	}
	limits := post(http.MethodPut, "", wideLimits()).body
	return r.errands(ctx, r.tree.nodes(), func(i int) errand {
		return errand{http.MethodPut, accountPath(r.tree.name(r.tree.at(i))) + "/limits", limits}
	}, nil)
}

// Check is what the server's balances came to.
type Check struct {
	// Accounts compared, payers and payees.
	Accounts int `json:"accounts"`
	// Events booked, warm-up included.
	Events uint64 `json:"events"`
	// Total that the payers were charged, which is what the payees are owed.
	Total string `json:"total"`
}

// check compares every account with what was sent times its price. No holds are
// left, and in chains the limits have counted the same as the balances.
func (r *run) check(ctx context.Context) (Check, error) {
	b := r.expected()
	spent, calls := r.tree.sums(b.spent), r.tree.sums(b.calls)
	n := r.tree.nodes()
	balanceOf := func(i int) errand { return errand{http.MethodGet, accountPath(r.tree.name(r.tree.at(i))), nil} }
	err := r.errands(ctx, n, balanceOf, func(i int, body []byte) error {
		level, number := r.tree.at(i)
		want := decimal.Zero // a child has no money
		if level == 0 {
			want = r.granted().Sub(billionths(spent[0][number]))
		}
		return compare(balanceOf(i), body, want)
	})
	if err != nil {
		return Check{}, fmt.Errorf("read the balances: %w", err)
	}
	payeeOf := func(i int) errand { return errand{http.MethodGet, accountPath(r.tree.names.provider(i)), nil} }
	err = r.errands(ctx, providers, payeeOf, func(i int, body []byte) error {
		return compare(payeeOf(i), body, billionths(b.earned[i]))
	})
	if err != nil {
		return Check{}, fmt.Errorf("read the payees' balances: %w", err)
	}
	if r.opts.Chain {
		if err := r.checkLimits(ctx, spent, calls); err != nil {
			return Check{}, err
		}
	}
	total := uint64(0)
	for _, earned := range b.earned {
		total += earned
	}
	return Check{Accounts: n + providers, Events: b.events, Total: billionths(total).String()}, r.checkTrial(ctx)
}

// granted is what a root had before the first request.
func (r *run) granted() decimal.Decimal {
	if r.opts.Workload.prepaid() {
		return decimal.RequireFromString(credit)
	}
	return decimal.Zero
}

// compare reads a balance and says how it differs from what it should be.
func compare(e errand, body []byte, want decimal.Decimal) error {
	var b client.Balance
	if err := readInto(e, body, &b); err != nil {
		return err
	}
	if !b.Posted.Equal(want) {
		return fmt.Errorf("%w: %s has %s, want %s", ErrSum, b.ID, b.Posted, want)
	}
	if !b.Held.IsZero() {
		return fmt.Errorf("%w: %s has %s held, want 0", ErrSum, b.ID, b.Held)
	}
	return nil
}

// checkLimits compares what the limits of every node have counted.
func (r *run) checkLimits(ctx context.Context, spent, calls [][]uint64) error {
	limitsOf := func(i int) errand {
		return errand{http.MethodGet, accountPath(r.tree.name(r.tree.at(i))) + "/limits", nil}
	}
	err := r.errands(ctx, r.tree.nodes(), limitsOf, func(i int, body []byte) error {
		var l client.Limits
		if err := readInto(limitsOf(i), body, &l); err != nil {
			return err
		}
		at := slices.IndexFunc(l.Limits, func(l client.LimitUsed) bool { return l.Name == limitTotal })
		if at < 0 {
			return fmt.Errorf("%w: %s has lost its limits", ErrSum, l.Account)
		}
		level, number := r.tree.at(i)
		used, wantSpent, wantCalls := l.Limits[at], billionths(spent[level][number]), calls[level][number]
		if !used.Spent.Equal(wantSpent) || used.Calls != wantCalls || !used.Held.IsZero() {
			return fmt.Errorf("%w: the limits of %s counted %s spent, %s held, %d calls, want %s, 0, %d",
				ErrSum, l.Account, used.Spent, used.Held, used.Calls, wantSpent, wantCalls)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the limits: %w", err)
	}
	return nil
}

func (r *run) checkTrial(ctx context.Context) error {
	rows, err := r.client.TrialBalance(ctx)
	if err != nil {
		return fmt.Errorf("read the trial balance: %w", err)
	}
	for _, row := range rows {
		if !row.Debits.Equal(row.Credits.Decimal) {
			return fmt.Errorf("%w: %s debits %s, credits %s", ErrSum, row.Currency, row.Debits, row.Credits)
		}
	}
	return nil
}

// books is what was sent times its price, in billionths.
type books struct {
	spent, calls []uint64 // by payer
	earned       [providers]uint64
	events       uint64
}

// expected adds up what the workers sent. Call it after they have ended.
func (r *run) expected() books {
	b := books{spent: make([]uint64, r.opts.Accounts), calls: make([]uint64, r.opts.Accounts)}
	for _, w := range r.workers {
		for _, t := range w.turns {
			b.events += t.sent * uint64(len(t.draws))
			for i, d := range t.draws {
				b.add(t, i, d.cost(r.models))
			}
		}
	}
	return b
}

// add adds all sendings of a turn's element i.
func (b *books) add(t *turn, i int, cost uint64) {
	b.earned[providerOf(t.draws[i].model)] += cost * t.sent
	if !t.payers.change() {
		b.spent[t.draws[i].payer] += cost * t.sent
		b.calls[t.draws[i].payer] += t.sent
		return
	}
	for n := range t.sent {
		payer := t.payers.of(t, i, n)
		b.spent[payer] += cost
		b.calls[payer]++
	}
}
