package journal

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestCommitAndReopen(t *testing.T) {
	o := testOptions(t, vfs.NewMem())
	s := mustCreate(t, o)
	for range 40 {
		mustCommit(t, s, 3, 5000)
	}
	checkStore(t, s)
	head := s.Head()
	mustClose(t, s)
	for range 3 {
		s = mustOpen(t, o)
		if s.Head() != head {
			t.Fatalf("head %+v after reopening, want %+v", s.Head(), head)
		}
		checkStore(t, s)
		mustCommit(t, s, 1, 10)
		checkStore(t, s)
		head = s.Head()
		mustClose(t, s)
	}
	if m, err := Exists(o); !m || err != nil {
		t.Errorf("Exists: %v %v", m, err)
	}
}

func TestCommitFillsHashes(t *testing.T) {
	s := mustCreate(t, testOptions(t, vfs.NewMem()))
	defer mustClose(t, s)
	g := testGroup(s.Head(), 3, 70)
	if err := s.Commit(g); err != nil {
		t.Fatal(err)
	}
	for i := range g.Blocks {
		b, err := s.BlockAt(g.Blocks[i].First + 1)
		if err != nil {
			t.Fatal(err)
		}
		if b.Hash != g.Blocks[i].Hash || b.Final != (i == 2) || b.Time != g.Time {
			t.Errorf("block %d: %+v", i, b)
		}
	}
	if g.Blocks[2].Hash != s.Head().Hash {
		t.Error("head is not the last block")
	}
}

func TestCommitPanicsOnBugs(t *testing.T) {
	s := mustCreate(t, testOptions(t, vfs.NewMem()))
	defer mustClose(t, s)
	f := func(name string, change func(*Group)) {
		t.Helper()
		defer func() {
			if r := fmt.Sprint(recover()); !strings.HasPrefix(r, "BUG:") {
				t.Errorf("%s: recovered %s", name, r)
			}
			checkStore(t, s)
		}()
		g := testGroup(s.Head(), 2, 50)
		change(g)
		err := s.Commit(g)
		t.Errorf("%s: no panic, error %v", name, err)
	}
	f("no block", func(g *Group) { g.Blocks = nil })
	f("gap", func(g *Group) { g.Blocks[1].First++ })
	f("repeat", func(g *Group) { g.Blocks[0].First-- })
	f("empty range", func(g *Group) { g.Blocks[1].Last = g.Blocks[1].First - 1 })
	f("time goes back", func(g *Group) { g.Time = s.Head().Time - 1 })
	f("huge body", func(g *Group) { g.Blocks[0].Body = make([]byte, BodyBytesMax+1) })
	f("unknown space", func(g *Group) { g.Rows[0].Space = Space(blockByte) })
}

func TestBlocksFromTheMiddle(t *testing.T) {
	s := mustCreate(t, testOptions(t, vfs.NewMem()))
	defer mustClose(t, s)
	for range 10 {
		mustCommit(t, s, 2, 100)
	}
	f := func(from, want uint64) {
		t.Helper()
		var firsts []uint64
		if err := s.Blocks(from, func(b *Block) error { firsts = append(firsts, b.First); return nil }); err != nil {
			t.Fatal(err)
		}
		if want == 0 {
			if len(firsts) != 0 {
				t.Errorf("from %d: got %v, want none", from, firsts)
			}
			return
		}
		if firsts[0] != want || firsts[len(firsts)-1] != s.Head().Seq-2 {
			t.Errorf("from %d: got %v", from, firsts)
		}
	}
	f(0, 1)
	f(1, 1)
	f(3, 1)
	f(4, 4)
	f(s.Head().Seq, s.Head().Seq-2)
	f(s.Head().Seq+1, 0)
	f(^uint64(0), 0)
	stop := errors.New("stop")
	if err := s.Blocks(1, func(*Block) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error of fn: %v", err)
	}
	for _, seq := range []uint64{0, s.Head().Seq + 1} {
		if _, err := s.BlockAt(seq); err == nil {
			t.Errorf("BlockAt(%d) succeeded", seq)
		}
	}
}

func TestRows(t *testing.T) {
	o := testOptions(t, vfs.NewMem())
	s := mustCreate(t, o)
	rows := []Row{
		{Space: SpaceLines, Key: []byte("b"), Value: []byte("2")},
		{Space: SpaceLines, Key: nil, Value: []byte("0")},
		{Space: SpaceLines, Key: []byte("a"), Value: []byte("1")},
		{Space: SpaceManifest, Key: []byte("a"), Value: nil},
	}
	if err := s.Write(rows, true); err != nil {
		t.Fatal(err)
	}
	if err := s.Write([]Row{{Space: SpaceLines, Key: []byte("a"), Delete: true}, {Space: SpaceLines, Key: []byte("c"), Value: []byte("3")}}, false); err != nil {
		t.Fatal(err)
	}
	f := func(space Space, lo, hi []byte, want string) {
		t.Helper()
		var got []string
		err := s.Scan(space, lo, hi, func(k, v []byte) (bool, error) {
			got = append(got, fmt.Sprintf("%s=%s", k, v))
			return true, nil
		})
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("scan %v %q %q: %v %v, want %s", space, lo, hi, got, err, want)
		}
	}
	for range 2 {
		f(SpaceLines, nil, nil, "=0 b=2 c=3")
		f(SpaceLines, []byte("a"), []byte("c"), "b=2")
		f(SpaceManifest, nil, nil, "a=")
		f(SpacePublisher, nil, nil, "")
		mustClose(t, s)
		s = mustOpen(t, o)
	}
	if _, found, err := s.Get(SpaceLines, []byte("a")); found || err != nil {
		t.Errorf("deleted row: %v %v", found, err)
	}
	mustClose(t, s)
}

// TestWriteBesideCommit runs synced writes from several goroutines beside commits; the race detector and the count are the judges.
func TestWriteBesideCommit(t *testing.T) {
	o := testOptions(t, vfs.NewMem())
	s := mustCreate(t, o)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 50 {
				key := fmt.Appendf(nil, "%d/%d", w, i)
				if err := s.Write([]Row{{Space: SpacePublisher, Key: key, Value: key}}, true); err != nil {
					t.Error(err)
				}
				_ = s.Head()
			}
		}()
	}
	for range 50 {
		mustCommit(t, s, 2, 300)
	}
	wg.Wait()
	if rec := s.head.record(); rec.writes != 200 || rec.head != s.Head() {
		t.Errorf("head record %+v", rec)
	}
	mustClose(t, s)
	s = mustOpen(t, o)
	defer mustClose(t, s)
	rows := 0
	if err := s.Scan(SpacePublisher, nil, nil, func(k, v []byte) (bool, error) { rows++; return bytes.Equal(k, v), nil }); err != nil {
		t.Fatal(err)
	}
	if rows != 200 || s.writing.count != 200 {
		t.Errorf("%d rows, count %d, want 200", rows, s.writing.count)
	}
	checkStore(t, s)
}

func TestReadOnly(t *testing.T) {
	mem := vfs.NewMem()
	o := testOptions(t, mem)
	if _, err := OpenReadOnly(o); !errors.Is(err, ErrNoLedger) {
		t.Fatalf("open of nothing: %v", err)
	}
	s := mustCreate(t, o)
	mustCommit(t, s, 4, 9000)
	mustClose(t, s)
	before := snapshot(t, mem)
	s, err := OpenReadOnly(o)
	if err != nil {
		t.Fatal(err)
	}
	checkStore(t, s)
	if _, err := Open(o); !errors.Is(err, ErrLocked) {
		t.Errorf("second open: %v", err)
	}
	_, tableErr := s.NewTable(KindStatement, 1)
	for i, err := range []error{s.Commit(testGroup(s.Head(), 1, 1)), s.Write(nil, true), tableErr, s.Ingest(nil, nil), s.DropTable(KindStatement, 1)} {
		if !errors.Is(err, ErrReadOnly) {
			t.Errorf("write %d: %v", i, err)
		}
	}
	mustClose(t, s)
	if after := snapshot(t, mem); !slices.Equal(before, after) {
		t.Errorf("files changed:\n%s\nnow\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
}

func TestValidate(t *testing.T) {
	_, err := Open(Options{CacheBytes: -1, MemTableBytes: 1, HeadSync: -1})
	for _, word := range []string{"Dir", "CacheBytes", "MemTableBytes", "HeadSync"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("error does not name %s: %v", word, err)
		}
	}
}

func TestMetrics(t *testing.T) {
	s := mustCreate(t, testOptions(t, vfs.NewMem()))
	defer mustClose(t, s)
	for range 20 {
		mustCommit(t, s, 2, 20_000)
	}
	if m := s.Metrics(); m.WALBytes < 800_000 || m.FlushBytes == 0 || m.DiskBytes == 0 {
		t.Errorf("%+v", m)
	}
}
