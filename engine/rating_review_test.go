package engine

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What was found by trying to break rating. Each test failed before it was mended.

// gradedBook is a version with one graduated price, in two tiers from 1,000 on.
const gradedBook = `{"effective_from":%q,"prices":[{"meter":"x","currency":"USD","match":{},"components":{"call":{"graduated":[{"up_to":"1000","unit":%q},{"unit":%q}]}}}]}`

// linearBook is a version with one linear price.
const linearBook = `{"effective_from":%q,"prices":[{"meter":"x","currency":"USD","match":{},"components":{"call":%q}}]}`

func callsOf(id string, quantity string) call {
	return call{source: "gw", id: id, subject: "acme", kind: "x", usage: [][2]string{{"call", quantity}}}
}

// TestRerateIsTheVersionFromTheStart: an event that arrives between the put and the rerate,
// rated by the new version already. rerate.go says the events come to T of the period's
// quantity "as if the version had been there from the start, whatever their order".
func TestRerateIsTheVersionFromTheStart(t *testing.T) {
	run := func(between bool) string {
		r := standard(t, nil)
		r.prices("g1", fmt.Sprintf(gradedBook, "2026-01-02T00:00:00Z", "0", "2"))
		r.post(callsOf("a", "1500")) // 500 × 2
		if !between {
			r.post(callsOf("b", "100"))
		}
		r.prices("g2", fmt.Sprintf(gradedBook, "2026-01-03T00:00:00Z", "0", "1"))
		if between {
			r.post(callsOf("b", "100"))
		}
		if _, _, refused := r.e.Rerate(RerateSpec{ID: "r", Version: "g2"}); refused != nil {
			t.Fatal(refused)
		}
		r.e.repriced()
		s, _ := r.e.RerateStatus("r")
		t.Logf("between %v: %+v", between, s)
		return r.posted("acme")
	}
	// All 1,600 under g2: 600 × 1.
	if got := run(false); got != "-600" {
		t.Errorf("put, rerate: %s", got)
	}
	if got := run(true); got != "-600" {
		t.Errorf("put, an event, rerate: %s, want -600", got)
	}
}

// TestRerateBelowAnotherVersion: of one month the first half was rated by g1 (1 each for the first
// 1,000, then nothing), the second by g2. A correction doubles g1's price. The first half
// should cost 2,000 instead of 1,000; the rerate moves nothing.
func TestRerateBelowAnotherVersion(t *testing.T) {
	r := standard(t, nil)
	at := r.base.Add(-11 * time.Hour).UnixNano() // 01:00
	a, b := callsOf("a", "1000"), callsOf("b", "1000")
	a.time = at
	r.prices("g1", fmt.Sprintf(gradedBook, "2026-01-02T00:00:00Z", "1", "0"))
	r.prices("g2", fmt.Sprintf(gradedBook, "2026-11-01T06:00:00Z", "1", "0.5"))
	r.post(a)
	r.post(b)
	if got := r.posted("acme"); got != "-1500" {
		t.Fatal(got)
	}
	r.prices("g3", fmt.Sprintf(gradedBook, "2026-01-03T00:00:00Z", "2", "0"))
	if _, _, refused := r.e.Rerate(RerateSpec{ID: "r", Version: "g3"}); refused != nil {
		t.Fatal(refused)
	}
	r.e.repriced()
	s, _ := r.e.RerateStatus("r")
	if got := r.posted("acme"); got != "-2500" {
		t.Errorf("acme stands at %s, want -2500; %+v", got, s)
	}
}

// TestVoidAllAcrossVersions: two versions price one month; everything is voided, and the
// customer still pays.
func TestVoidAllAcrossVersions(t *testing.T) {
	r := standard(t, nil)
	r.prices("g1", fmt.Sprintf(gradedBook, "2026-01-02T00:00:00Z", "0", "1"))
	r.post(callsOf("a", "1000"))
	r.prices("g2", fmt.Sprintf(gradedBook, "2026-11-01T00:00:00Z", "0", "1000"))
	r.post(callsOf("b", "1000"))
	t.Log("charged", r.posted("acme"))
	for _, id := range []string{"a", "b"} {
		if _, _, refused := r.e.Void(VoidSpec{ID: "v" + id, Source: "gw", Event: id}); refused != nil {
			t.Fatal(refused)
		}
	}
	if got := r.posted("acme"); got != "0" {
		t.Errorf("all events are voided, acme stands at %s", got)
	}
}

// TestVoidCreatesMoney: the void of an event that cost nothing gave back a million, because
// the quantity of another, cheaper version stands on top of it.
func TestVoidCreatesMoney(t *testing.T) {
	r := standard(t, nil)
	r.prices("g1", fmt.Sprintf(gradedBook, "2026-01-02T00:00:00Z", "0", "1000"))
	r.post(callsOf("a", "1000")) // free
	r.prices("g2", fmt.Sprintf(gradedBook, "2026-11-01T00:00:00Z", "0", "0.001"))
	r.post(callsOf("b", "1000")) // 1
	v, _, refused := r.e.Void(VoidSpec{ID: "va", Source: "gw", Event: "a"})
	if refused != nil {
		t.Fatal(refused)
	}
	// Without a, b begins at 0 and is free as well: it cost 1.
	if v.Amount.String() != "1" || r.posted("acme") != "0" {
		t.Errorf("the free event's void gives back %s; acme, who never paid, stands at %s", v.Amount, r.posted("acme"))
	}
}

// TestSimulationSumOverflows: each event fits, their sum does not.
func TestSimulationSumOverflows(t *testing.T) {
	r := standard(t, nil)
	r.prices("g1", fmt.Sprintf(linearBook, "2026-01-02T00:00:00Z", "0.000001"))
	var calls []call
	for i := range 200 {
		calls = append(calls, callsOf(fmt.Sprint("z", i), "1000000"))
	}
	r.post(calls...)
	r.prices("g2", fmt.Sprintf(linearBook, "2030-01-03T00:00:00Z", "1000000000000"))
	if out, refused := r.e.Simulate(RepriceOptions{Version: "g2"}); refused == nil || refused.Reason != "amount_overflow" {
		t.Fatalf("%+v %v", out.Totals, refused)
	}
}

// TestUnpricedGroupsAreUsedUp: kinds of unpriced events that were rated long ago keep their
// places; what comes after is counted without reason, meter and dimensions for ever.
func TestUnpricedGroupsAreUsedUp(t *testing.T) {
	r := standard(t, nil)
	for i := 0; i < unpricedGroupsMax; i += 1024 {
		var calls []call
		for k := range 1024 {
			calls = append(calls, call{source: "gw", id: fmt.Sprint("u", i+k), subject: "acme", kind: "y", dims: [][2]string{{"request", fmt.Sprint(i + k)}}})
		}
		r.post(calls...)
	}
	r.prices("y", `{"effective_from":"2026-02-01T00:00:00Z","prices":[{"meter":"y","currency":"USD","match":{},"components":{"call":"1"}}]}`)
	r.e.repriced()
	r.reopen()
	r.post(llm("new", "acme", "a-model-without-a-price", 1, 1))
	sum, refused := r.e.UnpricedSummary(10)
	if refused != nil || len(sum.Counts) != 1 {
		t.Fatalf("%+v %v", sum, refused)
	}
	if sum.Counts[0].Type == "" {
		t.Errorf("the one unpriced event of the ledger is counted as %+v", sum.Counts[0])
	}
}

// TestExplainUnderLoad: no room on the ring is 429, not damaged storage.
func TestExplainUnderLoad(t *testing.T) {
	r := standard(t, func(o *Options) { o.RequestsMax = 2 })
	r.post(llm("e1", "acme", "m1", 5000, 5))
	var stop atomic.Bool
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for !stop.Load() {
				if q := r.e.Acquire(10); q != nil {
					runtime.Gosched()
					r.e.Release(q)
				}
			}
		})
	}
	got := map[string]int{}
	for range 5000 {
		if _, refused := r.e.Event("gw", "e1"); refused != nil {
			got[refused.Reason]++
		} else {
			got[""]++
		}
	}
	stop.Store(true)
	all.Wait()
	if got["storage_damaged"] > 0 {
		t.Errorf("answers: %v", got)
	}
}

// TestTryingVersionsIsBounded: after a restart thousands of kinds of unpriced events have to be
// tried with every version; one visit to the sequencer tries a bounded number.
func TestTryingVersionsIsBounded(t *testing.T) {
	r := standard(t, nil)
	const versions, groups = 100, 1024
	for i := range versions {
		r.prices(fmt.Sprint("x", i), fmt.Sprintf(`{"effective_from":"2026-02-01T00:%02d:%02dZ","prices":[{"meter":"y","currency":"USD","match":{"model":"m"},"components":{"call":"1"}}]}`, i/60, i%60))
	}
	var calls []call
	for i := range groups {
		calls = append(calls, call{source: "gw", id: fmt.Sprint("u", i), subject: "acme", kind: "y", dims: [][2]string{{"model", fmt.Sprint("unknown", i)}}})
	}
	r.post(calls...)
	r.e.repriced()
	r.e.internal(func(s *sequencer) {
		u := &s.state.unpriced
		for n := range u.info {
			u.info[n].tried = 0 // as after a restart
		}
		visits := 0
		for row, done := uint32(0), false; !done; visits++ {
			before := 0
			for n := range u.info {
				before += u.info[n].tried
			}
			_, row, done = u.scan(row, repriceSlice, usageVisit, s.state.ratable)
			after := 0
			for n := range u.info {
				after += u.info[n].tried
			}
			if most := usageVisit/planCost + versions + 1; after-before > most {
				t.Fatalf("a visit tried %d versions, want at most %d", after-before, most)
			}
		}
		if visits < versions*groups*planCost/usageVisit/2 {
			t.Fatalf("only %d visits", visits)
		}
	})
}

// TestSimulationKeepsShapes: dimensions that are different for each event (a request id)
// stay in memory until the simulation ends.
func TestSimulationKeepsShapes(t *testing.T) {
	r := standard(t, nil)
	const n = 6000
	for i := 0; i < n; i += 100 {
		var calls []call
		for k := range 100 {
			c := llm(fmt.Sprint("e", i+k), "acme", "m1", 5, 5)
			for d := range 15 {
				c.dims = append(c.dims, [2]string{fmt.Sprintf("z%02d", d), strings.Repeat("x", 240) + fmt.Sprint(i+k)})
			}
			calls = append(calls, c)
		}
		q := r.e.Acquire(1 << 20)
		fill(t, q.Batch(), calls)
		if out, refused := r.e.Ingest(q); refused != nil || out.Accepted != 100 {
			t.Fatal(out, refused)
		}
		r.e.Release(q)
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, grown := heap(), int64(0)
	count := 0
	_, refused := r.e.Simulate(RepriceOptions{Version: "v1", Progress: func(done, total uint64) error {
		if count++; count%20 == 0 {
			grown = max(grown, int64(heap())-int64(before))
		}
		return nil
	}})
	if refused != nil {
		t.Fatal(refused)
	}
	if grown > 8<<20 {
		t.Errorf("the simulation of %d events holds %d MiB; at the bound of %d shapes that is %d MiB", n, grown>>20, shapesMax, grown/n*shapesMax>>20)
	} else {
		t.Log(grown)
	}
}

// TestSimulationsKeepNothing: a simulated version adds nothing to what rating keeps of shapes,
// and versions in force add a bounded number of slots.
func TestSimulationsKeepNothing(t *testing.T) {
	r := standard(t, nil)
	r.post(llm("e", "acme", "m1", 5, 5))
	for i := range 2 * slotsMax {
		r.prices(fmt.Sprint("x", i), fmt.Sprintf(`{"effective_from":"2030-01-01T00:00:%02dZ","prices":[{"meter":"llm.tokens","currency":"USD","match":{},"components":{"input":"1","output":"1"}}]}`, i))
		if got, refused := r.e.Simulate(RepriceOptions{Version: fmt.Sprint("x", i)}); refused != nil || got.Events != 1 {
			t.Fatalf("%+v %v", got, refused)
		}
	}
	r.e.internal(func(s *sequencer) {
		if row := &s.state.rates.rows[0]; len(row.more) != 0 {
			t.Errorf("%d slots were kept of simulations", len(row.more))
		}
		for _, v := range s.state.versions {
			s.state.slot(0, v.Version, usd())
		}
		if row := &s.state.rates.rows[0]; len(row.more) != slotsMax {
			t.Errorf("%d slots beside the first, want %d", len(row.more), slotsMax)
		}
	})
}
