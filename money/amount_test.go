package money

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

var (
	maxAmount = FromWords(math.MaxInt64, math.MaxUint64)
	minAmount = FromWords(math.MinInt64, 1)
	limit     = new(big.Int).Lsh(big.NewInt(1), 127) // |amount| < limit
)

// toBig is the twin's view of an amount, made from its words alone.
func toBig(a Amount) *big.Int {
	hi, lo := a.Words()
	b := new(big.Int).Lsh(big.NewInt(hi), 64)
	return b.Add(b, new(big.Int).SetUint64(lo))
}

// same checks a result against what math/big says it is, which must be refused
// exactly when it is out of range.
func same(t *testing.T, what string, got Amount, ok bool, want *big.Int) {
	t.Helper()
	inRange := want.CmpAbs(limit) < 0
	if ok != inRange {
		t.Fatalf("%s: ok %v, want %v (%v)", what, ok, inRange, want)
	}
	if ok && toBig(got).Cmp(want) != 0 {
		t.Fatalf("%s: got %v, want %v", what, toBig(got), want)
	}
	if !ok && got != (Amount{}) {
		t.Fatalf("%s: a refused result is %v, want 0", what, got)
	}
}

// randomAmount favours the edges: few bits, powers of ten, the limits.
func randomAmount(r *rand.Rand) Amount {
	hi, lo := r.Uint64()>>1, r.Uint64()
	switch r.IntN(6) {
	case 0:
		hi, lo = 0, lo>>r.IntN(64)
	case 1:
		hi = hi >> r.IntN(64)
	case 2:
		hi, lo = 0, pow10[r.IntN(20)]*uint64(r.IntN(10))
	case 3:
		hi, lo = math.MaxInt64, math.MaxUint64-uint64(r.IntN(3))
	}
	return mustMagnitude(r.IntN(2) == 0, hi, lo)
}

func forRandom(t *testing.T, n int, f func(r *rand.Rand)) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range n {
		f(r)
	}
}

func checkArithmetic(t *testing.T, a, b Amount, n uint64) {
	t.Helper()
	x, y := toBig(a), toBig(b)
	got, ok := a.Add(b)
	same(t, "add", got, ok, new(big.Int).Add(x, y))
	got, ok = a.Sub(b)
	same(t, "sub", got, ok, new(big.Int).Sub(x, y))
	got, ok = a.MulUint64(n)
	same(t, "mul", got, ok, new(big.Int).Mul(x, new(big.Int).SetUint64(n)))
	same(t, "neg", a.Neg(), true, new(big.Int).Neg(x))
	same(t, "abs", a.Abs(), true, new(big.Int).Abs(x))
	if a.Sign() != x.Sign() || a.IsZero() != (x.Sign() == 0) || a.Cmp(b) != x.Cmp(y) || (a == b) != (x.Cmp(y) == 0) {
		t.Fatalf("sign or comparison of %v and %v", x, y)
	}
}

func TestArithmeticAgainstBig(t *testing.T) {
	forRandom(t, 50_000, func(r *rand.Rand) {
		checkArithmetic(t, randomAmount(r), randomAmount(r), r.Uint64()>>r.IntN(64))
	})
	edges := []Amount{{}, maxAmount, minAmount, {0, 1}, Amount{0, 1}.Neg(), {0, math.MaxUint64}, {1, 0}, {-1, 0}}
	for _, a := range edges {
		for _, b := range edges {
			for _, n := range []uint64{0, 1, 2, math.MaxUint64} {
				checkArithmetic(t, a, b, n)
			}
		}
	}
}

func FuzzArithmetic(f *testing.F) {
	f.Add(int64(1), uint64(2), int64(-3), uint64(4), uint64(5))
	f.Add(int64(math.MaxInt64), uint64(math.MaxUint64), int64(0), uint64(1), uint64(2))
	f.Add(int64(math.MinInt64), uint64(1), int64(-1), uint64(math.MaxUint64), uint64(1))
	f.Fuzz(func(t *testing.T, ahi int64, alo uint64, bhi int64, blo uint64, n uint64) {
		if (ahi == math.MinInt64 && alo == 0) || (bhi == math.MinInt64 && blo == 0) {
			return
		}
		checkArithmetic(t, FromWords(ahi, alo), FromWords(bhi, blo), n)
	})
}

func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if text, _ := recover().(string); len(text) < 4 || text[:4] != "BUG:" {
			t.Errorf("%s: recovered %q, want a BUG panic", what, text)
		}
	}()
	f()
}

func TestBugsPanic(t *testing.T) {
	mustPanic(t, "words", func() { FromWords(math.MinInt64, 0) })
	mustPanic(t, "add", func() { maxAmount.MustAdd(Amount{0, 1}) })
	mustPanic(t, "sub", func() { minAmount.MustSub(Amount{0, 1}) })
	mustPanic(t, "cut -1", func() { maxAmount.Cut(-1) })
	mustPanic(t, "cut 19", func() { maxAmount.Cut(19) })
	mustPanic(t, "shift", func() { maxAmount.ShiftDown(-1) })
	mustPanic(t, "fraction > 1", func() { maxAmount.MulFraction(Amount{0, unit + 1}) })
	mustPanic(t, "fraction < 0", func() { maxAmount.MulFraction(Amount{0, 1}.Neg()) })
	if got := maxAmount.MustSub(maxAmount).MustAdd(Amount{0, 7}); got != (Amount{0, 7}) {
		t.Errorf("got %v", got)
	}
}

// TestMust has MustAdd and MustSub agree with Add and Sub, and panic where those refuse.
func TestMust(t *testing.T) {
	must := func(f func(Amount) Amount, b Amount) (got Amount, ok bool) {
		defer func() { ok = recover() == nil }()
		return f(b), true
	}
	forRandom(t, 20_000, func(r *rand.Rand) {
		a, b := randomAmount(r), randomAmount(r)
		want, fits := a.Add(b)
		if got, ok := must(a.MustAdd, b); ok != fits || ok && got != want {
			t.Fatalf("%v + %v: %v %v, want %v %v", a, b, got, ok, want, fits)
		}
		want, fits = a.Sub(b)
		if got, ok := must(a.MustSub, b); ok != fits || ok && got != want {
			t.Fatalf("%v - %v: %v %v, want %v %v", a, b, got, ok, want, fits)
		}
	})
}
