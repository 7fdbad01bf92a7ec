package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"time"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// The size of the settlement's world.
const (
	settlementWindows   = 24
	settlementCustomers = 60 // half of them in each currency
	settlementModels    = 24
	settlementSource    = "azure/conv"
	yenOfDollar         = 150 // what a list price is multiplied by

	straddlers    = 2  // requests that are sent beside a close
	straddlerSize = 20 // events of each
	voidsEarlier  = 6  // in each window, of events of windows before it
	voidsSame     = 2  // in each window, of its own events
	quietWindow   = 13 // in which provider 0 earns nothing in dollars, and much is taken back from it
	quietProvider = "0"
	voidsInQuiet  = 250
)

var settlementCurrencies = []string{"JPY", "USD"}

// feePlan is the operator's share, by provider.
type feePlan []string

// The two plans: the second holds for events of the second half of the trace. Some fees have so
// many decimals that the product is cut.
var feePlans = []feePlan{{"0.1", "0.125", "0.0712345678901"}, {"0.08", "0", "0.0333333333333333"}}

// settlementPlan is what is sent. It follows from the trace, the models and the seed.
type settlementPlan struct {
	now      time.Time
	turn     time.Time // from here on the second version of the prices holds
	accounts []client.Account
	models   []model // provider: without its currency
	windows  []plannedWindow
}

// plannedWindow is what is sent between two closes.
type plannedWindow struct {
	batches     [][]*bill // requests of events
	straddling  [][]*bill // those that are sent beside the close
	topups      []topup
	voidEarlier int
	voidSame    int
}

func newSettlementPlan(rng *rand.Rand, trace []traced, listed []model, now time.Time) *settlementPlan {
	p := &settlementPlan{now: now}
	p.drawModels(rng, listed)
	p.drawAccounts()
	moved := shift(trace, now)
	sort.SliceStable(moved, func(i, j int) bool { return moved[i].at.Before(moved[j].at) })
	p.turn = moved[len(moved)/2].at.UTC().Truncate(time.Second)
	each := (len(moved) + settlementWindows - 1) / settlementWindows
	n := 0
	for rows := range slices.Chunk(moved, each) {
		w := plannedWindow{voidEarlier: voidsEarlier, voidSame: voidsSame}
		number := len(p.windows) + 1
		if number == quietWindow {
			w.voidEarlier = voidsInQuiet
		}
		var all []*bill
		for _, row := range rows {
			all = append(all, p.draw(rng, n, row, number))
			n++
		}
		for range straddlers {
			at := max(0, len(all)-straddlerSize)
			w.straddling, all = append(w.straddling, all[at:]), all[:at]
		}
		w.batches = cutCharges(rng, all)
		w.topups = p.drawTopups(rng, number)
		p.windows = append(p.windows, w)
	}
	return p
}

// drawModels takes the dearest models of the list, so that a window comes to more than cents.
func (p *settlementPlan) drawModels(rng *rand.Rand, listed []model) {
	dearest := decimal.New(1, -4) // above it are prices that are no chat model's
	var usable []model
	for _, m := range listed {
		if m.output.LessThan(dearest) {
			usable = append(usable, m)
		}
	}
	sort.SliceStable(usable, func(i, j int) bool { return usable[i].output.GreaterThan(usable[j].output) })
	usable = usable[:min(len(usable), 2*settlementModels)]
	for i, pick := range rng.Perm(len(usable))[:min(len(usable), settlementModels)] {
		m := usable[pick]
		m.provider = fmt.Sprint(i % providers)
		p.models = append(p.models, m)
	}
}

func settlementProvider(provider, currency string) string {
	return "provider-" + provider + "/" + currency
}

// drawAccounts opens each provider in both currencies. The second waits for a sum worth a
// transfer, the third for one that takes many windows.
func (p *settlementPlan) drawAccounts() {
	least := map[string][]string{"USD": {"", "2.505", "40"}, "JPY": {"", "300", "6000"}}
	for i := range providers {
		for _, currency := range settlementCurrencies {
			p.accounts = append(p.accounts, client.Account{ID: settlementProvider(fmt.Sprint(i), currency), Currency: currency, Kind: "provider", MinimumPayout: least[currency][i]})
		}
	}
	for i := range settlementCustomers {
		a := client.Account{ID: customerName(i), Currency: settlementCurrencies[i%2], Kind: "customer", Billing: "postpaid"}
		if i%4 < 2 {
			a.Billing = "prepaid"
		}
		p.accounts = append(p.accounts, a)
	}
}

func (p *settlementPlan) customer(i int) client.Account {
	return p.accounts[providers*len(settlementCurrencies)+i]
}

// draw makes the event of a row. Most customers are busy in some windows and idle in others.
func (p *settlementPlan) draw(rng *rand.Rand, n int, row traced, window int) *bill {
	i := rng.IntN(settlementCustomers)
	for i%5 == window%5 {
		i = rng.IntN(settlementCustomers)
	}
	payer := p.customer(i)
	m := p.models[rng.IntN(len(p.models))]
	for (window == quietWindow || window == quietWindow-1) && payer.Currency == "USD" && m.provider == quietProvider {
		m = p.models[rng.IntN(len(p.models))]
	}
	return p.charge(client.Event{ID: fmt.Sprintf("trace-%05d", n), Source: settlementSource, Type: "llm.tokens", Subject: payer.ID,
		Time: row.at, Model: m.name, Usage: map[string]uint64{"input": row.input, "output": row.output}}, m, payer.Currency)
}

// charge is the oracle's price of an event: the list's, in the payer's currency, with the fee of
// the plan in force at the event's time.
func (p *settlementPlan) charge(e client.Event, m model, currency string) *bill {
	plan := feePlans[0]
	if !e.Time.Before(p.turn) {
		plan = feePlans[1]
	}
	input, output := m.in(currency)
	c := &bill{event: e, payer: e.Subject, payee: settlementProvider(m.provider, currency),
		input:  input.Mul(decimal.NewFromUint64(e.Usage["input"])),
		output: output.Mul(decimal.NewFromUint64(e.Usage["output"]))}
	c.fee = c.amount().Mul(decimal.RequireFromString(plan[m.provider[0]-'0'])).Truncate(18)
	return c
}

// in is the model's price of one token in a currency.
func (m model) in(currency string) (input, output decimal.Decimal) {
	if currency == "JPY" {
		rate := decimal.NewFromInt(yenOfDollar)
		return m.input.Mul(rate), m.output.Mul(rate)
	}
	return m.input, m.output
}

// books are the two versions of the prices: they differ in their fees.
func (p *settlementPlan) books() []client.Book {
	books := []client.Book{{EffectiveFrom: p.now.Add(-2 * time.Hour).UTC().Truncate(time.Second)}, {EffectiveFrom: p.turn}}
	for i := range books {
		for _, m := range p.models {
			for _, currency := range settlementCurrencies {
				input, output := m.in(currency)
				books[i].Prices = append(books[i].Prices, client.Price{Meter: "llm.tokens", Currency: currency, Match: map[string]string{"model": m.name},
					Components: map[string]json.RawMessage{"input": quoted(input), "output": quoted(output)},
					Payee:      settlementProvider(m.provider, currency), Fee: feePlans[i][m.provider[0]-'0']})
			}
		}
	}
	return books
}

func quoted(d decimal.Decimal) json.RawMessage { return json.RawMessage(`"` + d.String() + `"`) }

// drawTopups: prepaid customers top up now and then, some too little, some far too much, and
// sometimes a postpaid one pays in advance.
func (p *settlementPlan) drawTopups(rng *rand.Rand, window int) (topups []topup) {
	for i := range settlementCustomers {
		a := p.customer(i)
		if rng.IntN(map[string]int{"prepaid": 3, "postpaid": 20}[a.Billing]) != 0 {
			continue
		}
		amount := decimal.New(1+rng.Int64N(2_000_000_000), -9) // up to two dollars, to the ninth decimal
		if a.Currency == "JPY" {
			amount = amount.Mul(decimal.NewFromInt(yenOfDollar))
		}
		topups = append(topups, topup{account: a.ID, id: fmt.Sprintf("topup-%s-%d", a.ID, window), amount: client.Money{Decimal: amount}})
	}
	return topups
}

// cutCharges cuts as cutBatches does.
func cutCharges(rng *rand.Rand, all []*bill) (out [][]*bill) {
	for _, batch := range cutBatches(rng, eventsOf(all)) {
		out, all = append(out, all[:len(batch)]), all[len(batch):]
	}
	return out
}

func eventsOf(charges []*bill) []client.Event {
	events := make([]client.Event, len(charges))
	for i, c := range charges {
		events[i] = c.event
	}
	return events
}
