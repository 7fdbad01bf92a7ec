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
