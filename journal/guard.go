package journal

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// DiskError is an operation on a file of the ledger that failed.
type DiskError struct {
	Op   string // what was done: "write", "fsync", …
	Path string // to which file or directory
	Err  error
}

// Error names the operation, the file, and what to do about it.
func (e *DiskError) Error() string {
	return fmt.Sprintf("%s of %s: %v (%s)", e.Op, e.Path, e.Err, advice(e.Err))
}

// Unwrap returns what the file system said.
func (e *DiskError) Unwrap() error { return e.Err }

// NoSpace reports whether the error is one that ends when there is space again: a full disk, a quota, a limit on the size of files.
func NoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// advice is what an operator can do about a failed operation. What was answered is durable in every case.
func advice(err error) string {
	switch {
	case errors.Is(err, syscall.EFBIG):
		return "the limit on the size of files is too small: raise it and start again; everything answered is durable"
	case NoSpace(err):
		return "make space on this file system and start again; everything answered is durable"
	case errors.Is(err, syscall.EROFS):
		return "the file system went read-only, which a failing disk makes it do: look at the kernel's log, mend it and start again"
	}
	return "look at the kernel's log and the state of the disk, then start again: the start finds out what is on it, and farthing verify checks all of it"
}

// fileClass says what a failed write of a file means.
type fileClass int

const (
	// plain: whoever wrote it gets the error and decides.
	plainFile fileClass = iota
	// table: the store is whole without it, and whoever writes it tries again, into a new file.
	tableFile
	// critical: the write-ahead log, the manifest and its marker, the head record, the entries of their directories. After a failed
	// write of one nobody knows what is on the disk.
	criticalFile
	// criticalDir: a directory that names critical files. Pebble panics when it cannot be fsynced, during an open as well.
	criticalDir
)

// guard is the file system that everything of a ledger goes through. It knows which operations are under way and since when, names file and
// operation of those that fail, and stops the process at once when a critical one does: what Pebble does then, many calls later, is to
// panic, to call Fatalf without a name, or to hold on to the error.
//
// A failed flush or compaction Pebble tries again at once and for ever. The guard makes it wait before the next file.
type guard struct {
	vfs.FS
	fatal func(error)
	base  time.Time
	armed atomic.Bool   // the store is open: critical faults end the process; before that the one who opens gets them
	dead  atomic.Bool   // one came: nothing is acknowledged any more
	stop  chan struct{} // closed by Close: nobody waits any more

	mu     sync.Mutex
	files  map[*guardFile]struct{} // guarded by mu: open for writing
	others map[*operation]struct{} // guarded by mu: operations under way that belong to no open file
	table  tableFault              // guarded by mu
}

// tableFault is what last went wrong with tables. A table that is written clears it.
type tableFault struct {
	err         error // nil: nothing
	since, last int64 // the first and the last fault
	pause       time.Duration
}

const (
	tablePauseFirst = 50 * time.Millisecond
	tablePauseLast  = time.Second
	// tableFaultKept is how long a fault says something about now. Pebble's own attempts come at least every second.
	tableFaultKept = 3 * tablePauseLast
)

// operation is one that is under way. since is on the guard's clock; 0: it is not.
type operation struct {
	name, path string
	class      fileClass
	since      atomic.Int64
}

func newGuard(fs vfs.FS, fatal func(error)) *guard {
	return &guard{FS: fs, fatal: fatal, base: time.Now(), stop: make(chan struct{}),
		files: map[*guardFile]struct{}{}, others: map[*operation]struct{}{}}
}

// now is the guard's clock; never 0.
func (g *guard) now() int64 { return int64(time.Since(g.base)) + 1 }

// classOf says what kind of file a path is.
func (g *guard) classOf(path string) fileClass {
	base := g.PathBase(path)
	switch {
	case strings.HasSuffix(base, ".sst"), strings.HasSuffix(base, ".blob"):
		return tableFile
	case strings.HasSuffix(base, ".log"), strings.HasPrefix(base, "MANIFEST-"), strings.HasPrefix(base, "marker."), base == headName:
		return criticalFile
	}
	return plainFile
}

// classOfDir: the directories that name critical files are critical; nobody needs an entry of build/ after a crash.
func (g *guard) classOfDir(path string) fileClass {
	if g.PathBase(path) == buildName {
		return tableFile
	}
	return criticalDir
}

// check names an error, and acts on it by the class of the file.
func (g *guard) check(op, path string, class fileClass, err error) error {
	if err == nil || oserror.IsNotExist(err) || oserror.IsExist(err) {
		return err
	}
	var known *DiskError
	if !errors.As(err, &known) {
		err = &DiskError{op, path, err}
	}
	switch class {
	case criticalDir:
		g.stopFor(err)
	case criticalFile:
		if g.armed.Load() {
			g.stopFor(err)
		}
	case tableFile:
		g.tableFailed(err)
	case plainFile:
	}
	return err
}

// stopFor does not return: no answer could be true any more.
func (g *guard) stopFor(err error) {
	g.dead.Store(true)
	g.fatal(fmt.Errorf("journal: %w", err))
	select {}
}

func (g *guard) tableFailed(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := &g.table
	now := g.now()
	if t.err == nil || now-t.last > int64(tableFaultKept) {
		t.since, t.pause = now, tablePauseFirst
	} else {
		t.pause = min(2*t.pause, tablePauseLast)
	}
	t.err, t.last = err, now
}

// tableWritten ends a fault, unless it is so young that another table may still be failing.
func (g *guard) tableWritten() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.table.err != nil && g.now()-g.table.last > int64(2*tablePauseLast) || NoSpace(g.table.err) {
		g.table = tableFault{}
	}
}

// acknowledge does not return once a critical fault came. The process is about to end; whoever is still on the way must tell nobody of success.
func (g *guard) acknowledge() {
	if g.dead.Load() {
		select {}
	}
}

// pause holds the next table of flushes and compactions up after one that failed.
func (g *guard) pause(path string) {
	if g.classOf(path) != tableFile || g.PathBase(g.PathDir(path)) != storeName {
		return
	}
	g.mu.Lock()
	wait := time.Duration(0)
	if t := &g.table; t.err != nil {
		wait = t.pause - time.Duration(g.now()-t.last)
	}
	g.mu.Unlock()
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-g.stop:
	}
}

// during runs an operation that belongs to no open file.
func (g *guard) during(name, path string, class fileClass, fn func() error) error {
	op := &operation{name: name, path: path, class: class}
	op.since.Store(g.now())
	g.mu.Lock()
	g.others[op] = struct{}{}
	g.mu.Unlock()
	err := fn()
	g.mu.Lock()
	delete(g.others, op)
	g.mu.Unlock()
	return g.check(name, path, class, err)
}

// open runs an operation that opens a file for writing and wraps the file.
func (g *guard) open(name, path string, class fileClass, fn func() (vfs.File, error)) (f vfs.File, err error) {
	err = g.during(name, path, class, func() (err error) {
		f, err = fn()
		return err
	})
	if err != nil {
		return nil, err
	}
	return g.wrap(f, path, class), nil
}

func (g *guard) wrap(f vfs.File, path string, class fileClass) vfs.File {
	w := &guardFile{File: f, g: g, path: path, class: class}
	for i, name := range [...]string{"write", "fsync"} {
		w.ops[i].name, w.ops[i].path, w.ops[i].class = name, path, class
	}
	g.mu.Lock()
	g.files[w] = struct{}{}
	g.mu.Unlock()
	return w
}

// Create implements vfs.FS.
func (g *guard) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	g.pause(name)
	return g.open("creation", name, g.classOf(name), func() (vfs.File, error) { return g.FS.Create(name, category) })
}

// OpenReadWrite implements vfs.FS.
func (g *guard) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return g.open("opening", name, g.classOf(name), func() (vfs.File, error) { return g.FS.OpenReadWrite(name, category, opts...) })
}

// ReuseForWrite implements vfs.FS.
func (g *guard) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return g.open("reuse", to, g.classOf(to), func() (vfs.File, error) { return g.FS.ReuseForWrite(from, to, category) })
}

// OpenDir implements vfs.FS. A directory that cannot be opened is in no doubt yet, one that cannot be fsynced is.
func (g *guard) OpenDir(name string) (vfs.File, error) {
	f, err := g.FS.OpenDir(name)
	if err != nil {
		return nil, g.check("opening", name, plainFile, err)
	}
	return g.wrap(f, name, g.classOfDir(name)), nil
}

// Link implements vfs.FS.
func (g *guard) Link(from, to string) error {
	return g.during("link", to, g.classOf(to), func() error { return g.FS.Link(from, to) })
}

// Rename implements vfs.FS.
func (g *guard) Rename(from, to string) error {
	return g.during("rename", to, g.classOf(to), func() error { return g.FS.Rename(from, to) })
}

// Remove implements vfs.FS. A file that cannot be removed is in nobody's way.
func (g *guard) Remove(name string) error {
	return g.during("removal", name, plainFile, func() error { return g.FS.Remove(name) })
}

// RemoveAll implements vfs.FS.
func (g *guard) RemoveAll(name string) error {
	return g.during("removal", name, plainFile, func() error { return g.FS.RemoveAll(name) })
}

// MkdirAll implements vfs.FS.
func (g *guard) MkdirAll(dir string, perm os.FileMode) error {
	return g.during("creation", dir, plainFile, func() error { return g.FS.MkdirAll(dir, perm) })
}

// GetDiskUsage implements vfs.FS. Whether the file system tells is not a fault.
func (g *guard) GetDiskUsage(path string) (usage vfs.DiskUsage, err error) {
	_ = g.during("look at the free space", path, plainFile, func() error {
		usage, err = g.FS.GetDiskUsage(path)
		return nil
	})
	return usage, err
}

// Unwrap implements vfs.FS.
func (g *guard) Unwrap() vfs.FS { return g.FS }

// guardFile is a file that is open for writing. Writes follow each other, and so do fsyncs, but of the head record a write goes beside an
// fsync: hence two operations.
type guardFile struct {
	vfs.File
	g     *guard
	path  string
	class fileClass
	ops   [2]operation // write, fsync
	bad   atomic.Bool  // one of them failed
}

func (f *guardFile) run(i int, fn func() error) error {
	op := &f.ops[i]
	op.since.Store(f.g.now())
	err := fn()
	op.since.Store(0)
	if err != nil {
		f.bad.Store(true)
	}
	return f.g.check(op.name, f.path, f.class, err)
}

// Write implements vfs.File.
func (f *guardFile) Write(p []byte) (n int, err error) {
	err = f.run(0, func() (err error) {
		n, err = f.File.Write(p)
		return err
	})
	return n, err
}

// WriteAt implements vfs.File.
func (f *guardFile) WriteAt(p []byte, at int64) (n int, err error) {
	err = f.run(0, func() (err error) {
		n, err = f.File.WriteAt(p, at)
		return err
	})
	return n, err
}

// Sync implements vfs.File.
func (f *guardFile) Sync() error { return f.synced(f.File.Sync) }

// SyncData implements vfs.File.
func (f *guardFile) SyncData() error { return f.synced(f.File.SyncData) }

func (f *guardFile) synced(sync func() error) error {
	err := f.run(1, sync)
	if f.class == tableFile && !f.bad.Load() {
		f.g.tableWritten()
	}
	return err
}

// SyncTo implements vfs.File.
func (f *guardFile) SyncTo(length int64) (full bool, err error) {
	err = f.run(1, func() (err error) {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}

// Close implements vfs.File.
func (f *guardFile) Close() error {
	f.g.mu.Lock()
	delete(f.g.files, f)
	f.g.mu.Unlock()
	return f.g.check("closing", f.path, f.class, f.File.Close())
}
