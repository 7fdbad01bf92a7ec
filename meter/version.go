package meter

import (
	"farthing/money"
)

// Version is one immutable price version: the whole book from EffectiveFrom on,
// until the next version's. It is built by ParseVersion and only read after.
type Version struct {
	ID            string
	EffectiveFrom int64 // nanoseconds since the Unix epoch
	Prices        []Price
	// Canonical is the document in canonical JSON: what the journal keeps and
	// what "same content" means.
	Canonical []byte

	// Index numbers the versions of a ledger in the order they were put; its owner sets it.
	Index uint32

	index map[meterKey][]keySet
}

// Price prices the components of one meter in one currency for the events whose
// dimensions match.
type Price struct {
	Meter      string
	Currency   money.Currency
	Match      []Dimension // sorted by key
	Components []ComponentPrice
	Payee      string       // provider account; empty: the operator
	Fee        money.Amount // the operator's share of an event's amount, 0 to 1
}

// ComponentPrice is the flat price of one component.
type ComponentPrice struct {
	Name string
	Unit money.Amount // per unit
	// QuantityDecimals is how many decimals a quantity may have, 0 to 6. The
	// price's decimals and these add up to at most 18, so every product is exact.
	QuantityDecimals int
}

// Component returns the index of a component's price, or -1.
func (p *Price) Component(name string) int {
	lo, hi := 0, len(p.Components)
	for lo < hi {
		mid := (lo + hi) / 2
		if p.Components[mid].Name < name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(p.Components) && p.Components[lo].Name == name {
		return lo
	}
	return -1
}

type meterKey struct {
	meter    string
	currency money.Currency
}

// keySet is all prices of a meter and currency that match on the same keys,
// found by their values. Key sets are sorted by length, longest first, so that
// the first hit is the most specific price; that there is only one is checked
// when the version is put.
type keySet struct {
	keys   []string
	prices map[string]int // joined values → index in Prices
}

// Match returns the index of the price that rates events of shape s in the given
// currency: that with the most matching dimensions. False: none matches.
func (v *Version) Match(s *Shape, currency money.Currency) (int, bool) {
	var buf [256]byte
	for _, set := range v.index[meterKey{s.Type, currency}] {
		joined, ok := buf[:0], true
		for _, k := range set.keys {
			value, has := s.Value(k)
			if !has {
				ok = false
				break
			}
			joined = appendString(joined, value)
		}
		if !ok {
			continue
		}
		if i, hit := set.prices[string(joined)]; hit {
			return i, true
		}
	}
	return 0, false
}

// MatchKeys calls fn for every dimension key that some price of the version
// matches on, by meter; the same pair may come more than once.
func (v *Version) MatchKeys(fn func(meter, key string)) {
	for mk, sets := range v.index {
		for _, set := range sets {
			for _, k := range set.keys {
				fn(mk.meter, k)
			}
		}
	}
}

// Book is the price versions of a ledger in the order of their effective time.
// Its zero value is an empty book. One owner mutates it.
type Book struct {
	byTime []*Version
}

// Add puts v into the book. False: another version is effective at the same moment.
func (b *Book) Add(v *Version) bool {
	i := b.after(v.EffectiveFrom)
	if i > 0 && b.byTime[i-1].EffectiveFrom == v.EffectiveFrom {
		return false
	}
	b.byTime = append(b.byTime, nil)
	copy(b.byTime[i+1:], b.byTime[i:])
	b.byTime[i] = v
	return true
}

// InForce returns the version in force at a time (nanoseconds), nil if none is yet.
func (b *Book) InForce(ns int64) *Version {
	if i := b.after(ns); i > 0 {
		return b.byTime[i-1]
	}
	return nil
}

// after returns the index of the first version effective after ns. The newest
// version is asked for most, so the search starts at the end.
func (b *Book) after(ns int64) int {
	i := len(b.byTime)
	for i > 0 && b.byTime[i-1].EffectiveFrom > ns {
		i--
	}
	return i
}
