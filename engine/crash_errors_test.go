package engine

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"farthing/internal/soak"
)

// mutedT is a test whose errors do not count once the disk has failed: then calls may be refused.
type mutedT struct {
	testing.TB
	muted atomic.Bool
}

func (m *mutedT) Errorf(format string, args ...any) {
	if !m.muted.Load() {
		m.TB.Errorf(format, args...)
	}
}

func (m *mutedT) Error(args ...any) {
	if !m.muted.Load() {
		m.TB.Error(args...)
	}
}

// failRig runs the work of a seed on a disk that fails at a change.
type failRig struct {
	x    *everything
	fs   *crashFS
	mute *mutedT

	told     chan struct{}
	once     sync.Once
	reason   error
	crashes  []*crashed // the disk when the process was told to end: with all that was written, and with what was synced
	finished chan error
}

func newFailRig(t *testing.T, seed uint64, at int64, err error, once bool) *failRig {
	r := &failRig{x: newEverything(t, seed), fs: newCrashFS(vfs.NewCrashableMem()), mute: &mutedT{TB: t}, told: make(chan struct{}), finished: make(chan error, 1)}
	r.x.t, r.x.a.t = r.mute, r.mute
	r.fs.fails, r.fs.once = err, once
	r.fs.healthy.Store(at)
	return r
}

// fatal is what ends the process. The goroutine that calls it goes no further.
func (r *failRig) fatal(err error) {
	r.once.Do(func() {
		r.reason = err
		for _, percent := range []int{100, 0} {
			r.x.a.mu.Lock()
			r.crashes = append(r.crashes, &crashed{disk: r.fs.clone(percent, rand.New(rand.NewPCG(r.x.seed, 41))), now: r.x.w.now.Load(),
				point: fmt.Sprintf("after a failed change, %d %%", percent), seed: r.x.seed})
			r.x.a.mu.Unlock()
		}
		close(r.told)
	})
	select {}
}

// run works until the process was told to end or everything is done.
func (r *failRig) run(rounds int) {
	o := r.x.options(r.fs)
	o.Journal.Fatal = r.fatal
	go func() {
		e, err := Open(o)
		if err == nil {
			r.x.foundActivity(e)
			r.x.workBesides(e, rounds, r.fs.failed.Load)
			err = e.Close()
		}
		r.finished <- err
	}()
}

// workBesides is work without prepaid credit, whose steps take no refusal.
func (x *everything) workBesides(e *Engine, rounds int, stop func() bool) {
	var wg sync.WaitGroup
	wg.Go(func() { x.a.run(e, x.seed, 2, rounds, worldCustomers, stop) })
	rng := rand.New(rand.NewPCG(x.seed, 12))
	for range rounds {
		if !stop() {
			x.besides(e, rng)
		}
	}
	wg.Wait()
}

// TestCrashOnErrors has one change, or every change from one on, fail while everything goes on: a full disk, a
// device that does not write. Either the process is told to end, and nothing is answered any more that is not on disk;
// or the failure was of something that is done again. What is on the disk then opens clean and has all that was answered.
func TestCrashOnErrors(t *testing.T) {
	run := soak.Start(t)
	rng := rand.New(rand.NewPCG(run.Seed(), 42))
	runs, budget := soak.Pick(25, 400), soak.Pick(10*time.Second, 10*time.Minute)
	started := time.Now()
	fatal, opened, survived, checked := 0, 0, 0, 0
	for n := 0; n < runs && time.Since(started) < budget; n++ {
		seed, at, once := rng.Uint64(), 1+rng.Int64N(soak.Pick[int64](300, 900)), n%2 == 0
		err := []error{syscall.ENOSPC, syscall.EIO}[rng.IntN(2)]
		r := newFailRig(t, seed, at, err, once)
		what := fmt.Sprintf("seed %d of %d: %v at change %d, once %v", seed, run.Seed(), err, at, once)
		r.fs.point = func(bool) {
			if r.fs.healthy.Load() <= 1 {
				r.mute.muted.Store(true)
			}
		}
		r.run(soak.Pick(8, 20))
		select {
		case <-r.told:
			fatal++
			if !strings.Contains(r.reason.Error(), err.Error()) {
				t.Errorf("%s: the process was told to end because of %v", what, r.reason)
			}
		case err := <-r.finished:
			if err != nil {
				opened++ // Open or Close say so themselves
			} else if r.fs.failed.Load() {
				survived++
			}
			for _, percent := range []int{100, 0} {
				r.crashes = append(r.crashes, &crashed{disk: r.fs.clone(percent, rand.New(rand.NewPCG(seed, 43))), now: r.x.w.now.Load(),
					point: fmt.Sprintf("after the end, %d %%", percent), seed: seed})
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s: nothing happens any more", what)
		}
		p := &pointRig{x: r.x, fs: r.fs}
		for _, c := range r.crashes {
			checked++
			// Also what was answered after the process was told to end: it has to be there.
			r.x.a.mu.Lock()
			c.was = r.x.promisedLocked()
			r.x.a.mu.Unlock()
			if err := p.check(c); err != nil {
				t.Errorf("%s, told %v: %s: %v", what, r.reason, c.point, err)
			}
		}
	}
	if fatal == 0 {
		t.Error("no failure ended the process")
	}
	run.Report("disk errors, whole engine in process", soak.Counts{"failures": runs, "told to end": fatal, "said by open or close": opened, "done again": survived,
		"disks checked": checked, "events lost": 0, "events doubled": 0})
}
