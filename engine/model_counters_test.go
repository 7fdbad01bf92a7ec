package engine

import (
	"maps"
	"slices"

	"github.com/shopspring/decimal"
)

// modelCounters is what was counted in a period, by terms.
type modelCounters map[string]map[*modelTerms]decimal.Decimal

func (m modelCounters) clone() modelCounters {
	out := modelCounters{}
	for key, counts := range m {
		out[key] = maps.Clone(counts)
	}
	return out
}

// termsOf is the terms of a series in a version: those of the version before it or after it
// that has the series, if that says the same, or new ones.
func (m *model) termsOf(v *modelVersion, series string, o object) *modelTerms {
	var before, after *modelVersion
	for _, other := range m.versions {
		switch {
		case other == v || other.terms[series] == nil:
		case other.from < v.from && (before == nil || other.from > before.from):
			before = other
		case other.from > v.from && (after == nil || other.from < after.from):
			after = other
		}
	}
	for _, other := range []*modelVersion{before, after} {
		if other != nil && contentOf(other.terms[series].o) == contentOf(o) {
			return other.terms[series]
		}
	}
	return &modelTerms{from: v.from, o: o}
}

// enter tells a version which terms its counted components have.
func (m *model) enter(v *modelVersion) {
	v.terms = map[string]*modelTerms{}
	for i := range v.prices {
		p := &v.prices[i]
		for _, component := range slices.Sorted(maps.Keys(p.components)) {
			o := p.components[component]
			if counts(o) == "" {
				continue
			}
			v.terms[p.series(component)] = m.termsOf(v, p.series(component), o)
		}
	}
}

// upTo is what was counted under terms and those effective before them.
func upTo(counts map[*modelTerms]decimal.Decimal, t *modelTerms) (sum decimal.Decimal) {
	for other, q := range counts {
		if other.from <= t.from {
			sum = sum.Add(q)
		}
	}
	return sum
}

// periodCost is what a period costs: the terms lie on top of each other, each charges its part
// at its own price.
func periodCost(counts map[*modelTerms]decimal.Decimal) (sum decimal.Decimal) {
	for t, q := range counts {
		if !q.IsZero() {
			high := upTo(counts, t)
			sum = sum.Add(periodPrice(t.o, high)).Sub(periodPrice(t.o, high.Sub(q)))
		}
	}
	return sum
}

// before is what the counters of an event stand at, up to a version.
func (e *modelEvent) before(counters modelCounters, v *modelVersion, p *modelPrice, window uint64) map[string]decimal.Decimal {
	out := map[string]decimal.Decimal{}
	for name := range usageOf(&e.call) {
		if counts(p.components[name]) != "" {
			out[name] = upTo(counters[e.counter(p, name, window)], v.terms[p.series(name)])
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
		then, t := map[*modelTerms]decimal.Decimal{}, v.terms[p.series(name)]
		maps.Copy(then, now)
		then[t] = then[t].Add(q.Mul(decimal.NewFromInt(sign)))
		flat := number(p.components[name]["flat"]).Mul(decimal.NewFromInt(sign))
		out[name] = periodCost(then).Sub(periodCost(now)).Add(flat)
	}
	return out
}

// count adds an event's quantities to its counters, or with sign -1 takes them out.
func (e *modelEvent) count(counters modelCounters, r *modelRating, sign int64) {
	for name, q := range usageOf(&e.call) {
		if counts(r.price.components[name]) != "" {
			key := e.counter(r.price, name, r.counted)
			if counters[key] == nil {
				counters[key] = map[*modelTerms]decimal.Decimal{}
			}
			t := r.version.terms[r.price.series(name)]
			counters[key][t] = counters[key][t].Add(q.Mul(decimal.NewFromInt(sign)))
		}
	}
}
