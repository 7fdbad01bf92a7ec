package money

import (
	"errors"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
)

func TestParse(t *testing.T) {
	f := func(in, want string, wantErr error) {
		t.Helper()
		got, err := Parse(in)
		if !errors.Is(err, wantErr) || err == nil && got.String() != want {
			t.Errorf("%q: got %v, %v, want %q, %v", in, got, err, want, wantErr)
		}
	}
	f("0", "0", nil)
	f("-0", "0", nil)
	f("-0.000", "0", nil)
	f("0.00000125", "0.00000125", nil)
	f("-3", "-3", nil)
	f("12.50", "12.5", nil)
	f("100", "100", nil)
	f("1.0"+strings.Repeat("0", 40), "1", nil)
	f("0.000000000000000001", "0.000000000000000001", nil)
	f("170141183460469231731.687303715884105727", "170141183460469231731.687303715884105727", nil)
	f("-170141183460469231731.687303715884105727", "-170141183460469231731.687303715884105727", nil)
	f("170141183460469231731.687303715884105728", "", ErrOverflow)
	f("-170141183460469231731.687303715884105728", "", ErrOverflow)
	f("340282366920938463463.374607431768211456", "", ErrOverflow) // 2^128
	f("999999999999999999999", "", ErrOverflow)
	f("1"+strings.Repeat("0", 400), "", ErrOverflow)
	f("0.0000000000000000001", "", ErrPrecision)
	f("1.0000000000000000010000000001", "", ErrPrecision)
	for _, bad := range []string{"", "-", "+1", " 1", "1 ", "01", "-01", "00", "1.", ".5", "-.5", "1.5.2", "1e3", "1E3",
		"0x1", "1_000", "1,5", "--1", "NaN", "Inf", "١", "1\x00", "1.-5"} {
		f(bad, "", ErrSyntax)
	}
}

func TestParseNumber(t *testing.T) {
	f := func(in, want string, wantErr error) {
		t.Helper()
		got, err := ParseNumber(in)
		if !errors.Is(err, wantErr) || err == nil && got.String() != want {
			t.Errorf("%q: got %v, %v, want %q, %v", in, got, err, want, wantErr)
		}
	}
	f("1.25e-06", "0.00000125", nil)
	f("1E2", "100", nil)
	f("1.5e+1", "15", nil)
	f("-12.50e1", "-125", nil)
	f("100e-2", "1", nil)
	f("123.456e2", "12345.6", nil)
	f("123.456e-2", "1.23456", nil)
	f("0.001e3", "1", nil)
	f("0e999999999999999999999", "0", nil)
	f("1e20", "100000000000000000000", nil)
	f("1e21", "", ErrOverflow)
	f("1e-18", "0.000000000000000001", nil)
	f("1e-19", "", ErrPrecision)
	f("1e-99999999999999999999", "", ErrPrecision)
	f("1e99999999999999999999", "", ErrOverflow)
	f("0."+strings.Repeat("0", 100_000)+"1e100001", "1", nil)
	f("1"+strings.Repeat("0", 100_000)+"e-100000", "1", nil)
	for _, bad := range []string{"1e", "1e+", "1e-", "e5", "1.e5", "1e5.0", "1e 5", "1ee5", "1e5 "} {
		f(bad, "", ErrSyntax)
	}
}

// A hostile exponent must cost no more than reading its digits. The bound is
// generous: computing 10^999999999 would take minutes and gigabytes.
func TestHugeExponentIsCheap(t *testing.T) {
	start := time.Now()
	for range 10_000 {
		if _, err := ParseNumber("9e999999999"); !errors.Is(err, ErrOverflow) {
			t.Fatal(err)
		}
		if _, err := FromDecimal(decimal.New(9, 1<<31-1)); !errors.Is(err, ErrOverflow) {
			t.Fatal(err)
		}
		if _, err := FromDecimal(decimal.New(9, -1<<31)); !errors.Is(err, ErrPrecision) {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

var (
	plainNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)
	jsonNumber  = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
)

// checkParse compares with a regular expression for the syntax and with
// decimal for the value.
func checkParse(t *testing.T, in string) {
	t.Helper()
	got, err := ParseNumber(in)
	if jsonNumber.MatchString(in) == errors.Is(err, ErrSyntax) {
		t.Fatalf("%q: got %v, syntax says otherwise", in, err)
	}
	plain, plainErr := Parse(in)
	if plainNumber.MatchString(in) == errors.Is(plainErr, ErrSyntax) {
		t.Fatalf("%q: plain: got %v, syntax says otherwise", in, plainErr)
	}
	if plainErr == nil && plain != got {
		t.Fatalf("%q: plain %v, number %v", in, plain, got)
	}
	byBytes, bytesErr := ParseNumberBytes([]byte(in))
	if byBytes != got || !errors.Is(bytesErr, err) {
		t.Fatalf("%q: bytes give %v, %v", in, byBytes, bytesErr)
	}
	if errors.Is(err, ErrSyntax) {
		return
	}
	d, decErr := decimal.NewFromString(in)
	if decErr != nil || d.Exponent() > 1000 || d.Exponent() < -1000 {
		return // the twin keeps exponents in 32 bits and would multiply them out
	}
	switch want := d.Equal(d.Truncate(Scale)); {
	case errors.Is(err, ErrPrecision):
		if want {
			t.Fatalf("%q: refused for precision", in)
		}
	case errors.Is(err, ErrOverflow):
		if d.Shift(Scale).BigInt().CmpAbs(limit) < 0 {
			t.Fatalf("%q: refused for range", in)
		}
	case !got.Decimal().Equal(d):
		t.Fatalf("%q: got %v, want %v", in, got, d)
	}
}

func TestParseAgainstDecimal(t *testing.T) {
	const alphabet = "00012345678999..-eE+"
	forRandom(t, 50_000, func(r *rand.Rand) {
		var b strings.Builder
		if r.IntN(2) == 0 {
			for range 1 + r.IntN(12) {
				b.WriteByte(alphabet[r.IntN(len(alphabet))])
			}
			checkParse(t, b.String())
			return
		}
		b.WriteString(randomAmount(r).String())
		if r.IntN(2) == 0 {
			b.WriteString([]string{"e1", "e-1", "E+3", "e-20", "e0", "e18", "00", "0"}[r.IntN(8)])
		}
		checkParse(t, b.String())
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"0", "-1.5", "1.25e-06", "170141183460469231731.687303715884105727", "1e", "00", "-0e5"} {
		f.Add(s)
	}
	f.Fuzz(checkParse)
}

func TestParseQuantity(t *testing.T) {
	f := func(in, want string, wantErr error) {
		t.Helper()
		got, err := ParseQuantity([]byte(in))
		if !errors.Is(err, wantErr) || err == nil && got.String() != want {
			t.Errorf("%q: got %v, %v, want %q, %v", in, got, err, want, wantErr)
		}
	}
	f("0", "0", nil)
	f("-0", "0", nil)
	f("-0.0e5", "0", nil)
	f("1200", "1200", nil)
	f("1.0", "1", nil)
	f("0.25", "0.25", nil)
	f("1e3", "1000", nil)
	f("2.5e-6", "", ErrPrecision)
	f("0.000001", "0.000001", nil)
	f("0.0000001", "", ErrPrecision)
	f("999999999999", "999999999999", nil)
	f("9000000000000", "9000000000000", nil)
	f("9000000000000.000000", "9000000000000", nil)
	f("9000000000000.000001", "", ErrOverflow)
	f("9000000000001", "", ErrOverflow)
	f("18446744073709551616", "", ErrOverflow)
	f("18446744073709.551617", "", ErrOverflow)
	f("1e400", "", ErrOverflow)
	f("-1", "", ErrNegative)
	f("-0.0000001", "", ErrNegative)
	for _, bad := range []string{"", "-", "01", "1.", "+1", "\"1\"", "1 ", "null", "1e", "0123456789012"} {
		f(bad, "", ErrSyntax)
	}
}

func checkQuantity(t *testing.T, in string) {
	t.Helper()
	q, err := ParseQuantity([]byte(in))
	a, amountErr := ParseNumber(in)
	if errors.Is(err, ErrSyntax) != errors.Is(amountErr, ErrSyntax) {
		t.Fatalf("%q: quantity %v, amount %v", in, err, amountErr)
	}
	if err == nil {
		if q > QuantityMax || amountErr != nil || q.String() != a.String() || q.Decimals() != a.Decimals() {
			t.Fatalf("%q: quantity %v, amount %v, %v", in, q, a, amountErr)
		}
		return
	}
	if amountErr == nil {
		ok := a.Sign() >= 0 && a.Decimals() <= QuantityDecimals && a.Cmp(mustMul(t, QuantityMax)) <= 0
		if ok {
			t.Fatalf("%q: refused with %v", in, err)
		}
	}
}

func mustMul(t *testing.T, q Quantity) Amount {
	t.Helper()
	a, ok := Amount{0, unit}.MulQuantity(q)
	if !ok {
		t.Fatal("one times a quantity is out of range")
	}
	return a
}

func FuzzParseQuantity(f *testing.F) {
	for _, s := range []string{"0", "1.0", "1e3", "-1", "9000000000000", "0.000001", "1234567890123"} {
		f.Add(s)
	}
	f.Fuzz(checkQuantity)
}

func TestWholeQuantity(t *testing.T) {
	f := func(n uint64, ok bool) {
		t.Helper()
		q, got := WholeQuantity(n)
		whole, isWhole := q.Whole()
		if got != ok || !isWhole || ok && whole != n {
			t.Errorf("%d: got %v, %v", n, q, got)
		}
	}
	f(0, true)
	f(9_000_000_000_000, true)
	f(9_000_000_000_001, false)
	f(1<<64-1, false)
	if n, ok := Quantity(1_500_000).Whole(); ok || n != 1 {
		t.Errorf("1.5 is whole: %d", n)
	}
}
