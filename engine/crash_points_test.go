package engine

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// crashFS is a disk that tells of every point at which a power cut makes a difference: before and
// after each sync, and before each change. It can lie, and it can fail.
type crashFS struct {
	vfs.FS // errorfs over mem
	mem    *vfs.MemFS

	// point is called at each point; syncing says that it is before or after a sync. It may take a
	// clone of mem. Link against a clone: MemFS.Link takes its clone lock twice and would deadlock.
	point func(syncing bool)
	links sync.RWMutex

	// lies says which files' syncs do nothing and report success: the planted fault.
	lies func(path string) bool

	// fails is the error that changes meet from the nth on, or at the nth alone; nil: none.
	fails   error
	once    bool
	healthy atomic.Int64 // changes until the first one that fails
	failed  atomic.Bool
}

func newCrashFS(mem *vfs.MemFS) *crashFS {
	c := &crashFS{mem: mem, point: func(bool) {}, lies: func(string) bool { return false }}
	c.FS = errorfs.Wrap(mem, errorfs.InjectorFunc(c.onOp))
	return c
}

// onOp is told of every operation before it is done.
func (c *crashFS) onOp(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpFileClose || op.Kind == errorfs.OpLock {
		return nil
	}
	c.point(false)
	if c.fails == nil {
		return nil
	}
	if n := c.healthy.Add(-1); n == 0 || (n < 0 && !c.once) {
		c.failed.Store(true)
		return c.fails
	}
	return nil
}

// clone is what the disk holds if power fails now, with this share of what was not synced.
func (c *crashFS) clone(percent int, rng *rand.Rand) *vfs.MemFS {
	c.links.Lock()
	defer c.links.Unlock()
	return c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
}

func (c *crashFS) Link(oldname, newname string) error {
	if err := c.onOp(errorfs.Op{Kind: errorfs.OpLink}); err != nil {
		return err
	}
	c.links.RLock()
	defer c.links.RUnlock()
	return c.mem.Link(oldname, newname)
}

func (c *crashFS) file(path string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &crashFile{f, c, path}, nil
}

func (c *crashFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := c.FS.Create(name, category)
	return c.file(name, f, err)
}

func (c *crashFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := c.FS.OpenReadWrite(name, category, opts...)
	return c.file(name, f, err)
}

func (c *crashFS) OpenDir(name string) (vfs.File, error) {
	f, err := c.FS.OpenDir(name)
	return c.file(name, f, err)
}

func (c *crashFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := c.FS.ReuseForWrite(oldname, newname, category)
	return c.file(newname, f, err)
}

func (c *crashFS) Unwrap() vfs.FS { return c.FS }

// crashFile is a file whose syncs are points.
type crashFile struct {
	vfs.File
	c    *crashFS
	path string
}

func (f *crashFile) syncing(sync func() error) error {
	f.c.point(true)
	if f.c.lies(f.path) {
		return nil
	}
	if err := sync(); err != nil {
		return err
	}
	f.c.point(true)
	return nil
}

func (f *crashFile) Sync() error     { return f.syncing(f.File.Sync) }
func (f *crashFile) SyncData() error { return f.syncing(f.File.SyncData) }

func (f *crashFile) SyncTo(length int64) (fullSync bool, err error) {
	err = f.syncing(func() error {
		fullSync, err = f.File.SyncTo(length)
		return err
	})
	return fullSync, err
}

// loss is a promise that a crash broke.
type loss struct {
	point string
	err   error
}

// pointRig takes clones of a disk while an engine works on it, and checks each as a machine would
// that lost power then.
type pointRig struct {
	x   *everything
	fs  *crashFS
	rng *rand.Rand // of the points, under mu

	mu     sync.Mutex
	every  int // of so many points one is taken: syncs, and ten times as many changes
	most   int // points, in all
	taken  int
	syncs  int
	seen   int
	opened []openedAt // for the end
	next   *crashed   // one of the disks, to go on with
	lost   []loss

	also  func(c *crashed)       // notes what else there was
	tries func(c *crashed) error // instead of check

	// ending orders points against the end of the queue: files are synced beside everything else.
	ending  sync.RWMutex
	over    bool
	queue   chan *crashed
	workers sync.WaitGroup
	redone  atomic.Int64 // crashes before the ledger existed
	resumed atomic.Int64 // settlements that a start had to finish
}

// crashed is a disk that lost power, with what had been promised by then.
type crashed struct {
	disk  *vfs.MemFS
	was   promises
	now   int64
	point string
	seed  uint64

	archive simArchive // what had been exported
	round   int64      // of retention
}

// openedAt is where a crashed disk's history ends, and what its windows were.
type openedAt struct {
	point   string
	seq     uint64
	hash    [32]byte
	windows map[uint64]string
}

func newPointRig(x *everything, mem *vfs.MemFS, every, most int) *pointRig {
	r := &pointRig{x: x, fs: newCrashFS(mem), rng: rand.New(rand.NewPCG(x.rng.Uint64(), 31)), every: every, most: most, queue: make(chan *crashed, 8)}
	r.fs.point, r.tries, r.also = r.point, r.check, func(*crashed) {}
	for range 2 {
		r.workers.Go(func() {
			for c := range r.queue {
				if err := r.tries(c); err != nil {
					r.mu.Lock()
					r.lost = append(r.lost, loss{c.point, err})
					r.mu.Unlock()
				}
			}
		})
	}
	return r
}

// point takes a clone if this point is one of those to take.
func (r *pointRig) point(syncing bool) {
	r.ending.RLock()
	defer r.ending.RUnlock()
	if r.over {
		return
	}
	r.mu.Lock()
	r.seen++
	every, kind := r.every, "sync"
	if syncing {
		r.syncs++
	} else {
		every, kind = 10*every, "change"
	}
	if r.taken >= r.most || r.rng.IntN(every) != 0 {
		r.mu.Unlock()
		return
	}
	r.taken++
	percent := []int{0, 50, 100}[r.taken%3]
	c := &crashed{point: fmt.Sprintf("point %d (%s), %d %% of what was not synced", r.seen, kind, percent), seed: r.rng.Uint64()}
	rng := rand.New(rand.NewPCG(r.rng.Uint64(), 1))
	// Promises stand still while the clone is made, so that both are of one moment.
	r.x.a.mu.Lock()
	c.was, c.now, c.disk = r.x.promisedLocked(), r.x.w.now.Load(), r.fs.clone(percent, rng)
	r.also(c)
	r.x.a.mu.Unlock()
	if c.was.answers.seq > 0 && (r.next == nil || r.rng.IntN(8) == 0) {
		r.next = &crashed{disk: r.fs.cloneOf(c.disk), was: c.was}
	}
	r.mu.Unlock()
	r.queue <- c
}

// cloneOf copies a disk with all that is on it.
func (c *crashFS) cloneOf(disk *vfs.MemFS) *vfs.MemFS { return cloneDisk(disk) }

// run works on the disk until each has done its share, closes the engine and returns once all
// clones are checked.
func (r *pointRig) run(rounds int) error {
	o := r.x.options(r.fs)
	e, err := Open(o)
	if err != nil {
		return err
	}
	r.x.found(e)
	r.x.work(e, rounds, nil)
	settled(r.x.w.t, e)
	e.repriced()
	windows := windowTexts(r.x, e)
	if err := e.Close(); err != nil {
		return err
	}
	r.end()
	return r.compareWithSurvivor(windows)
}

// end returns once all clones are checked.
func (r *pointRig) end() {
	r.ending.Lock()
	r.over = true
	r.ending.Unlock()
	close(r.queue)
	r.workers.Wait()
}

// losses tells what was lost, for a test's message.
func (r *pointRig) losses() string {
	var out strings.Builder
	for _, l := range r.lost {
		fmt.Fprintf(&out, "%s: %v\n", l.point, l.err)
	}
	return out.String()
}
