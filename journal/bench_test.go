package journal

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// benchStore is a store with the default settings on a real directory.
func benchStore(b *testing.B) *Store {
	b.Helper()
	o := testOptions(b, vfs.Default)
	o.Dir, o.MemTableBytes, o.HeadSync = b.TempDir(), 0, 0
	return mustCreate(b, o)
}

func benchCommit(b *testing.B, blocks, size int) {
	s := benchStore(b)
	defer mustClose(b, s)
	g := testGroup(s.Head(), blocks, size)
	b.SetBytes(int64(blocks * size))
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		next := s.Head().Seq + 1
		for i := range g.Blocks {
			g.Blocks[i].First, g.Blocks[i].Last = next, next+99
			next += 100
		}
		if err := s.Commit(g); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	m := s.Metrics()
	written := float64(b.N * blocks * size)
	b.ReportMetric(float64(m.FlushBytes)/written, "flushed/B")
	b.ReportMetric(float64(m.CompactBytes)/written, "compacted/B")
	b.ReportMetric(float64(m.L0Files), "L0-files")
	b.ReportMetric(float64(m.Stalls), "stalls")
	b.ReportMetric(float64(m.StallTime.Milliseconds()), "stall-ms")
	if want := uint64(3 + b.N*blocks*100); s.Head().Seq != want {
		b.Fatalf("head %d, want %d", s.Head().Seq, want)
	}
}

func BenchmarkCommit256K(b *testing.B) { benchCommit(b, 4, BlockBytes) }
func BenchmarkCommit1M(b *testing.B)   { benchCommit(b, 16, BlockBytes) }
func BenchmarkCommitTiny(b *testing.B) { benchCommit(b, 1, 128) }

func BenchmarkHeadSlot(b *testing.B) {
	s := benchStore(b)
	defer mustClose(b, s)
	h := s.Head()
	b.ReportAllocs()
	for range b.N {
		h.Seq++
		if err := s.head.advance(h); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	if s.head.record().head.Seq != h.Seq {
		b.Fatal("head did not move")
	}
}

// BenchmarkOpen opens a ledger whose WAL holds most of a memtable.
func BenchmarkOpen(b *testing.B) {
	s := benchStore(b)
	o := s.o
	for range 200 {
		mustCommit(b, s, 4, BlockBytes)
	}
	mustClose(b, s)
	for range b.N {
		start := time.Now()
		s, err := OpenReadOnly(o)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "open-ms")
		mustClose(b, s)
	}
}
