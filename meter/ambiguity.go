package meter

import (
	"cmp"
	"slices"
	"strings"
)

// buildIndex groups the prices by meter, currency and match keys, and refuses
// what would make the choice of a price ambiguous: two prices of the same meter,
// currency and number of dimensions whose values do not contradict.
func (p *versionParser) buildIndex() {
	v := p.v
	v.index = make(map[meterKey][]keySet)
	for i := range v.Prices {
		price := &v.Prices[i]
		mk := meterKey{price.Meter, price.Currency}
		set := findKeySet(v.index, mk, price.Match)
		values := joinValues(price.Match)
		if j, taken := set.prices[values]; taken {
			p.problem("prices[%d] and prices[%d] match the same events", j, i)
			continue
		}
		set.prices[values] = i
	}
	for mk, sets := range v.index {
		slices.SortFunc(sets, func(a, b keySet) int {
			if c := cmp.Compare(len(b.keys), len(a.keys)); c != 0 {
				return c
			}
			return slices.Compare(a.keys, b.keys)
		})
		p.checkPairs(mk, sets)
	}
	slices.Sort(p.problems) // map order must not show
}

func findKeySet(index map[meterKey][]keySet, mk meterKey, match []Dimension) *keySet {
	sets := index[mk]
	for i := range sets {
		if sameKeys(sets[i].keys, match) {
			return &sets[i]
		}
	}
	keys := make([]string, len(match))
	for i, d := range match {
		keys[i] = d.Key
	}
	index[mk] = append(sets, keySet{keys: keys, prices: make(map[string]int)})
	return &index[mk][len(sets)]
}

func sameKeys(keys []string, match []Dimension) bool {
	return slices.EqualFunc(keys, match, func(k string, d Dimension) bool { return k == d.Key })
}

func joinValues(match []Dimension) string {
	var b []byte
	for _, d := range match {
		b = appendString(b, d.Value)
	}
	return string(b)
}

// checkPairs looks at key sets of equal length: their prices are ambiguous where
// they agree on all shared keys, found by a hash join on these.
func (p *versionParser) checkPairs(mk meterKey, sets []keySet) {
	for i := range sets {
		for j := i + 1; j < len(sets) && len(sets[j].keys) == len(sets[i].keys); j++ {
			p.checkPair(mk, &sets[i], &sets[j])
		}
	}
}

func (p *versionParser) checkPair(mk meterKey, a, b *keySet) {
	var shared []string
	for _, k := range a.keys {
		if slices.Contains(b.keys, k) {
			shared = append(shared, k)
		}
	}
	seen := make(map[string]int, len(a.prices))
	for _, i := range sortedIndexes(a) {
		seen[p.project(i, shared)] = i
	}
	for _, j := range sortedIndexes(b) {
		if i, ok := seen[p.project(j, shared)]; ok {
			p.problem("prices[%d] and prices[%d] of meter %s are ambiguous: they match on %s and %s and do not contradict",
				min(i, j), max(i, j), mk.meter, strings.Join(a.keys, ","), strings.Join(b.keys, ","))
		}
	}
}

func sortedIndexes(s *keySet) []int {
	out := make([]int, 0, len(s.prices))
	for _, i := range s.prices {
		out = append(out, i)
	}
	slices.Sort(out)
	return out
}

// project joins the values of price i on the given keys.
func (p *versionParser) project(i int, keys []string) string {
	var b []byte
	for _, d := range p.v.Prices[i].Match {
		if slices.Contains(keys, d.Key) {
			b = appendString(b, d.Value)
		}
	}
	return string(b)
}
