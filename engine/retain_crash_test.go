package engine

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"farthing/internal/soak"
	"farthing/journal"
)

// dropCrash is a ledger with much to drop, whose power is cut while that is done.
type dropCrash struct {
	t        *testing.T
	rng      *rand.Rand
	now      atomic.Int64
	mu       sync.Mutex
	exported uint64 // durable elsewhere; guarded by mu: power is cut on whichever goroutine changes the disk
	want     string // what acme has
	steps    map[string]int
}

func (c *dropCrash) options(fs vfs.FS) Options {
	return Options{Journal: journal.Options{Dir: "d", FS: fs, MemTableBytes: 64 << 10, HeadSync: time.Hour, Logger: quiet(),
		Fatal: func(err error) { panic(fmt.Sprintf("fatal: %v", err)) }},
		LedgerID: "crash", Logger: quiet(), DedupWindow: time.Hour, RunIdentities: 20, CheckpointBytes: 3000, Now: c.now.Load,
		Clock: func() time.Time { return time.Unix(0, c.now.Load()) },
		Export: func(p ExportPart) ([32]byte, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.exported = max(c.exported, p.Through)
			return [32]byte{1}, nil
		}}
}

func (c *dropCrash) open(fs vfs.FS) *rig {
	r := &rig{t: c.t, o: c.options(fs)}
	r.open()
	return r
}

func (c *dropCrash) verify(disk vfs.FS) VerifyReport {
	c.t.Helper()
	report, err := Verify(VerifyOptions{Journal: c.options(disk).Journal})
	if err != nil {
		c.t.Fatal(err)
	}
	return report
}

// fill books two weeks of settled history, of which enough is forgotten to be dropped.
func (c *dropCrash) fill(disk vfs.FS) {
	r := c.open(disk)
	r.account("prov", "provider", "")
	r.account("acme", "customer", "postpaid")
	r.prices("v1", standardBook)
	for day := range 14 {
		for i := range 6 {
			r.post(llm(fmt.Sprint(day, "-", i), "acme", "m1", 10*i, day), llm(fmt.Sprint(day, "+", i), "acme", "m2", i, day))
		}
		r.settle(fmt.Sprint("w", day))
		c.now.Add(int64(24 * time.Hour))
	}
	c.want = r.posted("acme")
	for range 10_000 { // the tidier goes beside
		if r.e.forgottenTo() > 20 {
			break
		}
		r.e.tidy.wake()
		r.e.internal(func(*sequencer) {})
	}
	r.close()
}

// cut drops history on a copy of the disk and cuts the power at the nth change; false: there were less.
func (c *dropCrash) cut(disk *vfs.MemFS, percent int, n int64) (left *vfs.MemFS, met bool) {
	work := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: c.rng})
	c.exported = 0 // the ledger of the round before is closed
	at := uint64(0)
	fs := newPowerCut(work, percent, c.rng, &c.mu, func() { at = c.exported })
	r := c.open(fs)
	head := r.e.store.Head().Seq
	fs.arm(n)
	if _, err := r.e.dropHistory(); err != nil {
		c.t.Fatal(err)
	}
	met = fs.left.Load() <= 0
	r.close()
	left = fs.finish()
	store, err := journal.OpenReadOnly(c.options(left).Journal)
	if err != nil {
		c.t.Fatalf("change %d: %v", n, err)
	}
	base := store.Base().Seq
	if store.Head().Seq < head || base > at {
		c.t.Fatalf("change %d: the history is from %d to %d; it was to %d, and exported to %d", n, base, store.Head().Seq, head, at)
	}
	if err := store.Close(); err != nil {
		c.t.Fatal(err)
	}
	c.steps[fmt.Sprintf("dropped %v, journaled %d", base > 0, c.verify(left).Parts)]++
	return left, met
}

// goOn lets the next round finish what was cut off.
func (c *dropCrash) goOn(disk vfs.FS, n int64) {
	r := c.open(disk)
	to, err := r.e.dropHistory()
	if err != nil || to == 0 {
		c.t.Fatalf("change %d: the next round drops to %d: %v", n, to, err)
	}
	if got := r.posted("acme"); got != c.want {
		c.t.Fatalf("change %d: acme has %s, had %s", n, got, c.want)
	}
	if markers, err := baseMarkers(r.e.store); err != nil || len(markers) != 1 || markers[0].through != to {
		c.t.Fatalf("change %d: bases %+v, dropped to %d: %v", n, markers, to, err)
	}
	r.close()
	if report := c.verify(disk); report.Base != to {
		c.t.Fatalf("change %d: verify begins at %d, dropped to %d", n, report.Base, to)
	}
}

// TestRetentionCrash cuts power at changes of a drop, in a full run at every one. After each the ledger opens, verify agrees, the history
// reaches as far as was answered, what is missing was exported before, and the next round goes on.
func TestRetentionCrash(t *testing.T) {
	c := &dropCrash{t: t, rng: rand.New(rand.NewPCG(soak.Seed(t), 8)), steps: map[string]int{}}
	c.now.Store(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	disk := vfs.NewCrashableMem()
	c.fill(disk)
	cuts := 0
	for n, met := int64(1), true; met; n += soak.Pick(c.rng.Int64N(4)+1, 1) {
		var left *vfs.MemFS
		left, met = c.cut(disk, []int{0, 50, 100}[cuts%3], n)
		c.goOn(left, n)
		cuts++
	}
	soak.Report(t, "power cut while history is dropped", soak.Counts{"cuts": cuts, "kinds of states met": len(c.steps), "commands lost": 0})
	t.Log(c.steps)
	if len(c.steps) < 2 {
		t.Errorf("the cuts met only %v", c.steps)
	}
}
