package engine

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"
	_ "time/tzdata" // zones, whatever the machine has

	"farthing/batch"
	"farthing/journal"
	"farthing/ledger"
	"farthing/money"
)

// closes returns once that many windows are sealed; more are an error, and so are more after the
// sequencer had its next turns.
func (r *rig) closes(want int) {
	r.t.Helper()
	for {
		changed := r.e.sealedChanged.changed()
		n := looked(r.t, r.e)
		if n > want {
			r.t.Fatalf("%d windows, want %d", n, want)
		}
		if n == want {
			break
		}
		<-changed // the test's time limit ends a wait for a window that never closes
	}
	for range 3 {
		if n := looked(r.t, r.e); n != want {
			r.t.Fatalf("%d windows, want %d", n, want)
		}
	}
}

// clockRig is a rig whose clock a test moves while the engine runs.
func clockRig(t *testing.T, start time.Time, change func(*Options)) (*rig, func(time.Time)) {
	var now atomic.Int64
	now.Store(start.UnixNano())
	r := standard(t, func(o *Options) {
		o.Clock = func() time.Time { return time.Unix(0, now.Load()) }
		o.Now = now.Load
		change(o)
	})
	return r, func(to time.Time) { now.Store(to.UnixNano()) }
}

// midnights is a schedule of every midnight of a zone.
func midnights(zone *time.Location) func(time.Time) time.Time {
	return func(after time.Time) time.Time {
		y, m, d := after.In(zone).Date()
		return time.Date(y, m, d+1, 0, 0, 0, 0, zone)
	}
}

// TestScheduleClosesWindows: a window closes at each midnight of a zone in which something happened
// before it, on the short day and the long one as well; those that were missed close once.
func TestScheduleClosesWindows(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	day := func(m time.Month, d, hour, minute int) time.Time {
		return time.Date(2026, m, d, hour, minute, 0, 0, zone)
	}
	for _, date := range []time.Time{day(3, 28, 12, 0), day(10, 24, 12, 0)} { // the 29th has 23 hours, the 25th 25
		m, d := date.Month(), date.Day()
		r, move := clockRig(t, date, func(o *Options) { o.Schedule = midnights(zone) })
		events, windows := 0, 0
		event := func() {
			events++
			if got := r.post(llm(fmt.Sprint("e", events), "acme", "m1", 5000, 5)); got.Accepted != 1 {
				t.Fatalf("%+v", got)
			}
		}
		at := func(to time.Time, closes int) {
			t.Helper()
			move(to)
			windows += closes
			r.closes(windows)
		}
		event()
		at(day(m, d, 23, 59), 0)
		at(day(m, d+1, 0, 0), 1)
		event()
		at(day(m, d+1, 23, 59), 0) // of the day of the change
		at(day(m, d+2, 0, 0), 1)
		at(day(m, d+3, 0, 1), 0) // nothing happened
		event()
		r.reopen()
		at(day(m, d+3, 12, 0), 1) // the midnight before: the window began before it
		event()
		r.close()
		move(day(m, d+9, 8, 0))
		r.open()
		at(day(m, d+9, 8, 0), 1) // six were missed
		event()
		at(day(m, d+9, 23, 0), 0)
		r.settle("by-hand")
		windows++
		at(day(m, d+10, 0, 0), 0)
		r.close()
		if _, err := Verify(VerifyOptions{Journal: r.o.Journal}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestScheduleEnds: a schedule may have a last time.
func TestScheduleEnds(t *testing.T) {
	start := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	r, move := clockRig(t, start, func(o *Options) {
		o.Schedule = func(after time.Time) time.Time {
			if last := start.Add(time.Hour); after.Before(last) {
				return last
			}
			return time.Time{}
		}
	})
	r.post(llm("e1", "acme", "m1", 5000, 5))
	move(start.Add(time.Hour))
	r.closes(1)
	r.post(llm("e2", "acme", "m1", 5000, 5))
	move(start.Add(1000 * time.Hour))
	r.closes(1)
}

func TestWindowOptions(t *testing.T) {
	f := func(ok bool, change func(*Options)) {
		t.Helper()
		o := Options{Journal: journal.Options{Dir: t.TempDir()}}
		change(&o)
		o.ensureDefaults()
		if err := o.Validate(); (err == nil) != ok {
			t.Errorf("%v", err)
		}
	}
	jpy, _ := money.Lookup("JPY")
	threshold := func(c money.Currency, text string) func(*Options) {
		return func(o *Options) { o.Thresholds = map[money.Currency]money.Amount{c: amount(t, text)} }
	}
	f(true, threshold(usd(), "0.01"))
	f(false, threshold(usd(), "0.009"))
	f(true, threshold(jpy, "1"))
	f(false, threshold(jpy, "0.99"))
	f(false, threshold(usd(), "-1"))
	f(true, func(o *Options) { o.Schedule = midnights(time.UTC) })
	f(false, func(o *Options) { o.Schedule, o.SettleEvery = midnights(time.UTC), time.Hour })
}

// dollars is an event of that many hundredths of a dollar, of which a provider gets nine tenths.
func dollars(id, account string, cents int) call { return llm(id, account, "m1", 0, 1000*cents) }

// thresholdRig closes windows at a position of one dollar. It has acme, and zoe; slow is paid from
// two dollars on, and earns a cent with each call of m3.
func thresholdRig(t *testing.T) *rig {
	r := standard(t, func(o *Options) { o.Thresholds = map[money.Currency]money.Amount{usd(): amount(t, "1")} })
	r.account("zoe", "customer", "postpaid")
	spec := AccountSpec{ID: "slow", Currency: usd(), Kind: "provider", MinimumPayout: amount(t, "2")}
	if _, _, refused := r.e.CreateAccount(spec); refused != nil {
		t.Fatal(refused)
	}
	r.prices("v2", `{"effective_from":"2026-01-01T00:00:01Z","prices":[
 {"meter":"llm.tokens","currency":"USD","match":{"model":"m1"},"components":{"input":"0","output":"0.00001"},"payee":"prov","fee":"0.1"},
 {"meter":"llm.tokens","currency":"USD","match":{"model":"m3"},"components":{"input":"0","output":"0.00001"},"payee":"slow"}]}`)
	return r
}

// TestThresholdClosesWindows: the window closes for everyone when one position reaches the
// threshold, once, whether anybody can be paid out or not; also after a restart.
func TestThresholdClosesWindows(t *testing.T) {
	r := thresholdRig(t)
	n := 0
	use := func(account, model string, cents int) {
		t.Helper()
		n++
		if got := r.post(llm(fmt.Sprint("e", n), account, model, 0, 1000*cents)); got.Accepted != 1 || got.Unpriced != 0 {
			t.Fatalf("%+v", got)
		}
	}
	use("acme", "m1", 99)
	r.closes(0)
	use("acme", "m1", 1)
	r.closes(1)
	if w := r.e.published.Load().windows[0]; w.id != "" || len(w.batches) != 1 || w.batches[0].collected != amount(t, "1") {
		t.Fatalf("%+v", w)
	}
	use("acme", "m1", 60)
	use("zoe", "m1", 60) // the provider has 1.08
	r.closes(2)
	for range 3 {
		use("acme", "m3", 60)
		r.topUp(fmt.Sprint("t", n), "acme", "0.60") // who owes nothing then
		r.closes(2)                                 // slow has up to 1.80, which is not paid out
	}
	use("zoe", "m3", 20)
	r.closes(3)
	if b := r.e.published.Load().windows[2].batches[0]; b.paid != amount(t, "2") {
		t.Fatalf("%+v", b)
	}
	thresholds := r.o.Thresholds
	r.close()
	r.o.Thresholds = nil
	r.open()
	use("zoe", "m1", 300)
	r.closes(3)
	r.close()
	r.o.Thresholds = thresholds
	r.open()
	r.closes(4)
	r.reopen()
	r.closes(4)
	r.close()
	if _, err := Verify(VerifyOptions{Journal: r.o.Journal}); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) topUp(id, account, text string) {
	r.t.Helper()
	if _, _, refused := r.e.TopUp(TopUp{ID: id, Account: account, Amount: amount(r.t, text)}); refused != nil {
		r.t.Fatal(refused)
	}
}

// TestThresholdUnderLoad: whatever comes in between cut and seal, no window closes by itself without
// a line that is at the threshold.
func TestThresholdUnderLoad(t *testing.T) {
	r := thresholdRig(t)
	rng := rand.New(rand.NewPCG(rand.Uint64(), 1))
	for i := range 20 {
		r.account(fmt.Sprint("c", i), "customer", "postpaid")
	}
	for i := range 300 {
		var calls []call
		for k := range 1 + rng.IntN(20) {
			calls = append(calls, dollars(fmt.Sprint("e", i, "-", k), fmt.Sprint("c", rng.IntN(20)), rng.IntN(30)))
		}
		r.post(calls...)
		if rng.IntN(100) == 0 {
			r.reopen()
		}
	}
	for range 5 { // a close may follow from a close, and each look has its turn between two groups
		r.e.internal(func(*sequencer) {})
		settled(t, r.e)
	}
	r.e.internal(func(s *sequencer) {
		for ref := range s.state.people {
			if s.state.ledger.Passes(ledger.Ref(ref)) {
				t.Errorf("%s is above its threshold still", s.state.people[ref].ID)
			}
		}
	})
	windows := r.e.published.Load().windows
	if len(windows) < 5 {
		t.Fatalf("%d windows closed", len(windows))
	}
	one := amount(t, "1")
	for _, w := range windows {
		most := money.Amount{}
		b := &w.batches[0]
		err := scanLines(r.e.store, b.id, b.lines, 1, func(_ uint32, record []byte) bool {
			_, l, err := batch.ParseLine(record)
			if err != nil {
				t.Fatal(err)
			}
			if l.Amount.Cmp(most) > 0 {
				most = l.Amount
			}
			return true
		})
		if err != nil || most.Cmp(one) < 0 {
			t.Errorf("window %d: the largest line is %s, %v", w.number, most, err)
		}
	}
}
