package period

import (
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"farthing/money"
)

func TestUnitWords(t *testing.T) {
	for _, word := range []string{"month", "week", "day"} {
		if u, ok := ParseUnit(word); !ok || u.String() != word {
			t.Errorf("%s: got %v, %v", word, u, ok)
		}
	}
	for _, word := range []string{"", "hour", "Month", "unknown"} {
		if u, ok := ParseUnit(word); ok {
			t.Errorf("%q was read as %v", word, u)
		}
	}
	if s := Unit(0).String() + Unit(4).String(); s != "unknownunknown" {
		t.Error(s)
	}
}

func TestCycleValid(t *testing.T) {
	f := func(u Unit, anchor uint8, want error) {
		t.Helper()
		if err := (Cycle{u, anchor}).Valid(); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%v %d: got %v, want %v", u, anchor, err, want)
		}
	}
	f(Daily, 0, nil)
	f(Daily, 1, ErrDayAnchor)
	f(Weekly, 0, ErrWeekAnchor)
	f(Weekly, 1, nil)
	f(Weekly, 7, nil)
	f(Weekly, 8, ErrWeekAnchor)
	f(Monthly, 0, ErrMonthAnchor)
	f(Monthly, 1, nil)
	f(Monthly, 31, nil)
	f(Monthly, 32, ErrMonthAnchor)
	f(0, 0, ErrUnit)
	f(4, 1, ErrUnit)
	mustPanic(t, "not valid", func() { Cycle{Monthly, 0}.Next(1) })
	mustPanic(t, "before 1970", func() { Cycle{Monthly, 1}.Next(-1) })
	mustPanic(t, "before 1970", func() { Daily.Anchor(-1) })
}

func TestAnchor(t *testing.T) {
	f := func(u Unit, in string, want uint8) {
		t.Helper()
		if got := u.Anchor(at(t, in)); got != want {
			t.Errorf("%v of %s: got %d, want %d", u, in, got, want)
		}
	}
	f(Daily, "2026-11-29T10:00:00Z", 0)
	f(Weekly, "2026-11-29T23:59:59Z", 7) // a Sunday
	f(Weekly, "2026-11-30T00:00:00Z", 1)
	f(Monthly, "2026-11-29T10:00:00Z", 29)
	f(Monthly, "2024-02-29T00:00:00Z", 29)
}

func TestNext(t *testing.T) {
	f := func(u Unit, anchor uint8, from string, want ...string) {
		t.Helper()
		v := at(t, from)
		for _, w := range want {
			v = Cycle{u, anchor}.Next(v)
			if text(v) != w+"T00:00:00Z" {
				t.Errorf("%v %d after %s: got %s, want %s", u, anchor, from, text(v), w)
			}
		}
	}
	f(Daily, 0, "2024-02-28T00:00:00Z", "2024-02-29", "2024-03-01")
	f(Daily, 0, "2026-12-31T23:59:59.999999999Z", "2027-01-01", "2027-01-02")
	f(Weekly, 1, "2026-11-29T23:59:59.999999999Z", "2026-11-30", "2026-12-07")
	f(Weekly, 7, "2026-11-29T00:00:00Z", "2026-12-06")
	f(Weekly, 3, "2026-12-29T00:00:00Z", "2026-12-30", "2027-01-06")
	f(Monthly, 31, "2026-01-31T00:00:00Z", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31")
	f(Monthly, 31, "2026-01-30T23:59:59.999999999Z", "2026-01-31")
	f(Monthly, 31, "2024-01-31T12:00:00Z", "2024-02-29", "2024-03-31")
	f(Monthly, 30, "2026-02-27T12:00:00Z", "2026-02-28", "2026-03-30")
	f(Monthly, 29, "2026-02-28T12:00:00Z", "2026-03-29")
	f(Monthly, 29, "2100-02-01T00:00:00Z", "2100-02-28", "2100-03-29")
	f(Monthly, 29, "2000-02-01T00:00:00Z", "2000-02-29")
	f(Monthly, 1, "2026-12-01T00:00:00Z", "2027-01-01", "2027-02-01")
	f(Monthly, 15, "2026-12-15T00:00:00Z", "2027-01-15")
	f(Monthly, 15, "1970-01-01T00:00:00Z", "1970-01-15")
	f(Monthly, 11, "2262-04-10T23:00:00Z", "2262-04-11")
	for _, c := range []Cycle{{Daily, 0}, {Weekly, 5}, {Monthly, 11}, {Monthly, 12}} { // 2262-04-11 is a Friday
		if got := c.Next(at(t, "2262-04-11T00:00:00Z")); got != math.MaxInt64 {
			t.Errorf("%v: after the last boundary came %s", c, text(got))
		}
	}
}

// isBoundary says with package time whether a boundary is on a midnight.
func isBoundary(c Cycle, day time.Time) bool {
	switch c.Unit {
	case Weekly:
		return int(day.Weekday()) == int(c.Anchor)%7
	case Monthly:
		last := time.Date(day.Year(), day.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
		return day.Day() == min(int(c.Anchor), last)
	}
	return true
}

// nextTwin goes from midnight to midnight.
func nextTwin(c Cycle, at int64) int64 {
	v := time.Unix(0, at).UTC()
	day := time.Date(v.Year(), v.Month(), v.Day()+1, 0, 0, 0, 0, time.UTC)
	for !isBoundary(c, day) {
		day = day.AddDate(0, 0, 1)
	}
	if day.After(time.Unix(0, math.MaxInt64)) {
		return math.MaxInt64
	}
	return day.UnixNano()
}

func randomCycle(r *rand.Rand) Cycle {
	switch r.IntN(6) {
	case 0:
		return Cycle{Daily, 0}
	case 1:
		return Cycle{Weekly, uint8(1 + r.IntN(7))}
	case 2:
		return Cycle{Monthly, uint8(28 + r.IntN(4))}
	}
	return Cycle{Monthly, uint8(1 + r.IntN(31))}
}

func TestNextAgainstTwin(t *testing.T) {
	forRandom(t, 20_000, func(r *rand.Rand) {
		c, v := randomCycle(r), randomTime(r)
		if got, want := c.Next(v), nextTwin(c, v); got != want {
			t.Fatalf("%v %d after %s: got %s, want %s", c.Unit, c.Anchor, text(v), text(got), text(want))
		}
	})
}

// Boundaries cut time into periods: each is later than the one before by no more
// than the unit's longest, every time between two of them has the later one next,
// and wherever one starts to walk, the same boundaries come.
func TestNextPartitions(t *testing.T) {
	longest := map[Unit]int64{Daily: 1, Weekly: 7, Monthly: 31}
	shortest := map[Unit]int64{Daily: 1, Weekly: 7, Monthly: 28}
	forRandom(t, 2_000, func(r *rand.Rand) {
		c := randomCycle(r)
		start := r.Int64N(math.MaxInt64 - 3000*dayNanos)
		from := c.Next(start)
		for range 40 {
			to := c.Next(from)
			if n := to - from; n < shortest[c.Unit]*dayNanos || n > longest[c.Unit]*dayNanos {
				t.Fatalf("%v: a period from %s to %s", c, text(from), text(to))
			}
			for _, v := range []int64{from, from + 1, to - 1, from + r.Int64N(to-from)} {
				if got := c.Next(v); got != to {
					t.Fatalf("%v: %s is in the period from %s to %s, but next is %s", c, text(v), text(from), text(to), text(got))
				}
			}
			if got := c.Next(from - 1); got != from {
				t.Fatalf("%v: the boundary %s is not next right before it, but %s", c, text(from), text(got))
			}
			from = to
		}
	})
}

// A cycle has a boundary on the day that gave it its anchor.
func TestAnchorIsABoundary(t *testing.T) {
	forRandom(t, 20_000, func(r *rand.Rand) {
		v := max(randomTime(r), dayNanos)
		for u := Daily; u <= Monthly; u++ {
			c := Cycle{u, u.Anchor(v)}
			if midnight := Day.Start(v); c.Next(midnight-1) != midnight {
				t.Fatalf("%v %d has no boundary at %s", u, c.Anchor, text(midnight))
			}
		}
	})
}

func amount(t testing.TB, s string) money.Amount {
	t.Helper()
	a, err := money.Parse(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return a
}

func TestProrate(t *testing.T) {
	const day = dayNanos
	f := func(in string, part, whole int64, digits int, want string) {
		t.Helper()
		if got := Prorate(amount(t, in), part, whole, digits); got.String() != want {
			t.Errorf("%s * %d/%d: got %v, want %s", in, part, whole, got, want)
		}
	}
	f("30", 10*day, 30*day, 2, "10")
	f("10", 10*day, 30*day, 2, "3.33")
	f("-10", 20*day, 30*day, 2, "-6.66")
	f("10", 20*day, 30*day, 0, "6")
	f("0.01", 29*day, 30*day, 2, "0")
	f("9.99", 31*day, 31*day, 2, "9.99")
	f("9.999", 31*day, 31*day, 2, "9.99")
	f("9.99", 0, 31*day, 2, "0")
	f("1", 1, 3, 18, "0.333333333333333333")
	f("170141183460469231731.687303715884105727", math.MaxInt64-1, math.MaxInt64, 3, "170141183460469231713.24")
	mustPanic(t, "more than whole", func() { Prorate(amount(t, "1"), 2, 1, 2) })
	mustPanic(t, "negative", func() { Prorate(amount(t, "1"), -1, 1, 2) })
	mustPanic(t, "no whole", func() { Prorate(amount(t, "1"), 0, 0, 2) })
	mustPanic(t, "digits", func() { Prorate(amount(t, "1"), 1, 2, 19) })
}

func TestProrateAgainstBig(t *testing.T) {
	forRandom(t, 20_000, func(r *rand.Rand) {
		a := money.FromWords(int64(r.Uint64())>>r.IntN(64), r.Uint64()|1)
		whole := max(1, r.Int64()>>r.IntN(63))
		part, digits := r.Int64N(whole), r.IntN(19)
		if r.IntN(10) == 0 {
			part = whole
		}
		// In units of the last digit kept, the quotient cut once.
		want := new(big.Int).Mul(a.Decimal().Coefficient(), big.NewInt(part))
		place := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(money.Scale-digits)), nil)
		want.Quo(want, new(big.Int).Mul(big.NewInt(whole), place))
		want.Mul(want, place)
		if got := Prorate(a, part, whole, digits); got.Decimal().Coefficient().Cmp(want) != 0 {
			t.Fatalf("%v * %d/%d to %d digits: got %v, want %v", a, part, whole, digits, got, want)
		}
	})
}
