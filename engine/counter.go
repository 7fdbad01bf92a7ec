package engine

import (
	"cmp"
	"math/bits"
	"slices"
	"time"

	"farthing/cow"
	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
)

// What one payer used of one series in one period is counted by terms. A series is a meter,
// currency, match, component, kind of period and earner (meter.Price.Series); its terms are
// the different prices that versions give it (meter.Price.Terms), where versions that follow
// each other and say the same count as one. The terms lie on top of each other in the order in
// which they are effective, and the period costs
//
//	Σ over terms v of  Tᵥ(Cᵥ) − Tᵥ(Cᵥ₋₁)
//
// where Cᵥ is what was counted under v and the terms below it (T: package meter). An event
// posts the difference that it makes to this sum, and so do a void and a new rating. The sum
// depends on the counts alone: in whatever order events came, were taken back and rated anew,
// the period costs the same, and nothing when all of it was taken back. With one price it is
// T(Q+q) − T(Q). Taking the quantity back from T of one version although another's lies on top
// would give back what was never charged.

// counterRow is what was counted under some terms.
type counterRow struct {
	counterKey
	terms    uint32
	quantity money.Quantity
}

// countedTerms is a price that counts. It never changes.
type countedTerms struct {
	series  uint32
	version uint32 // that brought it
	from    int64  // from when that is effective: the place among the series' terms
	price   *meter.ComponentPrice
}

// stretch is the terms that a series has from a version on.
type stretch struct {
	from  int64
	terms uint32
}

// termsOf finds the terms of a counted component in a version: those of the version before or
// after it, if they say the same, or new ones. It never changes afterwards: what was counted
// stays where it is, whatever is put in between later.
func (s *state) termsOf(series uint32, name string, from int64, version uint32, price *meter.ComponentPrice) uint32 {
	list := s.rates.stretches[series]
	at, _ := slices.BinarySearchFunc(list, from, func(x stretch, from int64) int { return cmp.Compare(x.from, from) })
	n := uint32(len(s.terms))
	switch {
	case at > 0 && s.rates.names[list[at-1].terms] == name:
		n = list[at-1].terms
	case at < len(list) && s.rates.names[list[at].terms] == name:
		n = list[at].terms
	default:
		s.terms = append(s.terms, &countedTerms{series: series, version: version, from: from, price: price})
		s.rates.names = append(s.rates.names, name)
	}
	s.rates.stretches[series] = slices.Insert(list, at, stretch{from, n})
	return n
}

// compareTerms orders terms of one series by the place they have.
func (s *state) compareTerms(a, b uint32) int { return cmp.Compare(s.terms[a].from, s.terms[b].from) }

type counterKey struct {
	account ledger.Ref
	series  uint32
	period  uint64 // months since year 0, or the settlement window's number
}

// count is the part of a counter that was counted under some terms.
type count struct {
	terms    uint32
	quantity money.Quantity
}

// counterTable finds and adds up counters. Rows are never dropped: an event of any past
// period can still be voided. It belongs to the owner of the state.
type counterTable struct {
	rows  cow.Table[counterRow]
	index map[counterKey][]uint32 // rows, in the order of their terms; derived
	// overlay, when set, takes all changes: a rehearsal counts without counting. What it has
	// touched it knows by itself, whatever happens to the counter meanwhile.
	overlay map[counterKey][]count
	order   func(a, b uint32) int // of terms
}

func newCounterTable(order func(a, b uint32) int) counterTable {
	return counterTable{index: map[counterKey][]uint32{}, order: order}
}

// each calls fn with a counter's parts, in the order of their terms.
func (t *counterTable) each(k counterKey, fn func(count)) {
	if t.overlay != nil {
		if list, touched := t.overlay[k]; touched {
			for _, c := range list {
				fn(c)
			}
			return
		}
	}
	for _, n := range t.index[k] {
		row := t.rows.At(n)
		fn(count{row.terms, row.quantity})
	}
}

// add counts q, or takes it back (negative); that the sum stays within 0 and
// money.QuantityMax was checked when it was rated.
func (t *counterTable) add(k counterKey, terms uint32, q int64) {
	if t.overlay != nil {
		t.addOverlay(k, terms, q)
		return
	}
	list := t.index[k]
	at, there := slices.BinarySearchFunc(list, terms, func(n, v uint32) int { return t.order(t.rows.At(n).terms, v) })
	if !there {
		list = slices.Insert(list, at, t.rows.Append(counterRow{counterKey: k, terms: terms}))
		t.index[k] = list
	}
	row := t.rows.Mut(list[at])
	if row.quantity = addQuantity(row.quantity, q); row.counterKey != k {
		panic("BUG: a counter's row is another's")
	}
}

func (t *counterTable) addOverlay(k counterKey, terms uint32, q int64) {
	list, touched := t.overlay[k]
	if !touched {
		t.each(k, func(c count) { list = append(list, c) })
	}
	at, there := slices.BinarySearchFunc(list, terms, func(c count, v uint32) int { return t.order(c.terms, v) })
	if !there {
		list = slices.Insert(list, at, count{terms: terms})
	}
	list[at].quantity = addQuantity(list[at].quantity, q)
	t.overlay[k] = list
}

func addQuantity(a money.Quantity, q int64) money.Quantity {
	sum := int64(a) + q // within ±QuantityMax each, which is below 2⁶³, and the sum as checked
	if sum < 0 {
		panic("BUG: a counter is taken back below what it counted")
	}
	return money.Quantity(sum)
}

// restored rebuilds the index after the rows were loaded.
func (t *counterTable) restored() {
	for n := range t.rows.Len() {
		k := t.rows.At(n).counterKey
		t.index[k] = append(t.index[k], n)
	}
	for _, list := range t.index {
		slices.SortFunc(list, func(a, b uint32) int { return t.order(t.rows.At(a).terms, t.rows.At(b).terms) })
	}
}

// later is what was counted under terms above those of a rating.
type later struct {
	component uint8 // of the event
	count
}

// look notes in e what the counters of its rating stand at: the quantity up to its terms,
// and what lies above.
func (s *state) look(slot *rateSlot, e *eventRecord, window uint64) {
	e.counted, e.later = slot.plan.Counted, e.later[:0]
	if e.counted == 0 {
		return
	}
	s.eachCounter(slot, e, window, func(i int, k counterKey) {
		terms, sum := slot.terms[i], money.Quantity(0)
		s.counters.each(k, func(c count) {
			if c.terms == terms || s.compareTerms(c.terms, terms) < 0 {
				sum += c.quantity
			} else if c.quantity > 0 {
				e.later = append(e.later, later{uint8(i), c})
			}
		})
		e.before[i] = sum
	})
}

// count adds an event's quantities to its counters, or takes them out (sign -1).
func (s *state) count(slot *rateSlot, e *eventRecord, window uint64, sign int64) {
	if slot.plan.Counted != 0 {
		s.eachCounter(slot, e, window, func(i int, k counterKey) { s.counters.add(k, slot.terms[i], sign*int64(e.quantities[i])) })
	}
}

// hasCounts reports whether what an event would take out of its counters is there.
func (s *state) hasCounts(slot *rateSlot, e *eventRecord, window uint64) bool {
	ok := true
	if slot.plan.Counted == 0 {
		return ok
	}
	s.eachCounter(slot, e, window, func(i int, k counterKey) {
		there := false
		s.counters.each(k, func(c count) { there = there || (c.terms == slot.terms[i] && c.quantity >= e.quantities[i]) })
		ok = ok && there
	})
	return ok
}

// eachCounter calls fn with the position and the counter of every counted component of an
// event under a slot, for a rating that posts (or posted) in the given window.
func (s *state) eachCounter(slot *rateSlot, e *eventRecord, window uint64, fn func(i int, k counterKey)) {
	month := uint64(0)
	if slot.plan.Counted != slot.byWindow {
		month = s.month.of(e.time)
	}
	for mask := slot.plan.Counted; mask != 0; mask &= mask - 1 {
		i := bits.TrailingZeros32(mask)
		k := counterKey{account: s.people[e.account].Root, series: slot.counts[i], period: month}
		if slot.byWindow>>i&1 != 0 {
			k.period = window
		}
		fn(i, k)
	}
}

// monthCache numbers the calendar months in UTC, from year 0 on. It remembers the last one,
// which is nearly always asked for again.
type monthCache struct {
	from, to int64 // nanoseconds, to exclusive
	number   uint64
}

func (m *monthCache) of(ns int64) uint64 {
	if ns < m.from || ns >= m.to {
		year, month, _ := time.Unix(0, ns).UTC().Date()
		first := time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
		*m = monthCache{first.UnixNano(), first.AddDate(0, 1, 0).UnixNano(), uint64(year)*12 + uint64(month) - 1}
	}
	return m.number
}

// shift adds to a rating what it makes of the counts above it, which lie q higher from then on
// (or lower, back): amounts and e's amount get it. False: more than an amount can hold.
func (t *tables) shift(e *eventRecord, amounts *ratingAmounts, back bool) bool {
	from := e.before
	for _, l := range e.later {
		i := l.component
		part, ok := t.terms[l.terms].price.Shift(from[i], from[i]+l.quantity, e.quantities[i], back)
		if !ok || !addTo(&amounts[i], part) || !addTo(&e.amount, part) {
			return false
		}
		from[i] += l.quantity
	}
	return true
}
