package engine

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"farthing/refusal"
)

// TestAdmissionBudget is the table of what is refused when and that it comes back.
func TestAdmissionBudget(t *testing.T) {
	const empty = "0 0 0"
	f := func(change func(*Options), fits []int, tooMuch int) {
		t.Helper()
		r := newRig(t, change)
		budget := func() string {
			s := r.e.Stats()
			return fmt.Sprint(s.Requests, s.Events, s.Bytes)
		}
		var held []*Request
		for _, n := range fits {
			q := r.e.Acquire(n)
			if q == nil {
				t.Fatalf("no room for %d bytes beside %s", n, budget())
			}
			held = append(held, q)
		}
		before := budget()
		if q := r.e.Acquire(tooMuch); q != nil {
			t.Fatalf("%d bytes beside %s were taken", tooMuch, before)
		}
		if budget() != before {
			t.Fatalf("a refusal changed %s to %s", before, budget())
		}
		r.e.Release(held[0])
		if q := r.e.Acquire(fits[0]); q == nil {
			t.Fatal("what was given back is not there")
		} else {
			r.e.Release(q)
		}
		for _, q := range held[1:] {
			r.e.Release(q)
		}
		if budget() != empty {
			t.Fatalf("held after everything was given back: %s", budget())
		}
	}
	f(func(o *Options) { o.RequestsMax = 2 }, []int{0, 0}, 0)
	f(func(o *Options) { o.EventsMax = 10 }, []int{4*minEventBytes + 1, 4 * minEventBytes}, minEventBytes)
	f(func(o *Options) { o.BytesMax = 1000 }, []int{600, 400}, 1)
	// One request larger than the whole budget goes through alone.
	f(func(o *Options) { o.BytesMax = 1000 }, []int{5000}, 1)
	f(func(o *Options) { o.EventsMax = 3 }, []int{5000}, 0)
}

// TestReadsAreRefusedWhenFull shows the refusals of everything that is no ingest.
func TestReadsAreRefusedWhenFull(t *testing.T) {
	r := standard(t, func(o *Options) { o.RequestsMax = 1 })
	code := func() refusal.Code {
		_, refused := r.e.Account("acme")
		if refused == nil {
			return ""
		}
		return refused.Code
	}
	q := r.e.Acquire(100)
	if got := code(); got != refusal.Overloaded {
		t.Errorf("full: %q", got)
	}
	if _, _, refused := r.e.TopUp(TopUp{ID: "t", Account: "beta", Amount: amount(t, "1")}); refused == nil || refused.Code != refusal.Overloaded {
		t.Errorf("full: top-up %v", refused)
	}
	if _, _, refused := r.e.CloseWindow("w", nil); refused == nil || refused.Code != refusal.Overloaded {
		t.Errorf("full: close %v", refused)
	}
	r.e.Release(q)
	if got := code(); got != "" {
		t.Errorf("with room: %q", got)
	}
	e := r.e
	r.close()
	if got := func() refusal.Code { r.e = e; defer func() { r.e = nil }(); return code() }(); got != refusal.NotReady {
		t.Errorf("closed: %q", got)
	}
	if e.Acquire(1) != nil || e.Ready() {
		t.Error("a closed engine takes requests")
	}
	if err := e.Close(); err != nil {
		t.Errorf("a second close: %v", err)
	}
}

// TestCloseAnswersEverythingAdmitted admits requests, begins to close, and only then
// hands in the work: all of it is answered, durable, and there after a restart.
func TestCloseAnswersEverythingAdmitted(t *testing.T) {
	r := standard(t, nil)
	e := r.e
	const n = 20
	var admitted []*Request
	for range n {
		admitted = append(admitted, e.Acquire(300))
	}
	closed := make(chan error)
	go func() { closed <- e.Close() }()
	for e.Ready() {
		runtime.Gosched()
	}
	if e.Acquire(1) != nil {
		t.Fatal("admitted while closing")
	}
	var wg sync.WaitGroup
	for i, q := range admitted {
		wg.Go(func() {
			defer e.Release(q)
			fill(t, q.Batch(), []call{llm(fmt.Sprint("e", i), "acme", "m1", 1, i)})
			if out, refused := e.Ingest(q); refused != nil || out.Accepted != 1 {
				t.Errorf("request %d: %+v %v", i, out, refused)
			}
		})
	}
	wg.Wait()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	r.open()
	for i := range n {
		if got := r.post(llm(fmt.Sprint("e", i), "acme", "m1", 1, i)); got.Duplicates != 1 {
			t.Fatalf("event %d: %+v", i, got)
		}
	}
}

// TestEmptyRequests shows answers that move nothing.
func TestEmptyRequests(t *testing.T) {
	r := standard(t, nil)
	head := r.e.store.Head().Seq
	if got := r.post(); got.Accepted != 0 || got.Sequence != head || len(got.Rejected) != 0 {
		t.Errorf("no events: %+v", got)
	}
	got := r.post(call{source: "s p", id: "i", subject: "acme", kind: "m"}, call{source: "s", id: "i", subject: "nobody", kind: "m"},
		call{source: "s", id: "", subject: "acme", kind: "m"})
	if len(got.Rejected) != 3 || got.Accepted+got.Duplicates != 0 || r.e.store.Head().Seq != head {
		t.Errorf("only bad ones: %+v", got)
	}
	for i, want := range []string{"invalid_id", "unknown_account", "invalid_id"} {
		if got.Rejected[i].Index != uint32(i) || got.Rejected[i].Refusal.Reason != want {
			t.Errorf("rejected %d: %+v, want %s", i, got.Rejected[i], want)
		}
	}
}

// TestAStopIsNotLost asks to stop after the sequencer looked and before it waits: that
// must wake it. A stop that it has seen must not, or waiting would be spinning.
func TestAStopIsNotLost(t *testing.T) {
	s := &sequencer{e: &Engine{stop: make(chan struct{})}}
	close(s.e.stop)
	if s.stopSignal() == nil {
		t.Error("the stop is lost: nothing else would wake the sequencer")
	}
	s.stopSeen = true
	if s.stopSignal() != nil {
		t.Error("waiting would spin")
	}
}
