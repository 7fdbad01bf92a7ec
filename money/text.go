package money

import (
	"math/bits"
	"strconv"
)

// textMax is the longest text of an Amount: '-', 21 whole digits, dot, 18.
const textMax = 1 + 21 + 1 + Scale

// String returns the minimal decimal of a: no exponent, no superfluous zeros,
// "0" and never "-0". Parse reads it back.
func (a Amount) String() string {
	var buf [textMax]byte
	return string(a.AppendText(buf[:0]))
}

// AppendText appends what String returns to dst. It allocates only if dst has
// to grow.
func (a Amount) AppendText(dst []byte) []byte {
	if a.hi < 0 {
		dst = append(dst, '-')
	}
	hi, lo := a.magnitude()
	wholeHi, wholeLo, frac := divide128(hi, lo, unit)
	dst = appendWhole(dst, wholeHi, wholeLo)
	return appendFraction(dst, frac, Scale)
}

// Decimals returns the number of decimal places that a needs, 0 to 18.
func (a Amount) Decimals() int {
	hi, lo := a.magnitude()
	frac := bits.Rem64(hi, lo, unit)
	if frac == 0 {
		return 0
	}
	places := Scale
	for frac%10 == 0 {
		frac /= 10
		places--
	}
	return places
}

// appendWhole appends a 128-bit integer below 10^38 in decimal.
func appendWhole(dst []byte, hi, lo uint64) []byte {
	if hi == 0 {
		return strconv.AppendUint(dst, lo, 10)
	}
	top, rest := bits.Div64(hi, lo, pow10[19])
	dst = strconv.AppendUint(dst, top, 10)
	return appendPadded(dst, rest, 19)
}

// appendFraction appends a dot and frac as so many places, without the zeros
// at the end; nothing when frac is 0.
func appendFraction(dst []byte, frac uint64, places int) []byte {
	if frac == 0 {
		return dst
	}
	for frac%10 == 0 {
		frac /= 10
		places--
	}
	return appendPadded(append(dst, '.'), frac, places)
}

// appendPadded appends n with leading zeros up to width digits (1 to 19).
func appendPadded(dst []byte, n uint64, width int) []byte {
	var buf [19]byte
	for i := width - 1; i >= 0; i-- {
		buf[i] = byte('0' + n%10)
		n /= 10
	}
	return append(dst, buf[:width]...)
}
