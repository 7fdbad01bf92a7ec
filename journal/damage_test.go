package journal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// copyOf is what the disk holds, nothing lost.
func copyOf(mem *vfs.MemFS) *vfs.MemFS {
	return mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
}

// usedStore is the disk of a killed process: flushed tables, a live WAL, an fsynced head record.
func usedStore(t *testing.T) (*vfs.MemFS, Head) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	s := mustCreate(t, testOptions(t, mem))
	for range 30 {
		mustCommit(t, s, 2, 3000)
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	for range 8 {
		mustCommit(t, s, 2, 900)
	}
	if err := s.head.sync(); err != nil {
		t.Fatal(err)
	}
	disk := copyOf(mem)
	head := s.Head()
	mustClose(t, s)
	return disk, head
}

func flipBit(t *testing.T, fs vfs.FS, path string, at int) {
	t.Helper()
	data := readFile(t, fs, path)
	data[at] ^= 0x10
	writeFile(t, fs, path, data)
}

// blockTable is the path of the largest table in use. Files on the disk that compaction has made obsolete are no loss.
func blockTable(t *testing.T, fs *vfs.MemFS) string {
	t.Helper()
	s, err := OpenReadOnly(testOptions(t, copyOf(fs)))
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, s)
	levels, err := s.db.SSTables()
	if err != nil {
		t.Fatal(err)
	}
	tables := slices.Concat(levels...)
	largest := slices.MaxFunc(tables, func(a, b pebble.SSTableInfo) int { return int(a.Size) - int(b.Size) })
	return fs.PathJoin(testDir, liveName, storeName, fmt.Sprintf("%06d.sst", uint64(largest.BackingSSTNum)))
}

func remove(t *testing.T, fs vfs.FS, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := fs.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
}

// refuses checks that both ways of opening refuse the directory with the wanted error, and leave it as it is.
func refuses(t *testing.T, fs vfs.FS, want error) {
	t.Helper()
	before := snapshot(t, fs)
	for name, open := range map[string]func(Options) (*Store, error){"Open": Open, "OpenReadOnly": OpenReadOnly} {
		s, err := open(testOptions(t, fs))
		if err == nil {
			mustClose(t, s)
			t.Fatalf("%s opened a damaged directory at %d", name, s.Head().Seq)
		}
		if want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	if _, err := Create(testOptions(t, fs), *testGroup(Head{}, 1, 1)); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("Create: %v", err)
	}
	if after := snapshot(t, fs); !slices.Equal(before, after) {
		t.Errorf("files changed:\n%s\nnow\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
}

func TestDamagedDirectoryRefuses(t *testing.T) {
	disk, _ := usedStore(t)
	head := disk.PathJoin(testDir, liveName, headName)
	store := disk.PathJoin(testDir, liveName, storeName)
	f := func(name string, want error, damage func(fs *vfs.MemFS)) {
		t.Run(name, func(t *testing.T) {
			fs := copyOf(disk)
			damage(fs)
			refuses(t, fs, want)
		})
	}
	f("no head", ErrStoreWithoutHead, func(fs *vfs.MemFS) { remove(t, fs, head) })
	f("no store", ErrHeadWithoutStore, func(fs *vfs.MemFS) { remove(t, fs, store) })
	f("empty store", ErrHeadWithoutStore, func(fs *vfs.MemFS) {
		remove(t, fs, store)
		if err := fs.MkdirAll(store, 0o755); err != nil {
			t.Fatal(err)
		}
	})
	f("neither", ErrStoreWithoutHead, func(fs *vfs.MemFS) { remove(t, fs, head, store) })
	f("no manifest marker", ErrHeadWithoutStore, func(fs *vfs.MemFS) { remove(t, fs, storeFiles(t, fs, "marker.manifest")...) })
	f("no format marker", nil, func(fs *vfs.MemFS) { remove(t, fs, storeFiles(t, fs, "marker.format")...) })
	f("no manifest", nil, func(fs *vfs.MemFS) { remove(t, fs, storeFiles(t, fs, "MANIFEST")...) })
	f("no WAL", ErrShortHistory, func(fs *vfs.MemFS) { remove(t, fs, storeFiles(t, fs, ".log")...) })
	f("no table", nil, func(fs *vfs.MemFS) { remove(t, fs, blockTable(t, fs)) })
	f("short table", nil, func(fs *vfs.MemFS) {
		path := blockTable(t, fs)
		data := readFile(t, fs, path)
		writeFile(t, fs, path, data[:len(data)-1])
	})
	f("both head slots", ErrCorrupt, func(fs *vfs.MemFS) {
		flipBit(t, fs, head, 30)
		flipBit(t, fs, head, headBlock+30)
	})
	f("short head file", ErrCorrupt, func(fs *vfs.MemFS) { writeFile(t, fs, head, nil) })
	f("head of another history", ErrCorrupt, func(fs *vfs.MemFS) { rewriteHead(t, fs, func(r *headRecord) { r.head.Hash[5]++ }) })
	f("head ahead", ErrShortHistory, func(fs *vfs.MemFS) { rewriteHead(t, fs, func(r *headRecord) { r.head.Seq++ }) })
	f("head within a group", ErrCorrupt, func(fs *vfs.MemFS) { rewriteHead(t, fs, func(r *headRecord) { r.head.Seq -= 3 }) })
	f("lost writes", ErrShortHistory, func(fs *vfs.MemFS) { rewriteHead(t, fs, func(r *headRecord) { r.writes++ }) })
}

// rewriteHead changes the newest slot and keeps it valid.
func rewriteHead(t *testing.T, fs vfs.FS, change func(*headRecord)) {
	t.Helper()
	path := fs.PathJoin(testDir, liveName, headName)
	r, err := readHead(fs, path)
	if err != nil {
		t.Fatal(err)
	}
	change(&r)
	r.gen++
	var slot [headSlotBytes]byte
	encodeHead(&slot, &r)
	data := readFile(t, fs, path)
	copy(data[int(r.gen&1)*headBlock:], slot[:])
	writeFile(t, fs, path, data)
}

// TestFlippedWALBit flips bits all over the live WAL, whose file may be a recycled one: only the part that holds the last eight groups is used.
// Every flip there is noticed.
func TestFlippedWALBit(t *testing.T) {
	disk, head := usedStore(t)
	logs := storeFiles(t, disk, ".log")
	wal := logs[len(logs)-1]
	const used = 8 * 2 * (900 + blockExtraBytes)
	for at := 0; at < used; at += 97 {
		fs := copyOf(disk)
		flipBit(t, fs, wal, at)
		before := snapshot(t, fs)
		s, err := Open(testOptions(t, fs))
		if err == nil {
			t.Errorf("flip at %d: opened at %d, head was %d", at, s.Head().Seq, head.Seq)
			mustClose(t, s)
			continue
		}
		if !slices.Equal(before, snapshot(t, fs)) {
			t.Errorf("flip at %d: files changed", at)
		}
	}
}

// TestLostOlderWAL loses a WAL whose memtable was not flushed while a younger one survives: the head is there, and a gap before it.
func TestLostOlderWAL(t *testing.T) {
	mem := vfs.NewCrashableMem()
	var hold atomic.Bool
	release, held := make(chan struct{}), make(chan struct{}, 64)
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if hold.Load() && op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") {
			held <- struct{}{}
			<-release
		}
		return nil
	}))
	s := mustCreate(t, testOptions(t, fs))
	hold.Store(true)
	for len(held) == 0 {
		mustCommit(t, s, 1, 3000)
	}
	for range 10 {
		mustCommit(t, s, 1, 100)
	}
	if err := s.head.sync(); err != nil {
		t.Fatal(err)
	}
	disk := copyOf(mem)
	hold.Store(false)
	close(release)
	mustClose(t, s)

	s = mustOpen(t, testOptions(t, copyOf(disk)))
	checkStore(t, s)
	mustClose(t, s)
	logs := storeFiles(t, disk, ".log")
	for _, log := range logs[max(0, len(logs)-2):] {
		fs := copyOf(disk)
		remove(t, fs, log)
		refuses(t, fs, ErrShortHistory)
	}
}

// TestTornHeadSlot damages one slot at a time: the other one still names a point of the history, and the rest is found in the journal.
func TestTornHeadSlot(t *testing.T) {
	disk, head := usedStore(t)
	path := disk.PathJoin(testDir, liveName, headName)
	for _, slot := range []int{0, headBlock} {
		for _, at := range []int{0, 9, 13, 20, 24, 33, 41, 50, 83} {
			fs := copyOf(disk)
			flipBit(t, fs, path, slot+at)
			s := mustOpen(t, testOptions(t, fs))
			if s.Head() != head {
				t.Errorf("slot at %d, flip at %d: head %d, want %d", slot, at, s.Head().Seq, head.Seq)
			}
			checkStore(t, s)
			mustClose(t, s)
		}
	}
}

// TestLaggingHead: power loss keeps a head record that was not fsynced for a while; the journal beyond it is history.
func TestLaggingHead(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := mustCreate(t, testOptions(t, mem))
	for range 50 {
		mustCommit(t, s, 3, 2000)
	}
	disk := mem.CrashClone(vfs.CrashCloneCfg{})
	head := s.Head()
	mustClose(t, s)
	if rec, err := readHead(disk, disk.PathJoin(testDir, liveName, headName)); err != nil || rec.head.Seq != 3 {
		t.Fatalf("head record on disk: %+v %v", rec, err)
	}
	s = mustOpen(t, testOptions(t, disk))
	defer mustClose(t, s)
	if s.Head() != head {
		t.Errorf("head %+v, want %+v", s.Head(), head)
	}
	checkStore(t, s)
}

// TestFlippedTableBit: a table is not read at open; reading it names the sequence.
func TestFlippedTableBit(t *testing.T) {
	disk, _ := usedStore(t)
	flipBit(t, disk, blockTable(t, disk), 2000)
	s, err := OpenReadOnly(testOptions(t, disk))
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, s)
	err = s.Blocks(1, func(*Block) error { return nil })
	if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "sequence ") {
		t.Errorf("reading a damaged table: %v", err)
	}
}

func TestLock(t *testing.T) {
	for name, o := range map[string]Options{"memory": testOptions(t, vfs.NewMem()), "disk": testOptions(t, vfs.Default)} {
		o.Dir = t.TempDir() + "/x/y"
		s := mustCreate(t, o)
		for _, open := range []func() (*Store, error){
			func() (*Store, error) { return Open(o) },
			func() (*Store, error) { return OpenReadOnly(o) },
			func() (*Store, error) { return Create(o, Group{}) },
		} {
			if _, err := open(); !errors.Is(err, ErrLocked) {
				t.Errorf("%s: %v", name, err)
			}
		}
		mustCommit(t, s, 1, 1)
		mustClose(t, s)
		mustClose(t, mustOpen(t, o))
	}
}

// TestDirectoryIsPrivate: the ledger is nobody else's to read, what was there before keeps its mode.
func TestDirectoryIsPrivate(t *testing.T) {
	mode := func(path string) os.FileMode {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	root := t.TempDir()
	there := filepath.Join(root, "there")
	if err := os.Mkdir(there, 0o750); err != nil {
		t.Fatal(err)
	}
	before := mode(there)
	for dir, want := range map[string]os.FileMode{filepath.Join(root, "x", "y"): 0o700, filepath.Join(root, "z"): 0o700, there: before} {
		o := testOptions(t, vfs.Default)
		o.Dir = dir
		mustClose(t, mustCreate(t, o))
		if got := mode(dir); got != want {
			t.Errorf("%s has mode %v, want %v", dir, got, want)
		}
		if got := mode(filepath.Join(dir, liveName)); got != 0o700 {
			t.Errorf("%s in it has mode %v", liveName, got)
		}
	}
}

func TestCreateOnlyWhereNothingIs(t *testing.T) {
	fs := vfs.NewMem()
	o := testOptions(t, fs)
	if _, err := Open(o); !errors.Is(err, ErrNoLedger) {
		t.Errorf("open of nothing: %v", err)
	}
	if _, err := fs.Stat(testDir); err == nil {
		t.Error("Open made the directory")
	}
	if err := fs.MkdirAll(testDir, 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, fs, fs.PathJoin(testDir, "notes.txt"), []byte("x"))
	if _, err := Create(o, *testGroup(Head{}, 1, 1)); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("create beside a file: %v", err)
	}
	remove(t, fs, fs.PathJoin(testDir, "notes.txt"))
	mustClose(t, mustCreate(t, o))
	if _, err := Create(o, *testGroup(Head{}, 1, 1)); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("create over a ledger: %v", err)
	}
}
