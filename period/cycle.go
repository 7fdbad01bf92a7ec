package period

import (
	"errors"
	"math"

	"farthing/money"
)

// Unit is the length of a cycle's periods.
type Unit uint8

// The units. The zero value is none of them. Their names are those of kinds in the
// contract, but a kind's windows have no anchor.
const (
	Daily Unit = 1 + iota
	Weekly
	Monthly
)

var unitWords = [...]string{Daily: "day", Weekly: "week", Monthly: "month"}

// String returns the contract's word.
func (u Unit) String() string {
	if u < Daily || u > Monthly {
		return "unknown"
	}
	return unitWords[u]
}

// ParseUnit reads the contract's word.
func ParseUnit(word string) (Unit, bool) {
	for u := Daily; u <= Monthly; u++ {
		if unitWords[u] == word {
			return u, true
		}
	}
	return 0, false
}

// Anchor returns the anchor of the cycle that has a boundary on the day of at: its
// day of the month or of the week, 0 if the unit has none.
func (u Unit) Anchor(at int64) uint8 {
	check(at)
	switch u {
	case Weekly:
		return uint8(weekday(at / dayNanos))
	case Monthly:
		return uint8(dayOfMonth(at / dayNanos))
	}
	return 0
}

// Cycle is a series of boundaries at midnight UTC.
type Cycle struct {
	Unit Unit
	// Anchor says at which midnights. By the month it is the day, 1 to 31, or the
	// last one of a month that is shorter; by the week the day, 1 (Monday) to 7; by
	// the day it is 0, because all are.
	Anchor uint8
}

// What is wrong with a cycle.
var (
	ErrUnit        = errors.New("the period is not day, week or month")
	ErrMonthAnchor = errors.New("the anchor of a month is 1 to 31")
	ErrWeekAnchor  = errors.New("the anchor of a week is 1 (Monday) to 7")
	ErrDayAnchor   = errors.New("a day has no anchor")
)

// Valid says what is wrong with the cycle.
func (c Cycle) Valid() error {
	switch {
	case c.Unit < Daily || c.Unit > Monthly:
		return ErrUnit
	case c.Unit == Daily && c.Anchor != 0:
		return ErrDayAnchor
	case c.Unit == Weekly && (c.Anchor < 1 || c.Anchor > 7):
		return ErrWeekAnchor
	case c.Unit == Monthly && (c.Anchor < 1 || c.Anchor > 31):
		return ErrMonthAnchor
	}
	return nil
}

// Next returns the first boundary strictly after at. One that would be beyond the
// end of time, in April 2262, is math.MaxInt64. It panics for a cycle that is not
// valid.
func (c Cycle) Next(at int64) int64 {
	check(at)
	if err := c.Valid(); err != nil {
		panic("BUG: period: " + err.Error())
	}
	days := at / dayNanos
	switch c.Unit {
	case Daily:
		days++
	case Weekly:
		days += int64(daysToWeekday(weekday(days), uint32(c.Anchor)))
	case Monthly:
		days = nextMonthly(days, uint32(c.Anchor))
	}
	if days > math.MaxInt64/dayNanos {
		return math.MaxInt64
	}
	return days * dayNanos
}

// daysToWeekday returns how many days lie between two days of the week, 1 to 7.
func daysToWeekday(from, to uint32) uint32 {
	if to > from {
		return to - from
	}
	return to + 7 - from
}

// nextMonthly returns the first day after days that is the anchor's.
func nextMonthly(days int64, anchor uint32) int64 {
	year, month, day := date(days)
	length := daysIn(year, month)
	if boundary := min(anchor, length); boundary > day {
		return days + int64(boundary-day)
	}
	// After December the year is the wrong one, but every January has 31 days.
	next := daysIn(year, month%12+1)
	return days + int64(length-day) + int64(min(anchor, next))
}

// Prorate returns amount × part / whole, worked out exactly and cut towards zero to
// digits decimal places. part and whole are nanoseconds, 0 <= part <= whole and
// whole > 0; anything else panics.
func Prorate(amount money.Amount, part, whole int64, digits int) money.Amount {
	if part < 0 || part > whole || whole <= 0 {
		panic("BUG: period: the part of a period is not within it")
	}
	// Cut twice is cut once: 10^-18 divides every coarser place.
	share, _ := amount.MulRatio(uint64(part), uint64(whole))
	cut, _ := share.Cut(digits)
	return cut
}
