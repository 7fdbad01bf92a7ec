package engine

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"farthing/internal/soak"
	"farthing/money"
)

// TestOverlappingIdentities has many goroutines post the same identities at once, each in
// its own order and grouping, among reads, closes and top-ups, with runs and checkpoints
// of a few dozen. Every identity is booked exactly once over all answers.
func TestOverlappingIdentities(t *testing.T) {
	r := newRig(t, func(o *Options) { o.RunIdentities, o.CheckpointBytes, o.DedupWindow = 64, 3000, 100*day })
	a := newActivity(t, newWorld(r.base))
	customers, identities, goroutines := 6, soak.Pick(1500, 20_000), 6
	a.found(r.e, customers)
	rng := rand.New(rand.NewPCG(7, 7))
	var calls []call
	for range identities {
		c := a.randomCall(rng, customers)
		calls = append(calls, c)
		a.w.calls[identityOf(&c)] = c
	}
	var accepted, duplicates atomic.Int64
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 8))
			mine := append([]call(nil), calls...)
			// Near each other, so that goroutines meet at the same identities.
			for i := range mine {
				j := min(len(mine)-1, i+rng.IntN(200))
				mine[i], mine[j] = mine[j], mine[i]
			}
			for len(mine) > 0 {
				n := min(len(mine), 1+rng.IntN(60))
				out := a.post(r.e, mine[:n])
				accepted.Add(int64(out.Accepted))
				duplicates.Add(int64(out.Duplicates))
				mine = mine[n:]
				switch rng.IntN(12) {
				case 0:
					a.closeWindow(r.e, a.id("w"))
				case 1:
					a.topUp(r.e, TopUp{ID: a.id("t"), Account: fmt.Sprintf("c%d-USD", rng.IntN(customers)), Amount: money.FromWords(0, rng.Uint64())})
				case 2:
					a.read(r.e, "prov-USD")
				case 3:
					if _, refused := r.e.Transfers("prov-USD", "", 20); refused != nil {
						t.Error(refused)
					}
				case 4:
					if _, refused := r.e.Event(calls[0].source, calls[0].id); refused != nil && accepted.Load() == int64(identities) {
						t.Error(refused)
					}
				}
			}
		})
	}
	wg.Wait()
	if accepted.Load() != int64(identities) || duplicates.Load() != int64(identities*(goroutines-1)) {
		t.Fatalf("%d accepted, %d duplicates", accepted.Load(), duplicates.Load())
	}
	settled(t, r.e)
	m := newModel(t, a.w)
	m.replay(r.e, r.e.store.Head().Seq)
	m.compare(r.e)
	s := r.e.Stats()
	if s.Runs+int(s.Merges)*epochRuns < 10 || s.Requests != 0 || s.Events != 0 || s.Bytes != 0 {
		t.Fatalf("%+v", s)
	}
	r.close()
	report, err := Verify(VerifyOptions{Journal: r.o.Journal})
	if err != nil || report.Events != uint64(identities) || report.Checkpoints != 1 {
		t.Fatalf("%+v %v", report, err)
	}
}

// TestStaleLookUpIsAskedAgain hands in a request whose look at the runs is older than
// the oldest identities in memory: the sequencer must not decide, and a new look must find
// what is only in a run.
func TestStaleLookUpIsAskedAgain(t *testing.T) {
	r := standard(t, func(o *Options) { o.RunIdentities = 5 })
	var calls []call
	for i := range 12 {
		calls = append(calls, llm(fmt.Sprint("e", i), "acme", "m1", 1, i))
		r.post(calls[i])
	}
	r.reopen() // generations in memory now begin after the runs on disk
	if r.e.Stats().Runs == 0 {
		t.Fatal("there is no run to miss")
	}
	q := r.e.Acquire(2000)
	defer r.e.Release(q)
	fill(t, q.Batch(), calls)
	q.runs = 0 // as if it had looked before the first run was published
	r.e.submit(q)
	if !q.again || q.result.Accepted+q.result.Duplicates != 0 {
		t.Fatalf("again %v, %+v", q.again, q.result)
	}
	if out, refused := r.e.Ingest(q); refused != nil || out.Duplicates != 12 {
		t.Fatalf("%+v %v", out, refused)
	}
}

// TestSameIdentityTwiceInOneRequest is a duplicate or a conflict, as if it came later.
func TestSameIdentityTwiceInOneRequest(t *testing.T) {
	r := standard(t, nil)
	got := r.post(llm("e", "acme", "m1", 1, 1), llm("e", "acme", "m1", 1, 1), llm("e", "acme", "m1", 1, 2), llm("f", "beta", "m1", 1, 2))
	if got.Accepted != 2 || got.Duplicates != 1 || len(got.Rejected) != 1 || got.Rejected[0].Index != 2 {
		t.Fatalf("%+v", got)
	}
}
