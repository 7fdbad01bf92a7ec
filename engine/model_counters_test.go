package engine

import (
	"maps"

	"github.com/shopspring/decimal"
)

// modelCounters is what was counted in a period, by version.
type modelCounters map[string]map[*modelVersion]decimal.Decimal

func (m modelCounters) clone() modelCounters {
	out := modelCounters{}
	for key, counts := range m {
		out[key] = maps.Clone(counts)
	}
	return out
}

// upTo is what was counted under a version and those effective before it.
func upTo(counts map[*modelVersion]decimal.Decimal, v *modelVersion) (sum decimal.Decimal) {
	for other, q := range counts {
		if other.from <= v.from {
			sum = sum.Add(q)
		}
	}
	return sum
}

// periodCost is what a period costs: the versions lie on top of each other, each charges its
// part at its own prices.
func periodCost(counts map[*modelVersion]decimal.Decimal, p *modelPrice, component string) (sum decimal.Decimal) {
	for v, q := range counts {
		if q.IsZero() {
			continue
		}
		high := upTo(counts, v)
		o := v.ofSeries(p.series(component), component)
		sum = sum.Add(periodPrice(o, high)).Sub(periodPrice(o, high.Sub(q)))
	}
	return sum
}

// ofSeries is the price of a version that counts a series.
func (v *modelVersion) ofSeries(series, component string) object {
	for i := range v.prices {
		if p := &v.prices[i]; p.components[component] != nil && p.series(component) == series {
			return p.components[component]
		}
	}
	panic("a version counted what it does not price")
}

// before is what the counters of an event stand at, up to a version.
func (e *modelEvent) before(counters modelCounters, v *modelVersion, p *modelPrice, window uint64) map[string]decimal.Decimal {
	out := map[string]decimal.Decimal{}
	for name := range usageOf(&e.call) {
		if counts(p.components[name]) != "" {
			out[name] = upTo(counters[e.counter(p, name, window)], v)
		}
	}
	return out
}

// moves is what counting an event under a version, or with sign -1 not any more, makes of its
// periods' costs.
func (e *modelEvent) moves(counters modelCounters, v *modelVersion, p *modelPrice, window uint64, sign int64) map[string]decimal.Decimal {
	out := map[string]decimal.Decimal{}
	for name, q := range usageOf(&e.call) {
		if counts(p.components[name]) == "" {
			continue
		}
		now := counters[e.counter(p, name, window)]
		then := map[*modelVersion]decimal.Decimal{}
		maps.Copy(then, now)
		then[v] = then[v].Add(q.Mul(decimal.NewFromInt(sign)))
		flat := number(p.components[name]["flat"]).Mul(decimal.NewFromInt(sign))
		out[name] = periodCost(then, p, name).Sub(periodCost(now, p, name)).Add(flat)
	}
	return out
}

// count adds an event's quantities to its counters, or with sign -1 takes them out.
func (e *modelEvent) count(counters modelCounters, r *modelRating, sign int64) {
	for name, q := range usageOf(&e.call) {
		if counts(r.price.components[name]) != "" {
			key := e.counter(r.price, name, r.counted)
			if counters[key] == nil {
				counters[key] = map[*modelVersion]decimal.Decimal{}
			}
			counters[key][r.version] = counters[key][r.version].Add(q.Mul(decimal.NewFromInt(sign)))
		}
	}
}
