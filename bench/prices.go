package bench

import (
	"encoding/json"
	"fmt"
	"time"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// model is a row of the workloads' price list, per token.
type model struct {
	name                  string
	input, cached, output string
}

// catalogue is list prices of well-known models in late 2025; their magnitude
// is what matters: six to eight decimals.
func catalogue() []model {
	return []model{
		{"gpt-4o", "0.0000025", "0.00000125", "0.00001"},
		{"gpt-4o-mini", "0.00000015", "0.000000075", "0.0000006"},
		{"claude-sonnet-4", "0.000003", "0.0000003", "0.000015"},
		{"claude-3.5-haiku", "0.0000008", "0.00000008", "0.000004"},
		{"gemini-2.5-pro", "0.00000125", "0.00000031", "0.00001"},
		{"gemini-2.5-flash", "0.0000003", "0.000000075", "0.0000025"},
		{"mistral-large", "0.000002", "0.0000002", "0.000006"},
		{"llama-3.3-70b", "0.00000059", "0.000000059", "0.00000079"},
		{"deepseek-chat", "0.00000027", "0.00000007", "0.0000011"},
		{"command-r-plus", "0.0000025", "0.00000025", "0.00001"},
		{"o3", "0.000002", "0.0000005", "0.000008"},
		{"o4-mini", "0.0000011", "0.000000275", "0.0000044"},
	}
}

// providers is how many payees share the models.
const providers = 3

func providerOf(model int) int { return model % providers }

// priceBook is the version that the run puts. It is in force a little before
// now because the server's clock decides, not ours.
func priceBook(n names, models []model, now time.Time) client.Book {
	book := client.Book{EffectiveFrom: now.Add(-2 * time.Second).UTC()}
	for i, m := range models {
		book.Prices = append(book.Prices, client.Price{
			Meter: "llm.tokens", Currency: "USD", Match: map[string]string{"model": m.name},
			Components: map[string]json.RawMessage{
				"input": quoted(m.input), "cached_input": quoted(m.cached), "output": quoted(m.output),
			},
			Payee: n.provider(providerOf(i)),
		})
	}
	return book
}

func quoted(s string) json.RawMessage { return json.RawMessage(`"` + s + `"`) }

// draw is what one event of a request uses.
type draw struct {
	payer, model          int
	input, cached, output uint64
}

// estimatedOutput is what a hold reserves for the answer: the bound of tokens that a caller
// sets. No draw uses more, so no capture takes more than was held.
const estimatedOutput = 1000

// estimate is what is known before the answer: the prompt, none of it surely cached.
func (d draw) estimate() draw {
	return draw{payer: d.payer, model: d.model, input: d.input + d.cached, output: estimatedOutput}
}

// costPlaces are the decimals of all prices of the catalogue: a cost is a whole number of
// billionths.
const costPlaces = 9

// cost is what an event like d comes to, in billionths. Whole numbers, because the sums of a
// run have millions of terms and must be exact.
func (d draw) cost(models []model) uint64 {
	m := models[d.model]
	of := func(price string, quantity uint64) decimal.Decimal {
		return decimal.RequireFromString(price).Mul(decimal.NewFromUint64(quantity))
	}
	cost := of(m.input, d.input).Add(of(m.cached, d.cached)).Add(of(m.output, d.output)).Shift(costPlaces)
	if !cost.IsInteger() {
		panic(fmt.Sprintf("BUG: bench: %s has a price of more than %d places", m.name, costPlaces))
	}
	return cost.BigInt().Uint64()
}

// billionths is n of them as an amount.
func billionths(n uint64) decimal.Decimal { return decimal.NewFromUint64(n).Shift(-costPlaces) }
