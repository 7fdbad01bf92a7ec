package engine

import (
	"strconv"

	"github.com/zeebo/xxh3"

	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// rates resolves events to prices. Everything in it is derived from the tables;
// what is cached costs no correctness when dropped. It belongs to the sequencer.
type rates struct {
	book     meter.Book
	seed     uint64
	byHash   map[uint64]uint32          // hash of shape bytes → shape number, exact by comparison
	byRaw    map[string]uint32          // the same for the rare second shape of a hash
	wide     map[uint64]*wideShape      // shapes with dimensions that no price matches on
	relevant map[string]map[string]bool // meter → dimension keys that some price matches on
	named    map[[2]string]bool         // dimensions (key, value) that some price names
	slots    [][]rateSlot               // by shape number: what it costs, by version and currency
}

// wideShape caches how a shape with further dimensions splits.
type wideShape struct {
	raw    string
	shape  uint32
	extras []byte
}

// Bounds of what clients can make us remember.
const (
	// shapesMax bounds interned shapes (about 300 bytes each). From three quarters on,
	// only dimensions that a price names keep their own shapes; the rest share one.
	shapesMax = 1 << 18
	// wideMax bounds the cache of wide shapes; when full it starts anew.
	wideMax = 1 << 14
	// sourcesMax bounds interned sources; further ones are spelled out in every record.
	sourcesMax = 1 << 16
)

// rateSlot is the price of one shape under one version in one currency.
type rateSlot struct {
	version    uint32
	currency   money.Currency
	reason     unpricedReason
	price      *meter.Price
	payee      ledger.Ref
	components []meter.ComponentPrice // in the order of the shape's components
}

func newRates(seed uint64) *rates {
	return &rates{seed: seed, byHash: map[uint64]uint32{}, byRaw: map[string]uint32{}, wide: map[uint64]*wideShape{},
		relevant: map[string]map[string]bool{}, named: map[[2]string]bool{}}
}

// addVersion takes a version into the book and learns which dimensions count.
func (r *rates) addVersion(v *meter.Version) {
	if !r.book.Add(v) {
		panic("BUG: two price versions effective at one moment")
	}
	v.MatchKeys(func(m, key string) {
		if r.relevant[m] == nil {
			r.relevant[m] = map[string]bool{}
		}
		r.relevant[m][key] = true
	})
	for i := range v.Prices {
		for _, d := range v.Prices[i].Match {
			r.named[[2]string{d.Key, d.Value}] = true
		}
	}
	clear(r.wide) // what was irrelevant may count now
}

// addShape enters an interned shape under its number.
func (r *rates) addShape(n uint32, raw string) {
	h := xxh3.HashStringSeed(raw, r.seed)
	if _, taken := r.byHash[h]; taken {
		r.byRaw[raw] = n
	} else {
		r.byHash[h] = n
	}
	r.slots = append(r.slots, nil)
}

// lookup finds the number of a shape by its bytes.
func (r *rates) lookup(hash uint64, raw []byte, t *tables) (uint32, bool) {
	n, ok := r.byHash[hash]
	if !ok {
		return 0, false
	}
	if t.shapes[n].raw == string(raw) {
		return n, true
	}
	n, ok = r.byRaw[string(raw)]
	return n, ok
}

// slot returns what shape n costs under a version in a currency.
func (s *state) slot(n uint32, v *meter.Version, c money.Currency) *rateSlot {
	slots := s.rates.slots[n]
	for i := len(slots) - 1; i >= 0; i-- { // the newest version is asked for most
		if slots[i].version == v.Index && slots[i].currency == c {
			return &slots[i]
		}
	}
	slots = append(slots, s.resolve(&s.shapes[n].shape, v, c))
	s.rates.slots[n] = slots
	return &slots[len(slots)-1]
}

// resolve finds the price of a shape: the most specific match that prices every component.
func (s *state) resolve(shape *meter.Shape, v *meter.Version, c money.Currency) rateSlot {
	slot := rateSlot{version: v.Index, currency: c}
	i, ok := v.Match(shape, c)
	if !ok {
		slot.reason = noPrice
		return slot
	}
	slot.price = &v.Prices[i]
	for _, name := range shape.Components {
		k := slot.price.Component(name)
		if k < 0 {
			slot.reason = componentUnpriced
			return slot
		}
		slot.components = append(slot.components, slot.price.Components[k])
	}
	slot.payee = s.versions[v.Index].payees[i]
	if slot.price.Payee == "" {
		slot.payee = s.ledger.Totals(c).Operator
	}
	return slot
}

// ratingAmounts is the rated amount of each component of one event.
type ratingAmounts [meter.MaxComponents]money.Amount

// rate prices the quantities of e by slot and sets amount; amounts gets the parts.
func (slot *rateSlot) rate(e *eventRecord, amounts *ratingAmounts) *refusal.Refusal {
	total := money.Amount{}
	for i := range slot.components {
		c := &slot.components[i]
		q := e.quantities[i]
		if _, whole := q.Whole(); !whole && q.Decimals() > c.QuantityDecimals {
			return refusal.New(refusal.Invalid, "fractional_quantity", "%s: the price allows quantities with at most %s decimals",
				c.Name, strconv.Itoa(c.QuantityDecimals))
		}
		part, ok := c.Unit.MulQuantity(q)
		if ok {
			total, ok = total.Add(part)
		}
		if !ok {
			return overflow()
		}
		amounts[i] = part
	}
	e.amount = total
	return nil
}

func overflow() *refusal.Refusal {
	return refusal.New(refusal.Invalid, "amount_overflow", "the amount is larger than this ledger can hold")
}

// fee returns the operator's share of an amount.
func (slot *rateSlot) fee(amount money.Amount) money.Amount {
	if slot.price.Fee.IsZero() || slot.price.Payee == "" {
		return money.Amount{}
	}
	fee, _ := amount.MulFraction(slot.price.Fee)
	return fee
}

// split says which dimensions of a shape count for rating and reports (the interned
// shape) and which are only kept (extras).
func (s *state) splitShape(shape *meter.Shape) (kept meter.Shape, extras []meter.Dimension) {
	full := len(s.shapes) >= shapesMax*3/4
	relevant := s.rates.relevant[shape.Type]
	kept = meter.Shape{Type: shape.Type, Components: shape.Components}
	for _, d := range shape.Dimensions {
		if relevant[d.Key] && (!full || s.rates.named[[2]string{d.Key, d.Value}]) {
			kept.Dimensions = append(kept.Dimensions, d)
		} else {
			extras = append(extras, d)
		}
	}
	return kept, extras
}
