package money

// Currency is a currency of ISO 4217. The zero value is no currency. It is one
// byte and may be compared with == and used as a map key, but its number is
// private to the running program: store and send the Code.
type Currency struct{ index uint8 }

// Lookup returns the currency with the given code (three capital letters), or
// false when it is not an active ISO 4217 code with a minor unit.
func Lookup(code string) (Currency, bool) { return lookup(code) }

// LookupBytes is Lookup for bytes. It keeps nothing of code and does not
// allocate.
func LookupBytes(code []byte) (Currency, bool) { return lookup(code) }

// Code returns the ISO 4217 code, "" for the zero value. It does not allocate.
func (c Currency) Code() string { return currencies[c.index].code }

// Digits returns the number of decimal places of the minor unit: USD 2, JPY 0,
// KWD 3, CLF 4.
func (c Currency) Digits() int { return int(currencies[c.index].digits) }

// String returns the code.
func (c Currency) String() string { return c.Code() }

// IsZero reports whether c is no currency.
func (c Currency) IsZero() bool { return c.index == 0 }

// Currencies returns the number of currencies there are; CurrencyAt counts
// them in the order of their codes.
func Currencies() int { return len(currencies) - 1 }

// CurrencyAt returns the i-th currency by code, 0 <= i < Currencies().
func CurrencyAt(i int) Currency { return Currency{uint8(i + 1)} }

// lookup searches the sorted table. Binary search over a few kilobytes costs
// about ten nanoseconds, and no table has to be built at start.
func lookup[T string | []byte](code T) (Currency, bool) {
	if len(code) != 3 {
		return Currency{}, false
	}
	key := [3]byte{code[0], code[1], code[2]}
	low, high := 1, len(currencies)
	for low < high {
		mid := (low + high) / 2
		if less(currencies[mid].code, key) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low == len(currencies) || currencies[low].code != string(key[:]) {
		return Currency{}, false
	}
	return Currency{uint8(low)}, true
}

func less(code string, key [3]byte) bool {
	for i := range key {
		if code[i] != key[i] {
			return code[i] < key[i]
		}
	}
	return false
}
