package engine

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"farthing/journal"
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

// TestBudgetOfOneGrows has the only request grow beyond the whole budget, as it may begin beyond it; beside another one it may not.
func TestBudgetOfOneGrows(t *testing.T) {
	r := newRig(t, func(o *Options) { o.EventsMax, o.BytesMax = 100, 5000 })
	one := r.e.Acquire(1000)
	if one == nil || !r.e.Grow(one, 1<<20) || one.EventsMax() != 10_000 {
		t.Fatal("a request that is alone has no room")
	}
	r.e.Release(one)
	one, other := r.e.Acquire(1000), r.e.Acquire(1000)
	if one == nil || other == nil || r.e.Grow(one, 1<<20) || one.EventsMax() != 1000/minEventBytes+1 {
		t.Error("two of them have room for more than there is")
	}
	r.e.Release(one)
	r.e.Release(other)
	if a := r.e.admission; a.events.Load() != 0 || a.bytes.Load() != 0 || a.requests.Load() != 0 {
		t.Errorf("%d events, %d bytes, %d requests are left", a.events.Load(), a.bytes.Load(), a.requests.Load())
	}
}

// TestGroupKeepsFewBlocks: one large request does not pin its memory for ever.
func TestGroupKeepsFewBlocks(t *testing.T) {
	g := &group{}
	for range 3 * blocksKeep {
		b := g.body(1)
		b.Body = append(b.Body, make([]byte, journal.BlockBytes)...)
	}
	if len(g.blocks) != 3*blocksKeep {
		t.Fatalf("%d blocks", len(g.blocks))
	}
	g.reset()
	if kept := cap(g.blocks); kept > blocksKeep || len(g.blocks) != 0 {
		t.Errorf("%d blocks are kept, %d used", kept, len(g.blocks))
	}
	if b := g.body(1); cap(b.Body) < journal.BlockBytes || len(g.blocks) != 1 {
		t.Error("the first block's memory is gone")
	}
}
