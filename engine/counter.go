package engine

import (
	"math/bits"
	"slices"
	"time"

	"farthing/cow"
	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
)

// What one payer used of one series in one period is counted version by version. A series is
// a meter, currency, match, component and kind of period (meter.Price.Series), so that
// counting goes on from version to version. The versions lie on top of each other in the order
// in which they are effective, and the period costs
//
//	Σ over versions v of  Tᵥ(Cᵥ) − Tᵥ(Cᵥ₋₁)
//
// where Cᵥ is what was counted under v and the versions below it (T: package meter). An event
// posts the difference that it makes to this sum, and so do a void and a new rating. The sum
// depends on the counts alone: in whatever order events came, were taken back and rated anew,
// the period costs the same, and nothing when all of it was taken back. With one version it is
// T(Q+q) − T(Q). Taking the quantity back from T of one version although another's lies on top
// would give back what was never charged.

// counterRow is what was counted under one version.
type counterRow struct {
	counterKey
	version  uint32
	quantity money.Quantity
}

type counterKey struct {
	account ledger.Ref
	series  uint32
	period  uint64 // months since year 0, or the settlement window's number
}

// count is a version's part of a counter.
type count struct {
	version  uint32
	quantity money.Quantity
}

// counterTable finds and adds up counters. Rows are never dropped: an event of any past
// period can still be voided. It belongs to the owner of the state.
type counterTable struct {
	rows  cow.Table[counterRow]
	index map[counterKey][]uint32 // rows, in the order in which their versions are effective; derived
	// overlay, when set, takes all changes: a rehearsal counts without counting. What it has
	// touched it knows by itself, whatever happens to the counter meanwhile.
	overlay map[counterKey][]count
}

func newCounterTable() counterTable { return counterTable{index: map[counterKey][]uint32{}} }

// counts appends a counter's parts to buf, in the order in which their versions are effective.
func (t *counterTable) counts(k counterKey, buf []count) []count {
	if t.overlay != nil {
		if list, touched := t.overlay[k]; touched {
			return append(buf, list...)
		}
	}
	for _, n := range t.index[k] {
		row := t.rows.At(n)
		buf = append(buf, count{row.version, row.quantity})
	}
	return buf
}

// add counts q, or takes it back (negative); that the sum stays within 0 and
// money.QuantityMax was checked when it was rated.
func (s *state) addCount(k counterKey, version uint32, q int64) {
	t := &s.counters
	if t.overlay != nil {
		s.addOverlay(k, version, q)
		return
	}
	list := t.index[k]
	at, there := slices.BinarySearchFunc(list, version, func(n, v uint32) int { return s.compareVersions(t.rows.At(n).version, v) })
	if !there {
		list = slices.Insert(list, at, t.rows.Append(counterRow{counterKey: k, version: version}))
		t.index[k] = list
	}
	row := t.rows.Mut(list[at])
	if row.quantity = addQuantity(row.quantity, q); row.counterKey != k {
		panic("BUG: a counter's row is another's")
	}
}

func (s *state) addOverlay(k counterKey, version uint32, q int64) {
	t := &s.counters
	list, touched := t.overlay[k]
	if !touched {
		list = t.counts(k, nil)
	}
	at, there := slices.BinarySearchFunc(list, version, func(c count, v uint32) int { return s.compareVersions(c.version, v) })
	if !there {
		list = slices.Insert(list, at, count{version: version})
	}
	list[at].quantity = addQuantity(list[at].quantity, q)
	t.overlay[k] = list
}

func addQuantity(a money.Quantity, q int64) money.Quantity {
	sum := int64(a) + q // both far below 2⁶³
	if sum < 0 {
		panic("BUG: a counter is taken back below what it counted")
	}
	return money.Quantity(sum)
}

// compareVersions orders versions by the moment from which they are effective; no two have the same.
func (s *state) compareVersions(a, b uint32) int {
	x, y := s.versions[a].Version.EffectiveFrom, s.versions[b].Version.EffectiveFrom
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// restoreCounters rebuilds the index after rows and versions were loaded.
func (s *state) restoreCounters() {
	t := &s.counters
	for n := range t.rows.Len() {
		k := t.rows.At(n).counterKey
		t.index[k] = append(t.index[k], n)
	}
	for _, list := range t.index {
		slices.SortFunc(list, func(a, b uint32) int { return s.compareVersions(t.rows.At(a).version, t.rows.At(b).version) })
	}
}

// later is what was counted under a version above that of a rating.
type later struct {
	component uint8 // of the event
	count
}

// look notes in e what the counters of its rating stand at: the quantity up to its version,
// and what lies above.
func (s *state) look(slot *rateSlot, e *eventRecord, window uint64) {
	e.counted, e.later = slot.plan.Counted, e.later[:0]
	if e.counted != 0 {
		s.eachCounter(slot, e, window, func(i int, k counterKey) { s.lookAt(slot.version, e, i, k) })
	}
}

func (s *state) lookAt(version uint32, e *eventRecord, i int, k counterKey) {
	var buf [8]count
	e.before[i] = 0
	for _, c := range s.counters.counts(k, buf[:0]) {
		switch {
		case s.compareVersions(c.version, version) <= 0:
			e.before[i] += c.quantity
		case c.quantity > 0:
			e.later = append(e.later, later{uint8(i), c})
		}
	}
}

// count adds an event's quantities to its counters, or takes them out (sign -1).
func (s *state) count(slot *rateSlot, e *eventRecord, window uint64, sign int64) {
	if slot.plan.Counted != 0 {
		s.eachCounter(slot, e, window, func(i int, k counterKey) { s.addCount(k, slot.version, sign*int64(e.quantities[i])) })
	}
}

// counts reports whether what an event would take out of its counters is there.
func (s *state) hasCounts(slot *rateSlot, e *eventRecord, window uint64) bool {
	ok := true
	if slot.plan.Counted == 0 {
		return ok
	}
	s.eachCounter(slot, e, window, func(i int, k counterKey) {
		var buf [8]count
		at := slices.IndexFunc(s.counters.counts(k, buf[:0]), func(c count) bool { return c.version == slot.version && c.quantity >= e.quantities[i] })
		ok = ok && at >= 0
	})
	return ok
}

// eachCounter calls fn with the position and the counter of every counted component of an
// event under a slot, for a rating that posts (or posted) in the given window.
func (s *state) eachCounter(slot *rateSlot, e *eventRecord, window uint64, fn func(i int, k counterKey)) {
	for mask := slot.plan.Counted; mask != 0; mask &= mask - 1 {
		i := bits.TrailingZeros32(mask)
		k := counterKey{account: e.account, series: slot.series[i], period: window}
		if slot.plan.Components[i].Period == meter.Month {
			k.period = monthOf(e.time)
		}
		fn(i, k)
	}
}

// monthOf numbers the calendar months in UTC.
func monthOf(ns int64) uint64 {
	year, month, _ := time.Unix(0, ns).UTC().Date()
	return uint64(year)*12 + uint64(month) - 1
}

// shift adds to a rating what it makes of the counts above it, which lie q higher from then on
// (or lower, back): amounts and total get it. False: more than an amount can hold.
func (s *state) shift(slot *rateSlot, e *eventRecord, amounts *ratingAmounts, back bool) bool {
	from := e.before
	for _, l := range e.later {
		i := l.component
		part, ok := s.countedPrice(l.version, slot.series[i]).Shift(from[i], from[i]+l.quantity, e.quantities[i], back)
		if ok {
			amounts[i], ok = amounts[i].Add(part)
		}
		if ok {
			e.amount, ok = e.amount.Add(part)
		}
		if !ok {
			return false
		}
		from[i] += l.quantity
	}
	return true
}

// countedPrice is a version's price of a series that was counted under it.
func (s *state) countedPrice(version, series uint32) *meter.ComponentPrice {
	return s.versions[version].counted[series]
}
