package limit

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"farthing/money"
	"farthing/period"
)

// twin keeps all that ever happened and works everything out anew from that: what
// is counted is what has the same date as now, as far as the limit's kind looks.
type twin struct {
	t       *testing.T
	bound   Bound
	now     int64
	charges []entry
	holds   []entry // open ones
	shadow  []uint64
}

type entry struct {
	at     int64
	amount money.Amount
	calls  uint64
}

var layouts = map[period.Kind]string{
	period.Minute: "2006-01-02 15:04", period.Hour: "2006-01-02 15", period.Day: "2006-01-02", period.Month: "2006-01",
}

func (w *twin) window(at int64) string { return time.Unix(0, at).UTC().Format(layouts[w.bound.Per]) }

func (w *twin) sum(entries []entry) (amount decimal.Decimal, calls uint64) {
	for _, e := range entries {
		if w.bound.Per != period.Call && w.window(e.at) == w.window(w.now) {
			amount, calls = amount.Add(e.amount.Decimal()), calls+e.calls
		}
	}
	return amount, calls
}

// fits says whether a reservation keeps both sums within the limit.
func (w *twin) fits(amount money.Amount, calls uint64) (ok, byCount bool) {
	spent, charged := w.sum(w.charges)
	held, reserved := w.sum(w.holds)
	if w.bound.HasAmount && spent.Add(held).Add(amount.Decimal()).GreaterThan(w.bound.Amount.Decimal()) {
		return false, false
	}
	if w.bound.HasCount && charged+reserved+calls > w.bound.Count {
		return false, true
	}
	return true, false
}

func (w *twin) check(r *Row, told bool) {
	w.t.Helper()
	spent, calls := w.sum(w.charges)
	held, reserved := w.sum(w.holds)
	if !r.Spent.Decimal().Equal(spent) || !r.Held.Decimal().Equal(held) || r.Calls != calls || r.Reserved != reserved || r.Told != told {
		w.t.Fatalf("%v: row has %+v, want spent %v held %v calls %d reserved %d told %v", w.bound.Per, r, spent, held, calls, reserved, told)
	}
	left, hasAmount, leftCalls, hasCount := r.Left()
	want := decimal.Zero
	if w.bound.HasAmount {
		want = w.bound.Amount.Decimal().Sub(spent).Sub(held)
	}
	wantCalls := int64(0)
	if w.bound.HasCount {
		wantCalls = int64(w.bound.Count) - int64(calls) - int64(reserved)
	}
	if !left.Decimal().Equal(want) || hasAmount != w.bound.HasAmount || hasCount != w.bound.HasCount || int64(leftCalls) != max(0, wantCalls) {
		w.t.Fatalf("left %v %d, want %v %d", left, leftCalls, want, wantCalls)
	}
	if passed := want.IsNegative() || wantCalls < 0; r.Passed() != passed {
		w.t.Fatalf("passed %v, want %v", r.Passed(), passed)
	}
	if int(r.WouldRefuse) != len(w.shadow) {
		w.t.Fatalf("would have refused %d, want %d", r.WouldRefuse, len(w.shadow))
	}
	for n := max(0, len(w.shadow)-8); n < len(w.shadow); n++ {
		if r.Recent[n%8] != w.shadow[n] {
			w.t.Fatalf("recent %v, want the end of %v", r.Recent, w.shadow)
		}
	}
	got, rest, err := Decode(append(r.Append(nil), 0xee))
	if err != nil || got != *r || len(rest) != 1 {
		w.t.Fatalf("%+v came back as %+v, %v, %v", *r, got, rest, err)
	}
}

func randomAmount(rnd *rand.Rand) money.Amount {
	return money.FromWords(0, rnd.Uint64()>>rnd.IntN(64))
}

func randomBound(rnd *rand.Rand) Bound {
	b := Bound{Per: period.Kind(1 + rnd.IntN(6)), Mode: Mode(1 + rnd.IntN(3))}
	b.HasCount = b.Per != period.Call && rnd.IntN(2) == 0
	b.HasAmount = !b.HasCount || rnd.IntN(2) == 0
	if b.HasAmount {
		b.Amount, _ = randomAmount(rnd).MulUint64(rnd.Uint64N(8))
	}
	if b.HasCount {
		b.Count = rnd.Uint64N(20)
	}
	b.Allotment = b.HasAmount && b.Mode == Hard && rnd.IntN(2) == 0
	return b
}

// pass lets some time pass: mostly less than a window, sometimes many.
func pass(rnd *rand.Rand) int64 {
	units := []time.Duration{0, 0, time.Nanosecond, time.Second, time.Minute, time.Hour, 24 * time.Hour, 31 * 24 * time.Hour}
	return int64(units[rnd.IntN(len(units))]) * rnd.Int64N(3)
}

func TestRowAgainstTwin(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	refused, fitted := 0, 0
	for range 400 {
		w := &twin{t: t, bound: randomBound(rnd), now: rnd.Int64N(int64(200 * 365 * 24 * time.Hour))}
		r, told := Row{Bound: w.bound}, false
		if err := r.Valid(); err != nil {
			t.Fatal(err)
		}
		r.Roll(w.now)
		for range 100 {
			before := w.now
			w.now += pass(rnd)
			told = told && w.window(before) == w.window(w.now)
			r.Roll(w.now)
			w.check(&r, told)
			a, calls := randomAmount(rnd), rnd.Uint64N(3)
			ok, byCount := r.Fits(a, calls)
			if wantOK, wantByCount := w.fits(a, calls); ok != wantOK || byCount != wantByCount {
				t.Fatalf("%+v: %v and %d fit: %v, %v, want %v, %v", r, a, calls, ok, byCount, wantOK, wantByCount)
			}
			if ok {
				fitted++
			} else {
				refused++
			}
			w.step(rnd, &r, ok, entry{w.now, a, calls})
			if r.Passed() {
				r.Told, told = true, true
			}
			w.check(&r, told)
		}
	}
	if refused < 1000 || fitted < 1000 {
		t.Errorf("%d refused and %d that fitted are no test", refused, fitted)
	}
}

// step does one thing to both.
func (w *twin) step(rnd *rand.Rand, r *Row, fits bool, e entry) {
	switch op := rnd.IntN(5); {
	case op == 0: // usage without a hold, or what a correction gives back
		if rnd.IntN(3) == 0 {
			e.amount = e.amount.Neg()
		}
		r.Charge(e.at, e.amount, e.calls)
		w.charges = append(w.charges, e)
	case op <= 2 || len(w.holds) == 0: // a hold
		if !fits && r.Mode == Hard {
			return
		}
		if !fits && r.Mode == Shadow {
			seq := 1 + rnd.Uint64()>>1
			r.Shadowed(seq)
			w.shadow = append(w.shadow, seq)
		}
		r.Reserve(e.amount, e.calls)
		w.holds = append(w.holds, e)
	case op == 3: // a hold is counted anew with what was added to it
		h := &w.holds[rnd.IntN(len(w.holds))]
		r.Unreserve(h.at, h.amount, h.calls)
		h.at, h.amount = e.at, h.amount.MustAdd(e.amount)
		r.Reserve(h.amount, h.calls)
	default: // a hold ends, with or without a charge
		i := rnd.IntN(len(w.holds))
		h := w.holds[i]
		w.holds = append(w.holds[:i], w.holds[i+1:]...)
		r.Unreserve(h.at, h.amount, h.calls)
		if rnd.IntN(2) == 0 {
			r.Charge(h.at, e.amount, h.calls)
			w.charges = append(w.charges, entry{h.at, e.amount, h.calls})
		}
	}
}
