package journal

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
)

// badDisk is a disk in memory whose operations fail or hang as the test says.
type badDisk struct {
	vfs.FS
	mem   *vfs.MemFS
	rule  atomic.Pointer[func(errorfs.Op) error] // nil: all goes well
	fatal chan error
	hits  atomic.Int64 // operations that failed
}

func newBadDisk() *badDisk {
	d := &badDisk{mem: vfs.NewCrashableMem(), fatal: make(chan error, 100)}
	d.FS = errorfs.Wrap(d.mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if rule := d.rule.Load(); rule != nil {
			if err := (*rule)(op); err != nil {
				d.hits.Add(1)
				return err
			}
		}
		return nil
	}))
	return d
}

func (d *badDisk) set(rule func(errorfs.Op) error) { d.rule.Store(&rule) }

func (d *badDisk) mend() { d.rule.Store(nil) }

// options are those of a store whose end is told to the test; the goroutine that ended it stays where it is, as in a process that is gone.
func (d *badDisk) options(tb testing.TB) Options {
	o := testOptions(tb, d)
	o.HeadSync = time.Millisecond
	o.Fatal = func(err error) { d.fatal <- err }
	return o
}

// restarted is the store as the next process finds it.
func (d *badDisk) restarted(t *testing.T) *Store {
	t.Helper()
	return mustOpen(t, testOptions(t, d.mem.CrashClone(vfs.CrashCloneCfg{})))
}

// on makes a rule for operations of some kinds on files whose path contains part.
func on(part string, err error, kinds ...errorfs.OpKind) func(errorfs.Op) error {
	return func(op errorfs.Op) error {
		for _, k := range kinds {
			if op.Kind == k && strings.Contains(op.Path, part) {
				return err
			}
		}
		return nil
	}
}

// soon waits until ok says yes.
func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("not within 20 s: " + what)
		}
	}
}

// TestCriticalFaults is the table of places whose failure puts the store in doubt: nothing is acknowledged from then on, the process is told to stop
// with the file and the operation, and a start with the fault gone finds everything acknowledged.
func TestCriticalFaults(t *testing.T) {
	f := func(rule func(errorfs.Op) error, want ...string) {
		t.Helper()
		d := newBadDisk()
		s := mustCreate(t, d.options(t))
		mustCommit(t, s, 1, 100)
		d.set(rule)
		var acked atomic.Uint64
		go func() {
			for range 1000 {
				if err := s.Commit(testGroup(s.Head(), 1, 4000)); err != nil {
					return
				}
				acked.Store(s.Head().Seq)
			}
		}()
		var fatal error
		select {
		case fatal = <-d.fatal:
		case <-time.After(20 * time.Second):
			t.Fatalf("%v: the store goes on", want)
		}
		for _, part := range want {
			if !strings.Contains(fatal.Error(), part) {
				t.Errorf("%q does not say %q", fatal, part)
			}
		}
		var named *DiskError
		if !errors.As(fatal, &named) {
			t.Errorf("%q names no file", fatal)
		}
		told := acked.Load()
		again := d.restarted(t)
		defer mustClose(t, again)
		if again.Head().Seq < told {
			t.Errorf("%v: acknowledged up to %d, recovered %d", want, told, again.Head().Seq)
		}
		checkStore(t, again)
	}
	f(on(".log", syscall.ENOSPC, errorfs.OpFileWrite), "write of", ".log", "no space left", "make space")
	f(on(".log", syscall.EIO, errorfs.OpFileWrite), "write of", ".log", "kernel")
	f(on(".log", syscall.EIO, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo), "fsync of", ".log")
	f(on(".log", syscall.EROFS, errorfs.OpFileSync, errorfs.OpFileSyncData), "fsync of", ".log", "read-only")
	f(on(".log", syscall.ENOSPC, errorfs.OpCreate, errorfs.OpReuseForWrite), ".log", "make space")
	f(on(headName, syscall.ENOSPC, errorfs.OpFileWriteAt), "write of", headName)
	f(on(headName, syscall.EIO, errorfs.OpFileSyncData), "fsync of", headName)
	f(on("MANIFEST", syscall.ENOSPC, errorfs.OpFileWrite), "write of", "MANIFEST")
	f(on("MANIFEST", syscall.EIO, errorfs.OpFileSync, errorfs.OpFileSyncData), "fsync of", "MANIFEST")
	f(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSync && strings.HasSuffix(op.Path, storeName) {
			return syscall.EIO
		}
		return nil
	}, "fsync of", storeName)
}

// TestTableFaults makes flushes and compactions fail: nothing is in doubt, commits go on while memory lasts and then wait, and everything
// goes on by itself when the fault is gone.
func TestTableFaults(t *testing.T) {
	f := func(rule func(errorfs.Op) error) {
		t.Helper()
		d := newBadDisk()
		s := mustCreate(t, d.options(t))
		mustCommit(t, s, 1, 100)
		d.set(rule)
		done := make(chan error)
		go func() {
			for range 200 { // 800 KB, three times what the memtables hold
				if err := s.Commit(testGroup(s.Head(), 1, 4000)); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		soon(t, "commits wait for room", func() bool { return s.Health().Commit > 200*time.Millisecond })
		if h := s.Health(); h.Tables == nil || h.TablesFor <= 0 {
			t.Errorf("what fails is not told: %+v", h)
		}
		if n := d.hits.Load(); n > 50 {
			t.Errorf("%d attempts fail: the next flush does not wait; %v", n, s.Health().Tables)
		}
		d.mend()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for i := 0; s.Health().Tables != nil; i++ { // a fault is over once tables are written for a while
			mustCommit(t, s, 1, 20_000)
			if i > 100_000 {
				t.Fatal("the fault does not end")
			}
		}
		select {
		case err := <-d.fatal:
			t.Fatalf("the process was told to stop: %v", err)
		default:
		}
		checkStore(t, s)
		mustClose(t, s)
	}
	f(on(".sst", syscall.ENOSPC, errorfs.OpFileWrite))
	f(on(".sst", syscall.ENOSPC, errorfs.OpCreate))
	f(on(".sst", syscall.EIO, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo))
}

// TestTableOfOurs makes the tables that we build ourselves fail at each step: the caller is told, and may build them again.
func TestTableOfOurs(t *testing.T) {
	d := newBadDisk()
	s := mustCreate(t, d.options(t))
	for i, kind := range []errorfs.OpKind{errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileSync} {
		id := uint64(i)
		d.set(on(".sst", syscall.ENOSPC, kind))
		err := buildTable(s, id)
		if !NoSpace(err) {
			t.Errorf("operation %d fails: %v", kind, err)
		}
		if h := s.Health(); !NoSpace(h.Tables) {
			t.Errorf("operation %d fails, health is %+v", kind, h)
		}
		d.mend()
		if err := buildTable(s, id); err != nil {
			t.Fatalf("operation %d, built again: %v", kind, err)
		}
		if h := s.Health(); h.Tables != nil {
			t.Errorf("operation %d went well, health is %+v", kind, h)
		}
	}
	if len(d.fatal) > 0 {
		t.Errorf("the process was told to stop: %v", <-d.fatal)
	}
	mustClose(t, s)
}

// TestHangingOperations makes each kind of write hang: the store says what hangs and since when, and goes on when it returns.
func TestHangingOperations(t *testing.T) {
	f := func(part string, kinds ...errorfs.OpKind) {
		t.Helper()
		d := newBadDisk()
		s := mustCreate(t, d.options(t))
		mustCommit(t, s, 1, 100)
		release := make(chan struct{})
		hang := on(part, errors.New("here"), kinds...)
		d.set(func(op errorfs.Op) error {
			if hang(op) != nil {
				<-release
			}
			return nil
		})
		done := make(chan error)
		go func() {
			for range 60 {
				if err := s.Commit(testGroup(s.Head(), 1, 4000)); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		soon(t, part+" hangs", func() bool { return s.Health().Any.For > 50*time.Millisecond })
		h := s.Health()
		if !strings.Contains(h.Any.Path, part) || (part != ".sst") != (h.Critical == h.Any || h.Critical.For >= h.Any.For) {
			t.Errorf("%s hangs: %+v", part, h)
		}
		close(release)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		d.mend()
		mustClose(t, s)
		if h := s.Health(); h.Commit != 0 || h.Any.For != 0 {
			t.Errorf("%s: still under way after the end: %+v", part, h)
		}
	}
	f(".log", errorfs.OpFileSync, errorfs.OpFileSyncData)
	f(".log", errorfs.OpFileWrite)
	f(headName, errorfs.OpFileWriteAt)
	f(headName, errorfs.OpFileSyncData)
	f("MANIFEST", errorfs.OpFileSync, errorfs.OpFileSyncData)
	f(".sst", errorfs.OpFileSync, errorfs.OpFileSyncData)
}

// TestOpenOnAFullDisk starts without space: it says so, changes nothing, and starts when there is some.
func TestOpenOnAFullDisk(t *testing.T) {
	d := newBadDisk()
	s := mustCreate(t, d.options(t))
	for range 5 {
		mustCommit(t, s, 1, 4000)
	}
	want := s.Head()
	mustClose(t, s)
	full := func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpMkdirAll:
			return fmt.Errorf("%s: %w", op.Path, syscall.ENOSPC)
		}
		return nil
	}
	d.set(full)
	result := make(chan error, 1)
	o := d.options(t)
	o.Fatal = func(err error) { result <- err; select {} } // Pebble may call it as well
	go func() {
		_, err := Open(o)
		result <- err
	}()
	if err := <-result; !NoSpace(err) {
		t.Errorf("opened without space: %v", err)
	}
	d.mend()
	again := d.restarted(t)
	if again.Head() != want {
		t.Errorf("head %+v, want %+v", again.Head(), want)
	}
	checkStore(t, again)
	mustClose(t, again)
}

// TestDiskSpace shows what the file system says, and that it may say nothing.
func TestDiskSpace(t *testing.T) {
	d := newBadDisk()
	s := mustCreate(t, d.options(t))
	defer mustClose(t, s)
	if _, _, known, err := s.DiskSpace(); known || err != nil {
		t.Errorf("a file system that does not tell: %v %v", known, err)
	}
	d.mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 5, TotalBytes: 9, UsedBytes: 4})
	if free, total, known, err := s.DiskSpace(); free != 5 || total != 9 || !known || err != nil {
		t.Errorf("%d of %d, %v %v", free, total, known, err)
	}
	d.set(on("", syscall.EIO, errorfs.OpGetDiskUsage))
	if _, _, known, err := s.DiskSpace(); known || !errors.Is(err, syscall.EIO) {
		t.Errorf("a look that fails: %v %v", known, err)
	}
}
