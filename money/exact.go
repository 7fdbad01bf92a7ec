package money

// DivExact divides by n; false when n is 0 or the quotient has no exact form at
// scale 18. Used for prices stated per many units.
func (a Amount) DivExact(n uint64) (Amount, bool) {
	if n == 0 {
		return Amount{}, false
	}
	hi, lo := a.magnitude()
	qHi, qLo, rem := divide128(hi, lo, n)
	if rem != 0 {
		return Amount{}, false
	}
	return fromMagnitude(a.Sign() < 0, qHi, qLo)
}

// DivMod divides a non-negative integer count (an Amount used as a 128-bit integer)
// by n and returns quotient and remainder. It panics when a is negative or n is 0.
func (a Amount) DivMod(n uint64) (quotient Amount, rest uint64) {
	if a.hi < 0 || n == 0 {
		panic("BUG: money: DivMod of a negative count or by zero")
	}
	hi, lo, rem := divide128(uint64(a.hi), a.lo, n)
	return Amount{int64(hi), lo}, rem
}

// AppendInteger appends a non-negative Amount used as a 128-bit integer count, in
// decimal digits.
func (a Amount) AppendInteger(dst []byte) []byte { return appendWhole(dst, uint64(a.hi), a.lo) }
