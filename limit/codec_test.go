package limit

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"farthing/money"
	"farthing/period"
)

// fullRow has something in every field.
func fullRow(t testing.TB) Row {
	t.Helper()
	now := at(t, "2026-11-29T10:00:00Z")
	r := row(t, period.Month, "123.456", 789)
	r.Allotment = true
	r.Roll(now)
	r.Reserve(amount(t, "5.000000000000000001"), 3)
	r.Charge(now, amount(t, "-7"), 4)
	r.Told = true
	for seq := uint64(1); seq < 12; seq++ {
		r.Shadowed(seq << 40)
	}
	return r
}

func TestDecodeRefuses(t *testing.T) {
	f := func(what string, change func(r *Row)) {
		t.Helper()
		r := fullRow(t)
		change(&r)
		src := r.Append(nil)
		got, rest, err := Decode(src)
		if !errors.Is(err, ErrRow) || got != (Row{}) || len(rest) != len(src) {
			t.Errorf("%s: got %+v, %v", what, got, err)
		}
	}
	f("zero row", func(r *Row) { *r = Row{} })
	f("kind", func(r *Row) { r.Per = period.Total + 1 })
	f("mode", func(r *Row) { r.Mode = 0 })
	f("unset amount", func(r *Row) { r.HasAmount, r.Allotment = false, false })
	f("unset count", func(r *Row) { r.HasCount = false })
	f("negative amount", func(r *Row) { r.Amount = r.Amount.Neg() })
	f("negative held", func(r *Row) { r.Held = r.Held.Neg() })
	f("soft allotment", func(r *Row) { r.Mode = Soft })
	f("start within a window", func(r *Row) { r.Start++ })
	f("start before 1970", func(r *Row) { r.Start = -1 })
	f("total with a start", func(r *Row) { r.Per = period.Total })
	f("spent and held beyond the range", func(r *Row) { r.Spent, r.Held = mostAmount, amount(t, "1") })
	f("calls beyond the range", func(r *Row) { r.Calls = math.MaxUint64 - 2 })
	f("more remembered than refused", func(r *Row) { r.WouldRefuse = 7 })
	f("less remembered than refused", func(r *Row) { r.Recent[3] = 0 })

	call := func(what string, change func(r *Row)) {
		t.Helper()
		f(what, func(r *Row) { *r = row(t, period.Call, "5", -1); change(r) })
	}
	call("per call, held", func(r *Row) { r.Held = amount(t, "1") })
	call("per call, spent", func(r *Row) { r.Spent = amount(t, "1") })
	call("per call, calls", func(r *Row) { r.Calls = 1 })
	call("per call, reserved", func(r *Row) { r.Reserved = 1 })
	call("per call, start", func(r *Row) { r.Start = at(t, "2026-11-29T00:00:00Z") })

	full := fullRow(t)
	src := full.Append(nil)
	if len(src) != rowBytes {
		t.Fatalf("%d bytes, want %d", len(src), rowBytes)
	}
	for n := range src {
		if _, _, err := Decode(src[:n]); !errors.Is(err, ErrRow) {
			t.Errorf("%d of %d bytes: %v", n, len(src), err)
		}
	}
	for _, off := range []int{3, 19, 35} { // -2^127 is no amount
		bad := bytes.Clone(src)
		copy(bad[off:], make([]byte, 16))
		bad[off+7] = 0x80
		if _, _, err := Decode(bad); !errors.Is(err, ErrRow) {
			t.Errorf("no amount at %d: %v", off, err)
		}
	}
	bad := bytes.Clone(src)
	bad[2] |= flagsEnd
	if _, _, err := Decode(bad); !errors.Is(err, ErrRow) {
		t.Errorf("unknown flag: %v", err)
	}
}

// Every bit counts: a flipped one is refused or gives another row, and that one has
// the changed bytes as its own.
func TestDecodeFlippedBits(t *testing.T) {
	r := fullRow(t)
	src := r.Append(nil)
	for i := range len(src) * 8 {
		bad := bytes.Clone(src)
		bad[i/8] ^= 1 << (i % 8)
		got, _, err := Decode(bad)
		if err != nil {
			continue
		}
		if got == r || !bytes.Equal(got.Append(nil), bad) {
			t.Errorf("bit %d: %+v", i, got)
		}
	}
}

// What is decoded has these bytes, and can be worked with.
func FuzzDecode(f *testing.F) {
	full, call := fullRow(f), row(f, period.Call, "5", -1)
	f.Add(full.Append(nil), int64(0))
	f.Add(append(call.Append(nil), 1, 2, 3), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, src []byte, later int64) {
		r, rest, err := Decode(src)
		if err != nil {
			if !errors.Is(err, ErrRow) || !bytes.Equal(rest, src) {
				t.Fatalf("%v, %d of %d bytes left", err, len(rest), len(src))
			}
			return
		}
		if again := append(r.Append(nil), rest...); !bytes.Equal(again, src) {
			t.Fatalf("%x was read from %x", again, src)
		}
		left, bounded, _, _ := r.Left()
		if ok, byCount := r.Fits(left, 0); bounded && !ok && !byCount {
			t.Fatalf("%+v: what is left does not fit", r)
		}
		if ok, _ := r.Fits(money.Amount{}, 0); ok == r.Passed() {
			t.Fatalf("%+v: nothing fits: %v, passed: %v", r, ok, r.Passed())
		}
		r.Unreserve(r.Start, r.Held, r.Reserved)
		r.Roll(max(later, r.Start))
		if _, _, err := Decode(r.Append(nil)); err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
	})
}
