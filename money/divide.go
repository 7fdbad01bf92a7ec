package money

import (
	"fmt"
	"math/bits"
)

// pow10 holds the powers of ten that fit in 64 bits.
var pow10 = [20]uint64{
	1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9,
	1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
}

// unit is the number of 10^-18 parts in one currency unit.
const unit = 1_000_000_000_000_000_000

// Cut truncates a towards zero to minorDigits decimal places (0 to 18) and
// returns that and the rest: cut + rest == a, and the rest has the sign of a.
// It panics when minorDigits is out of its bounds.
func (a Amount) Cut(minorDigits int) (cut, rest Amount) {
	if minorDigits < 0 || minorDigits > Scale {
		panic(fmt.Sprintf("BUG: money: cut to %d digits", minorDigits))
	}
	hi, lo := a.magnitude()
	rem := bits.Rem64(hi, lo, pow10[Scale-minorDigits])
	rest = mustMagnitude(a.hi < 0, 0, rem)
	return a.MustSub(rest), rest
}

// ShiftDown returns a / 10^digits, or false when that is not exact at 18
// places. It panics when digits is negative.
func (a Amount) ShiftDown(digits int) (Amount, bool) {
	if digits < 0 {
		panic(fmt.Sprintf("BUG: money: shift down by %d digits", digits))
	}
	hi, lo := a.magnitude()
	for digits > 0 && hi|lo != 0 {
		step := min(digits, len(pow10)-1)
		var rem uint64
		hi, lo, rem = divide128(hi, lo, pow10[step])
		if rem != 0 {
			return Amount{}, false
		}
		digits -= step
	}
	return mustMagnitude(a.hi < 0, hi, lo), true
}

// MulFraction splits a by the fraction f, 0 <= f <= 1: part is a * f cut at
// 10^-18 towards zero, rest is a - part, so the two always add up to a. It
// panics when f is outside its bounds; check a fraction where it is read.
func (a Amount) MulFraction(f Amount) (part, rest Amount) {
	if f.hi != 0 || f.lo > unit {
		panic(fmt.Sprintf("BUG: money: fraction %v is not in 0..1", f))
	}
	if a.hi == 0 { // below 18 units of currency, as what one event costs: f is at most one, so the quotient fits a word
		w1, w0 := bits.Mul64(a.lo, f.lo)
		q, _ := bits.Div64(w1, w0, unit)
		part = Amount{0, q}
		return part, a.MustSub(part)
	}
	w2, w1, w0 := a.mul192(f.lo)
	_, w1, w0, _ = divide192(w2, w1, w0, unit)
	part = mustMagnitude(a.hi < 0, w1, w0)
	return part, a.MustSub(part)
}

// MulRatio splits a by the ratio n/d, 0 <= n <= d, 0 < d: part is a * n / d,
// worked out exactly and cut at 10^-18 towards zero, rest is a - part, so the
// two always add up to a. It panics when the ratio is outside its bounds.
func (a Amount) MulRatio(n, d uint64) (part, rest Amount) {
	if d == 0 || n > d {
		panic(fmt.Sprintf("BUG: money: ratio %d/%d is not in 0..1", n, d))
	}
	// MulFraction spells this out for itself: with a constant divisor it is a
	// quarter faster, and it is on the hot path.
	w2, w1, w0 := a.mul192(n)
	_, w1, w0, _ = divide192(w2, w1, w0, d)
	part = mustMagnitude(a.hi < 0, w1, w0)
	return part, a.MustSub(part)
}

// MulQuantity returns the exact product a * q, or false when it needs more
// than 18 places or is out of range. Whole quantities, the usual case, cost
// one division by a constant and one 128x64-bit multiplication.
func (a Amount) MulQuantity(q Quantity) (Amount, bool) {
	if n := uint64(q) / quantityUnit; n*quantityUnit == uint64(q) {
		return a.MulUint64(n)
	}
	w2, w1, w0 := a.mul192(uint64(q))
	w2, w1, w0, rem := divide192(w2, w1, w0, quantityUnit)
	if rem != 0 || w2 != 0 {
		return Amount{}, false
	}
	return fromMagnitude(a.hi < 0, w1, w0)
}

// mul192 returns |a| * n as three words; the product of 127 and 64 bits fits.
func (a Amount) mul192(n uint64) (w2, w1, w0 uint64) {
	hi, lo := a.magnitude()
	carry, w0 := bits.Mul64(lo, n)
	w2, w1 = bits.Mul64(hi, n)
	w1, c := bits.Add64(w1, carry, 0)
	return w2 + c, w1, w0
}

// divide128 returns the quotient and the rest of a 128-bit integer by d > 0.
func divide128(hi, lo, d uint64) (qHi, qLo, rem uint64) {
	qHi, rem = hi/d, hi%d
	qLo, rem = bits.Div64(rem, lo, d)
	return qHi, qLo, rem
}

// divide192 returns the quotient and the rest of a 192-bit integer by d > 0.
func divide192(w2, w1, w0, d uint64) (q2, q1, q0, rem uint64) {
	q2, rem = w2/d, w2%d
	q1, rem = bits.Div64(rem, w1, d)
	q0, rem = bits.Div64(rem, w0, d)
	return q2, q1, q0, rem
}

// mulPow10 returns a 128-bit integer times 10^n, or false beyond 128 bits.
func mulPow10(hi, lo uint64, n int) (uint64, uint64, bool) {
	for n > 0 {
		step := min(n, len(pow10)-1)
		carry, l := bits.Mul64(lo, pow10[step])
		over, h := bits.Mul64(hi, pow10[step])
		h, c := bits.Add64(h, carry, 0)
		if over+c != 0 {
			return 0, 0, false
		}
		hi, lo, n = h, l, n-step
	}
	return hi, lo, true
}
