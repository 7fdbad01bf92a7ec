package engine

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"farthing/internal/soak"
	"farthing/journal"
)

// manyCustomers is enough for three closing slices and many staged rows.
const manyCustomers = 2*closingLines + 300

// bigWindow is a closed ledger whose open window has a line for very many customers.
func bigWindow(t *testing.T, r *crashRig) {
	fs := r.disk
	e, err := Open(r.options(fs))
	if err != nil {
		t.Fatal(err)
	}
	r.a.found(e, 1)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			var calls []call
			for i := g; i < manyCustomers; i += 8 {
				spec := AccountSpec{ID: fmt.Sprintf("m%05d", i), Currency: usd(), Kind: "customer", Billing: "postpaid"}
				r.a.account(e, spec)
				calls = append(calls, llm(fmt.Sprint("x", i), spec.ID, "m1", 1000*i, i))
			}
			r.a.mu.Lock()
			for _, c := range calls {
				r.a.w.calls[identityOf(&c)] = c
			}
			r.a.mu.Unlock()
			r.a.post(e, calls)
		})
	}
	wg.Wait()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// closeUnder opens a copy of a disk on a file system that loses power at the nth change
// from here, closes the window, and returns what the disk then holds. The engine itself
// finishes: what it comes to is noted.
func (r *crashRig) closeUnder(base *vfs.MemFS, percent int, n int64) (fs *powerCut) {
	disk := base.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: r.rng})
	fs = newPowerCut(disk, percent, r.rng, &r.a.mu, func() { r.promised = r.a.copyAnswers() })
	e, err := Open(r.options(fs))
	if err != nil {
		r.t.Fatal(err)
	}
	fs.arm(n)
	r.a.closeWindow(e, "w")
	r.windows, r.cuts = map[uint64]string{}, map[uint64]uint64{}
	r.note(e)
	if err := e.Close(); err != nil {
		r.t.Fatal(err)
	}
	return fs
}

// TestSettlementResumesAtItsSlice cuts the power at changes spread evenly between cut and answer
// of a window with three closing slices. Whatever was reached, the recovered ledger
// finishes with the batch it would have had, byte for byte, moves everything once, and
// verifies.
func TestSettlementResumesAtItsSlice(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := &crashRig{t: t, rng: rand.New(rand.NewPCG(seed, 4)), a: newActivity(t, newWorld(time.Now())), disk: vfs.NewCrashableMem()}
	bigWindow(t, r)
	base := r.disk
	const far = 1 << 40
	changes := far - r.closeUnder(base, 0, far).left.Load()
	slices := map[uint32]bool{} // lines closed at the crash
	stride := max(1, changes/soak.Pick[int64](3, 24))
	for n := 1 + r.rng.Int64N(stride); n <= changes; n += stride {
		r.a.closes, r.a.seq = map[string]Settlement{}, 0
		r.disk = r.closeUnder(base, []int{0, 50, 100}[n%3], n).finish()
		slices[r.closedLines(t)] = true
		head := r.durableHead()
		if head < r.promised.seq {
			t.Fatalf("change %d: the journal ends at %d, answers said %d", n, head, r.promised.seq)
		}
		e, err := Open(r.options(r.disk))
		if err != nil {
			t.Fatal(err)
		}
		r.a.closeWindow(e, "w") // the client asks again
		r.compareWindows(e, head)
		if w := e.published.Load().windows; len(w) != 1 || w[0].batches[0].lines != manyCustomers+2 {
			t.Fatalf("change %d: %d windows", n, len(w))
		}
		m := newModel(t, r.a.w)
		m.replay(e, e.store.Head().Seq)
		m.compare(e)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(VerifyOptions{Journal: r.options(r.disk).Journal}); err != nil {
			t.Fatalf("change %d: %v", n, err)
		}
	}
	if r.resumed == 0 {
		t.Errorf("%d changes, none left a settlement to resume", changes)
	}
	t.Logf("%d changes, %d settlements resumed; lines closed at the crashes: %v", changes, r.resumed, slices)
}

// closedLines is how many lines a disk's journal has closed.
func (r *crashRig) closedLines(t *testing.T) (lines uint32) {
	store, err := journal.OpenReadOnly(r.options(r.disk).Journal)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	first, err := readGenesis(onDisk{store})
	if err != nil {
		t.Fatal(err)
	}
	p := replayer{state: newState(first.genesis)}
	p.closing = func(c *closingSlice) error {
		lines += uint32(len(c.lines))
		return nil
	}
	p.after = func(*cursor) error { return nil }
	err = store.Blocks(2, p.block)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}
