package engine

import (
	"testing"
	"time"
)

// looked returns once the sequencer has looked at the clock and nothing is being settled.
func looked(t testing.TB, e *Engine) int {
	t.Helper()
	settled(t, e) // rides the ring
	return len(e.published.Load().windows)
}

// TestTimerClosesWindows opens a ledger at several moments: a window in which something
// happened closes once when a multiple of the interval has passed, however many were
// missed; one in which nothing happened stays open.
func TestTimerClosesWindows(t *testing.T) {
	r := standard(t, func(o *Options) { o.SettleEvery = time.Hour })
	at := func(clock string, want int) {
		t.Helper()
		base, err := time.Parse("15:04", clock)
		if err != nil {
			t.Fatal(err)
		}
		r.base = time.Date(2026, 11, 1, base.Hour(), base.Minute(), 0, 0, time.UTC)
		r.reopen()
		if r.e.Stats().Windows == want {
			if n := looked(t, r.e); n != want {
				t.Fatalf("%s: %d windows, want %d", clock, n, want)
			}
			return
		}
		for {
			changed := r.e.Outbox().Changed()
			if n := looked(t, r.e); n > want {
				t.Fatalf("%s: %d windows, want %d", clock, n, want)
			} else if n == want {
				return
			}
			<-changed // the test's time limit ends a wait for a window that never closes
		}
	}
	at("12:59", 0)
	if got := r.post(llm("e1", "acme", "m1", 5000, 5)); got.Accepted != 1 {
		t.Fatalf("%+v", got)
	}
	at("12:59", 0)
	at("17:30", 1) // five ticks were missed
	w := r.e.published.Load().windows[0]
	if w.id != "" || len(w.batches) != 1 || time.Unix(0, w.time).UTC().Hour() != 17 {
		t.Fatalf("%+v", w)
	}
	if n := looked(t, r.e); n != 1 {
		t.Fatalf("%d windows", n)
	}
	at("18:30", 1) // nothing moved: a top-up or an event would
	r.post(llm("e2", "acme", "m1", 5000, 5))
	r.settle("by-hand")
	at("19:01", 2) // it was closed within its hour, and nothing happened since
	r.post(llm("e3", "acme", "m1", 5000, 5))
	at("20:00", 3)
	r.close()
	if _, err := Verify(VerifyOptions{Journal: r.o.Journal}); err != nil {
		t.Fatal(err)
	}
}

// TestCloseWindowNeedsAnID: a close without an id could not be asked for again, and while
// the timer's close is queued it would be taken for that and never be answered.
func TestCloseWindowNeedsAnID(t *testing.T) {
	r := standard(t, nil)
	for _, id := range []string{"", "a b", "ä"} {
		if _, created, refused := r.e.CloseWindow(id, nil); refused == nil {
			t.Errorf("a close by %q went through, created %v", id, created)
		}
	}
}
