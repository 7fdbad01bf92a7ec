package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/shopspring/decimal"
)

// The twin of rating: prices as the document of a version spells them, decimals of any
// length, and the rules as they are told. It shares nothing with what it judges.

// object is the JSON of a component's price, of a tier or of an alternative. A price that is
// only a unit is the object {"unit": …}.
type object = map[string]any

// modelPrice is one price of a version, from which the document is made too.
type modelPrice struct {
	meter, currency string
	match           map[string]string
	components      map[string]object
	payee, fee      string
}

// modelVersion is a price version.
type modelVersion struct {
	id     string
	from   int64 // effective, nanoseconds
	prices []modelPrice
	terms  map[string]*modelTerms // by series, once it was put
}

// modelTerms is a price that counts; versions that say the same share it.
type modelTerms struct {
	from int64 // from when they are effective
	o    object
}

// document writes the version as JSON.
func (v *modelVersion) document() []byte {
	var prices []object
	for _, p := range v.prices {
		o := object{"meter": p.meter, "currency": p.currency, "match": p.match, "components": p.components}
		if p.payee != "" {
			o["payee"], o["fee"] = p.payee, p.fee
		}
		prices = append(prices, o)
	}
	out, err := json.Marshal(object{"effective_from": time.Unix(0, v.from).UTC().Format(time.RFC3339Nano), "prices": prices})
	if err != nil {
		panic(err)
	}
	return out
}

// find returns the most specific price that matches a call in a currency, or why there is none.
func (v *modelVersion) find(c *call, currency string) (best *modelPrice, reason string) {
	for i := range v.prices {
		p := &v.prices[i]
		if p.meter == c.kind && p.currency == currency && p.matches(c) && (best == nil || len(p.match) > len(best.match)) {
			best = p
		}
	}
	if best == nil {
		return nil, "no_matching_price"
	}
	for name := range usageOf(c) {
		if best.components[name] == nil {
			return nil, "component_without_price"
		}
	}
	return best, ""
}

func (p *modelPrice) matches(c *call) bool {
	for key, value := range p.match {
		if !slices.Contains(c.dims, [2]string{key, value}) {
			return false
		}
	}
	return true
}

// usageOf is the usage of a call without what is zero; none said: one call.
func usageOf(c *call) map[string]decimal.Decimal {
	out := map[string]decimal.Decimal{}
	if c.usage == nil {
		out["call"] = decimal.NewFromInt(1)
	}
	for _, u := range c.usage {
		if q := decimal.RequireFromString(u[1]); q.IsPositive() {
			out[u[0]] = q
		}
	}
	return out
}

func number(x any) decimal.Decimal {
	if x == nil || x == "" {
		return decimal.Zero
	}
	return decimal.RequireFromString(fmt.Sprint(x))
}

// unitOf is unit ÷ per.
func unitOf(o object) decimal.Decimal {
	if o["per"] == nil {
		return number(o["unit"])
	}
	unit, rest := number(o["unit"]).QuoRem(number(o["per"]), 30)
	if !rest.IsZero() {
		panic(fmt.Sprintf("BUG: %v/%v is not exact", o["unit"], o["per"]))
	}
	return unit
}

// counts is the kind of period over which a component's quantity counts, empty if it does not.
func counts(o object) string {
	if o["package"] == nil && o["graduated"] == nil && o["volume"] == nil && o["included"] == nil {
		return ""
	}
	if o["period"] == nil {
		return "month"
	}
	return o["period"].(string)
}

func (p *modelPrice) counted(c *call) bool {
	for name := range usageOf(c) {
		if counts(p.components[name]) != "" {
			return true
		}
	}
	return false
}

// series names what a component of the price counts, whatever version states it.
func (p *modelPrice) series(component string) string {
	text := p.meter + " " + p.currency + " " + p.payee
	if p.payee != "" {
		text += " " + number(p.fee).String()
	}
	if p.components[component]["volume"] != nil {
		text += " " + contentOf(p.components[component])
	}
	for _, key := range slices.Sorted(maps.Keys(p.match)) {
		text += " " + key + "=" + p.match[key]
	}
	return text + " " + component + " " + counts(p.components[component])
}

// contentOf is what a price says, however it is written.
func contentOf(o object) string {
	list := func(o object) string {
		return fmt.Sprint(unitOf(o), " ", number(o["flat"]), " ", number(o["up_to"]))
	}
	text := fmt.Sprint(list(o), " ", counts(o), " ", number(o["package"]), " ", number(o["included"]), " ", number(o["quantity_decimals"]))
	for _, tiers := range []string{"graduated", "volume"} {
		if o[tiers] != nil {
			text += " " + tiers
			for _, tier := range o[tiers].([]object) {
				text += " | " + list(tier)
			}
		}
	}
	return text
}

// periodPrice is T(q).
func periodPrice(o object, q decimal.Decimal) decimal.Decimal {
	q = q.Truncate(int32(number(o["quantity_decimals"]).IntPart()))
	switch {
	case q.IsZero():
		return decimal.Zero
	case o["package"] != nil:
		n, rest := q.QuoRem(number(o["package"]), 0)
		if !rest.IsZero() {
			n = n.Add(decimal.NewFromInt(1))
		}
		return n.Mul(unitOf(o))
	case o["included"] != nil:
		return decimal.Max(decimal.Zero, q.Sub(number(o["included"]))).Mul(unitOf(o))
	case o["volume"] != nil:
		for _, tier := range o["volume"].([]object) {
			if tier["up_to"] == nil || q.LessThanOrEqual(number(tier["up_to"])) {
				return q.Mul(unitOf(tier)).Add(number(tier["flat"]))
			}
		}
	}
	sum, start := decimal.Zero, decimal.Zero
	for _, tier := range o["graduated"].([]object) {
		end := q
		if tier["up_to"] != nil {
			end = decimal.Min(q, number(tier["up_to"]))
		}
		if q.GreaterThan(start) {
			sum = sum.Add(end.Sub(start).Mul(unitOf(tier))).Add(number(tier["flat"]))
		}
		start = end
	}
	return sum
}

// eventPrice is what an event's q costs where nothing is counted.
func eventPrice(o object, q decimal.Decimal, usage map[string]decimal.Decimal) decimal.Decimal {
	unit := unitOf(o)
	list, _ := o["above"].([]object)
	for _, alternative := range list {
		sum := decimal.Zero
		for _, name := range alternative["of"].([]string) {
			sum = sum.Add(usage[name])
		}
		if sum.GreaterThan(number(alternative["quantity"])) {
			unit = unitOf(alternative)
		}
	}
	return decimal.Max(unit.Mul(q).Add(number(o["flat"])), number(o["minimum"]))
}

// rate prices a usage beside what the periods counted before. False: a quantity has more
// decimals than its price allows.
func (p *modelPrice) rate(usage, before map[string]decimal.Decimal) (parts map[string]decimal.Decimal, ok bool) {
	parts = map[string]decimal.Decimal{}
	for name, q := range usage {
		o := p.components[name]
		switch {
		case !q.Equal(q.Truncate(int32(number(o["quantity_decimals"]).IntPart()))):
			return nil, false
		case counts(o) == "":
			parts[name] = eventPrice(o, q, usage)
		default:
			parts[name] = periodPrice(o, before[name].Add(q)).Sub(periodPrice(o, before[name])).Add(number(o["flat"]))
		}
	}
	return parts, true
}

// TestTwinByHand holds the twin against what a pocket calculator says.
func TestTwinByHand(t *testing.T) {
	f := func(o object, q, want string) {
		t.Helper()
		if got := periodPrice(o, number(q)); !got.Equal(number(want)) {
			t.Errorf("T(%s) of %v = %s, want %s", q, o, got, want)
		}
	}
	graduated := object{"graduated": []object{{"up_to": "10", "unit": "0"}, {"up_to": "100", "unit": "0.5", "flat": "3"}, {"unit": "1", "per": "4"}}}
	f(graduated, "0", "0")
	f(graduated, "10", "0")
	f(graduated, "11", "3.5")
	f(graduated, "100", "48")
	f(graduated, "102", "48.5")
	volume := object{"volume": []object{{"up_to": "10", "unit": "2"}, {"unit": "1", "flat": "0.5"}}}
	f(volume, "0", "0")
	f(volume, "10", "20")
	f(volume, "11", "11.5")
	f(object{"package": "10", "unit": "7"}, "10", "7")
	f(object{"package": "10", "unit": "7"}, "11", "14")
	f(object{"included": "10", "unit": "7"}, "10", "0")
	f(object{"included": "10", "unit": "7"}, "12", "14")
	f(object{"included": "1", "unit": "8", "quantity_decimals": 2}, "1.259", "2")

	g := func(o object, q, other, want string) {
		t.Helper()
		usage := map[string]decimal.Decimal{"input": number(q), "cached_input": number(other)}
		if got := eventPrice(o, number(q), usage); !got.Equal(number(want)) {
			t.Errorf("%s (and %s) of %v = %s, want %s", q, other, o, got, want)
		}
	}
	g(object{"unit": "2.5", "per": "1000000"}, "3", "0", "0.0000075")
	g(object{"unit": "2", "flat": "1"}, "3", "0", "7")
	g(object{"unit": "2", "minimum": "10"}, "3", "0", "10")
	above := object{"unit": "1", "above": []object{{"of": []string{"input", "cached_input"}, "quantity": "5", "unit": "2"}, {"of": []string{"input", "cached_input"}, "quantity": "9", "unit": "3"}}}
	g(above, "3", "2", "3")
	g(above, "3", "3", "6")
	g(above, "3", "7", "9")
}
