package meter

import (
	"slices"

	"github.com/zeebo/xxh3"

	"farthing/money"
)

// currencySets is the key sets of one meter in one currency. A meter has few currencies.
type currencySets struct {
	currency money.Currency
	sets     []keySet
}

// sets returns the key sets of a meter in a currency.
func (v *Version) sets(meter string, currency money.Currency) []keySet {
	list := v.index[meter]
	for i := range list {
		if list[i].currency == currency {
			return list[i].sets
		}
	}
	return nil
}

// keySet is all prices of a meter and currency that match on the same keys. Key sets are
// sorted by length, longest first, so that the first hit is the most specific price; that
// there is only one is checked when the version is put.
type keySet struct {
	keys    []string
	indexes []int32 // of its prices, ascending
	// table finds a price by the hash of its values: open addressing, at most half full,
	// a power of two long. A hash only finds candidates, values are compared. It is not
	// a map of joined values, because joining needs a buffer of 4 KiB in the worst case,
	// and clearing that costs more than the whole look-up.
	table []slot
}

// slot is a price in a table; price counts from 1, 0 is a free slot.
type slot struct {
	hash  uint32
	price int32
}

// Match returns the index of the price that rates events of shape s in the given
// currency: that with the most matching dimensions. False: none matches. It does not
// allocate.
func (v *Version) Match(s *Shape, currency money.Currency) (int, bool) {
	sets := v.sets(s.Type, currency)
	for i := range sets {
		if index, ok := v.find(&sets[i], s.Dimensions); ok {
			return index, true
		}
	}
	return 0, false
}

// Candidates returns the indexes of all prices that match, most specific first: why the
// first of them rates the event.
func (v *Version) Candidates(s *Shape, currency money.Currency) []int {
	var out []int
	sets := v.sets(s.Type, currency)
	for i := range sets {
		if index, ok := v.find(&sets[i], s.Dimensions); ok {
			out = append(out, index)
		}
	}
	return out
}

// find returns the price of set whose values are those of the dimensions, which are
// sorted by key as the set's keys are.
func (v *Version) find(set *keySet, dims []Dimension) (int, bool) {
	var buf [MaxDimensions]uint8
	places, next := buf[:len(set.keys)], 0 // of the keys in dims
	for i, key := range set.keys {
		for next < len(dims) && dims[next].Key != key {
			next++
		}
		if next == len(dims) {
			return 0, false
		}
		places[i] = uint8(next)
		next++
	}
	hash := uint64(0)
	for _, place := range places {
		hash = xxh3.HashStringSeed(dims[place].Value, hash)
	}
	mask := uint32(len(set.table) - 1)
	for i := uint32(hash) & mask; ; i = (i + 1) & mask {
		switch s := set.table[i]; {
		case s.price == 0:
			return 0, false
		case s.hash == uint32(hash) && v.matches(s.price-1, dims, places):
			return int(s.price - 1), true
		}
	}
}

// MatchKeys calls fn for every dimension key that some price of the version
// matches on, by meter; the same pair may come more than once.
func (v *Version) MatchKeys(fn func(meter, key string)) {
	for meter, currencies := range v.index {
		for _, c := range currencies {
			for _, set := range c.sets {
				for _, k := range set.keys {
					fn(meter, k)
				}
			}
		}
	}
}

// fill builds the table of a set whose indexes are known and calls twice for each price
// that matches just what an earlier one does.
func (v *Version) fill(set *keySet, twice func(first, second int)) {
	size := 2
	for size < 2*len(set.indexes) {
		size *= 2
	}
	set.table = make([]slot, size)
	for _, index := range set.indexes {
		match := v.Prices[index].Match
		if first, taken := v.find(set, match); taken {
			twice(first, int(index))
			continue
		}
		hash := uint64(0)
		for i := range match {
			hash = xxh3.HashStringSeed(match[i].Value, hash)
		}
		at := uint32(hash) & uint32(size-1)
		for set.table[at].price != 0 {
			at = (at + 1) & uint32(size-1)
		}
		set.table[at] = slot{uint32(hash), index + 1}
	}
}

// findKeySet returns the position of the key set of match, or -1.
func findKeySet(sets []keySet, match []Dimension) int {
	return slices.IndexFunc(sets, func(s keySet) bool {
		return slices.EqualFunc(s.keys, match, func(k string, d Dimension) bool { return k == d.Key })
	})
}

func keysOf(match []Dimension) []string {
	keys := make([]string, len(match))
	for i, d := range match {
		keys[i] = d.Key
	}
	return keys
}
