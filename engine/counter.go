package engine

import (
	"math/bits"
	"time"

	"farthing/cow"
	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
)

// counterRow is the quantity that one payer used of one series in one period: the Q of
// T(Q) (package meter). A series is a meter, currency, match, component and kind of period
// (meter.Price.Series), numbered in the order the price versions brought them, so that
// counting goes on from version to version.
type counterRow struct {
	counterKey
	quantity money.Quantity
}

type counterKey struct {
	account ledger.Ref
	series  uint32
	period  uint64 // months since year 0, or the settlement window's number
}

// counterTable finds and adds up counters. Rows are never dropped: an event of any past
// period can still be voided. It belongs to the owner of the state.
type counterTable struct {
	rows  cow.Table[counterRow]
	index map[counterKey]uint32 // derived
	// overlay, when set, takes all changes: a rehearsal counts without counting.
	overlay map[counterKey]int64
}

func newCounterTable() counterTable { return counterTable{index: map[counterKey]uint32{}} }

// at returns the quantity counted so far.
func (t *counterTable) at(k counterKey) money.Quantity {
	q := money.Quantity(0)
	if n, ok := t.index[k]; ok {
		q = t.rows.At(n).quantity
	}
	return q + money.Quantity(t.overlay[k])
}

// add counts q; that the sum stays within money.QuantityMax was checked when it was rated.
func (t *counterTable) add(k counterKey, q money.Quantity) {
	if t.overlay != nil {
		t.overlay[k] += int64(q)
		return
	}
	n, ok := t.index[k]
	if !ok {
		n = t.rows.Append(counterRow{counterKey: k})
		t.index[k] = n
	}
	t.rows.Mut(n).quantity += q
}

// sub takes back what was counted.
func (t *counterTable) sub(k counterKey, q money.Quantity) {
	if t.overlay != nil {
		t.overlay[k] -= int64(q)
		return
	}
	row := t.rows.Mut(t.index[k])
	if row.counterKey != k || row.quantity < q {
		panic("BUG: a counter is taken back below what it counted")
	}
	row.quantity -= q
}

// restored rebuilds the index after the rows were loaded.
func (t *counterTable) restored() {
	for n := range t.rows.Len() {
		t.index[t.rows.At(n).counterKey] = n
	}
}

// eachCounter calls fn with the position and the counter of every counted component of an
// event under a slot, for a rating that posts (or posted) in the given window.
func eachCounter(slot *rateSlot, e *eventRecord, window uint64, fn func(i int, k counterKey)) {
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

// count adds an event's quantities to its counters.
func (s *state) count(slot *rateSlot, e *eventRecord, window uint64) {
	if slot.plan.Counted != 0 {
		eachCounter(slot, e, window, func(i int, k counterKey) { s.counters.add(k, e.quantities[i]) })
	}
}

// uncount takes them out again.
func (s *state) uncount(slot *rateSlot, e *eventRecord, window uint64) {
	if slot.plan.Counted != 0 {
		eachCounter(slot, e, window, func(i int, k counterKey) { s.counters.sub(k, e.quantities[i]) })
	}
}

// look notes in e what the counters of its rating stand at.
func (s *state) look(slot *rateSlot, e *eventRecord, window uint64) {
	e.counted = slot.plan.Counted
	if e.counted != 0 {
		eachCounter(slot, e, window, func(i int, k counterKey) { e.before[i] = s.counters.at(k) })
	}
}
