package meter

import (
	"farthing/money"
)

// Version is one immutable price version: the whole book from EffectiveFrom on,
// until the next version's. It is built by ParseVersion and only read after.
//
// A version that ParseVersion returned beside a refusal is only for looking for further
// problems: a price that could not be read holds zero values where it was wrong, and
// what cannot be found (an unknown meter, currency or match) is not in the index.
type Version struct {
	ID            string
	EffectiveFrom int64   // nanoseconds since the Unix epoch
	Prices        []Price // in the order of the document
	// Canonical is the document in canonical JSON: what the journal keeps and
	// what "same content" means.
	Canonical []byte

	// Unlisted is how many problems the refusal that the version was returned beside counts
	// in its last entry, without listing them; it has such an entry if there are any.
	Unlisted int

	// Index numbers the versions of a ledger in the order they were put; its owner sets it.
	Index uint32

	index map[string][]currencySets // by meter
	rows  rows
}

// Price prices the components of one meter in one currency for the events whose
// dimensions match.
type Price struct {
	Meter      string
	Currency   money.Currency
	Match      []Dimension      // sorted by key
	Components []ComponentPrice // sorted by name
	Payee      string           // provider account; empty: the operator
	Fee        money.Amount     // the operator's share of an event's amount, 0 to 1
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
