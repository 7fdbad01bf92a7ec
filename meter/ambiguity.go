package meter

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"farthing/money"
)

// buildIndex groups the prices by meter, currency and match keys, and refuses
// what would make the choice of a price ambiguous: two prices of the same meter,
// currency and number of dimensions whose values do not contradict. Prices whose meter,
// currency or match could not be read are left out.
func (p *versionParser) buildIndex() {
	v := p.v
	v.index = make(map[string][]currencySets)
	for i := range v.Prices {
		if !p.unmatched[i] {
			p.enter(i)
		}
	}
	for meter, currencies := range v.index {
		for _, c := range currencies {
			p.buildSets(meter, c.sets)
		}
	}
	for key, f := range p.further {
		p.problem(f.first, "prices[%d]: the prices of meter %s in %s match on more than %d different lists of dimensions: %d prices have further ones",
			f.first, key.meter, key.currency.Code(), MaxKeySets, f.count)
	}
}

// furtherOf names the prices of a meter in a currency.
type furtherOf struct {
	meter    string
	currency money.Currency
}

// further counts prices, the first of which has an index.
type further struct{ first, count int }

// enter puts price i into its key set.
func (p *versionParser) enter(i int) {
	price := &p.v.Prices[i]
	list := p.v.index[price.Meter]
	c := slices.IndexFunc(list, func(c currencySets) bool { return c.currency == price.Currency })
	if c < 0 {
		c, list = len(list), append(list, currencySets{currency: price.Currency})
		p.v.index[price.Meter] = list
	}
	sets := list[c].sets
	k := findKeySet(sets, price.Match)
	if k < 0 {
		if len(sets) == MaxKeySets {
			p.enterFurther(i)
			return
		}
		k, sets = len(sets), append(sets, keySet{keys: keysOf(price.Match)})
		list[c].sets = sets
	}
	sets[k].indexes = append(sets[k].indexes, int32(i))
}

// enterFurther counts a price that has a list of dimensions beyond those that are taken.
func (p *versionParser) enterFurther(i int) {
	if p.further == nil {
		p.further = map[furtherOf]further{}
	}
	key := furtherOf{p.v.Prices[i].Meter, p.v.Prices[i].Currency}
	f, ok := p.further[key]
	if !ok {
		f.first = i
	}
	f.count++
	p.further[key] = f
}

// buildSets completes the key sets of one meter in one currency.
func (p *versionParser) buildSets(meter string, sets []keySet) {
	slices.SortFunc(sets, func(a, b keySet) int {
		if c := cmp.Compare(len(b.keys), len(a.keys)); c != 0 {
			return c
		}
		return slices.Compare(a.keys, b.keys)
	})
	for i := range sets {
		p.v.fill(&sets[i], func(first, second int) {
			p.tell(ofTwins, first, second, "prices[%d] and prices[%d] match the same events", first, second)
		})
	}
	p.checkPairs(meter, sets)
}

// checkPairs looks at key sets of equal length: their prices are ambiguous where
// they agree on all shared keys, found by a hash join on these.
func (p *versionParser) checkPairs(meter string, sets []keySet) {
	for i := range sets {
		// A set often shares the same keys with all others: then it is read once.
		var shared []string
		var agreeing map[string][]int32
		for j := i + 1; j < len(sets) && len(sets[j].keys) == len(sets[i].keys); j++ {
			if keys := sharedKeys(&sets[i], &sets[j]); agreeing == nil || !slices.Equal(keys, shared) {
				shared, agreeing = keys, p.byValues(&sets[i], keys)
			}
			p.checkPair(meter, &sets[i], &sets[j], shared, agreeing)
		}
	}
}

func sharedKeys(a, b *keySet) (keys []string) {
	for _, k := range a.keys {
		if slices.Contains(b.keys, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

// byValues finds the prices of a set by their values of some keys.
func (p *versionParser) byValues(set *keySet, keys []string) map[string][]int32 {
	var joined []byte
	m := make(map[string][]int32, len(set.indexes))
	for _, i := range set.indexes {
		joined = p.project(joined[:0], i, keys)
		m[string(joined)] = append(m[string(joined)], i)
	}
	return m
}

// checkPair tells that prices of b agree on the shared keys with prices of a: the first two
// that do, and how many. Two lists of dimensions that share nothing make every pair of their
// prices ambiguous.
func (p *versionParser) checkPair(meter string, a, b *keySet, shared []string, agreeing map[string][]int32) {
	var joined []byte
	var first, second int32
	pairs := 0
	for _, j := range b.indexes {
		joined = p.project(joined[:0], j, shared)
		with := agreeing[string(joined)]
		if len(with) == 0 {
			continue
		}
		// The indexes ascend, so no pair of j comes before that with the first of them.
		lower, upper := min(with[0], j), max(with[0], j)
		if pairs == 0 || lower < first || (lower == first && upper < second) {
			first, second = lower, upper
		}
		pairs += len(with)
	}
	if pairs == 0 {
		return
	}
	rest := ""
	if pairs > 1 {
		rest = fmt.Sprintf(" (the first of %d such pairs)", pairs)
	}
	p.tell(ofAmbiguity, int(first), int(second), "prices[%d] and prices[%d] of meter %s are ambiguous: they match on %s and %s and do not contradict%s",
		first, second, meter, listOfKeys(a), listOfKeys(b), rest)
}

// listOfKeys names the keys of a set, as many as a message has room for.
func listOfKeys(set *keySet) string { return clipTo(strings.Join(set.keys, ","), 100) }

// project appends the joined values of price i on the given keys.
func (p *versionParser) project(dst []byte, i int32, keys []string) []byte {
	for _, d := range p.v.Prices[i].Match {
		if slices.Contains(keys, d.Key) {
			dst = appendString(dst, d.Value)
		}
	}
	return dst
}
