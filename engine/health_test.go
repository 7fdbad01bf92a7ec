package engine

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"farthing/journal"
	"farthing/refusal"
)

// TestDiskStatus is the table of what follows from looks at the disk.
func TestDiskStatus(t *testing.T) {
	const gib = 1 << 30
	wal := journal.UnderWay{Op: "fsync", Path: "d/000001.log"}
	sst := journal.UnderWay{Op: "write", Path: "d/000002.sst"}
	lasting := func(u journal.UnderWay, d time.Duration) journal.UnderWay { u.For = d; return u }
	full, broken := fmt.Errorf("x: %w", syscall.ENOSPC), fmt.Errorf("x: %w", syscall.EIO)
	f := func(free uint64, h journal.Health, reason, fatal string) {
		t.Helper()
		d := diskStatus{stallAfter: time.Second, stallMax: time.Minute, min: gib}
		d.space(free)
		err := d.work(&h)
		got := ""
		if no := d.refusal(); no != nil {
			got = no.Reason
			if no.Code != refusal.NotReady || no.RetryAfter == 0 {
				t.Errorf("%+v", no)
			}
		}
		if got != reason || (err == nil) != (fatal == "") || (err != nil && !strings.Contains(err.Error(), fatal)) {
			t.Errorf("%d free, %+v: %q and %v, want %q and %q", free, h, got, err, reason, fatal)
		}
	}
	f(gib, journal.Health{}, "", "")
	f(gib-1, journal.Health{}, "disk_space_low", "")
	f(gib, journal.Health{Commit: time.Second, Critical: lasting(wal, time.Second), Any: lasting(wal, time.Second)}, "", "")
	f(gib, journal.Health{Commit: time.Second + 1}, "disk_stalled", "")
	f(0, journal.Health{Commit: time.Second + 1}, "disk_stalled", "")
	f(gib, journal.Health{Critical: lasting(wal, 2*time.Second), Any: lasting(wal, 2*time.Second)}, "disk_stalled", "")
	f(gib, journal.Health{Any: lasting(sst, 20*time.Second)}, "", "") // nobody waits for it yet
	f(gib, journal.Health{Any: lasting(sst, time.Minute+1)}, "", "write of d/000002.sst")
	f(gib, journal.Health{Commit: time.Minute + 1, Critical: lasting(wal, time.Minute), Any: lasting(wal, time.Minute)}, "disk_stalled", "fsync of d/000001.log")
	f(gib, journal.Health{Tables: full, TablesFor: time.Hour}, "disk_space_low", "")
	f(gib, journal.Health{Tables: full, TablesFor: time.Hour, Commit: 2 * time.Minute}, "disk_stalled", "the disk is full")
	f(gib, journal.Health{Tables: broken, TablesFor: time.Second}, "disk_failing", "")
	f(gib, journal.Health{Tables: broken, TablesFor: 2 * time.Minute}, "disk_failing", "cannot write tables")

	d := diskStatus{min: gib}
	for _, step := range []struct {
		free uint64
		low  bool
	}{{gib, false}, {gib - 1, true}, {gib, true}, {gib + gib/8 - 1, true}, {gib + gib/8, false}, {gib, false}, {0, true}} {
		if d.space(step.free); d.low != step.low {
			t.Errorf("%d free: low %v", step.free, d.low)
		}
	}
}

// faultyRig is an engine on a disk in memory whose operations fail or hang as the test says.
type faultyRig struct {
	*rig
	mem   *vfs.MemFS
	rule  atomic.Pointer[func(errorfs.Op) error]
	fatal chan error
}

func newFaultyRig(t *testing.T, change func(*Options)) *faultyRig {
	f := &faultyRig{mem: vfs.NewCrashableMem(), fatal: make(chan error, 10)}
	fs := errorfs.Wrap(f.mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if rule := f.rule.Load(); rule != nil {
			return (*rule)(op)
		}
		return nil
	}))
	f.rig = standard(t, func(o *Options) {
		o.Journal.Dir, o.Journal.FS, o.Journal.MemTableBytes = "d", fs, 64<<10
		o.Journal.Fatal = func(err error) { f.fatal <- err }
		change(o)
	})
	return f
}

func (f *faultyRig) set(rule func(errorfs.Op) error) { f.rule.Store(&rule) }

func (f *faultyRig) mend() { f.rule.Store(nil) }

func (f *faultyRig) reason() string {
	if no := f.e.Unready(); no != nil {
		return no.Reason
	}
	return ""
}

func (f *faultyRig) until(what string, ok func() bool) {
	f.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			f.t.Fatalf("not within 30 s: %s; reason %q", what, f.reason())
		}
	}
}

// TestDiskStall makes the fsync of the log hang: the engine takes nothing more, says why, and goes on by itself. What was under way is
// answered.
func TestDiskStall(t *testing.T) {
	f := newFaultyRig(t, func(o *Options) { o.DiskStallAfter, o.DiskStallMax = 30*time.Millisecond, time.Hour })
	release := make(chan struct{})
	f.set(func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".log") && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
			<-release
		}
		return nil
	})
	answered := make(chan IngestResult)
	q := f.e.Acquire(300)
	fill(t, q.Batch(), []call{llm("e1", "acme", "m1", 1, 1)})
	go func() {
		out, _ := f.e.Ingest(q)
		answered <- out
	}()
	f.until("the stall is seen", func() bool { return f.reason() == "disk_stalled" })
	if f.e.Acquire(10) != nil || f.e.Ready() {
		t.Error("a stalled engine takes requests")
	}
	if _, no := f.e.Account("acme"); no == nil || no.Reason != "disk_stalled" || no.RetryAfter == 0 {
		t.Errorf("a balance while the disk hangs: %v", no)
	}
	select {
	case out := <-answered:
		t.Fatalf("answered before it is durable: %+v", out)
	default:
	}
	f.mend()
	close(release)
	if out := <-answered; out.Accepted != 1 {
		t.Errorf("%+v", out)
	}
	f.e.Release(q)
	f.until("it goes on", func() bool { return f.reason() == "" })
	if got := f.post(llm("e1", "acme", "m1", 1, 1)); got.Duplicates != 1 {
		t.Errorf("%+v", got)
	}
	if len(f.fatal) > 0 {
		t.Error(<-f.fatal)
	}
}

// TestDiskStallTooLong gives up: the process is told to stop, with the file that hangs.
func TestDiskStallTooLong(t *testing.T) {
	f := newFaultyRig(t, func(o *Options) { o.DiskStallAfter, o.DiskStallMax = 20*time.Millisecond, 100*time.Millisecond })
	release := make(chan struct{})
	f.set(func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".log") && op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSync {
			<-release
		}
		return nil
	})
	q := f.e.Acquire(300)
	fill(t, q.Batch(), []call{llm("e1", "acme", "m1", 1, 1)})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = f.e.Ingest(q)
	}()
	if err := <-f.fatal; !strings.Contains(err.Error(), "fsync of") || !strings.Contains(err.Error(), ".log") {
		t.Errorf("%v", err)
	}
	f.until("it says so", func() bool { return f.reason() == "storage_failed" })
	f.mend() // a process would be gone
	close(release)
	<-done
	f.e.Release(q)
	if f.reason() != "storage_failed" {
		t.Error("it takes changes again")
	}
}

// TestDiskFault makes the log's write fail: nothing is acknowledged, the process is told to stop, and the next one has all that was
// acknowledged.
func TestDiskFault(t *testing.T) {
	for _, fault := range []error{syscall.ENOSPC, syscall.EIO} {
		f := newFaultyRig(t, func(*Options) {})
		f.post(llm("e1", "acme", "m1", 1, 1))
		f.set(func(op errorfs.Op) error {
			if strings.HasSuffix(op.Path, ".log") && op.Kind == errorfs.OpFileWrite {
				return fault
			}
			return nil
		})
		q := f.e.Acquire(300)
		fill(t, q.Batch(), []call{llm("e2", "acme", "m1", 1, 1)})
		answered := make(chan struct{})
		go func() {
			_, _ = f.e.Ingest(q)
			close(answered)
		}()
		if err := <-f.fatal; !errors.Is(err, fault) {
			t.Errorf("%v", err)
		}
		if f.reason() != "storage_failed" || f.e.Acquire(10) != nil {
			t.Errorf("%v: it goes on: %q", fault, f.reason())
		}
		select {
		case <-answered:
			t.Error("answered what is not durable")
		default:
		}
		o := f.o
		o.Journal.FS = f.mem.CrashClone(vfs.CrashCloneCfg{})
		f.e = nil // its goroutines wait for ever, as those of a process that is gone
		again := newRig(t, func(p *Options) { *p = o })
		if got := again.post(llm("e1", "acme", "m1", 1, 1), llm("e2", "acme", "m1", 1, 1)); got.Duplicates+got.Accepted != 2 || got.Duplicates < 1 {
			t.Errorf("%v, after the restart: %+v", fault, got)
		}
	}
}

// TestSpaceLow takes the space away: changes are refused before the disk is full, reads are answered, and it goes on by itself with an
// eighth more than the bound.
func TestSpaceLow(t *testing.T) {
	f := newFaultyRig(t, func(o *Options) { o.MinFreeBytes = 1000 })
	look := func(free uint64) {
		f.mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: free, TotalBytes: 5000, UsedBytes: 5000 - free})
		f.e.health.lookAtSpace(f.e.store)
	}
	look(1000)
	if f.reason() != "" {
		t.Fatal(f.reason())
	}
	look(999)
	if f.reason() != "disk_space_low" || f.e.Acquire(10) != nil {
		t.Errorf("little space: %q", f.reason())
	}
	if got := f.posted("acme"); got == "" {
		t.Error("no balance")
	}
	if s := f.e.Stats(); s.DiskFree != 999 || s.DiskTotal != 5000 {
		t.Errorf("%+v", s)
	}
	look(1100)
	if f.reason() == "" {
		t.Error("it goes on at the bound")
	}
	look(1125)
	if f.reason() != "" {
		t.Error(f.reason())
	}
	f.post(llm("e1", "acme", "m1", 1, 1))
	// The goroutine looks as well.
	f.mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1, TotalBytes: 5000, UsedBytes: 4999})
	f.until("it is seen", func() bool { return f.reason() == "disk_space_low" })
	f.reopen()
	if f.reason() != "disk_space_low" {
		t.Error("a start with little space takes changes")
	}
}

// TestTablesWithoutSpace lets checkpoints and runs fail for lack of space under load: events are taken as long as memory lasts, then the engine
// waits, and with space again everything is caught up on. The next start finds the same.
func TestTablesWithoutSpace(t *testing.T) {
	f := newFaultyRig(t, func(o *Options) { o.RunIdentities, o.CheckpointBytes = 100, 2000 })
	full := func(op errorfs.Op) error {
		if strings.Contains(op.Path, "/build/") && op.Kind == errorfs.OpFileWrite {
			return syscall.ENOSPC
		}
		return nil
	}
	f.set(full)
	n := 0
	more := func() {
		calls := make([]call, 20)
		for i := range calls {
			n++
			calls[i] = llm(fmt.Sprint("e", n), "acme", "m1", 1, n)
		}
		f.post(calls...)
	}
	for range 4 { // a checkpoint is due, no run yet
		more()
	}
	f.until("the fault is seen", func() bool { return f.reason() == "disk_space_low" })
	f.mend()
	f.until("it goes on", func() bool { return f.reason() == "" })
	for range 20 {
		more()
	}
	f.until("runs and checkpoints are caught up on", func() bool {
		s := f.e.Stats()
		return s.Runs >= 4 && s.Checkpointed > 200
	})
	want := f.posted("acme")
	f.reopen()
	if got := f.posted("acme"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if _, err := Verify(VerifyOptions{Journal: f.journalAfterClose()}); err != nil {
		t.Fatal(err)
	}
	if len(f.fatal) > 0 {
		t.Error(<-f.fatal)
	}
}

// journalAfterClose closes the engine and returns where its ledger is.
func (f *faultyRig) journalAfterClose() journal.Options {
	f.close()
	return f.o.Journal
}
