package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

const (
	customers = 500
	providers = 3
	modelsMax = 40
	batchMax  = 1000
)

// topup is one credit to a prepaid customer.
type topup struct {
	account, id string
	amount      client.Money
	early       bool // before the first event, not among them
}

// scenario is everything that is sent. It follows from the trace, the models
// and the seed; only its moment differs from run to run.
type scenario struct {
	now      time.Time
	accounts []client.Account
	models   []model
	topups   []topup
	events   []client.Event
	batches  [][]client.Event // the events, cut into requests
}

// newScenario draws payer and model of each traced request.
func newScenario(rng *rand.Rand, trace []traced, listed []model, now time.Time) *scenario {
	s := &scenario{now: now}
	for i := range providers {
		s.accounts = append(s.accounts, client.Account{ID: providerName(i), Currency: "USD", Kind: "provider"})
	}
	for i := range customers {
		a := client.Account{ID: customerName(i), Currency: "USD", Kind: "customer", Billing: "postpaid"}
		if i%2 == 0 {
			a.Billing = "prepaid"
		}
		s.accounts = append(s.accounts, a)
	}
	for i, pick := range rng.Perm(len(listed))[:min(modelsMax, len(listed))] {
		m := listed[pick]
		m.provider = providerName(i % providers)
		s.models = append(s.models, m)
	}
	for i, t := range shift(trace, now) {
		s.events = append(s.events, client.Event{
			ID: fmt.Sprintf("trace-%05d", i), Source: "azure/conv", Type: "llm.tokens", Subject: customerName(rng.IntN(customers)),
			Time: t.at, Model: s.models[rng.IntN(len(s.models))].name, Usage: map[string]uint64{"input": t.input, "output": t.output},
		})
	}
	s.batches = cutBatches(rng, s.events)
	s.topups = s.drawTopups(rng)
	return s
}

func providerName(i int) string { return fmt.Sprintf("provider-%d", i) }
func customerName(i int) string { return fmt.Sprintf("customer-%03d", i) }

// cutBatches cuts the events into runs of 1 to 1,000. Sizes are uniform in
// their logarithm: uniform ones would give forty large requests and no small.
func cutBatches(rng *rand.Rand, events []client.Event) [][]client.Event {
	var batches [][]client.Event
	for len(events) > 0 {
		n := min(len(events), 1+int(math.Pow(batchMax, rng.Float64())-0.5), batchMax)
		batches = append(batches, events[:n])
		events = events[n:]
	}
	return batches
}

// drawTopups gives each prepaid customer two top-ups, before and during the
// traffic. For every other one they do not last.
func (s *scenario) drawTopups(rng *rand.Rand) []topup {
	prices := map[string]model{}
	for _, m := range s.models {
		prices[m.name] = m
	}
	spend := map[string]decimal.Decimal{}
	for _, e := range s.events {
		spend[e.Subject] = spend[e.Subject].Add(prices[e.Model].cost(e))
	}
	var topups []topup
	for i := 0; i < customers; i += 2 {
		name, percent := customerName(i), int64(100+rng.IntN(100))
		if i%4 == 0 {
			percent = int64(5 + rng.IntN(90))
		}
		total := spend[name].Mul(decimal.NewFromInt(percent)).Shift(-2)
		early := total.Shift(-1).Mul(decimal.NewFromInt(int64(1 + rng.IntN(9)))).Truncate(6)
		late := total.Sub(early).Truncate(9).Add(decimal.New(1, -9))
		for n, amount := range []decimal.Decimal{early, late} {
			if amount.IsPositive() {
				topups = append(topups, topup{name, fmt.Sprintf("topup-%s-%d", name, n), client.Money{Decimal: amount}, n == 0})
			}
		}
	}
	return topups
}

// book is the scenario's models as a price book. The components come from the
// imported book as they stand there.
func (s *scenario) book(imported client.Book) (client.Book, error) {
	byModel := standard(imported)
	book := client.Book{EffectiveFrom: s.now.Add(-2 * time.Hour).UTC().Truncate(time.Second)}
	for _, m := range s.models {
		p, ok := byModel[m.name]
		if !ok {
			return book, fmt.Errorf("the imported book lacks %s", m.name)
		}
		p.Payee = m.provider
		book.Prices = append(book.Prices, p)
	}
	return book, nil
}

// standard returns the prices that match nothing but a model, by the model: those of
// service tiers are for events that name one.
func standard(b client.Book) map[string]client.Price {
	byModel := map[string]client.Price{}
	for _, p := range b.Prices {
		if len(p.Match) == 1 {
			byModel[p.Match["model"]] = p
		}
	}
	return byModel
}

// importedOnly drops the listed models that the import left out, and those whose price is
// more than one number for input and one for output (a fee per request, a price above some
// size). It fails when a price is not the one that is listed.
func importedOnly(listed []model, imported client.Book) ([]model, error) {
	byModel := standard(imported)
	var kept []model
	for _, m := range listed {
		var input, output client.Money
		c := byModel[m.name].Components
		if json.Unmarshal(c["input"], &input) != nil || json.Unmarshal(c["output"], &output) != nil {
			continue
		}
		if !input.Equal(m.input) || !output.Equal(m.output) {
			return nil, fmt.Errorf("%s: imported %s and %s, listed %s and %s", m.name, input, output, m.input, m.output)
		}
		kept = append(kept, m)
	}
	return kept, nil
}
