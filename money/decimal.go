package money

import (
	"encoding/binary"
	"math/big"

	"github.com/shopspring/decimal"
)

// FromDecimal converts a decimal exactly. Errors: ErrPrecision when it needs
// more than 18 places, ErrOverflow when it is out of range. A huge exponent
// costs nothing: it is refused before anything is multiplied.
func FromDecimal(d decimal.Decimal) (Amount, error) {
	coef := d.Coefficient()
	if coef.Sign() == 0 {
		return Amount{}, nil
	}
	shift := int64(d.Exponent()) + Scale
	if shift > digitsMax {
		return Amount{}, ErrOverflow
	}
	negative := coef.Sign() < 0
	coef.Abs(coef)
	if shift >= 0 {
		coef.Mul(coef, tenTo(shift))
		return fromBig(negative, coef)
	}
	// 10^k divides a number of b bits only if k < b: 2^k alone needs k bits.
	if -shift >= int64(coef.BitLen()) {
		return Amount{}, ErrPrecision
	}
	coef, rem := coef.QuoRem(coef, tenTo(-shift), new(big.Int))
	if rem.Sign() != 0 {
		return Amount{}, ErrPrecision
	}
	return fromBig(negative, coef)
}

// Decimal returns a as a decimal with 18 places.
func (a Amount) Decimal() decimal.Decimal {
	hi, lo := a.magnitude()
	var buf [16]byte
	binary.BigEndian.PutUint64(buf[:8], hi)
	binary.BigEndian.PutUint64(buf[8:], lo)
	coef := new(big.Int).SetBytes(buf[:])
	if a.hi < 0 {
		coef.Neg(coef)
	}
	return decimal.NewFromBigInt(coef, -Scale)
}

// fromBig converts a magnitude in units of 10^-18.
func fromBig(negative bool, m *big.Int) (Amount, error) {
	if m.BitLen() > 127 {
		return Amount{}, ErrOverflow
	}
	var buf [16]byte
	m.FillBytes(buf[:])
	return mustMagnitude(negative, binary.BigEndian.Uint64(buf[:8]), binary.BigEndian.Uint64(buf[8:])), nil
}

func tenTo(n int64) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(n), nil) }
