package money

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/shopspring/decimal"
)

func amount(t testing.TB, s string) Amount {
	t.Helper()
	a, err := Parse(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return a
}

func TestCut(t *testing.T) {
	f := func(in string, digits int, cut, rest string) {
		t.Helper()
		c, r := amount(t, in).Cut(digits)
		if c.String() != cut || r.String() != rest {
			t.Errorf("%s cut to %d: got %v and %v, want %s and %s", in, digits, c, r, cut, rest)
		}
	}
	f("1.239", 2, "1.23", "0.009")
	f("-1.239", 2, "-1.23", "-0.009")
	f("0.999999999999999999", 0, "0", "0.999999999999999999")
	f("-0.5", 0, "0", "-0.5")
	f("123.4567", 3, "123.456", "0.0007")
	f("123.4567", 4, "123.4567", "0")
	f("1.000000000000000001", 18, "1.000000000000000001", "0")
	f("170141183460469231731.687303715884105727", 2, "170141183460469231731.68", "0.007303715884105727")
	f("0", 2, "0", "0")
}

func TestCutAgainstDecimal(t *testing.T) {
	forRandom(t, 20_000, func(r *rand.Rand) {
		a, digits := randomAmount(r), r.IntN(19)
		cut, rest := a.Cut(digits)
		if sum, ok := cut.Add(rest); !ok || sum != a {
			t.Fatalf("%v cut to %d: %v + %v", a, digits, cut, rest)
		}
		if want := a.Decimal().Truncate(int32(digits)); !cut.Decimal().Equal(want) {
			t.Fatalf("%v cut to %d: got %v, want %v", a, digits, cut, want)
		}
		if cut.Decimals() > digits {
			t.Fatalf("%v cut to %d has %d places", a, digits, cut.Decimals())
		}
	})
}

func TestShiftDown(t *testing.T) {
	f := func(in string, digits int, want string) {
		t.Helper()
		got, ok := amount(t, in).ShiftDown(digits)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%s down by %d: got %v, %v, want %q", in, digits, got, ok, want)
		}
	}
	f("2.5", 6, "0.0000025")
	f("-2.5", 6, "-0.0000025")
	f("2.5", 17, "0.000000000000000025")
	f("2.5", 18, "")
	f("0", 1_000_000_000, "0")
	f("100000000000000000000", 38, "0.000000000000000001")
	f("100000000000000000000", 39, "")
	f("7", 0, "7")
}

func TestShiftDownAgainstBig(t *testing.T) {
	forRandom(t, 20_000, func(r *rand.Rand) {
		a, digits := randomAmount(r), r.IntN(41)
		q, rem := new(big.Int).QuoRem(toBig(a), tenTo(int64(digits)), new(big.Int))
		got, ok := a.ShiftDown(digits)
		if ok != (rem.Sign() == 0) || ok && toBig(got).Cmp(q) != 0 {
			t.Fatalf("%v down by %d: got %v, %v, want %v rest %v", a, digits, got, ok, q, rem)
		}
	})
}

func TestMulFraction(t *testing.T) {
	f := func(in, fraction, part, rest string) {
		t.Helper()
		p, r := amount(t, in).MulFraction(amount(t, fraction))
		if p.String() != part || r.String() != rest {
			t.Errorf("%s of %s: got %v and %v, want %s and %s", fraction, in, p, r, part, rest)
		}
	}
	f("10", "0.3", "3", "7")
	f("-10", "0.3", "-3", "-7")
	f("0.000000000000000001", "0.999999999999999999", "0", "0.000000000000000001")
	f("-0.000000000000000003", "0.5", "-0.000000000000000001", "-0.000000000000000002")
	f("170141183460469231731.687303715884105727", "1", "170141183460469231731.687303715884105727", "0")
	f("170141183460469231731.687303715884105727", "0", "0", "170141183460469231731.687303715884105727")
}

func TestMulFractionAgainstDecimal(t *testing.T) {
	forRandom(t, 20_000, func(r *rand.Rand) {
		a, f := randomAmount(r), Amount{0, r.Uint64N(unit + 1)}
		part, rest := a.MulFraction(f)
		if sum, ok := part.Add(rest); !ok || sum != a {
			t.Fatalf("%v of %v: %v + %v", f, a, part, rest)
		}
		if want := a.Decimal().Mul(f.Decimal()).Truncate(Scale); !part.Decimal().Equal(want) {
			t.Fatalf("%v of %v: got %v, want %v", f, a, part, want)
		}
	})
}

func TestMulRatio(t *testing.T) {
	f := func(in string, n, d uint64, part, rest string) {
		t.Helper()
		p, r := amount(t, in).MulRatio(n, d)
		if p.String() != part || r.String() != rest {
			t.Errorf("%s * %d/%d: got %v and %v, want %s and %s", in, n, d, p, r, part, rest)
		}
	}
	const huge = "170141183460469231731.687303715884105727"
	f("10", 1, 3, "3.333333333333333333", "6.666666666666666667")
	f("-10", 1, 3, "-3.333333333333333333", "-6.666666666666666667")
	f("10", 2, 4, "5", "5")
	f("0.000000000000000001", 1<<63-1, 1<<63, "0", "0.000000000000000001")
	f("-0.000000000000000001", 1, 2, "0", "-0.000000000000000001")
	f(huge, 1<<64-1, 1<<64-1, huge, "0")
	f("-"+huge, 1<<64-1, 1<<64-1, "-"+huge, "0")
	f(huge, 0, 1, "0", huge)
	f(huge, 1, 2, "85070591730234615865.843651857942052863", "85070591730234615865.843651857942052864")
	f("0", 1, 3, "0", "0")
}

func TestMulRatioAgainstBig(t *testing.T) {
	forRandom(t, 20_000, func(r *rand.Rand) {
		a, d := randomAmount(r), max(1, r.Uint64()>>r.IntN(64))
		n := d
		if d < 1<<64-1 {
			n = r.Uint64N(d + 1)
		}
		want := new(big.Int).Mul(toBig(a), new(big.Int).SetUint64(n))
		want.Quo(want, new(big.Int).SetUint64(d))
		part, rest := a.MulRatio(n, d)
		if toBig(part).Cmp(want) != 0 {
			t.Fatalf("%v * %d/%d: got %v, want %v", a, n, d, part, want)
		}
		if sum, ok := part.Add(rest); !ok || sum != a {
			t.Fatalf("%v * %d/%d: %v + %v", a, n, d, part, rest)
		}
	})
}

func TestMulRatioOutOfBounds(t *testing.T) {
	f := func(n, d uint64) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%d/%d was taken", n, d)
			}
		}()
		Amount{0, 1}.MulRatio(n, d)
	}
	f(0, 0)
	f(3, 2)
}

func checkMulQuantity(t *testing.T, a Amount, q Quantity) {
	t.Helper()
	want := a.Decimal().Mul(decimal.NewFromBigInt(new(big.Int).SetUint64(uint64(q)), -QuantityDecimals))
	exact, err := FromDecimal(want)
	got, ok := a.MulQuantity(q)
	if ok != (err == nil) || got != exact {
		t.Fatalf("%v * %v: got %v, %v, want %v (%v)", a, q, got, ok, want, err)
	}
}

func TestMulQuantity(t *testing.T) {
	f := func(price, quantity, want string) {
		t.Helper()
		q, err := ParseQuantity([]byte(quantity))
		if err != nil {
			t.Fatal(err)
		}
		got, ok := amount(t, price).MulQuantity(q)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%s * %s: got %v, %v, want %q", price, quantity, got, ok, want)
		}
	}
	f("0.0000025", "1200", "0.003")
	f("-0.0000025", "1200", "-0.003")
	f("0.000000000000000001", "9000000000000", "0.000009")
	f("0.000000000000000001", "0.5", "")
	f("0.000000000000000002", "0.5", "0.000000000000000001")
	f("0.000000000001", "0.000001", "0.000000000000000001")
	f("100000000", "9000000000000", "")
	f("170141183460469231731", "1.000001", "")
	f("10000000", "9000000000000", "90000000000000000000")
	f("1", "0", "0")
}

func TestMulQuantityAgainstDecimal(t *testing.T) {
	forRandom(t, 30_000, func(r *rand.Rand) {
		q := Quantity(r.Uint64() >> (1 + r.IntN(63)))
		if r.IntN(2) == 0 {
			q = q / quantityUnit * quantityUnit
		}
		checkMulQuantity(t, randomAmount(r), q)
	})
}

func FuzzMulQuantity(f *testing.F) {
	f.Add(int64(0), uint64(2_500_000_000_000), uint64(1_200_000_000))
	f.Add(int64(-1), uint64(5), uint64(500_000))
	f.Fuzz(func(t *testing.T, hi int64, lo uint64, q uint64) {
		if hi == -1<<63 && lo == 0 {
			return
		}
		checkMulQuantity(t, FromWords(hi, lo), Quantity(q))
	})
}
