package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"farthing/bench/audit"
	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// demoModel is a model with its prices per token.
type demoModel struct{ name, input, cached, output string }

// demoWorld is who takes part in the demo and at what prices. It is immutable
// once made.
type demoWorld struct {
	customers []client.Account
	providers []client.Account
	models    []demoModel
	// topups by prepaid customer. Some last and some do not.
	topups map[string]client.Money
	// callPrice and callPayee of api.calls by currency.
	callPrice, callPayee map[string]string
}

// Participants of the demo: models earn for atlas, dollar calls for geo, yen
// calls for the operator.
const (
	demoAtlas = "atlas-models"
	demoGeo   = "geo-api"
)

func newDemoWorld() *demoWorld {
	w := &demoWorld{
		providers: []client.Account{
			{ID: demoAtlas, Currency: "USD", Kind: "provider"},
			{ID: demoGeo, Currency: "USD", Kind: "provider"},
		},
		models: []demoModel{
			{"gpt-4o", "0.0000025", "0.00000125", "0.00001"},
			{"gpt-4o-mini", "0.00000015", "0.000000075", "0.0000006"},
			{"claude-sonnet-4", "0.000003", "0.0000003", "0.000015"},
			{"gemini-2.5-flash", "0.0000003", "0.000000075", "0.0000025"},
		},
		topups:    map[string]client.Money{},
		callPrice: map[string]string{"USD": "0.0004", "JPY": "0.053"},
		callPayee: map[string]string{"USD": demoGeo, "JPY": audit.Operator},
	}
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
	return w
}

// kinds is the kind of every participant.
func (w *demoWorld) kinds() map[string]string {
	kinds := map[string]string{}
	for _, a := range append(append([]client.Account(nil), w.customers...), w.providers...) {
		kinds[a.ID] = a.Kind
	}
	return kinds
}

// book is the price book, in force since before the oldest event.
func (w *demoWorld) book(now time.Time) client.Book {
	raw := func(s string) json.RawMessage { return json.RawMessage(`"` + s + `"`) }
	book := client.Book{EffectiveFrom: now.Add(-time.Hour).UTC().Truncate(time.Second)}
	for _, m := range w.models {
		book.Prices = append(book.Prices, client.Price{
			Meter: "llm.tokens", Currency: "USD", Match: map[string]string{"model": m.name}, Payee: demoAtlas,
			Components: map[string]json.RawMessage{"input": raw(m.input), "cached_input": raw(m.cached), "output": raw(m.output)},
		})
	}
	for _, currency := range []string{"JPY", "USD"} {
		price := client.Price{
			Meter: "api.calls", Currency: currency, Match: map[string]string{},
			Components: map[string]json.RawMessage{"call": raw(w.callPrice[currency])},
		}
		if payee := w.callPayee[currency]; payee != audit.Operator {
			price.Payee = payee
		}
		book.Prices = append(book.Prices, price)
	}
	return book
}

// currencyOf is the currency of a customer.
func (w *demoWorld) currencyOf(customer string) string {
	for _, a := range w.customers {
		if a.ID == customer {
			return a.Currency
		}
	}
	return ""
}

// rate is the demo's own idea of an event's amount, in decimals.
func (w *demoWorld) rate(e client.Event) (amount decimal.Decimal, payee string, priced bool) {
	if e.Type == "api.calls" {
		currency := w.currencyOf(e.Subject)
		return decimal.RequireFromString(w.callPrice[currency]), w.callPayee[currency], true
	}
	for _, m := range w.models {
		if m.name != e.Model {
			continue
		}
		of := func(price, component string) decimal.Decimal {
			return decimal.RequireFromString(price).Mul(decimal.NewFromUint64(e.Usage[component]))
		}
		return of(m.input, "input").Add(of(m.cached, "cached_input")).Add(of(m.output, "output")), demoAtlas, true
	}
	return decimal.Zero, "", false
}

// create opens the accounts, puts the prices and tops up.
func (w *demoWorld) create(ctx context.Context, c *client.Client) error {
	for _, a := range append(append([]client.Account(nil), w.providers...), w.customers...) {
		if err := c.Open(ctx, a); err != nil {
			return err
		}
	}
	if err := c.PutPrices(ctx, "demo-1", w.book(time.Now())); err != nil {
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
	return nil
}
