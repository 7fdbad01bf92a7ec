package money

import (
	"math"
	"math/bits"
)

// Scale is the number of decimal places of an Amount: it counts 10^-18 of a
// currency unit.
const Scale = 18

// Amount is a signed amount of money: a 128-bit two's complement integer of
// 10^-18 currency units. The zero value is 0. Amounts may be compared with ==.
//
// The range is symmetric: |a| <= 2^127 - 1, about 1.7 * 10^20 currency units.
// Leaving out -2^127 lets Neg and Abs be total. Every operation that could
// leave the range says so with a false result instead of wrapping.
type Amount struct {
	hi int64
	lo uint64
}

// FromWords returns the amount hi*2^64 + lo, in units of 10^-18. It panics on
// the one pair outside the range, (math.MinInt64, 0), which Words never gives.
func FromWords(hi int64, lo uint64) Amount {
	if hi == math.MinInt64 && lo == 0 {
		panic("BUG: money: -2^127 is not an amount")
	}
	return Amount{hi, lo}
}

// Words returns the two's complement words of a, the inverse of FromWords.
func (a Amount) Words() (hi int64, lo uint64) { return a.hi, a.lo }

// Add returns a + b, or false when the sum is out of range.
func (a Amount) Add(b Amount) (Amount, bool) {
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	hi, _ := bits.Add64(uint64(a.hi), uint64(b.hi), carry)
	sum := Amount{int64(hi), lo}
	// Two's complement overflows only when both operands have the sign that
	// the sum has not.
	if (a.hi^sum.hi)&(b.hi^sum.hi) < 0 || sum.isMin() {
		return Amount{}, false
	}
	return sum, true
}

// Sub returns a - b, or false when the difference is out of range.
func (a Amount) Sub(b Amount) (Amount, bool) { return a.Add(b.Neg()) }

// MustAdd returns a + b for sums already known to be bounded. It panics when
// the sum is out of range.
func (a Amount) MustAdd(b Amount) Amount {
	lo, carry := bits.Add64(a.lo, b.lo, 0) // as Add does; spelled out, it is inlined
	h, _ := bits.Add64(uint64(a.hi), uint64(b.hi), carry)
	hi := int64(h)
	if (a.hi^hi)&(b.hi^hi) < 0 || hi == math.MinInt64 && lo == 0 {
		panic(errSum)
	}
	return Amount{hi, lo}
}

// What is panicked with says nothing of the operands: then the callers of MustAdd and MustSub, a dozen of them for every event, would not
// have it inlined.
const (
	errSum        = "BUG: money: a sum is out of range"
	errDifference = "BUG: money: a difference is out of range"
)

// MustSub returns a - b for differences already known to be bounded. It panics
// when the difference is out of range.
func (a Amount) MustSub(b Amount) Amount {
	lo, borrow := bits.Sub64(a.lo, b.lo, 0)
	h, _ := bits.Sub64(uint64(a.hi), uint64(b.hi), borrow)
	hi := int64(h)
	if (a.hi^b.hi)&(a.hi^hi) < 0 || hi == math.MinInt64 && lo == 0 {
		panic(errDifference)
	}
	return Amount{hi, lo}
}

// Neg returns -a. It cannot overflow, because the range is symmetric.
func (a Amount) Neg() Amount {
	lo, borrow := bits.Sub64(0, a.lo, 0)
	hi, _ := bits.Sub64(0, uint64(a.hi), borrow)
	return Amount{int64(hi), lo}
}

// Abs returns the magnitude of a. It cannot overflow.
func (a Amount) Abs() Amount {
	if a.hi < 0 {
		return a.Neg()
	}
	return a
}

// MulUint64 returns a * n, or false when the product is out of range.
func (a Amount) MulUint64(n uint64) (Amount, bool) {
	hi, lo := a.magnitude()
	carry, prodLo := bits.Mul64(lo, n)
	over, prodHi := bits.Mul64(hi, n)
	prodHi, c := bits.Add64(prodHi, carry, 0)
	if over+c != 0 {
		return Amount{}, false
	}
	return fromMagnitude(a.hi < 0, prodHi, prodLo)
}

// Sign returns -1, 0 or +1.
func (a Amount) Sign() int {
	switch {
	case a.hi < 0:
		return -1
	case a.IsZero():
		return 0
	default:
		return 1
	}
}

// IsZero reports whether a is 0.
func (a Amount) IsZero() bool { return a.hi == 0 && a.lo == 0 }

// Cmp returns -1 when a < b, 0 when a == b and +1 when a > b.
func (a Amount) Cmp(b Amount) int {
	switch {
	case a == b:
		return 0
	case a.hi < b.hi, a.hi == b.hi && a.lo < b.lo:
		return -1
	default:
		return 1
	}
}

func (a Amount) isMin() bool { return a.hi == math.MinInt64 && a.lo == 0 }

// magnitude returns |a| as an unsigned 128-bit integer below 2^127. It has no
// branch: the sign of an amount on the hot path is not predictable.
func (a Amount) magnitude() (hi, lo uint64) {
	mask := uint64(a.hi >> 63)
	lo, borrow := bits.Sub64(a.lo^mask, mask, 0)
	hi, _ = bits.Sub64(uint64(a.hi)^mask, mask, borrow)
	return hi, lo
}

// fromMagnitude is the inverse of magnitude; false when the magnitude does not
// fit in 127 bits.
func fromMagnitude(negative bool, hi, lo uint64) (Amount, bool) {
	if hi > math.MaxInt64 {
		return Amount{}, false
	}
	a := Amount{int64(hi), lo}
	if negative {
		a = a.Neg()
	}
	return a, true
}

// mustMagnitude is fromMagnitude for magnitudes that are known to fit.
func mustMagnitude(negative bool, hi, lo uint64) Amount {
	a, ok := fromMagnitude(negative, hi, lo)
	if !ok {
		panic("BUG: money: magnitude above 2^127 - 1")
	}
	return a
}
