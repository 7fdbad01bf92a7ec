package journal

import (
	"sync"
	"time"
)

// Metrics are the store's counters since it was opened, unless said otherwise.
type Metrics struct {
	DiskBytes      uint64        // bytes on disk now, WAL included
	WALBytes       uint64        // bytes written to the WAL
	FlushBytes     uint64        // bytes written by flushes
	CompactBytes   uint64        // bytes rewritten by compactions; files that only moved down do not count
	IngestBytes    uint64        // bytes of ingested tables
	MemTableBytes  uint64        // memory of memtables now
	CacheBytes     int64         // memory of the block cache now
	L0Files        int64         // files in L0 now
	L0Sublevels    int32         // layers a read of L0 passes now
	CompactionDebt uint64        // bytes that compaction is estimated to have before it
	Stalls         uint64        // times that writes waited for flush or compaction
	StallTime      time.Duration // how long they waited, a stall under way included
}

// Metrics returns the counters; safe from any goroutine. It takes Pebble's lock, so a few times a second is enough.
func (s *Store) Metrics() Metrics {
	m := s.db.Metrics()
	total := m.Total()
	flushed := uint64(0) // Total adds the WAL's bytes to those of the flushes
	for i := range m.Levels {
		flushed += m.Levels[i].TableBytesFlushed
	}
	stalls, stallTime := s.stalls.read()
	return Metrics{
		DiskBytes:      m.DiskSpaceUsage(),
		WALBytes:       m.WAL.BytesWritten,
		FlushBytes:     flushed,
		CompactBytes:   total.TableBytesCompacted,
		IngestBytes:    total.TableBytesIngested,
		MemTableBytes:  m.MemTable.Size,
		CacheBytes:     m.BlockCache.Size,
		L0Files:        m.Levels[0].TablesCount,
		L0Sublevels:    m.Levels[0].Sublevels,
		CompactionDebt: m.Compact.EstimatedDebt,
		Stalls:         stalls,
		StallTime:      stallTime,
	}
}

// stallMeter counts write stalls, which Pebble reports one at a time.
type stallMeter struct {
	mu    sync.Mutex
	count uint64        // guarded by mu
	total time.Duration // guarded by mu: of the stalls that ended
	since time.Time     // guarded by mu: start of the stall under way, zero if none
}

func (m *stallMeter) begin() {
	m.mu.Lock()
	m.count++
	m.since = time.Now()
	m.mu.Unlock()
}

func (m *stallMeter) end() {
	m.mu.Lock()
	m.total += time.Since(m.since)
	m.since = time.Time{}
	m.mu.Unlock()
}

func (m *stallMeter) read() (uint64, time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	total := m.total
	if !m.since.IsZero() {
		total += time.Since(m.since)
	}
	return m.count, total
}
