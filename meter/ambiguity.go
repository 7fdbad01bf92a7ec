package meter

import (
	"cmp"
	"slices"
	"strings"
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
}

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
			p.problem(i, "prices[%d]: the prices of meter %s in %s match on more than %d different lists of dimensions",
				i, price.Meter, price.Currency, MaxKeySets)
			return
		}
		k, sets = len(sets), append(sets, keySet{keys: keysOf(price.Match)})
		list[c].sets = sets
	}
	sets[k].indexes = append(sets[k].indexes, int32(i))
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
			p.between(first, second, "prices[%d] and prices[%d] match the same events", first, second)
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

// checkPair tells the prices of b that agree on the shared keys with prices of a.
func (p *versionParser) checkPair(meter string, a, b *keySet, shared []string, agreeing map[string][]int32) {
	var joined []byte
	for _, j := range b.indexes {
		joined = p.project(joined[:0], j, shared)
		with := agreeing[string(joined)]
		listed := with[:min(len(with), maxPartners)]
		p.count += len(with) - len(listed)
		for _, i := range listed {
			p.ambiguous(meter, i, j, a, b)
		}
	}
}

// maxPartners is how many prices that one price is ambiguous with are told; of the others
// only the number is. Two lists of dimensions that share nothing make every pair of their
// prices ambiguous.
const maxPartners = 16

func (p *versionParser) ambiguous(meter string, i, j int32, a, b *keySet) {
	first, second := int(min(i, j)), int(max(i, j))
	if p.beyond(first) {
		p.count++
		return
	}
	p.between(first, second, "prices[%d] and prices[%d] of meter %s are ambiguous: they match on %s and %s and do not contradict",
		first, second, meter, strings.Join(a.keys, ","), strings.Join(b.keys, ","))
}

// project appends the joined values of price i on the given keys.
func (p *versionParser) project(dst []byte, i int32, keys []string) []byte {
	for _, d := range p.v.Prices[i].Match {
		if slices.Contains(keys, d.Key) {
			dst = appendString(dst, d.Value)
		}
	}
	return dst
}
