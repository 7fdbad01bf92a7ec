package money

import "testing"

func TestCurrencyTable(t *testing.T) {
	if Currencies() != 165 {
		t.Errorf("%d currencies", Currencies())
	}
	last := ""
	for i := range Currencies() {
		c := CurrencyAt(i)
		if c.Code() <= last || len(c.Code()) != 3 || c.IsZero() || c.Digits() > 4 {
			t.Errorf("row %d: %q after %q, %d digits", i, c.Code(), last, c.Digits())
		}
		last = c.Code()
		if got, ok := Lookup(c.Code()); !ok || got != c {
			t.Errorf("%s is not found", c)
		}
		if got, ok := LookupBytes([]byte(c.Code())); !ok || got != c {
			t.Errorf("%s is not found by bytes", c)
		}
	}
}

func TestCurrencyDigits(t *testing.T) {
	f := func(digits int, codes ...string) {
		t.Helper()
		for _, code := range codes {
			if c, ok := Lookup(code); !ok || c.Digits() != digits || c.String() != code {
				t.Errorf("%s: got %v with %d digits, %v", code, c, c.Digits(), ok)
			}
		}
	}
	f(0, "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF")
	f(3, "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
	f(4, "CLF", "UYW")
	f(2, "USD", "EUR", "GBP", "CHF", "CNY", "INR", "MGA", "MRU", "HUF", "TWD", "AED", "ZWG", "XCG", "VES", "SLE")
	others := 0
	for i := range Currencies() {
		if CurrencyAt(i).Digits() != 2 {
			others++
		}
	}
	if others != 17+7+2 {
		t.Errorf("%d currencies without two digits", others)
	}
}

func TestCurrencyUnknown(t *testing.T) {
	for _, code := range []string{"", "US", "USDX", "usd", "XXX", "XAU", "BTC", "HRK", "AAA", "ZZZ", "US\x00"} {
		if c, ok := Lookup(code); ok || !c.IsZero() || c.Code() != "" {
			t.Errorf("%q is %v", code, c)
		}
	}
}
