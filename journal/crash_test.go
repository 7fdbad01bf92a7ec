package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"farthing/internal/soak"
)

// powerCut is a file system that keeps what the disk would hold if power failed right before its nth change.
type powerCut struct {
	vfs.FS
	mem     *vfs.MemFS
	percent int // of the unsynced data that reached the disk
	rng     *rand.Rand
	before  func() // called at the cut, before the disk is looked at

	links sync.RWMutex // Link against the cut: MemFS.Link takes its clone lock twice and would deadlock with CrashClone

	left atomic.Int64 // changes until the cut
	disk *vfs.MemFS   // set at the cut
}

func newPowerCut(mem *vfs.MemFS, n int64, percent int, rng *rand.Rand, before func()) *powerCut {
	p := &powerCut{mem: mem, percent: percent, rng: rng, before: before}
	p.left.Store(n)
	p.FS = errorfs.Wrap(mem, errorfs.InjectorFunc(p.onOp))
	return p
}

func (p *powerCut) onOp(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && p.left.Add(-1) == 0 {
		p.cut()
	}
	return nil
}

func (p *powerCut) cut() {
	p.links.Lock()
	defer p.links.Unlock()
	p.before()
	p.disk = p.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: p.percent, RNG: p.rng})
}

// Link is a change like any other.
func (p *powerCut) Link(oldname, newname string) error {
	if err := p.onOp(errorfs.Op{Kind: errorfs.OpLink}); err != nil {
		return err
	}
	p.links.RLock()
	defer p.links.RUnlock()
	return p.mem.Link(oldname, newname)
}

// finish cuts now if the nth change never came; nothing may be using the file system any more.
func (p *powerCut) finish() *vfs.MemFS {
	if p.left.Load() > 0 {
		p.cut()
	}
	return p.disk
}

// promises are what calls that returned have promised; each only grows.
type promises struct {
	seq, rows, tables atomic.Uint64
}

func (p *promises) copyTo(q *promises) {
	q.seq.Store(p.seq.Load())
	q.rows.Store(p.rows.Load())
	q.tables.Store(p.tables.Load())
}

func counterKey(i uint64) []byte { return binary.BigEndian.AppendUint64(nil, i) }

// tableRows is how many rows table id of the rig has.
func tableRows(id uint64) uint64 { return 1 + id%50 }

// runCycle works on the store until it has done its share, while power is cut somewhere.
func runCycle(s *Store, p *promises, rng *rand.Rand, rows, tables uint64) error {
	var side sync.WaitGroup
	var sideErr error
	side.Add(1)
	go func() {
		defer side.Done()
		sideErr = runSide(s, p, rows, tables)
	}()
	for range 25 {
		g := testGroup(s.Head(), 1+rng.IntN(3), 16+rng.IntN(6000))
		if err := s.Commit(g); err != nil {
			return err
		}
		p.seq.Store(s.Head().Seq)
		if rng.IntN(6) == 0 {
			if err := s.head.sync(); err != nil {
				return err
			}
		}
	}
	side.Wait()
	return sideErr
}

// runSide writes rows and tables beside the commits.
func runSide(s *Store, p *promises, rows, tables uint64) error {
	for i := range uint64(10) {
		if err := s.Write([]Row{{Space: SpacePublisher, Key: counterKey(rows + i), Value: counterKey(rows + i)}}, true); err != nil {
			return err
		}
		p.rows.Store(rows + i + 1)
		if i%4 != 0 {
			continue
		}
		id := tables + i/4
		if err := buildTable(s, id); err != nil {
			return err
		}
		p.tables.Store(id + 1)
	}
	return nil
}

func buildTable(s *Store, id uint64) error {
	var builders []*TableBuilder
	for _, kind := range []Kind{KindCheckpoint, KindIdentity} {
		b, err := s.NewTable(kind, id)
		if err != nil {
			return err
		}
		for i := range tableRows(id) {
			if err := b.Add(counterKey(i), counterKey(id)); err != nil {
				return err
			}
		}
		builders = append(builders, b)
	}
	return s.Ingest(builders, []Row{{Space: SpaceManifest, Key: counterKey(id), Value: counterKey(id)}})
}

// checkPromises compares the reopened store with what had been promised and returns how many rows and tables there are.
func checkPromises(s *Store, p *promises) (rows, tables uint64, err error) {
	if got, want := s.Head().Seq, p.seq.Load(); got < want {
		return 0, 0, fmt.Errorf("history ends at %d, %d was committed", got, want)
	}
	if rows, err = countUp(s, SpacePublisher); err != nil || rows < p.rows.Load() {
		return 0, 0, errors.Join(err, fmt.Errorf("%d rows, %d were written", rows, p.rows.Load()))
	}
	if tables, err = countUp(s, SpaceManifest); err != nil || tables < p.tables.Load() {
		return 0, 0, errors.Join(err, fmt.Errorf("%d markers, %d were written", tables, p.tables.Load()))
	}
	for id := range tables {
		for _, kind := range []Kind{KindCheckpoint, KindIdentity} {
			n := uint64(0)
			err := s.TableScan(kind, id, nil, nil, func(k, v []byte) (bool, error) {
				n++
				return bytes.Equal(v, counterKey(id)), nil
			})
			if err != nil || n != tableRows(id) {
				return 0, 0, errors.Join(err, fmt.Errorf("table %d of kind %#x has %d rows", id, byte(kind), n))
			}
		}
	}
	return rows, tables, nil
}

// countUp counts the rows of the space, which must be 0, 1, 2 and so on.
func countUp(s *Store, space Space) (n uint64, err error) {
	err = s.Scan(space, nil, nil, func(k, _ []byte) (bool, error) {
		if !bytes.Equal(k, counterKey(n)) {
			return false, fmt.Errorf("row %x where %d should be", k, n)
		}
		n++
		return true, nil
	})
	return n, err
}

// runRig cuts power several times over one history and reports the first broken promise.
func runRig(t *testing.T, seed uint64, percent int, noSync bool) error {
	rng := rand.New(rand.NewPCG(seed, uint64(percent)))
	mem := vfs.NewCrashableMem()
	mustClose(t, mustCreate(t, testOptions(t, mem)))
	var promised promises
	promised.seq.Store(3)
	for cycle := range 6 {
		var atCut promises
		cutRNG := rand.New(rand.NewPCG(seed, uint64(1000+100*percent+cycle))) // its own: the cut runs on any goroutine
		cut := newPowerCut(mem, 1+rng.Int64N(300), percent, cutRNG, func() { promised.copyTo(&atCut) })
		o := testOptions(t, cut)
		o.unsafeNoSync = noSync
		s, err := Open(o)
		if err != nil {
			return fmt.Errorf("cycle %d: %w", cycle, err)
		}
		checkStore(t, s)
		rows, tables, err := checkPromises(s, &promised)
		if err != nil {
			return fmt.Errorf("cycle %d: %w", cycle, err)
		}
		if err := runCycle(s, &promised, rng, rows, tables); err != nil {
			return fmt.Errorf("cycle %d: %w", cycle, err)
		}
		mustClose(t, s)
		mem = cut.finish()
		atCut.copyTo(&promised)
	}
	return nil
}

func TestCrash(t *testing.T) {
	run := soak.Start(t)
	histories := soak.Pick[uint64](10, 1000)
	t.Run("all", func(t *testing.T) {
		for _, percent := range []int{0, 50, 100} {
			for n := range histories {
				seed := run.Seed() + n
				t.Run(fmt.Sprintf("percent=%d/seed=%d", percent, seed), func(t *testing.T) {
					t.Parallel()
					if err := runRig(t, seed, percent, false); err != nil {
						t.Error(err)
					}
				})
			}
		}
	})
	run.Report("power cuts, journal alone", soak.Counts{"crashes survived": 3 * 6 * histories, "groups lost": 0})
}

// TestCrashRigNotices plants the fault the rig is for: commits that do not wait for the disk.
func TestCrashRigNotices(t *testing.T) {
	noticed := 0 // not always: a cut may come just after a flush, when nothing is left to lose
	for seed := range uint64(8) {
		if err := runRig(t, seed, 0, true); err != nil {
			noticed++
		}
	}
	if noticed < 4 {
		t.Errorf("the rig noticed commits without fsync in %d of 8 histories", noticed)
	}
}

// TestCrashDuringCreate cuts power before every change that Create makes: afterwards there is no ledger, and Create makes one, or there is a whole one.
func TestCrashDuringCreate(t *testing.T) {
	for _, percent := range []int{0, 50, 100} {
		whole, redone := 0, 0
		for n := int64(1); ; n++ {
			mem := vfs.NewCrashableMem()
			cut := newPowerCut(mem, n, percent, rand.New(rand.NewPCG(uint64(n), 3)), func() {})
			s := mustCreate(t, testOptions(t, cut))
			reached := cut.left.Load() <= 0
			mustClose(t, s)
			if !reached {
				break
			}
			o := testOptions(t, cut.disk)
			there, err := Exists(o)
			if err != nil {
				t.Fatal(err)
			}
			if there {
				whole++
				s = mustOpen(t, o)
			} else {
				redone++
				s = mustCreate(t, o)
			}
			checkStore(t, s)
			mustCommit(t, s, 1, 10)
			mustClose(t, s)
		}
		if whole == 0 || redone == 0 {
			t.Errorf("percent %d: %d whole, %d redone; both must happen", percent, whole, redone)
		}
	}
}

// TestFailedSyncIsFatal: after a failed fsync of the WAL or of the head record no call returns, and Fatal says why.
func TestFailedSyncIsFatal(t *testing.T) {
	f := func(name string, call func(*Store) error) {
		t.Helper()
		var armed atomic.Bool
		fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if armed.Load() && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
				return errorfs.ErrInjected
			}
			return nil
		}))
		fatal := make(chan error, 16)
		o := testOptions(t, fs)
		o.Fatal = func(err error) { fatal <- err }
		s := mustCreate(t, o)
		armed.Store(true)
		returned := make(chan error, 1)
		go func() { returned <- call(s) }()
		if err := <-fatal; err == nil {
			t.Errorf("%s: no reason given", name)
		}
		select {
		case err := <-returned:
			t.Errorf("%s: returned %v", name, err)
		default:
		}
		if s.Head().Seq != 3 {
			t.Errorf("%s: head moved to %d", name, s.Head().Seq)
		}
	}
	f("commit", func(s *Store) error { return s.Commit(testGroup(s.Head(), 1, 10)) })
	f("write", func(s *Store) error { return s.Write([]Row{{Space: SpaceLines}}, true) })
}

// TestFailedFlushAtOpenIsFatal: a start that cannot write its first table ends with a reason instead of trying for ever.
func TestFailedFlushAtOpenIsFatal(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := mustCreate(t, testOptions(t, mem))
	mustCommit(t, s, 2, 100)
	disk := copyOf(mem)
	mustClose(t, s)
	o := testOptions(t, errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") {
			return errorfs.ErrInjected
		}
		return nil
	})))
	fatal := make(chan error, 16)
	o.Fatal = func(err error) { fatal <- err }
	returned := make(chan error, 1)
	go func() {
		_, err := Open(o)
		returned <- err
	}()
	select {
	case err := <-fatal:
		if !strings.Contains(err.Error(), storeName) || !errors.Is(err, errorfs.ErrInjected) {
			t.Errorf("told to end because of %v", err)
		}
	case err := <-returned:
		t.Errorf("returned %v", err)
	}
	s = mustOpen(t, testOptions(t, copyOf(disk)))
	checkStore(t, s)
	mustClose(t, s)
}
