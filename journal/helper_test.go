package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const testDir = "d"

// testOptions are options on a memory file system with small memtables, so that flushes happen in a short test.
func testOptions(tb testing.TB, fs vfs.FS) Options {
	return Options{
		Dir:           testDir,
		FS:            fs,
		MemTableBytes: 64 << 10,
		HeadSync:      time.Hour, // tests fsync the head when they mean to
		Logger:        slog.New(slog.DiscardHandler),
		Fatal:         func(err error) { panic(fmt.Sprintf("fatal: %v", err)) },
	}
}

// body is the body that the test group ending at last stores in the block that starts at first.
func body(first uint64, size int) []byte {
	b := make([]byte, size)
	rng := rand.New(rand.NewPCG(first, 7))
	for i := 0; i+8 <= size; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], rng.Uint64())
	}
	return b
}

// testGroup makes a group of n blocks of three commands after head, and one row that names its last sequence.
func testGroup(head Head, n, size int) *Group {
	g := &Group{Time: head.Time + 5}
	for range n {
		first := head.Seq + 1
		g.Blocks = append(g.Blocks, BlockInput{First: first, Last: first + 2, Body: body(first, size)})
		head.Seq += 3
	}
	g.Rows = []Row{{Space: SpaceMarker, Key: []byte("last"), Value: binary.BigEndian.AppendUint64(nil, head.Seq)}}
	return g
}

func mustCreate(tb testing.TB, o Options) *Store {
	tb.Helper()
	s, err := Create(o, *testGroup(Head{}, 1, 100))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func mustOpen(tb testing.TB, o Options) *Store {
	tb.Helper()
	s, err := Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func mustClose(tb testing.TB, s *Store) {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
}

func mustCommit(tb testing.TB, s *Store, n, size int) {
	tb.Helper()
	if err := s.Commit(testGroup(s.Head(), n, size)); err != nil {
		tb.Fatal(err)
	}
}

// checkStore checks that the store holds exactly the test groups up to its head, whose row agrees.
func checkStore(tb testing.TB, s *Store) {
	tb.Helper()
	var last Head
	err := s.Blocks(1, func(b *Block) error {
		if b.First != last.Seq+1 || b.Prev != last.Hash {
			tb.Errorf("block %d to %d follows %d", b.First, b.Last, last.Seq)
		}
		if !bytes.Equal(b.Body, body(b.First, len(b.Body))) {
			tb.Errorf("block %d has another body", b.First)
		}
		last = Head{Seq: b.Last, Hash: b.Hash, Time: b.Time}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	if last != s.Head() {
		tb.Errorf("blocks end at %+v, head is %+v", last, s.Head())
	}
	row, found, err := s.Get(SpaceMarker, []byte("last"))
	if err != nil || !found || binary.BigEndian.Uint64(row) != last.Seq {
		tb.Errorf("row of the last group: %x %v %v, want %d", row, found, err, last.Seq)
	}
}
