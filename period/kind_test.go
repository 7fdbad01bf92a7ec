package period

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func at(t testing.TB, text string) int64 {
	t.Helper()
	v, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return v.UnixNano()
}

func text(at int64) string { return time.Unix(0, at).UTC().Format(time.RFC3339Nano) }

func forRandom(t *testing.T, n int, f func(r *rand.Rand)) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range n {
		f(r)
	}
}

// randomTime is uniform, or within a few nanoseconds of a midnight near the end of a
// month, where mistakes would be.
func randomTime(r *rand.Rand) int64 {
	if r.IntN(2) == 0 {
		return r.Int64()
	}
	day := time.Date(1970+r.IntN(292), time.Month(1+r.IntN(12)), 1+r.IntN(4)-2, 0, 0, 0, r.IntN(5)-2, time.UTC)
	return max(0, day.UnixNano())
}

func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	f()
}

func TestKindWords(t *testing.T) {
	for _, word := range []string{"call", "minute", "hour", "day", "month", "total"} {
		if k, ok := Parse(word); !ok || k.String() != word {
			t.Errorf("%s: got %v, %v", word, k, ok)
		}
	}
	for _, word := range []string{"", "week", "Day", "unknown", "days"} {
		if k, ok := Parse(word); ok {
			t.Errorf("%q was read as %v", word, k)
		}
	}
	if s := Kind(0).String() + Kind(7).String(); s != "unknownunknown" {
		t.Error(s)
	}
}

func TestStart(t *testing.T) {
	f := func(k Kind, in, want string) {
		t.Helper()
		if got := text(k.Start(at(t, in))); got != want {
			t.Errorf("%v of %s: got %s, want %s", k, in, got, want)
		}
	}
	const epoch = "1970-01-01T00:00:00Z"
	f(Call, "2026-11-23T10:20:30.5Z", epoch)
	f(Minute, "2026-11-23T10:20:30.5Z", "2026-11-23T10:20:00Z")
	f(Hour, "2026-11-23T10:20:30.5Z", "2026-11-23T10:00:00Z")
	f(Day, "2026-11-23T10:20:30.5Z", "2026-11-23T00:00:00Z")
	f(Month, "2026-11-23T10:20:30.5Z", "2026-11-01T00:00:00Z")
	f(Total, "2026-11-23T10:20:30.5Z", epoch)
	f(Minute, "2026-12-31T23:59:59.999999999Z", "2026-12-31T23:59:00Z")
	f(Month, "2026-12-31T23:59:59.999999999Z", "2026-12-01T00:00:00Z")
	f(Month, "2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z")
	f(Month, "2024-02-29T23:59:59.999999999Z", "2024-02-01T00:00:00Z")
	f(Month, "2024-03-01T00:00:00Z", "2024-03-01T00:00:00Z")
	f(Month, "2023-02-28T23:59:59.999999999Z", "2023-02-01T00:00:00Z")
	f(Month, "2000-02-29T12:00:00Z", "2000-02-01T00:00:00Z")
	f(Month, "2100-02-28T23:59:59.999999999Z", "2100-02-01T00:00:00Z")
	f(Month, "2100-03-01T00:00:00Z", "2100-03-01T00:00:00Z")
	f(Month, epoch, epoch)
	f(Month, "2262-04-11T23:47:16.854775807Z", "2262-04-01T00:00:00Z")
	f(Day, "2262-04-11T23:47:16.854775807Z", "2262-04-11T00:00:00Z")
	for k := range Total + 2 {
		mustPanic(t, "before 1970", func() { k.Start(-1) })
	}
	mustPanic(t, "no kind", func() { Kind(0).Start(1) })
	mustPanic(t, "no kind", func() { Kind(7).Holds(1, 1) })
	mustPanic(t, "before 1970", func() { Minute.Holds(0, -1) })
}

// startTwin asks package time.
func startTwin(k Kind, at int64) int64 {
	v := time.Unix(0, at).UTC()
	year, month, day := v.Date()
	switch k {
	case Minute:
		return time.Date(year, month, day, v.Hour(), v.Minute(), 0, 0, time.UTC).UnixNano()
	case Hour:
		return time.Date(year, month, day, v.Hour(), 0, 0, 0, time.UTC).UnixNano()
	case Day:
		return time.Date(year, month, day, 0, 0, 0, 0, time.UTC).UnixNano()
	case Month:
		return time.Date(year, month, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	}
	return 0
}

func TestStartAgainstTwin(t *testing.T) {
	forRandom(t, 50_000, func(r *rand.Rand) {
		v := randomTime(r)
		for k := Call; k <= Total; k++ {
			if got, want := k.Start(v), startTwin(k, v); got != want {
				t.Fatalf("%v of %s: got %s, want %s", k, text(v), text(got), text(want))
			}
		}
	})
}

// A window holds exactly the times that have its start, with times close to both of
// its ends tried.
func TestHolds(t *testing.T) {
	forRandom(t, 50_000, func(r *rand.Rand) {
		v := randomTime(r)
		for k := Call; k <= Total; k++ {
			start := k.Start(v)
			end := start
			switch k {
			case Minute, Hour, Day:
				end += map[Kind]int64{Minute: int64(time.Minute), Hour: int64(time.Hour), Day: 24 * int64(time.Hour)}[k]
			case Month:
				end = time.Unix(0, start).UTC().AddDate(0, 1, 0).UnixNano() // wraps in April 2262: still a time to try
			}
			for _, x := range []int64{0, v, start - 1, start, start + 1, end - 1, end, end + 1, start + 28*dayNanos + r.Int64N(4*dayNanos), r.Int64(), math.MaxInt64} {
				if x < 0 {
					continue
				}
				if got, want := k.Holds(start, x), startTwin(k, x) == start; got != want {
					t.Fatalf("%v from %s holds %s: %v", k, text(start), text(x), got)
				}
			}
		}
	})
}

// Every day of the range, one after the other: the calendar of this package and that
// of package time are the same.
func TestCalendar(t *testing.T) {
	day := time.Unix(0, 0).UTC()
	for n := int64(0); n <= math.MaxInt64/dayNanos; n++ {
		year, month, dom := date(n)
		if int(year) != day.Year() || time.Month(month) != day.Month() || int(dom) != day.Day() || dayOfMonth(n) != dom {
			t.Fatalf("day %d: got %d-%d-%d, want %v", n, year, month, dom, day)
		}
		if int(weekday(n))%7 != int(day.Weekday()) {
			t.Fatalf("%v: weekday %d", day, weekday(n))
		}
		if last := day.AddDate(0, 1, -day.Day()).Day(); int(daysIn(year, month)) != last {
			t.Fatalf("%v: %d days", day, daysIn(year, month))
		}
		day = day.AddDate(0, 0, 1)
	}
}

func TestNoAllocations(t *testing.T) {
	v, c := at(t, "2026-11-29T10:20:30Z"), Cycle{Monthly, 31}
	n := testing.AllocsPerRun(100, func() {
		for k := Call; k <= Total; k++ {
			if !k.Holds(k.Start(v), v) {
				t.Fatal(k)
			}
		}
		v = c.Next(v)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkStartMonth(b *testing.B) { benchmarkStart(b, Month) }
func BenchmarkStartHour(b *testing.B)  { benchmarkStart(b, Hour) }

func benchmarkStart(b *testing.B, k Kind) {
	v, sum := at(b, "2026-11-29T10:20:30Z"), int64(0)
	want := startTwin(k, v)
	for b.Loop() {
		sum = k.Start(v)
	}
	if sum != want {
		b.Fatal(sum)
	}
}

func BenchmarkHoldsMonth(b *testing.B) {
	v, n := at(b, "2026-11-30T10:20:30Z"), 0
	start := Month.Start(v)
	for b.Loop() {
		if !Month.Holds(start, v) {
			n++
		}
	}
	if n != 0 {
		b.Fatal(n)
	}
}
