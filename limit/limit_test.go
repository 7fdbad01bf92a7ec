package limit

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"farthing/money"
	"farthing/period"
)

func amount(t testing.TB, s string) money.Amount {
	t.Helper()
	a, err := money.Parse(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return a
}

func at(t testing.TB, text string) int64 {
	t.Helper()
	v, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return v.UnixNano()
}

// row returns a hard limit; an empty amount or a negative count is none.
func row(t testing.TB, per period.Kind, limit string, count int64) Row {
	t.Helper()
	r := Row{Bound: Bound{Per: per, Mode: Hard}}
	if limit != "" {
		r.HasAmount, r.Amount = true, amount(t, limit)
	}
	if count >= 0 {
		r.HasCount, r.Count = true, uint64(count)
	}
	if err := r.Valid(); err != nil {
		t.Fatal(err)
	}
	return r
}

func mustPanic(t *testing.T, message string, f func()) {
	t.Helper()
	defer func() {
		got, ok := recover().(string)
		if !ok || !strings.HasPrefix(got, "BUG: ") || !strings.Contains(got, message) {
			t.Errorf("panic %q, want one with %q", got, message)
		}
	}()
	f()
}

func TestModeWords(t *testing.T) {
	for _, word := range []string{"hard", "soft", "shadow"} {
		if m, ok := ParseMode(word); !ok || m.String() != word {
			t.Errorf("%s: got %v, %v", word, m, ok)
		}
	}
	for _, word := range []string{"", "Hard", "unknown"} {
		if m, ok := ParseMode(word); ok {
			t.Errorf("%q was read as %v", word, m)
		}
	}
	if s := Mode(0).String() + Mode(4).String(); s != "unknownunknown" {
		t.Error(s)
	}
}

func TestBoundValid(t *testing.T) {
	one := amount(t, "1")
	f := func(b Bound, want error) {
		t.Helper()
		if err := b.Valid(); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%+v: got %v, want %v", b, err, want)
		}
	}
	f(Bound{Per: period.Day, Mode: Hard, HasAmount: true}, nil)
	f(Bound{Per: period.Total, Mode: Shadow, HasAmount: true, HasCount: true, Amount: one, Count: 3}, nil)
	f(Bound{Per: period.Call, Mode: Soft, HasAmount: true, Amount: one}, nil)
	f(Bound{Per: period.Month, Mode: Hard, HasAmount: true, Amount: one, Allotment: true}, nil)
	f(Bound{}, ErrPer)
	f(Bound{Per: 7, Mode: Hard, HasAmount: true}, ErrPer)
	f(Bound{Per: period.Day, HasAmount: true}, ErrMode)
	f(Bound{Per: period.Day, Mode: 4, HasAmount: true}, ErrMode)
	f(Bound{Per: period.Day, Mode: Hard}, ErrUnbounded)
	f(Bound{Per: period.Day, Mode: Hard, HasCount: true, Amount: one}, ErrUnset)
	f(Bound{Per: period.Day, Mode: Hard, HasAmount: true, Count: 1}, ErrUnset)
	f(Bound{Per: period.Day, Mode: Hard, HasAmount: true, Amount: one.Neg()}, ErrAmount)
	f(Bound{Per: period.Call, Mode: Hard, HasAmount: true, HasCount: true}, ErrPerCall)
	f(Bound{Per: period.Call, Mode: Hard, HasCount: true}, ErrPerCall)
	f(Bound{Per: period.Day, Mode: Soft, HasAmount: true, Allotment: true}, ErrAllotment)
	f(Bound{Per: period.Day, Mode: Hard, HasCount: true, Allotment: true}, ErrAllotment)
}

func TestFits(t *testing.T) {
	now := at(t, "2026-11-29T10:20:30Z")
	f := func(per period.Kind, limit string, count int64, spent, held string, calls, reserved uint64, ask string, askCalls uint64, ok, byCount bool) {
		t.Helper()
		r := row(t, per, limit, count)
		r.Roll(now)
		r.Reserve(amount(t, held), reserved)
		r.Charge(now, amount(t, spent), calls)
		gotOK, gotByCount := r.Fits(amount(t, ask), askCalls)
		if gotOK != ok || gotByCount != byCount {
			t.Errorf("%v of %s, %d with %s + %s, %d + %d: %s and %d: got %v, %v", per, limit, count, spent, held, calls, reserved, ask, askCalls, gotOK, gotByCount)
		}
	}
	f(period.Day, "10", -1, "3", "4", 0, 0, "3", 1, true, false)
	f(period.Day, "10", -1, "3", "4", 0, 0, "3.000000000000000001", 1, false, false)
	f(period.Day, "10", -1, "-3", "4", 0, 0, "9", 1, true, false)
	f(period.Day, "10", -1, "11", "0", 0, 0, "0", 0, false, false)
	f(period.Day, "0", -1, "0", "0", 0, 0, "0", 1, true, false)
	f(period.Day, "", 3, "99", "99", 1, 1, "99", 1, true, false)
	f(period.Day, "", 3, "0", "0", 1, 1, "0", 2, false, true)
	f(period.Day, "", 3, "0", "0", 4, 0, "0", 0, false, true)
	f(period.Day, "", 3, "0", "0", 1, 0, "0", math.MaxUint64, false, true)
	f(period.Day, "5", 3, "0", "0", 3, 0, "6", 1, false, false) // neither: the amount is named
	f(period.Day, "5", 3, "0", "0", 3, 0, "5", 1, false, true)
	f(period.Call, "5", -1, "100", "100", 9, 9, "5", 1, true, false)
	f(period.Call, "5", -1, "0", "0", 0, 0, "5.01", 1, false, false)
	f(period.Total, "10", -1, "3", "4", 0, 0, "3.1", 1, false, false)
	f(period.Day, "170141183460469231731.687303715884105727", -1, "-5", "0", 0, 0, "170141183460469231731.687303715884105727", 1, true, false)
}

func TestLeft(t *testing.T) {
	now := at(t, "2026-11-29T10:20:30Z")
	f := func(per period.Kind, limit string, count int64, spent, held string, calls, reserved uint64, left string, leftCount uint64, passed bool) {
		t.Helper()
		r := row(t, per, limit, count)
		r.Roll(now)
		r.Reserve(amount(t, held), reserved)
		r.Charge(now, amount(t, spent), calls)
		a, hasAmount, n, hasCount := r.Left()
		if a.String() != left || hasAmount != (limit != "") || n != leftCount || hasCount != (count >= 0) {
			t.Errorf("%v of %s, %d: left %v, %v, %d, %v; want %s, %d", per, limit, count, a, hasAmount, n, hasCount, left, leftCount)
		}
		if r.Passed() != passed {
			t.Errorf("%v of %s, %d: passed: %v", per, limit, count, r.Passed())
		}
	}
	f(period.Day, "10", 5, "3", "4", 1, 2, "3", 2, false)
	f(period.Day, "10", 5, "6", "4", 3, 2, "0", 0, false)
	f(period.Day, "10", 5, "6.01", "4", 1, 2, "-0.01", 2, true)
	f(period.Day, "10", 5, "0", "0", 4, 2, "10", 0, true)
	f(period.Day, "", 5, "6", "4", 3, 1, "0", 1, false)
	f(period.Day, "10", -1, "-3", "0", 3, 1, "13", 0, false)
	f(period.Call, "10", -1, "30", "40", 3, 1, "10", 0, false)
	f(period.Day, "170141183460469231731.687303715884105727", -1, "-5", "0", 1, 0, "170141183460469231731.687303715884105727", 0, false)
	f(period.Day, "0", -1, "170141183460469231731", "0.687303715884105727", 1, 0, "-170141183460469231731.687303715884105727", 0, true)
}

// A hold reserved in one window and released in the next takes nothing from what is
// held in the next, and what it is charged is of a window that is over.
func TestHoldAcrossWindows(t *testing.T) {
	f := func(per period.Kind, before, after string, over bool) {
		t.Helper()
		placed, released := at(t, before), at(t, after)
		r := row(t, per, "100", 100)
		r.Roll(placed)
		r.Reserve(amount(t, "10"), 1)
		r.Charge(placed, amount(t, "5"), 1)
		r.Told = true
		r.Roll(released)
		if r.Told == over {
			t.Errorf("%v from %s to %s: told %v", per, before, after, r.Told)
		}
		r.Reserve(amount(t, "7"), 1)
		r.Unreserve(placed, amount(t, "10"), 1)
		r.Charge(placed, amount(t, "8"), 1)
		spent, calls := "13", uint64(2)
		if over {
			spent, calls = "0", 0
		}
		if r.Held.String() != "7" || r.Reserved != 1 || r.Spent.String() != spent || r.Calls != calls {
			t.Errorf("%v from %s to %s: held %v, %d, spent %v, %d", per, before, after, r.Held, r.Reserved, r.Spent, r.Calls)
		}
	}
	f(period.Minute, "2026-11-29T10:20:59.999999999Z", "2026-11-29T10:21:00Z", true)
	f(period.Minute, "2026-11-29T10:20:00Z", "2026-11-29T10:20:59.999999999Z", false)
	f(period.Hour, "2026-11-29T10:59:00Z", "2026-11-29T11:00:00Z", true)
	f(period.Hour, "2026-11-29T10:00:00Z", "2026-11-29T10:59:00Z", false)
	f(period.Day, "2026-11-29T23:00:00Z", "2026-11-30T00:00:00Z", true)
	f(period.Day, "2026-11-29T00:00:00Z", "2026-11-29T23:00:00Z", false)
	f(period.Month, "2024-02-29T23:00:00Z", "2024-03-01T00:00:00Z", true)
	f(period.Month, "2026-12-01T00:00:00Z", "2026-12-31T23:59:59.999999999Z", false)
	f(period.Month, "2026-12-31T23:59:59Z", "2027-12-31T23:59:59Z", true)
	f(period.Total, "1970-01-01T00:00:00Z", "2262-04-11T00:00:00Z", false)
}

func TestShadowed(t *testing.T) {
	r := row(t, period.Day, "1", -1)
	r.Mode = Shadow
	r.Roll(at(t, "2026-11-29T10:00:00Z"))
	for seq := uint64(101); seq <= 111; seq++ {
		r.Shadowed(seq)
	}
	if r.WouldRefuse != 11 || r.Recent != [8]uint64{109, 110, 111, 104, 105, 106, 107, 108} {
		t.Errorf("%d: %v", r.WouldRefuse, r.Recent)
	}
	r.Roll(at(t, "2026-11-30T10:00:00Z"))
	if r.WouldRefuse != 11 || r.Recent[2] != 111 {
		t.Errorf("a new window forgot: %d, %v", r.WouldRefuse, r.Recent)
	}
}

func TestBugs(t *testing.T) {
	now := at(t, "2026-11-29T10:00:00Z")
	const day = 24 * int64(time.Hour)
	f := func(message string, do func(r *Row)) {
		t.Helper()
		r := row(t, period.Day, "100", 100)
		r.Roll(now)
		r.Reserve(amount(t, "10"), 2)
		before := r
		mustPanic(t, message, func() { do(&r) })
		if r != before {
			t.Errorf("%s: the row changed", message)
		}
	}
	f("more is released than held", func(r *Row) { r.Unreserve(now, amount(t, "10.01"), 1) })
	f("more calls are released", func(r *Row) { r.Unreserve(now, amount(t, "10"), 3) })
	f("reservation below zero", func(r *Row) { r.Reserve(amount(t, "-1"), 1) })
	f("reservation below zero", func(r *Row) { r.Unreserve(now, amount(t, "-1"), 1) })
	f("reservation below zero", func(r *Row) { r.Unreserve(now-day, amount(t, "-1"), 1) })
	f("after the window", func(r *Row) { r.Unreserve(now+day, amount(t, "1"), 1) })
	f("after the window", func(r *Row) { r.Charge(now+day, amount(t, "1"), 1) })
	f("time goes back", func(r *Row) { r.Roll(now - day) })
	f("without a sequence", func(r *Row) { r.Shadowed(0) })
	f("out of range", func(r *Row) { r.Reserve(amount(t, "170141183460469231731"), 1) })

	r := row(t, period.Day, "100", 100)
	r.Roll(now)
	r.Charge(now, amount(t, "0"), math.MaxUint64)
	mustPanic(t, "wraps", func() { r.Charge(now, amount(t, "0"), 1) })
	r.Reserve(amount(t, "0"), 1)
	mustPanic(t, "wraps", func() { r.Passed() })
}

// Millions of rows are copied and saved as bytes of memory.
func TestRowIsFlat(t *testing.T) {
	var flat func(v reflect.Type) bool
	flat = func(v reflect.Type) bool {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				if !flat(v.Field(i).Type) {
					return false
				}
			}
			return true
		case reflect.Array:
			return flat(v.Elem())
		case reflect.Bool, reflect.Uint8, reflect.Uint64, reflect.Int64:
			return true
		}
		return false
	}
	if v := reflect.TypeFor[Row](); !flat(v) || v.Size() > 168 {
		t.Errorf("flat: %v, %d bytes", flat(v), v.Size())
	}
}

func TestNoAllocations(t *testing.T) {
	now := at(t, "2026-11-29T10:00:00Z")
	one, r := amount(t, "1"), row(t, period.Month, "1000000", 1<<40)
	r.Roll(now)
	buf := make([]byte, 0, rowBytes)
	n := testing.AllocsPerRun(100, func() {
		r.Roll(now)
		if ok, _ := r.Fits(one, 1); !ok || r.Passed() {
			t.Fatal("does not fit")
		}
		r.Reserve(one, 1)
		r.Unreserve(now, one, 1)
		r.Charge(now, one, 1)
		r.Shadowed(7)
		_, _, _, _ = r.Left()
		buf = r.Append(buf[:0])
		if _, _, err := Decode(buf); err != nil {
			t.Fatal(err)
		}
		now += int64(time.Hour)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
