package meter

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
)

// The twin rates from the JSON of a price, in decimals of any length and as the rules are
// told. It shares nothing with the code that it judges but the document.

type twinPrice map[string]any // component → its JSON

func readTwin(t testing.TB, components string) (p twinPrice) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(components))
	dec.UseNumber()
	if err := dec.Decode(&p); err != nil {
		t.Fatal(err)
	}
	return p
}

func twinNumber(x any) decimal.Decimal {
	if x == nil {
		return decimal.Zero
	}
	return decimal.RequireFromString(fmt.Sprint(x))
}

// twinUnit is unit / per.
func twinUnit(o map[string]any) decimal.Decimal {
	if o["per"] == nil {
		return twinNumber(o["unit"])
	}
	unit, rest := twinNumber(o["unit"]).QuoRem(twinNumber(o["per"]), 30)
	if !rest.IsZero() {
		panic(fmt.Sprintf("BUG: %v/%v is not exact", o["unit"], o["per"]))
	}
	return unit
}

func twinObject(x any) map[string]any {
	if o, ok := x.(map[string]any); ok {
		return o
	}
	return map[string]any{"unit": x}
}

func twinCounted(o map[string]any) bool {
	return o["package"] != nil || o["graduated"] != nil || o["volume"] != nil || o["included"] != nil
}

// twinPeriodPrice is T(q).
func twinPeriodPrice(o map[string]any, q decimal.Decimal) decimal.Decimal {
	q = q.Truncate(int32(twinNumber(o["quantity_decimals"]).IntPart()))
	if q.IsZero() {
		return decimal.Zero
	}
	switch {
	case o["package"] != nil:
		n, rest := q.QuoRem(twinNumber(o["package"]), 0)
		if !rest.IsZero() {
			n = n.Add(decimal.NewFromInt(1))
		}
		return n.Mul(twinUnit(o))
	case o["included"] != nil:
		return decimal.Max(decimal.Zero, q.Sub(twinNumber(o["included"]))).Mul(twinUnit(o))
	case o["volume"] != nil:
		for _, x := range o["volume"].([]any) {
			if tier := x.(map[string]any); tier["up_to"] == nil || q.LessThanOrEqual(twinNumber(tier["up_to"])) {
				return q.Mul(twinUnit(tier)).Add(twinNumber(tier["flat"]))
			}
		}
		panic("no tier is open")
	}
	sum, start := decimal.Zero, decimal.Zero
	for _, x := range o["graduated"].([]any) {
		tier, end := x.(map[string]any), q
		if tier["up_to"] != nil {
			end = decimal.Min(q, twinNumber(tier["up_to"]))
		}
		if q.GreaterThan(start) {
			sum = sum.Add(end.Sub(start).Mul(twinUnit(tier))).Add(twinNumber(tier["flat"]))
		}
		start = end
	}
	return sum
}

// twinLinear is what an event's q costs where nothing is counted.
func twinLinear(o map[string]any, q decimal.Decimal, usage map[string]decimal.Decimal) decimal.Decimal {
	unit := twinUnit(o)
	list, _ := o["above"].([]any)
	for _, x := range list {
		alternative, sum := x.(map[string]any), decimal.Zero
		for _, name := range alternative["of"].([]any) {
			sum = sum.Add(usage[name.(string)])
		}
		if sum.GreaterThan(twinNumber(alternative["quantity"])) {
			unit = twinUnit(alternative)
		}
	}
	return decimal.Max(unit.Mul(q).Add(twinNumber(o["flat"])), twinNumber(o["minimum"]))
}

// The bounds of a ledger.
var (
	twinAmountMax   = decimal.RequireFromString("170141183460469231731.687303715884105727")
	twinQuantityMax = decimal.RequireFromString("9000000000000")
)

func twinFits(list ...decimal.Decimal) bool {
	return !slices.ContainsFunc(list, func(d decimal.Decimal) bool { return d.Abs().GreaterThan(twinAmountMax) })
}

// rate prices an event of the usage beside what its period counted before; sign -1 takes
// it back, before then being what was counted with it. reason says why not.
func (p twinPrice) rate(sign int64, usage, before map[string]decimal.Decimal) (parts map[string]decimal.Decimal, total decimal.Decimal, reason string) {
	parts = map[string]decimal.Decimal{}
	for _, name := range sortedKeys(usage) {
		o, q := twinObject(p[name]), usage[name]
		if !q.Equal(q.Truncate(int32(twinNumber(o["quantity_decimals"]).IntPart()))) {
			return nil, total, "fractional_quantity"
		}
		var part decimal.Decimal
		if twinCounted(o) {
			from, to := before[name], before[name].Add(q)
			if sign < 0 {
				from, to = from.Sub(q), from
			}
			if to.GreaterThan(twinQuantityMax) {
				return nil, total, "quantity_overflow"
			}
			low, high := twinPeriodPrice(o, from), twinPeriodPrice(o, to)
			if !twinFits(low, high) {
				return nil, total, "amount_overflow"
			}
			part = high.Sub(low).Add(twinNumber(o["flat"]))
		} else {
			part = twinLinear(o, q, usage)
		}
		part = part.Mul(decimal.NewFromInt(sign))
		total = total.Add(part)
		if !twinFits(part, total) {
			return nil, total, "amount_overflow"
		}
		parts[name] = part
	}
	return parts, total, ""
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
