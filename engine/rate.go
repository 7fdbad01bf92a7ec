package engine

import (
	"slices"

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
	named    map[[2]string]bool         // dimensions (key, value) that some price or scope names
	always   map[string]bool            // dimension keys that a scope of any meter names
	rows     []shapeRow                 // by shape number
	series   map[string]uint32          // what counted components count (meter.Price.Series) → its number
	// Of the terms at which they count (counter.go): their names (meter.Price.Terms), and which
	// holds from when, by series.
	names     []string
	stretches [][]stretch
}

// wideShape caches how a shape with further dimensions splits.
type wideShape struct {
	raw    string
	shape  uint32
	extras []byte
}

// Bounds of what clients can make us remember.
const (
	// shapesMax bounds interned shapes (some 300 bytes each, and as much for each of their
	// slots). From three quarters on,
	// only dimensions that a price names keep their own shapes; the rest share one.
	shapesMax = 1 << 18
	// wideMax bounds the cache of wide shapes; when full it starts anew.
	wideMax = 1 << 14
	// sourcesMax bounds interned sources; further ones are spelled out in every record.
	sourcesMax = 1 << 16
)

// rateSlot is the price of one shape under one version in one currency. The fields are in the
// order in which rating reads them: with many shapes in random order, rating is waiting for
// memory, and what pricing a usual event needs of a shapeRow is its first 128 bytes.
type rateSlot struct {
	version  uint32
	currency money.Currency
	reason   unpricedReason
	resolved bool
	payee    ledger.Ref
	plan     meter.Plan
	fee      money.Amount // the operator's share of an event's amount; 0 when it earns all
	byWindow uint32       // bit i: component i counts in the settlement window
	counts   []uint32     // by the shape's components: the series of the counted ones
	terms    []uint32     // and their terms
}

// shapeRow is what rating remembers of a shape: its bytes, to be compared with, the slot that
// is asked for most, and those of other versions and currencies.
type shapeRow struct {
	raw  string
	slot rateSlot
	more []rateSlot // at most slotsMax, the oldest first

	scopes ledger.Scopes // those that the shape matches, of the first scoped ones
	scoped uint32
}

// slotsMax bounds the slots of one shape, about 350 bytes each: versions go out of use.
const slotsMax = 8

func newRates(seed uint64) *rates {
	return &rates{seed: seed, byHash: map[uint64]uint32{}, byRaw: map[string]uint32{}, wide: map[uint64]*wideShape{},
		relevant: map[string]map[string]bool{}, named: map[[2]string]bool{}, always: map[string]bool{}, series: map[string]uint32{}}
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
		p := &v.Prices[i]
		for _, d := range p.Match {
			r.named[[2]string{d.Key, d.Value}] = true
		}
	}
	clear(r.wide) // what was irrelevant may count now
}

// seriesOf numbers series in the order in which they come.
func (r *rates) seriesOf(name string) uint32 {
	n, there := r.series[name]
	if !there {
		n = uint32(len(r.series))
		r.series[name] = n
		r.stretches = append(r.stretches, nil)
	}
	return n
}

// addShape enters an interned shape under its number.
func (r *rates) addShape(n uint32, raw string) {
	h := xxh3.HashStringSeed(raw, r.seed)
	if _, taken := r.byHash[h]; taken {
		r.byRaw[raw] = n
	} else {
		r.byHash[h] = n
	}
	r.rows = append(r.rows, shapeRow{raw: raw})
}

// lookup finds the number of a shape by its bytes.
func (r *rates) lookup(hash uint64, raw []byte) (uint32, bool) {
	n, ok := r.byHash[hash]
	if !ok {
		return 0, false
	}
	if r.rows[n].raw == string(raw) {
		return n, true
	}
	n, ok = r.byRaw[string(raw)]
	return n, ok
}

// slot returns what shape n costs under a version in a currency. It is valid until the next
// call for the same shape.
func (s *state) slot(n uint32, v *meter.Version, c money.Currency) *rateSlot {
	row := &s.rates.rows[n]
	if row.slot.version == v.Index && row.slot.currency == c && row.slot.resolved {
		return &row.slot
	}
	return s.otherSlot(row, &s.shapes[n].shape, v, c)
}

// otherSlot finds or resolves a slot that is not the row's first. That of a newer version takes
// the first place, because it will be asked for most.
func (s *state) otherSlot(row *shapeRow, shape *meter.Shape, v *meter.Version, c money.Currency) *rateSlot {
	for i := len(row.more) - 1; i >= 0; i-- {
		if row.more[i].version == v.Index && row.more[i].currency == c {
			return &row.more[i]
		}
	}
	slot := s.resolve(shape, v, c)
	if !row.slot.resolved {
		row.slot = slot
		return &row.slot
	}
	newer := v.Index > row.slot.version
	if newer {
		row.slot, slot = slot, row.slot
	}
	if len(row.more) == slotsMax {
		row.more = slices.Delete(row.more, 0, 1)
	}
	row.more = append(row.more, slot)
	if newer {
		return &row.slot
	}
	return &row.more[len(row.more)-1]
}

// slotOf is slot for what is asked for once (an amendment, a simulation): nothing is kept of it.
func (s *state) slotOf(n uint32, v *meter.Version, c money.Currency) rateSlot {
	if row := &s.rates.rows[n]; row.slot.version == v.Index && row.slot.currency == c && row.slot.resolved {
		return row.slot
	}
	return s.resolve(&s.shapes[n].shape, v, c)
}

// resolve finds the price of a shape: the most specific match, which prices every component.
func (s *state) resolve(shape *meter.Shape, v *meter.Version, c money.Currency) rateSlot {
	slot := rateSlot{version: v.Index, currency: c, resolved: true}
	var none meter.NoPlan
	switch slot.plan, none = v.Plan(shape, c); none {
	case meter.NoPrice:
		slot.reason = noPrice
		return slot
	case meter.ComponentMissing:
		slot.reason = componentUnpriced
		return slot
	}
	if slot.plan.Counted != 0 {
		slot.counts, slot.terms = make([]uint32, len(shape.Components)), make([]uint32, len(shape.Components))
		for i, component := range slot.plan.Components {
			if component.Counted() {
				n := s.versions[v.Index].terms[slot.plan.Index][component.Number]
				slot.counts[i], slot.terms[i] = s.terms[n].series, n
				if component.Period == meter.Window {
					slot.byWindow |= 1 << i
				}
			}
		}
	}
	slot.payee = s.versions[v.Index].payees[slot.plan.Index]
	if slot.fee = slot.plan.Price.Fee; slot.plan.Price.Payee == "" {
		slot.payee, slot.fee = s.ledger.Totals(c).Operator, money.Amount{}
	}
	return slot
}

// ratingAmounts is the rated amount of each component of one event.
type ratingAmounts = [meter.MaxComponents]money.Amount

// rate prices the quantities of e by slot, for a posting in the given window, and sets
// e's amount and what it counted from; amounts gets the parts.
func (s *state) rate(slot *rateSlot, e *eventRecord, amounts *ratingAmounts, window uint64) (refused *refusal.Refusal) {
	s.look(slot, e, window)
	if e.amount, refused = slot.plan.Rate(&e.quantities, &e.before, amounts); refused != nil {
		return refused
	}
	if len(e.later) > 0 {
		if !e.countable() {
			return refusal.New(refusal.Invalid, "quantity_overflow", "the period would count more than %s", money.QuantityMax)
		}
		if !s.shift(e, amounts, false) {
			return overflow()
		}
	}
	if !s.ledger.Fits(slot.currency, e.amount) || (e.counted != 0 && !bounded(amounts, e.components)) {
		return overflow()
	}
	return nil
}

// bounded reports whether the parts of a counted rating may be summed up for ever: one below
// zero can hide others of any size in a total that fits.
func bounded(amounts *ratingAmounts, components int) bool {
	for i := range components {
		if amounts[i].Abs().Cmp(amountMax) > 0 { // 10^8 events of that size fit into a sum
			return false
		}
	}
	return true
}

// reverse is rate for taking e back.
func (s *state) reverse(slot *rateSlot, e *eventRecord, amounts *ratingAmounts, window uint64) (refused *refusal.Refusal) {
	s.look(slot, e, window)
	if !s.hasCounts(slot, e, window) {
		return refusal.New(refusal.Invalid, "not_counted", "the period has not counted what is to be taken back")
	}
	if e.amount, refused = slot.plan.Reverse(&e.quantities, &e.before, amounts); refused != nil {
		return refused
	}
	if len(e.later) > 0 && !s.shift(e, amounts, true) {
		return overflow()
	}
	return nil
}

// countable reports whether e's counters stay within what a quantity can hold, with what lies
// above it.
func (e *eventRecord) countable() bool {
	var sums [meter.MaxComponents]money.Quantity
	for _, l := range e.later {
		sums[l.component] += l.quantity
		if e.before[l.component]+sums[l.component]+e.quantities[l.component] > money.QuantityMax {
			return false
		}
	}
	return true
}

func overflow() *refusal.Refusal {
	return refusal.New(refusal.Invalid, "amount_overflow", "the amount is larger than this ledger can hold")
}

// feeOn returns the operator's share of an amount, of the same sign.
func (slot *rateSlot) feeOn(amount money.Amount) money.Amount {
	if slot.fee.IsZero() {
		return money.Amount{}
	}
	fee, _ := amount.MulFraction(slot.fee)
	return fee
}

// feeOf returns the operator's share of an amount under a price.
func feeOf(p *meter.Price, amount money.Amount) money.Amount {
	if p.Fee.IsZero() || p.Payee == "" {
		return money.Amount{}
	}
	fee, _ := amount.MulFraction(p.Fee)
	return fee
}

// split says which dimensions of a shape count for rating and reports (the interned
// shape) and which are only kept (extras).
func (s *state) splitShape(shape *meter.Shape) (kept meter.Shape, extras []meter.Dimension) {
	full := len(s.shapes) >= shapesMax*3/4
	relevant := s.rates.relevant[shape.Type]
	kept = meter.Shape{Type: shape.Type, Components: shape.Components}
	for _, d := range shape.Dimensions {
		if (relevant[d.Key] || s.rates.always[d.Key]) && (!full || s.rates.named[[2]string{d.Key, d.Value}]) {
			kept.Dimensions = append(kept.Dimensions, d)
		} else {
			extras = append(extras, d)
		}
	}
	return kept, extras
}
