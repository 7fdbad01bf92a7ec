package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"farthing/bench/audit"
	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// demoWorld is who takes part in the demo and at what prices. It is immutable
// once made.
type demoWorld struct {
	customers []client.Account
	providers []client.Account
	// topups by prepaid customer. Some last and some do not.
	topups map[string]client.Money
	plan   *demoPlan // of the organisation, which is none of the customers
	// models have prices from the start, newcomer gets one after the traffic;
	// byName has all of them.
	models   []*demoModel
	newcomer *demoModel
	byName   map[string]*demoModel
	calls    map[string]demoCalls // by currency
	// since is when the first prices come into force: long before the oldest event.
	since      time.Time
	currencies map[string]string // by account
	payers     map[string]string // by account below an organisation
}

// Participants of the demo: models earn for atlas, dollar calls for geo, yen
// calls for the operator.
const (
	demoAtlas = "atlas-models"
	demoGeo   = "geo-api"
)

func newDemoWorld(now time.Time) *demoWorld {
	unit := decimal.RequireFromString
	w := &demoWorld{
		providers: []client.Account{
			{ID: demoAtlas, Currency: "USD", Kind: "provider"},
			{ID: demoGeo, Currency: "USD", Kind: "provider"},
		},
		topups: map[string]client.Money{}, byName: map[string]*demoModel{}, currencies: map[string]string{}, payers: map[string]string{},
		plan: newDemoPlan(now),
		calls: map[string]demoCalls{
			"USD": {demoGeo, []demoTier{{0, unit("0.0004")}}},
			"JPY": {audit.Operator, []demoTier{{100, unit("0")}, {10_000, unit("0.053")}, {0, unit("0.041")}}},
		},
		since:    now.Add(-time.Hour).UTC().Truncate(time.Second),
		newcomer: demoNewcomer(),
	}
	w.models = demoModels(w.since)
	for _, m := range append([]*demoModel{w.newcomer}, w.models...) {
		w.byName[m.name] = m
	}
	w.populate()
	return w
}

// populate makes the customers.
func (w *demoWorld) populate() {
	for i := range 16 {
		a := client.Account{ID: fmt.Sprintf("acme-%02d", i), Currency: "USD", Kind: "customer", Billing: "postpaid"}
		if i%2 == 0 {
			a.Billing = "prepaid"
			w.topups[a.ID] = client.M([]string{"5", "50000"}[i/2%2])
		}
		w.customers = append(w.customers, a)
	}
	for i := range 4 {
		w.customers = append(w.customers, client.Account{ID: fmt.Sprintf("nippon-%02d", i), Currency: "JPY", Kind: "customer", Billing: "postpaid"})
	}
	for _, a := range w.accounts() {
		w.currencies[a.ID] = a.Currency
		if a.Parent != "" {
			w.payers[a.ID] = w.payer(a.Parent)
		}
	}
}

// accounts are all participants, providers first: prices name them. Parents come
// before what is below them.
func (w *demoWorld) accounts() []client.Account {
	return slices.Concat(w.providers, w.customers, w.plan.accounts())
}

// payer is who pays for an account.
func (w *demoWorld) payer(account string) string {
	if root, below := w.payers[account]; below {
		return root
	}
	return account
}

// kinds is the kind of every participant.
func (w *demoWorld) kinds() map[string]string {
	kinds := map[string]string{}
	for _, a := range w.accounts() {
		kinds[a.ID] = a.Kind
	}
	return kinds
}

// currency of a participant.
func (w *demoWorld) currency(account string) string { return w.currencies[account] }

// book is the first price book: the models as the catalogue has them, and calls.
func (w *demoWorld) book() client.Book {
	book := client.Book{EffectiveFrom: w.since}
	listed := catalogueBook(w.since)
	for _, m := range w.models {
		price := listed[m.name]
		price.Payee = demoAtlas
		book.Prices = append(book.Prices, price)
	}
	for _, currency := range []string{"JPY", "USD"} {
		price := client.Price{
			Meter: "api.calls", Currency: currency, Match: map[string]string{},
			Components: map[string]json.RawMessage{"call": w.calls[currency].component()},
		}
		if payee := w.calls[currency].payee; payee != audit.Operator {
			price.Payee = payee
		}
		book.Prices = append(book.Prices, price)
	}
	return book
}

// laterBook is the first book and the newcomer. A version is the whole book
// from its time on, so this one is in force from just after the first, which is
// at the times of all events.
func (w *demoWorld) laterBook() client.Book {
	book := w.book()
	book.EffectiveFrom = w.since.Add(time.Second)
	price := w.newcomer.price()
	price.Payee = demoAtlas
	book.Prices = append(book.Prices, price)
	return book
}

// create opens the accounts, puts the prices, tops up, and sets the organisation up.
func (w *demoWorld) create(ctx context.Context, c *client.Client) error {
	for _, a := range w.accounts() {
		if err := c.Open(ctx, a); err != nil {
			return err
		}
	}
	if err := c.PutPrices(ctx, "demo-1", w.book()); err != nil {
		return err
	}
	for _, a := range w.customers {
		amount, ok := w.topups[a.ID]
		if !ok {
			continue
		}
		if err := c.TopUp(ctx, a.ID, "topup-"+a.ID, amount); err != nil {
			return err
		}
	}
	return w.plan.create(ctx, c)
}
