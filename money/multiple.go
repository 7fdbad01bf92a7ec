package money

import "math/big"

// UpToMultiple returns the least whole multiple of unit, at least one, that is not below a:
// how many equal payments close a gap. False when that is out of range. Unit is above zero.
func (a Amount) UpToMultiple(unit Amount) (Amount, bool) {
	if unit.Sign() <= 0 {
		panic("BUG: money: a multiple of nothing")
	}
	if a.Cmp(unit) <= 0 {
		return unit, true
	}
	gap, step := a.big(), unit.big()
	n := new(big.Int).Sub(new(big.Int).Add(gap, step), big.NewInt(1))
	n.Div(n, step).Mul(n, step)
	if n.BitLen() > 127 {
		return Amount{}, false
	}
	lo := new(big.Int).And(n, new(big.Int).SetUint64(1<<64-1))
	return FromWords(new(big.Int).Rsh(n, 64).Int64(), lo.Uint64()), true
}

// big returns an amount that is not below zero.
func (a Amount) big() *big.Int {
	hi, lo := a.Words()
	return new(big.Int).Add(new(big.Int).Lsh(big.NewInt(hi), 64), new(big.Int).SetUint64(lo))
}
