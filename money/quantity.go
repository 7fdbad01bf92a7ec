package money

import (
	"encoding/binary"
	"strconv"
)

// Quantity is an amount of usage (tokens, calls, seconds) in millionths of its
// unit. Quantities may be added and compared as integers; QuantityMax bounds
// what is read from outside, so that two of them never overflow a sum.
type Quantity uint64

const (
	// QuantityDecimals is the number of decimal places of a Quantity.
	QuantityDecimals = 6
	// QuantityMax is the largest quantity that is read: 9 * 10^12 units. It
	// stays below 2^63 millionths.
	QuantityMax Quantity = 9_000_000_000_000 * quantityUnit

	quantityUnit = 1_000_000
)

// WholeQuantity returns n units, or false when that is above QuantityMax.
func WholeQuantity(n uint64) (Quantity, bool) {
	if n > uint64(QuantityMax)/quantityUnit {
		return 0, false
	}
	return Quantity(n * quantityUnit), true
}

// ParseQuantity reads the token of a JSON number as the number it spells:
// "3", "1.0" (which is 1), "0.25", "1e3". It keeps nothing of b and does not
// allocate. Errors: ErrSyntax; ErrNegative below zero ("-0" is zero);
// ErrPrecision for more than six places; ErrOverflow above QuantityMax.
func ParseQuantity(b []byte) (Quantity, error) {
	if q, ok := parseWhole(b); ok {
		return q, nil
	}
	n, ok := scan(b, true)
	switch {
	case !ok:
		return 0, ErrSyntax
	case n.negative && n.first >= 0:
		return 0, ErrNegative
	}
	hi, lo, err := scaled(b, n, QuantityDecimals)
	if err != nil {
		return 0, err
	}
	if hi != 0 || Quantity(lo) > QuantityMax {
		return 0, ErrOverflow
	}
	return Quantity(lo), nil
}

// parseWhole reads plain digits of at most 12 places, which are all in range.
// Nearly every quantity is one; what it does not take, the full reader does.
func parseWhole(b []byte) (Quantity, bool) {
	if len(b) == 0 || len(b) > 12 || (b[0] == '0' && len(b) > 1) {
		return 0, false
	}
	n := uint64(0)
	for _, c := range b {
		if !isDigit(c) {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return Quantity(n * quantityUnit), true
}

// Whole returns q in units, or false when q is not a whole number of them.
func (q Quantity) Whole() (uint64, bool) {
	n := uint64(q) / quantityUnit
	return n, n*quantityUnit == uint64(q)
}

// AppendBinary appends the binary form of q, a uvarint: nearly all quantities are whole and stand as twice their
// units, others as twice their millionths plus one.
func (q Quantity) AppendBinary(dst []byte) []byte {
	if whole, ok := q.Whole(); ok {
		return binary.AppendUvarint(dst, whole<<1)
	}
	return binary.AppendUvarint(dst, uint64(q)<<1|1)
}

// BinaryQuantity returns the quantity of a uvarint that AppendBinary wrote, or false when that is above QuantityMax. A whole
// quantity in millionths is taken: who needs one spelling asks Whole.
func BinaryQuantity(n uint64) (Quantity, bool) {
	if n&1 == 0 {
		return WholeQuantity(n >> 1)
	}
	q := Quantity(n >> 1)
	return q, q <= QuantityMax
}

// Decimals returns the number of decimal places that q needs, 0 to 6.
func (q Quantity) Decimals() int {
	frac, places := uint64(q)%quantityUnit, QuantityDecimals
	if frac == 0 {
		return 0
	}
	for frac%10 == 0 {
		frac /= 10
		places--
	}
	return places
}

// String returns the minimal decimal of q.
func (q Quantity) String() string {
	var buf [24]byte
	return string(q.AppendText(buf[:0]))
}

// AppendText appends what String returns to dst. It allocates only if dst has
// to grow.
func (q Quantity) AppendText(dst []byte) []byte {
	dst = strconv.AppendUint(dst, uint64(q)/quantityUnit, 10)
	return appendFraction(dst, uint64(q)%quantityUnit, QuantityDecimals)
}
