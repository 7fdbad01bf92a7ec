package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"farthing/internal/soak"
	"farthing/journal"
	"farthing/refusal"
)

// TestCloseUnderLoad closes small engines while many goroutines use them in every way: whatever was answered is there after the next start,
// the rest was refused as draining, and no start has anything to replay.
func TestCloseUnderLoad(t *testing.T) {
	run := soak.Start(t)
	rounds := soak.Pick(12, 2000)
	c := &closeRig{t: t, fs: vfs.NewMem(), rng: rand.New(rand.NewPCG(run.Seed(), 5)), acked: map[string]bool{}}
	c.open()
	c.found()
	windows := 0
	for round := range rounds {
		c.round(run.Seed() + uint64(round))
		windows = c.e.Stats().Windows
		c.reopen(round)
		c.check(round)
	}
	if err := c.e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(VerifyOptions{Journal: c.options().Journal}); err != nil {
		t.Error(err)
	}
	run.Report("clean stop under load", soak.Counts{"stops": rounds, "events acknowledged": len(c.events), "windows sealed": windows, "commands replayed": 0})
}

// closeRig is a ledger that is closed and opened again and again.
type closeRig struct {
	t   *testing.T
	fs  vfs.FS
	rng *rand.Rand
	e   *Engine

	next atomic.Uint64
	mu   sync.Mutex
	// acked are the events that were answered since the last check, events all of them; closed the windows that were closed, by id.
	acked  map[string]bool
	events []string
	closed []string
}

func (c *closeRig) options() Options {
	return Options{Journal: journal.Options{Dir: "d", FS: c.fs, Logger: quiet(), MemTableBytes: 256 << 10}, LedgerID: "close", Logger: quiet(),
		RunIdentities: 200, CheckpointBytes: 20_000, GroupBytes: journal.BlockBytes, RequestsMax: 20}
}

func (c *closeRig) open() {
	c.t.Helper()
	e, err := Open(c.options())
	if err != nil {
		c.t.Fatal(err)
	}
	c.e = e
}

func (c *closeRig) found() {
	r := rig{t: c.t, e: c.e}
	r.account("prov", "provider", "")
	r.account("acme", "customer", "postpaid")
	r.account("prepaid", "customer", "prepaid")
	r.prices("v1", standardBook)
}

// round uses the engine from many goroutines, closes it meanwhile from two, and asks on for a while.
func (c *closeRig) round(seed uint64) {
	var users, closers sync.WaitGroup
	answered := make(chan struct{}, 1<<12)
	for user := range 12 {
		rng := rand.New(rand.NewPCG(seed, uint64(user)))
		users.Go(func() {
			for {
				refused := c.use(rng)
				if refused != nil && refused.Code == refusal.NotReady {
					break
				}
				if refused != nil && refused.Code != refusal.Overloaded {
					c.t.Error(refused)
				}
				select {
				case answered <- struct{}{}:
				default:
				}
			}
		})
	}
	for range c.rng.IntN(100) {
		<-answered
	}
	for range 2 {
		closers.Go(func() {
			if err := c.e.Close(); err != nil {
				c.t.Error(err)
			}
		})
	}
	closers.Wait()
	users.Wait()
	rng := rand.New(rand.NewPCG(seed, 99))
	for range 20 {
		if refused := c.use(rng); refused == nil || refused.Code != refusal.NotReady {
			c.t.Errorf("a closed engine answers %v", refused)
		}
	}
}

// use does one thing.
func (c *closeRig) use(rng *rand.Rand) *refusal.Refusal {
	n := c.next.Add(1)
	var no *refusal.Refusal
	switch rng.IntN(20) {
	case 0:
		id := fmt.Sprint("w", n)
		if _, _, no = c.e.CloseWindow(id, nil); no == nil {
			c.note(func() { c.closed = append(c.closed, id) })
		}
	case 1:
		_, _, no = c.e.TopUp(TopUp{ID: fmt.Sprint("t", n), Account: "prepaid", Amount: amount(c.t, "1.5")})
	case 2:
		_, no = c.e.Account("acme")
	case 3:
		_, no = c.e.Transfers("acme", "", 10)
	case 4:
		_, no = c.e.TrialBalance()
	case 5:
		_, no = c.e.Settlements("", 10)
	case 6:
		if _, no = c.e.Event("gw", "e1"); no != nil && no.Code == refusal.NotFound {
			no = nil
		}
	default:
		no = c.ingest(n, 1+rng.IntN(30))
	}
	return no
}

func (c *closeRig) note(what func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	what()
}

func (c *closeRig) ingest(n uint64, events int) *refusal.Refusal {
	q := c.e.Acquire(200 * events)
	if q == nil {
		if !c.e.Ready() {
			return draining()
		}
		return nil // no room
	}
	defer c.e.Release(q)
	var calls []call
	for i := range events {
		calls = append(calls, llm(fmt.Sprintf("e%d-%d", n, i), "acme", "m1", 1, 1))
	}
	fill(c.t, q.Batch(), calls)
	got, no := c.e.Ingest(q)
	if no == nil && got.Accepted != events {
		c.t.Errorf("%+v", got)
	}
	if no == nil {
		c.note(func() {
			for i := range calls {
				c.acked[calls[i].id] = true
			}
		})
	}
	return no
}

// reopen starts the engine again; there is nothing to replay.
func (c *closeRig) reopen(round int) {
	c.t.Helper()
	c.open()
	if s := c.e.Stats().Start; s.Replayed != 0 || s.Reread != 0 {
		c.t.Errorf("round %d: %d commands were replayed after a clean stop, %d read again", round, s.Replayed, s.Reread)
	}
}

// check asks for everything that was answered since the last check.
func (c *closeRig) check(round int) {
	c.t.Helper()
	var calls []call
	for id := range c.acked {
		calls = append(calls, llm(id, "acme", "m1", 1, 1))
		c.events = append(c.events, id)
	}
	clear(c.acked)
	r := rig{t: c.t, e: c.e}
	if got := r.post(calls...); got.Duplicates != len(calls) {
		c.t.Errorf("round %d: of %d events that were answered %d are there", round, len(calls), got.Duplicates)
	}
	for _, id := range c.closed {
		if _, created, no := c.e.CloseWindow(id, nil); no != nil || created {
			c.t.Errorf("round %d: close %s: created %v, %v", round, id, created, no)
		}
	}
	c.closed = nil
	if c.t.Failed() {
		c.t.FailNow()
	}
}

// TestGivenUpStart gives a start up while it replays: nothing is changed, and the next one does it all.
func TestGivenUpStart(t *testing.T) {
	r := standard(t, nil)
	for i := range 50 {
		r.post(llm(fmt.Sprint("e", i), "acme", "m1", 1, 1))
	}
	r.close()
	abort := make(chan struct{})
	close(abort)
	o := r.o
	o.Abort = abort
	began := time.Now()
	if e, err := Open(o); e != nil || !errors.Is(err, ErrGivenUp) {
		t.Fatalf("%v, %v", e, err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("giving up took %v", took)
	}
	r.open()
	if got := r.post(llm("e7", "acme", "m1", 1, 1)); got.Duplicates != 1 {
		t.Errorf("%+v", got)
	}
}
