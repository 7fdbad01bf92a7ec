package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// preparing is the number of requests in flight while accounts are opened and
// read: enough for group commit, few enough to be gentle.
const preparing = 32

// prepare opens the accounts and puts the prices.
func (r *run) prepare(ctx context.Context) error {
	if err := r.client.Ready(ctx); err != nil {
		return err
	}
	accounts := make([]client.Account, 0, r.opts.Accounts+providers)
	for i := range providers {
		accounts = append(accounts, client.Account{ID: r.names.provider(i), Currency: "USD", Kind: "provider"})
	}
	for i := range r.opts.Accounts {
		accounts = append(accounts, client.Account{ID: r.names.payer(i), Currency: "USD", Kind: "customer", Billing: "postpaid"})
	}
	err := each(len(accounts), func(i int) error {
		return client.Retry(ctx, backoff, func(ctx context.Context) error { return r.client.Open(ctx, accounts[i]) })
	})
	if err != nil {
		return err
	}
	return r.client.PutPrices(ctx, r.names.book(), priceBook(r.names, r.models, time.Now()))
}

// each calls f(0..n-1), several at a time, and returns the first error.
func each(n int, f func(i int) error) error {
	next := make(chan int)
	errs := make(chan error, preparing)
	var wg sync.WaitGroup
	for range preparing {
		wg.Go(func() {
			var first error
			for i := range next {
				if first == nil { // else only drain
					first = f(i)
				}
			}
			errs <- first
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Check is what the server's balances came to.
type Check struct {
	// Accounts compared, payers and payees.
	Accounts int `json:"accounts"`
	// Events booked, warm-up included.
	Events uint64 `json:"events"`
	// Total that the payers owe, which is what the payees are owed.
	Total string `json:"total"`
}

// check compares every account's posted with what was sent times its price.
func (r *run) check(ctx context.Context) (Check, error) {
	want, events := r.expected()
	accounts := make([]string, 0, len(want))
	for id := range want {
		accounts = append(accounts, id)
	}
	got := make([]decimal.Decimal, len(accounts))
	err := each(len(accounts), func(i int) error {
		b, err := r.client.Balance(ctx, accounts[i])
		got[i] = b.Posted.Decimal
		return err
	})
	if err != nil {
		return Check{}, fmt.Errorf("read the balances: %w", err)
	}
	total := decimal.Zero
	for i, id := range accounts {
		if !got[i].Equal(want[id]) {
			return Check{}, fmt.Errorf("%w: %s has %s, want %s", ErrSum, id, got[i], want[id])
		}
		if got[i].IsPositive() {
			total = total.Add(got[i])
		}
	}
	return Check{Accounts: len(accounts), Events: events, Total: total.String()}, r.checkTrial(ctx)
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

// expected is the posted amount of every account of the run, computed in
// decimals from what the workers sent. Call it after they have ended.
func (r *run) expected() (map[string]decimal.Decimal, uint64) {
	posted := map[string]decimal.Decimal{}
	for i := range r.opts.Accounts {
		posted[r.names.payer(i)] = decimal.Zero
	}
	for i := range providers {
		posted[r.names.provider(i)] = decimal.Zero
	}
	events := uint64(0)
	for _, w := range r.workers {
		for _, req := range w.requests {
			events += req.sent * uint64(len(req.draws))
			for _, d := range req.draws {
				cost := d.cost(r.models, req.sent)
				payer, payee := r.names.payer(d.payer), r.names.provider(providerOf(d.model))
				posted[payer] = posted[payer].Sub(cost)
				posted[payee] = posted[payee].Add(cost)
			}
		}
	}
	return posted, events
}
