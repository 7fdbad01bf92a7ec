package journal

import (
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Health is what the store is doing on its disk, and what of it goes wrong.
type Health struct {
	// Commit is how long the Commit under way has taken; 0: there is none. It is long when an fsync hangs, and when
	// writes wait because tables cannot be written.
	Commit time.Duration
	// Critical is the write to the log, the manifest or the head record that has been under way for the longest, Any the one to any file. An
	// operation that hangs keeps growing here.
	Critical, Any UnderWay
	// Tables is why flushes, compactions or tables of ours cannot be written, and TablesFor since when; nil: they can, or nobody has tried for
	// three seconds. Nothing is lost and each is tried again, but what cannot be flushed fills the memory and then holds commits up.
	Tables    error
	TablesFor time.Duration
}

// UnderWay is an operation that has not returned. The zero value is none.
type UnderWay struct {
	Op, Path string
	For      time.Duration
}

// Health looks at what is under way. It takes no lock of Pebble's and waits for no disk.
func (s *Store) Health() Health {
	g := s.guard
	var h Health
	now := g.now()
	if since := s.committing.Load(); since != 0 {
		h.Commit = max(1, time.Duration(now-since))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	look := func(op *operation) {
		since := op.since.Load()
		if since == 0 {
			return
		}
		at := UnderWay{op.name, op.path, max(1, time.Duration(now-since))}
		if at.For > h.Any.For {
			h.Any = at
		}
		if op.class >= criticalFile && at.For > h.Critical.For {
			h.Critical = at
		}
	}
	for f := range g.files {
		look(&f.ops[0])
		look(&f.ops[1])
	}
	for op := range g.others {
		look(op)
	}
	if t := &g.table; t.err != nil && now-t.last < int64(tableFaultKept) {
		h.Tables, h.TablesFor = t.err, time.Duration(now-t.since)
	}
	return h
}

// DiskSpace is what the file system of the ledger has; known is false where it does not tell.
func (s *Store) DiskSpace() (free, total uint64, known bool, err error) {
	usage, err := s.o.FS.GetDiskUsage(s.o.Dir)
	if errors.Is(err, vfs.ErrUnsupported) {
		return 0, 0, false, nil
	}
	return usage.AvailBytes, usage.TotalBytes, err == nil, err
}
