package money

import "math/bits"

// Parse reads a plain decimal as the API writes money: an optional '-', whole
// digits without superfluous leading zeros, and optionally a dot with at least
// one digit ("0.00000125", "-3", "12.50"). There is no exponent, no '+', no
// space. Zeros at the end of the fraction do not count as decimal places.
// Errors: ErrSyntax, ErrPrecision, ErrOverflow.
func Parse(s string) (Amount, error) { return parseAmount(s, false) }

// ParseBytes is Parse for bytes. It keeps nothing of b and does not allocate.
func ParseBytes(b []byte) (Amount, error) { return parseAmount(b, false) }

// ParseNumber reads the text of a JSON number, exponent included (1.25e-06),
// as the decimal it spells. The work is bounded by the length of the text,
// whatever the exponent. Errors: ErrSyntax, ErrPrecision, ErrOverflow.
func ParseNumber(s string) (Amount, error) { return parseAmount(s, true) }

// ParseNumberBytes is ParseNumber for bytes. It keeps nothing of b and does
// not allocate.
func ParseNumberBytes(b []byte) (Amount, error) { return parseAmount(b, true) }

func parseAmount[T string | []byte](s T, exponent bool) (Amount, error) {
	n, ok := scan(s, exponent)
	if !ok {
		return Amount{}, ErrSyntax
	}
	hi, lo, err := scaled(s, n, Scale)
	if err != nil {
		return Amount{}, err
	}
	a, ok := fromMagnitude(n.negative, hi, lo)
	if !ok {
		return Amount{}, ErrOverflow
	}
	return a, nil
}

// number says where the significant digits of a decimal stand in its text.
type number struct {
	negative bool
	first    int   // index of the first non-zero digit, -1 if the number is 0
	last     int   // index of the last non-zero digit
	digits   int   // digits from first to last, the dot left out
	exp10    int64 // value = those digits as an integer * 10^exp10
}

// scan checks the syntax of a JSON number (without an exponent unless it is
// allowed) and finds its significant digits. One pass, no arithmetic on the
// digits: leading and trailing zeros, however many, cost their bytes only.
func scan[T string | []byte](s T, exponent bool) (n number, ok bool) {
	i := 0
	if i < len(s) && s[i] == '-' {
		n.negative = true
		i++
	}
	whole := i
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	if i == whole || (s[whole] == '0' && i > whole+1) {
		return n, false
	}
	dot := i
	if i < len(s) && s[i] == '.' {
		i++
		for i < len(s) && isDigit(s[i]) {
			i++
		}
		if i == dot+1 {
			return n, false
		}
	}
	end := i
	exp, ok := scanExponent(s, i, exponent)
	if !ok {
		return n, false
	}
	n.span(significant(s, whole, end))
	if n.first >= 0 {
		n.place(dot, exp)
	}
	return n, true
}

// significant returns the indexes of the first and the last non-zero digit of
// s[from:to], or -1 twice.
func significant[T string | []byte](s T, from, to int) (first, last int) {
	for first = from; first < to && (s[first] == '0' || s[first] == '.'); first++ {
	}
	if first == to {
		return -1, -1
	}
	for last = to - 1; s[last] == '0' || s[last] == '.'; last-- {
	}
	return first, last
}

func (n *number) span(first, last int) { n.first, n.last = first, last }

// place computes the digit count and the power of ten from the position of the
// dot (or the end of the whole digits) and the exponent.
func (n *number) place(dot int, exp int64) {
	n.digits = n.last - n.first + 1
	switch {
	case n.first < dot && n.last > dot:
		n.digits-- // the dot stands between them
		n.exp10 = exp - int64(n.last-dot)
	case n.last > dot:
		n.exp10 = exp - int64(n.last-dot)
	default:
		n.exp10 = exp + int64(dot-1-n.last)
	}
}

// exponentMax stops the count of an exponent. It is far above any length of
// text, so that "0.000…1e1000000" is still exact, and far below overflow.
const exponentMax = 1 << 50

// scanExponent reads the part from i to the end of s: nothing or an exponent.
func scanExponent[T string | []byte](s T, i int, allowed bool) (exp int64, ok bool) {
	if i == len(s) {
		return 0, true
	}
	if !allowed || (s[i] != 'e' && s[i] != 'E') {
		return 0, false
	}
	i++
	negative := false
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		negative = s[i] == '-'
		i++
	}
	if i == len(s) {
		return 0, false
	}
	for ; i < len(s); i++ {
		if !isDigit(s[i]) {
			return 0, false
		}
		exp = min(exp*10+int64(s[i]-'0'), exponentMax)
	}
	if negative {
		exp = -exp
	}
	return exp, true
}

// digitsMax is the number of decimal digits of 2^128 - 1. What has more of
// them is out of range; what has fewer is multiplied with overflow checks.
const digitsMax = 39

// scaled returns the magnitude of a scanned number in units of 10^-scale.
// Errors: ErrPrecision, ErrOverflow; precision is checked first.
func scaled[T string | []byte](s T, n number, scale int64) (hi, lo uint64, err error) {
	if n.first < 0 {
		return 0, 0, nil
	}
	shift := n.exp10 + scale
	if shift < 0 {
		return 0, 0, ErrPrecision // the last significant digit is not zero
	}
	if int64(n.digits)+shift > digitsMax {
		return 0, 0, ErrOverflow
	}
	hi, lo, ok := collect(s, n.first, n.last)
	if ok {
		hi, lo, ok = mulPow10(hi, lo, int(shift))
	}
	if !ok {
		return 0, 0, ErrOverflow
	}
	return hi, lo, nil
}

// collect reads the digits s[first:last+1], at most digitsMax, as an integer.
// The first 19 digits fit in one word, which is all that most numbers have.
func collect[T string | []byte](s T, first, last int) (hi, lo uint64, ok bool) {
	i, taken := first, 0
	for ; i <= last && taken < 19; i++ {
		if s[i] != '.' {
			lo = lo*10 + uint64(s[i]-'0')
			taken++
		}
	}
	for ; i <= last; i++ {
		if s[i] == '.' {
			continue
		}
		hi, lo, ok = mulPow10(hi, lo, 1)
		if !ok {
			return 0, 0, false
		}
		var carry uint64
		lo, carry = bits.Add64(lo, uint64(s[i]-'0'), 0)
		hi, carry = bits.Add64(hi, 0, carry)
		if carry != 0 {
			return 0, 0, false
		}
	}
	return hi, lo, true
}

func isDigit(c byte) bool { return c-'0' <= 9 }
