package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"farthing/bench/client"
	"farthing/prices/catalogue"

	"github.com/shopspring/decimal"
)

// demoModel is a model with its prices.
type demoModel struct {
	name string
	// format is that of the usage object that the model's provider sends; with
	// "" the events carry components.
	format string
	// reasons says that its answers may cost reasoning.
	reasons bool
	vendor  string // for the table of prices
	listed  []catalogue.Component
	prices  map[string]demoPrice // by component
}

// demoPrice is the price of one unit of a component, and the one that replaces
// it where an event has more than above tokens of input (0: never).
type demoPrice struct {
	unit, long decimal.Decimal
	above      uint64
}

// demoModels are what the catalogue says of well-known models of several
// vendors, at a moment.
func demoModels(at time.Time) []*demoModel {
	models := []*demoModel{
		{name: "gpt-5-mini", format: "openai", reasons: true},
		{name: "claude-sonnet-4-5", format: "anthropic"},
		{name: "gemini-2.5-pro", reasons: true},
		{name: "mistral-large-2512"},
		{name: "grok-4-0709", reasons: true},
	}
	all := catalogue.Open().Models()
	for _, m := range models {
		for i := range all {
			if all[i].Names[0] == m.name {
				m.vendor, m.listed = all[i].Vendor, all[i].Sets(at)[0].Components
			}
		}
		if m.listed == nil {
			panic("BUG: the catalogue does not have " + m.name)
		}
		m.prices = demoPricesOf(m.listed)
	}
	return models
}

// demoNewcomer is the model that has no price when its first events come.
func demoNewcomer() *demoModel {
	per := func(component, unit string) catalogue.Component {
		return catalogue.Component{Name: component, Unit: unit, Per: "1000000"}
	}
	m := &demoModel{name: "brand-new-model", listed: []catalogue.Component{
		per("input", "1.75"), per("cached_input", "0.175"), per("output", "14"),
	}}
	m.prices = demoPricesOf(m.listed)
	return m
}

// demoPricesOf reads listed prices as decimals.
func demoPricesOf(listed []catalogue.Component) map[string]demoPrice {
	prices := map[string]demoPrice{}
	for _, c := range listed {
		p := demoPrice{unit: demoUnit(c.Unit, c.Per)}
		if c.AboveTokens != "" {
			above, err := strconv.ParseUint(c.AboveTokens, 10, 64)
			if err != nil {
				panic("BUG: the catalogue has a threshold of " + c.AboveTokens)
			}
			p.above, p.long = above, demoUnit(c.AboveUnit, c.Per)
		}
		prices[c.Name] = p
	}
	return prices
}

// demoUnit is the price of one unit. per is a power of ten, so that nothing is
// divided but by moving the point.
func demoUnit(price, per string) decimal.Decimal {
	zeros := strings.TrimPrefix(per, "1")
	if strings.Trim(zeros, "0") != "" || len(zeros) != len(per)-1 {
		panic("BUG: a price is per " + per)
	}
	return decimal.RequireFromString(price).Shift(-int32(len(zeros)))
}

// catalogueBook is the catalogue's own document, by model; tiers of service are
// left out.
func catalogueBook(at time.Time) map[string]client.Price {
	var book client.Book
	if err := json.Unmarshal(catalogue.Document(at), &book); err != nil {
		panic("BUG: the catalogue's document: " + err.Error())
	}
	prices := map[string]client.Price{}
	for _, p := range book.Prices {
		if len(p.Match) == 1 {
			prices[p.Match["model"]] = p
		}
	}
	return prices
}

// price is the model's price in a book of our own.
func (m *demoModel) price() client.Price {
	p := client.Price{Meter: catalogue.Meter, Currency: "USD", Match: map[string]string{"model": m.name}, Components: map[string]json.RawMessage{}}
	for _, c := range m.listed {
		p.Components[c.Name] = fmt.Appendf(nil, `{"unit":%q,"per":%q}`, c.Unit, c.Per)
	}
	return p
}

// demoCalls is the price of api.calls in one currency.
type demoCalls struct {
	payee string
	tiers []demoTier // of a month; a single one is the same price for every call
}

// demoTier is what each call costs up to and including the month's upTo-th;
// the last tier is open, its upTo is 0.
type demoTier struct {
	upTo uint64
	unit decimal.Decimal
}

// component is the price as the contract spells it.
func (c demoCalls) component() json.RawMessage {
	if len(c.tiers) == 1 {
		return fmt.Appendf(nil, "%q", c.tiers[0].unit)
	}
	tiers := make([]map[string]string, len(c.tiers))
	for i, t := range c.tiers {
		tiers[i] = map[string]string{"unit": t.unit.String()}
		if t.upTo > 0 {
			tiers[i]["up_to"] = strconv.FormatUint(t.upTo, 10)
		}
	}
	raw, err := json.Marshal(map[string]any{"graduated": tiers})
	if err != nil {
		panic("BUG: tiers: " + err.Error())
	}
	return raw
}

// parts divides a month's calls among the tiers.
func (c demoCalls) parts(calls uint64) []uint64 {
	parts := make([]uint64, len(c.tiers))
	for i, start := 0, uint64(0); i < len(c.tiers) && calls > start; i++ {
		parts[i] = calls - start
		if upTo := c.tiers[i].upTo; upTo > 0 {
			parts[i] = min(calls, upTo) - start
			start = upTo
		}
	}
	return parts
}

// cost is T(Q): what Q calls of one month cost, in whatever order they come.
func (c demoCalls) cost(calls uint64) decimal.Decimal {
	var sum decimal.Decimal
	for i, n := range c.parts(calls) {
		sum = sum.Add(c.tiers[i].unit.Mul(decimal.NewFromUint64(n)))
	}
	return sum
}
