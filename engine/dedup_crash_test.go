package engine

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"farthing/internal/soak"
)

// TestDedupCrashes cuts the power while runs are built, merged and forgotten. What was answered before the cut and is not
// older than the window is a duplicate after it, whatever became of the runs; then verify goes over all of it.
func TestDedupCrashes(t *testing.T) {
	run := soak.Start(t)
	rng := rand.New(rand.NewPCG(run.Seed(), 2))
	disk := vfs.NewCrashableMem()
	var now atomic.Int64
	now.Store(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	var mu sync.Mutex
	answered, promised := map[string]int64{}, map[string]int64{}
	var merges, statementMerges, forgotten uint64
	checked, cycles := 0, soak.Pick(24, 400)
	for cycle := range cycles {
		fs := newPowerCut(disk, []int{0, 50, 100}[cycle%3], rng, &mu, func() { promised = maps.Clone(answered) })
		r := &rig{t: t, o: (&crashRig{}).options(fs)}
		r.o.RunIdentities, r.o.DedupWindow, r.o.Now = 10, dedupWindow, now.Load
		r.o.Clock = func() time.Time { return time.Unix(0, now.Load()) } // of the genesis
		r.open()
		r.account("prov", "provider", "")
		r.account("acme", "customer", "postpaid")
		r.prices("v1", standardBook)
		checked += r.allKnown(answered, now.Load())
		fs.arm(1 + rng.Int64N(1500))
		for i := 0; i < 80 && !fs.done.Load(); i++ {
			var calls []call
			for k := range 1 + rng.IntN(20) {
				calls = append(calls, llm(fmt.Sprintf("e%d-%d-%d", cycle, i, k), "acme", "m1", 1, 1))
			}
			at := now.Load()
			r.post(calls...)
			mu.Lock()
			for _, c := range calls {
				answered[c.id] = at
			}
			mu.Unlock()
			if rng.IntN(3) == 0 {
				now.Add(rng.Int64N(int64(dedupWindow)))
				// A group has one time. One that was begun before the jump is through once this is answered.
				if _, refused := r.e.Account("acme"); refused != nil {
					t.Fatal(refused)
				}
				r.e.tidy.wake()
			}
		}
		disk = fs.finish()
		s := r.e.Stats()
		merges, statementMerges, forgotten = merges+s.Merges, statementMerges+s.StatementMerges, max(forgotten, s.Forgotten)
		r.close()
		answered = maps.Clone(promised)
		if cycle%4 == 3 {
			o := r.o.Journal
			o.FS = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})
			if _, err := Verify(VerifyOptions{Journal: o}); err != nil {
				t.Fatalf("cycle %d: %v", cycle, err)
			}
		}
	}
	if merges == 0 || statementMerges == 0 || forgotten == 0 || checked == 0 {
		t.Fatalf("%d merges, %d of statements, forgotten up to %d, %d checked", merges, statementMerges, forgotten, checked)
	}
	run.Report("power cuts while runs are merged and forgotten", soak.Counts{"crashes": cycles, "merges": merges, "merges of statements": statementMerges, "identities asked again": checked, "events doubled": 0})
}

// allKnown sends what was answered again; what is inside of the window has to be known.
func (r *rig) allKnown(answered map[string]int64, now int64) (n int) {
	r.t.Helper()
	var calls []call
	for id, at := range answered {
		if now-at >= int64(dedupWindow) {
			delete(answered, id)
			continue
		}
		calls = append(calls, llm(id, "acme", "m1", 1, 1))
	}
	for len(calls) > 0 {
		part := calls[:min(len(calls), 200)]
		calls = calls[len(part):]
		if got := r.post(part...); got.Duplicates != len(part) {
			r.t.Fatalf("%d answered before the power cut: %+v", len(part), got)
		}
		n += len(part)
	}
	return n
}
