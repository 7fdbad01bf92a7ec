package limit

import (
	"math"
	"math/bits"

	"farthing/money"
	"farthing/period"
)

// recentLen is how many holds a shadow limit remembers: enough to look at examples,
// few enough for a row.
const recentLen = 8

// Row is a limit and what was counted against it.
type Row struct {
	Bound
	Start       int64        // of the window counted; 0 per call and in total
	Spent       money.Amount // charged in the window; below zero if more was given back
	Held        money.Amount // reserved in the window by holds that are open
	Calls       uint64       // charged
	Reserved    uint64       // calls of holds that are open
	Told        bool         // it was said that the limit is reached, in this window
	WouldRefuse uint64       // holds that a shadow limit would have refused, in all
	// Recent holds the sequences of the last of them: that of hold n, from 0, is at
	// n modulo the length.
	Recent [recentLen]uint64
}

// Roll makes the window of now the one that is counted. If it is another one than
// before, nothing is counted in it yet. It panics for a time before the window:
// group time never goes back.
func (r *Row) Roll(now int64) {
	if r.Per.Holds(r.Start, now) {
		return
	}
	if now < r.Start {
		panic("BUG: limit: time goes back")
	}
	r.Start = r.Per.Start(now)
	r.Spent, r.Held = money.Amount{}, money.Amount{}
	r.Calls, r.Reserved = 0, 0
	r.Told = false
}

// Left returns what is still free of the amount and of the count, and whether each
// is bounded at all. The amount is below zero by what was spent beyond it; a count is
// 0 then.
func (r *Row) Left() (amount money.Amount, amountBounded bool, count uint64, countBounded bool) {
	if r.HasAmount {
		amount = r.leftAmount()
	}
	if used := r.usedCalls(); r.HasCount && used < r.Count {
		count = r.Count - used
	}
	return amount, r.HasAmount, count, r.HasCount
}

// Fits reports whether a reservation can be made without passing the limit, whatever
// its mode; byCount says that it is the count that it does not fit. Of a limit that it
// fits neither way the amount is named. A limit that was passed already fits nothing,
// not even what costs nothing.
func (r *Row) Fits(amount money.Amount, calls uint64) (ok, byCount bool) {
	if r.HasAmount && amount.Cmp(r.leftAmount()) > 0 {
		return false, false
	}
	if r.HasCount {
		used, carry := bits.Add64(r.usedCalls(), calls, 0)
		if carry != 0 || used > r.Count {
			return false, true
		}
	}
	return true, false
}

// Reserve counts a reservation in the present window.
func (r *Row) Reserve(amount money.Amount, calls uint64) {
	if amount.Sign() < 0 {
		panic("BUG: limit: a reservation below zero")
	}
	if r.Per == period.Call {
		return
	}
	r.Held = r.Held.MustAdd(amount)
	r.Reserved = mustAdd(r.Reserved, calls)
}

// Unreserve takes a reservation back that was made at a time, if the window still
// holds that time; else it is gone with its window.
func (r *Row) Unreserve(at int64, amount money.Amount, calls uint64) {
	if amount.Sign() < 0 {
		panic("BUG: limit: a reservation below zero")
	}
	if !r.counts(at) {
		return
	}
	held := r.Held.MustSub(amount)
	if held.Sign() < 0 {
		panic("BUG: limit: more is released than held")
	}
	if calls > r.Reserved {
		panic("BUG: limit: more calls are released than reserved")
	}
	r.Held = held
	r.Reserved -= calls
}

// Charge counts what was spent, if the window still holds its time. What is given
// back, by a correction or by a price that counts, is below zero.
func (r *Row) Charge(at int64, amount money.Amount, calls uint64) {
	if !r.counts(at) {
		return
	}
	r.Spent = r.Spent.MustAdd(amount)
	r.Calls = mustAdd(r.Calls, calls)
}

// Passed reports whether more is spent and held than the limit allows.
func (r *Row) Passed() bool {
	return r.HasAmount && r.leftAmount().Sign() < 0 || r.HasCount && r.usedCalls() > r.Count
}

// Shadowed notes a hold that the limit would have refused. Sequences begin at 1.
func (r *Row) Shadowed(seq uint64) {
	if seq == 0 {
		panic("BUG: limit: a hold without a sequence")
	}
	r.Recent[r.WouldRefuse%recentLen] = seq
	r.WouldRefuse = mustAdd(r.WouldRefuse, 1)
}

// counts reports whether what happened at a time is counted in the present window. It
// panics for a time after the window: the row was not rolled, and what is not counted
// now would never be.
func (r *Row) counts(at int64) bool {
	if r.Per == period.Call {
		return false
	}
	if r.Per.Holds(r.Start, at) {
		return true
	}
	if at > r.Start {
		panic("BUG: limit: a time after the window")
	}
	return false
}

// mostAmount is the largest amount.
var mostAmount = money.FromWords(math.MaxInt64, math.MaxUint64)

// leftAmount returns amount − spent − held. The amount of a limit is the only figure
// here that the ledger does not bound: a huge one of which less than nothing is used
// has the largest amount left.
func (r *Row) leftAmount() money.Amount {
	left, ok := r.Amount.Sub(r.Spent.MustAdd(r.Held))
	if !ok {
		return mostAmount
	}
	return left
}

func (r *Row) usedCalls() uint64 { return mustAdd(r.Calls, r.Reserved) }

func mustAdd(a, b uint64) uint64 {
	sum, carry := bits.Add64(a, b, 0)
	if carry != 0 {
		panic("BUG: limit: a count wraps")
	}
	return sum
}
