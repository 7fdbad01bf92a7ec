package bench

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"farthing/bench/twin"
)

// TestPace draws gaps whose mean is the rate's, whatever the turns have, and gives up when the run is over.
func TestPace(t *testing.T) {
	turns := []*turn{{draws: make([]draw, 10)}, {draws: make([]draw, 30)}}
	p := newPace(1e9, turns, 3) // 20 ns a turn: it never waits
	var stopped atomic.Bool
	first := p.wait(&stopped)
	const n = 100_000
	last := first
	for range n {
		due := p.wait(&stopped)
		if due.Before(last) {
			t.Fatal("a turn is due before the one before it")
		}
		last = due
	}
	if mean := last.Sub(first) / n; mean < 19 || mean > 21 {
		t.Errorf("a turn every %v, want 20 ns", mean)
	}
	stopped.Store(true)
	p.mean = float64(time.Hour)
	p.wait(&stopped)
}

// TestOpenLoopCountsStalls has a server that stops for a while, once: the latencies say so of all requests that were due meanwhile, and not of
// the one alone that was being answered.
func TestOpenLoopCountsStalls(t *testing.T) {
	const stall, rate = 300 * time.Millisecond, 200
	ledger := twin.New()
	var calls atomic.Int64
	var mu atomic.Pointer[chan struct{}]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if takesTraffic(r.URL.Path) {
			if calls.Add(1) == 20 {
				done := make(chan struct{})
				mu.Store(&done)
				time.AfterFunc(stall, func() { mu.Store(nil); close(done) })
			}
			if wait := mu.Load(); wait != nil {
				<-*wait
			}
		}
		ledger.ServeHTTP(w, r)
	}))
	defer server.Close()
	opts := tiny(server.URL, Workload{Name: "test", Batch: 1, Variants: 2})
	opts.Rate, opts.Warmup, opts.Duration, opts.Connections = rate, time.Millisecond, time.Second, 2
	got, err := Run(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if got.Requests < rate/2 || got.Requests > 2*rate {
		t.Errorf("%d requests in %v at %d a second", got.Requests, got.Duration, rate)
	}
	// Some sixty were due in the stall; a closed loop would have sent two.
	if got.Latency.P90 < stall/10 || got.Latency.Max < stall/2 {
		t.Errorf("%+v", got.Latency)
	}
}
