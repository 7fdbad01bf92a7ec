package engine

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What a review of holds and the agenda found: each of these failed once.

// TestNothingDueKeepsNoTime: an expiry that has nothing to do is passed over, and the time at
// which that was seen is not that of what comes later.
func TestNothingDueKeepsNoTime(t *testing.T) {
	start := planTime(t, "2026-11-01T12:00").UnixNano()
	var now, asked atomic.Int64
	now.Store(start)
	r := newRig(t, func(o *Options) {
		o.Now = func() int64 { at := now.Load(); asked.Add(1); return at }
	})
	r.account("acme", "customer", "prepaid")
	r.prices(unitBook("v", "2026-01-01T00:00:00Z", `"1"`))
	if _, _, no := r.e.Grant(GrantSpec{ID: "g", Account: "acme", Kind: "promo", Amount: amount(t, "5"), Expires: time.Unix(0, start+int64(time.Hour))}); no != nil {
		t.Fatal(no)
	}
	r.post(*unitCall("e", "m", 5))
	now.Store(start + int64(time.Hour))
	// Until the sequencer has looked at the clock in two rounds, or does not look any more.
	for before, giveUp := asked.Load(), time.Now().Add(500*time.Millisecond); asked.Load() < before+4 && time.Now().Before(giveUp); {
		runtime.Gosched()
	}
	later := time.Unix(0, start+int64(3*time.Hour)).UTC()
	now.Store(later.UnixNano())
	got, _, no := r.e.TopUp(TopUp{ID: "t", Account: "acme", Amount: amount(t, "1")})
	if no != nil || !got.Time.Equal(later) {
		t.Fatalf("%v: booked at %v, it is %v", no, got.Time, later)
	}
}

// TestAbandonedIsAskedAgain: between the moment at which a hold is taken to be captured as
// reported and its capture the account may have changed its mind.
func TestAbandonedIsAskedAgain(t *testing.T) {
	r := newPlanRig(t, "2026-11-01T12:00")
	r.prices(unitBook("v", "2026-01-01T00:00:00Z", `"1"`))
	r.pay("t", "100")
	set := func(abandoned string) {
		t.Helper()
		if _, _, no := r.e.PutSettings(SettingsSpec{Account: "acme", Excess: "allow", Abandoned: abandoned}); no != nil {
			t.Fatal(no)
		}
	}
	set("capture")
	r.operate(&creditOp{kind: PlaceHold, hold: "h", account: "acme", amount: "10", ttl: time.Minute},
		&creditOp{kind: ExtendHold, hold: "h", id: "x", event: unitCall("e", "m", 3)})
	var h abandonedHold
	r.e.internal(func(s *sequencer) {
		n, _ := s.state.holds.find(holdID([]byte("h"), r.e.seed))
		row := s.state.holds.rows.At(n)
		h = abandonedHold{row.id, row.seq, row.report}
	})
	r.now.Add(int64(time.Minute)) // due, and for a quarter of a second not swept
	set("void")
	r.e.captureAbandoned([]abandonedHold{h})
	got, no := r.e.Hold("h")
	if no != nil || got.State != HoldExpired {
		t.Fatalf("%v: %s", no, got.State)
	}
	r.reopen()
}

// TestHoldsExpireUnderLoad: holds that are due do not wait for a moment in which there is less to
// do than a group takes.
func TestHoldsExpireUnderLoad(t *testing.T) {
	start := planTime(t, "2026-11-01T12:00").UnixNano()
	var shift atomic.Int64
	r := newRig(t, func(o *Options) {
		o.Now = func() int64 { return start + shift.Load() }
		o.GroupBytes = 64 << 10
	})
	r.account("acme", "customer", "postpaid")
	creditOperate(t, r.e, []*creditOp{{kind: PlaceHold, hold: "old", account: "acme", amount: "1", ttl: time.Second}})
	const requests, each = 12, 2000
	var wg sync.WaitGroup
	var first, last atomic.Uint64
	first.Store(1 << 60)
	book := func(n int) {
		defer wg.Done()
		q := r.e.Acquire(100_000)
		defer r.e.Release(q)
		for i := range each {
			creditAdd(t, q, i, &creditOp{kind: PlaceHold, hold: fmt.Sprintf("h-%d-%d", n, i), account: "acme", amount: "1", ttl: time.Hour})
		}
		_, seq, no := r.e.BookHolds(q)
		if no != nil {
			t.Error(no)
		}
		for old := last.Load(); seq > old && !last.CompareAndSwap(old, seq); old = last.Load() {
		}
	}
	r.e.internal(func(s *sequencer) {
		shift.Store(int64(3 * time.Second))
		for n := range requests {
			wg.Add(1)
			go book(n)
		}
		for i := range requests { // all are queued before the next is taken
			slot := &s.e.ring.slots[(s.e.ring.head+uint64(i))&s.e.ring.mask]
			for slot.turn.Load() != s.e.ring.head+uint64(i)+1 {
				runtime.Gosched()
			}
		}
	})
	wg.Wait()
	for {
		h, no := r.e.Hold("old")
		if no != nil {
			t.Fatal(no)
		}
		if h.End == 0 {
			continue
		}
		if h.End > last.Load()-each*(requests-3) {
			t.Fatalf("expired at %d, the last of %d requests ended at %d", h.End, requests, last.Load())
		}
		break
	}
}

// TestUnpricedTakesNothing: an event without a price is journaled without the sources of the one
// before it.
func TestUnpricedTakesNothing(t *testing.T) {
	r := newPlanRig(t, "2026-11-01T12:00")
	r.prices(unitBook("v", "2026-01-01T00:00:00Z", `"1"`))
	r.promo("g", "10", "")
	out := r.post(*unitCall("a", "m", 4), *unitCall("b", "other", 4))
	if out.Accepted != 2 || out.Unpriced != 1 {
		t.Fatalf("%+v", out)
	}
	blocks := blockReader{e: r.e}
	c, err := blocks.at(out.Sequence)
	if err != nil {
		t.Fatal(err)
	}
	if c.event.reason == priced || len(c.event.split.Parts) > 0 || !c.event.split.Lost.IsZero() {
		t.Fatalf("%s took %+v", c.event.id, c.event.split)
	}
}

// TestHoldsTwiceAtOnce has callers place, extend, capture and void the same holds at the same
// time, every operation several times, some within one request, while runs, checkpoints and
// restarts go on: all answers to one operation are one.
func TestHoldsTwiceAtOnce(t *testing.T) {
	r := newRig(t, func(o *Options) { o.RunIdentities, o.CheckpointBytes, o.DedupWindow = 40, 3000, 100*day })
	r.account("acme", "customer", "postpaid")
	r.account("prov", "provider", "")
	r.prices("v1", standardBook)
	const rounds, holds, callers = 12, 20, 4
	for round := range rounds {
		var mu sync.Mutex
		first := map[string]string{}
		var wg sync.WaitGroup
		for caller := range callers {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := range holds {
					id := fmt.Sprintf("h%d-%d", round, i)
					end := &creditOp{kind: CaptureHold, hold: id, event: new(call)}
					*end.event = llm("e-"+id, "acme", "m1", 1000*i, 10)
					switch i % 4 {
					case 1:
						end = &creditOp{kind: VoidHold, hold: id}
					case 2:
						end = &creditOp{kind: CaptureHold, hold: id, amount: "0.5"}
					}
					place := &creditOp{kind: PlaceHold, hold: id, account: "acme", amount: "1", ttl: time.Hour}
					extend := &creditOp{kind: ExtendHold, hold: id, id: "x-" + id, amount: "2"}
					ops := []*creditOp{place, place, extend, extend, end, end}
					if caller%2 == 1 {
						ops = []*creditOp{place, extend, end}
					}
					for k, res := range creditOperate(t, r.e, ops) {
						key := ops[k].text()
						got := fmt.Sprint(res.State, res.Amount, res.Charged, res.Released, res.Sequence, res.Refusal)
						mu.Lock()
						if was, ok := first[key]; ok && was != got {
							t.Errorf("%s: %s, and %s", key, was, got)
						}
						first[key] = got
						mu.Unlock()
					}
				}
			}()
		}
		wg.Wait()
		if held := heldOf(t, r.e, "acme"); !held.IsZero() {
			t.Fatalf("%s are held", held)
		}
		if round%4 == 3 {
			r.reopen()
		}
		again := fmt.Sprintf("h%d-%d", round/2, 3)
		for _, res := range creditOperate(t, r.e, []*creditOp{{kind: PlaceHold, hold: again, account: "acme", amount: "1", ttl: time.Hour},
			{kind: ExtendHold, hold: again, id: "x-" + again, amount: "2"}, {kind: PlaceHold, hold: again, account: "acme", amount: "2"}}) {
			if res.Outcome != HoldDuplicate && (res.Index != 2 || res.Refusal == nil || res.Refusal.Reason != "id_conflict") {
				t.Fatalf("%s again: %+v", again, res)
			}
		}
	}
	r.close()
	report, err := Verify(VerifyOptions{Journal: r.o.Journal})
	if err != nil || report.Runs == 0 || report.Checkpoints == 0 {
		t.Fatalf("%+v, %v", report, err)
	}
}

// TestAbandonedTogether: holds that are captured with one request stand each for itself.
func TestAbandonedTogether(t *testing.T) {
	f := func(name string, closed bool) {
		t.Run(name, func(t *testing.T) {
			r := newPlanRig(t, "2026-11-01T12:00")
			r.prices(unitBook("v", "2026-01-01T00:00:00Z", `"1"`))
			r.pay("t", "1000")
			if _, _, no := r.e.PutSettings(SettingsSpec{Account: "acme", Excess: "allow", Abandoned: "capture"}); no != nil {
				t.Fatal(no)
			}
			want := map[string]HoldState{}
			for i := range 2*abandonStep + 3 {
				id := fmt.Sprint("h", i)
				event := unitCall("e-"+id, "m", 3)
				want[id] = HoldCaptured
				switch i % 5 {
				case 1: // the same as the one before
					event.id, want[id] = fmt.Sprint("e-h", i-1), HoldExpired
				case 2: // booked without the hold
					r.post(*event)
					want[id] = HoldExpired
				case 3: // without a price
					event.kind = "other"
				}
				r.operate(&creditOp{kind: PlaceHold, hold: id, account: "acme", amount: "2", ttl: time.Minute},
					&creditOp{kind: ExtendHold, hold: id, id: "x" + id, event: event})
			}
			if closed {
				r.close()
			}
			r.now.Add(int64(time.Hour))
			if closed {
				r.open()
			}
			for !heldOf(t, r.e, "acme").IsZero() {
				runtime.Gosched()
			}
			for id, state := range want {
				if h, no := r.e.Hold(id); no != nil || h.State != state || h.End == 0 {
					t.Errorf("%v: %s is %s, want %s", no, id, h.State, state)
				}
			}
		})
	}
	f("running", false)
	f("after a restart", true)
}
