package journal

import (
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// dropTo drops through the block that the kth group of the walk ends with, and returns the base that must follow.
func dropTo(t *testing.T, s *Store, through uint64) Base {
	t.Helper()
	want, err := s.BaseAt(through)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.DropBlocks(through); err != nil {
		t.Fatal(err)
	}
	if got := s.Base(); got != want {
		t.Fatalf("base %+v, want %+v", got, want)
	}
	return want
}

// checkFrom checks that the store holds exactly the test groups after the base.
func checkFrom(t *testing.T, s *Store, base Base) {
	t.Helper()
	last := Head(base)
	err := s.Blocks(0, func(b *Block) error {
		if b.First != last.Seq+1 || b.Prev != last.Hash {
			t.Errorf("block %d to %d follows %d", b.First, b.Last, last.Seq)
		}
		last = Head{Seq: b.Last, Hash: b.Hash, Time: b.Time}
		return nil
	})
	if err != nil || last != s.Head() {
		t.Fatalf("the walk ends at %+v (%v), the head is %+v", last, err, s.Head())
	}
	for _, seq := range []uint64{1, base.Seq} {
		if base.Seq == 0 {
			break
		}
		if _, err := s.BlockAt(seq); !errors.Is(err, ErrDropped) {
			t.Errorf("BlockAt(%d) of what was dropped to %d: %v", seq, base.Seq, err)
		}
		if err := s.Blocks(seq, func(*Block) error { return nil }); !errors.Is(err, ErrDropped) {
			t.Errorf("Blocks(%d) of what was dropped to %d: %v", seq, base.Seq, err)
		}
	}
	if first, prev := s.First(); first != base.Seq+1 || prev != base.Hash {
		t.Errorf("First is %d, %x", first, prev)
	}
	if _, err := s.BlockAt(base.Seq + 1); err != nil {
		t.Error(err)
	}
}

func TestDropBlocks(t *testing.T) {
	mem := vfs.NewMem()
	o := testOptions(t, mem)
	s := mustCreate(t, o)
	for range 40 {
		mustCommit(t, s, 2, 5000) // 6 sequences each, flushed every few groups
	}
	head := s.Head()
	for _, bad := range []uint64{head.Seq, head.Seq + 1, 5, 6} { // the head; beyond it; within a block; within a group
		if _, err := s.DropBlocks(bad); err == nil {
			t.Errorf("dropped through %d of %d", bad, head.Seq)
		}
	}
	checkFrom(t, s, Base{})
	base := Base{}
	for _, through := range []uint64{3, 9, 9, 129, 60} { // the genesis alone; a group; again; many; what is gone
		if through > base.Seq {
			base = dropTo(t, s, through)
		} else if _, err := s.DropBlocks(through); err != nil || s.Base() != base {
			t.Fatalf("dropping through %d again: %v, base %+v", through, err, s.Base())
		}
		checkFrom(t, s, base)
	}
	mustClose(t, s)
	s = mustOpen(t, o)
	checkFrom(t, s, base)
	mustCommit(t, s, 1, 100)
	checkFrom(t, s, base)
	mustClose(t, s)
	r, err := OpenReadOnly(o)
	if err != nil {
		t.Fatal(err)
	}
	checkFrom(t, r, base)
	if _, err := r.DropBlocks(base.Seq + 6); !errors.Is(err, ErrReadOnly) {
		t.Errorf("dropped from a store opened read-only: %v", err)
	}
	mustClose(t, r)
}

// TestDropFreesDisk checks that what is dropped leaves the disk without being rewritten.
func TestDropFreesDisk(t *testing.T) {
	o := testOptions(t, vfs.NewMem())
	s := mustCreate(t, o)
	defer mustClose(t, s)
	for range 300 {
		mustCommit(t, s, 1, 30_000)
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	before := s.Metrics()
	freed, err := s.DropBlocks(s.Head().Seq - 30)
	if err != nil || freed < 8_000_000 {
		t.Fatalf("freed %d bytes: %v", freed, err)
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	for range 1000 { // what is deleted runs in the background; the size is asked until it is seen
		if s.Metrics().DiskBytes < before.DiskBytes/4 {
			break
		}
		mustCommit(t, s, 1, 100)
	}
	after := s.Metrics()
	if after.DiskBytes > before.DiskBytes/4 || after.CompactBytes-before.CompactBytes > 2_000_000 {
		t.Errorf("%d bytes on disk before, %d after; %d were rewritten", before.DiskBytes, after.DiskBytes, after.CompactBytes-before.CompactBytes)
	}
}

// TestDropLosesTheStart checks that a journal which begins elsewhere than its base says is refused.
func TestDropLosesTheStart(t *testing.T) {
	f := func(what string, change func(db *pebble.DB) error) {
		t.Helper()
		o := testOptions(t, vfs.NewMem())
		s := mustCreate(t, o)
		for range 20 {
			mustCommit(t, s, 1, 3000)
		}
		dropTo(t, s, 30)
		mustClose(t, s)
		db, err := pebble.Open(o.path(liveName, storeName), o.pebbleOptions(false, new(stallMeter)))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(change(db), db.Close()); err != nil {
			t.Fatal(err)
		}
		if s, err = OpenReadOnly(o); err == nil {
			err = s.Blocks(0, func(*Block) error { return nil })
			mustClose(t, s)
		}
		if !errors.Is(err, ErrShortHistory) && !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
	f("a block more is gone", func(db *pebble.DB) error { return db.Delete(blockKey(31), pebble.Sync) })
	f("the base is gone", func(db *pebble.DB) error { return db.Delete(baseKey, pebble.Sync) })
	f("the base names another hash", func(db *pebble.DB) error {
		b := Base{Seq: 30, Hash: Hash{1}}
		return db.Set(baseKey, b.append(nil), pebble.Sync)
	})
	f("the base does not decode", func(db *pebble.DB) error { return db.Set(baseKey, []byte{1}, pebble.Sync) })
}

// TestDropCrash cuts power at every change of a drop and of what follows it: the journal is there with its old or its new
// beginning, and reaches as far as it was promised.
func TestDropCrash(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 5))
	dropped, kept := 0, 0
	for round := range 30 {
		n := int64(1 + round%10)
		mem := vfs.NewCrashableMem()
		o := testOptions(t, mem)
		s := mustCreate(t, o)
		for range 12 {
			mustCommit(t, s, 1, 10_000) // over one memtable
		}
		mustClose(t, s)
		var acked, ended atomic.Uint64
		var promised, base uint64
		fs := newPowerCut(mem, 1<<40, []int{0, 50, 100}[round%3], rng, func() { promised, base = acked.Load(), ended.Load() })
		o.FS = fs
		s = mustOpen(t, o)
		for range 3 {
			mustCommit(t, s, 1, 10_000) // the head record on disk stays behind
		}
		acked.Store(s.Head().Seq)
		through := acked.Load() - 3*(1+uint64(round/15)*3) // at times behind what the head record on disk names
		fs.left.Store(n)
		if _, err := s.DropBlocks(through); err != nil {
			t.Fatal(err)
		}
		ended.Store(through)
		mustCommit(t, s, 1, 10_000)
		mustClose(t, s)
		disk := fs.finish()
		o = testOptions(t, disk)
		s = mustOpen(t, o)
		if s.Head().Seq < promised || s.Base().Seq < base {
			t.Fatalf("cut %d: the journal goes from %d to %d, promised was %d to %d", n, s.Base().Seq, s.Head().Seq, base, promised)
		}
		switch s.Base().Seq {
		case through:
			dropped++
		case 0:
			kept++
		default:
			t.Fatalf("cut %d: base %d", n, s.Base().Seq)
		}
		checkFrom(t, s, s.Base())
		mustClose(t, s)
	}
	t.Logf("%d cuts before and %d after the drop", kept, dropped)
	if dropped == 0 || kept == 0 {
		t.Errorf("%d cuts found the history dropped, %d found it whole", dropped, kept)
	}
}
