package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Row is a mutable row of a named key space.
type Row struct {
	Space      Space
	Key, Value []byte // not kept after the call
	Delete     bool   // remove the row instead; Value is ignored
}

// Group is what one Commit makes durable: all of it or nothing.
type Group struct {
	Blocks []BlockInput // at least one; contiguous, the first starts at Head().Seq+1
	Time   int64        // nanoseconds since the Unix epoch; not before the time of the last group
	Rows   []Row        // in the order they take effect
}

// Store is an open ledger directory.
type Store struct {
	o         Options
	db        *pebble.DB
	pebbleOpt *pebble.Options // as given to Pebble, with defaults; read only
	stalls    *stallMeter
	head      *headFile // nil in a read-only store
	lock      io.Closer // the directory's lock
	guard     *guard    // below o.FS
	readOnly  bool
	times     OpenTimes // of Open

	committing atomic.Int64 // when the Commit under way began, on the guard's clock; 0: there is none

	// Owned by the committer, the one goroutine that calls Commit.
	tip   Head
	batch *pebble.Batch // reused, so that a group costs no allocation

	durable struct {
		sync.Mutex
		head Head // what Head returns; set after fsync and head slot
		base Base // what Base returns; set before blocks are dropped
	}

	// writing orders synced writes outside of groups, so that their count grows in WAL order. Pebble's own commit queue is taken inside
	// it; the fsync is awaited outside.
	writing struct {
		sync.Mutex
		count uint64
	}

	// tables is held for reading from the ingestion of tables to the write of their markers, and for writing while Pebble's files are listed for a
	// copy. It copies the log as it is a moment after it has listed the tables: a marker would be in the copy without its table.
	tables sync.RWMutex

	stop    chan struct{}  // closed by Close: ends the head syncer
	syncer  sync.WaitGroup // the head syncer
	closing sync.Once
	closed  error // result of the first Close
}

// batchKeepBytes is the largest batch buffer kept between groups: sixteen full blocks and room for rows. Larger groups allocate.
const batchKeepBytes = 2 << 20

// newStore wraps an open database. It starts no goroutine.
func newStore(o Options, db *pebble.DB, p *pebble.Options, stalls *stallMeter) *Store {
	s := &Store{o: o, db: db, pebbleOpt: p, stalls: stalls, guard: o.FS.(*guard), readOnly: p.ReadOnly, stop: make(chan struct{})}
	if !s.readOnly {
		s.batch = db.NewBatch(pebble.WithInitialSizeBytes(64<<10), pebble.WithMaxRetainedSizeBytes(batchKeepBytes))
	}
	return s
}

// Commit appends the group to the history with its rows and returns when it is durable and the head record names it. It sets the
// blocks' hashes. One goroutine only. An error other than ErrReadOnly means that the store is unusable; what was being committed
// is there whole or not at all after the next Open. A group that does not continue the history is a bug and panics.
func (s *Store) Commit(g *Group) error {
	if s.readOnly {
		return ErrReadOnly
	}
	s.committing.Store(s.guard.now())
	defer s.committing.Store(0)
	next, err := s.apply(g)
	if err != nil {
		return err
	}
	if err := s.head.advance(next); err != nil {
		s.o.neverReturn(err)
	}
	s.guard.acknowledge()
	s.setDurable(next)
	return nil
}

// apply writes and fsyncs the group and returns the new tip.
func (s *Store) apply(g *Group) (Head, error) {
	mustContinue(s.tip, g)
	s.batch.Reset()
	next := s.tip
	for i := range g.Blocks {
		next = appendBlock(s.batch, &g.Blocks[i], g.Time, i == len(g.Blocks)-1, next)
	}
	if err := appendRows(s.batch, g.Rows); err != nil {
		return Head{}, err
	}
	if err := s.db.Apply(s.batch, s.writeOptions()); err != nil {
		return Head{}, fmt.Errorf("journal: commit of sequences %d to %d: %w", g.Blocks[0].First, next.Seq, err)
	}
	s.tip = next
	return next, nil
}

// mustContinue panics unless the group continues the history that ends at tip.
func mustContinue(tip Head, g *Group) {
	if len(g.Blocks) == 0 {
		panic("BUG: journal: group without a block")
	}
	if g.Time < tip.Time {
		panic("BUG: journal: group time goes back")
	}
	last := tip.Seq
	for i := range g.Blocks {
		b := &g.Blocks[i]
		if b.First != last+1 || b.Last < b.First {
			panic(fmt.Sprintf("BUG: journal: block %d to %d does not follow sequence %d", b.First, b.Last, last))
		}
		if len(b.Body) > BodyBytesMax {
			panic(fmt.Sprintf("BUG: journal: block %d has a body of %d bytes", b.First, len(b.Body)))
		}
		last = b.Last
	}
}

func appendBlock(batch *pebble.Batch, in *BlockInput, time int64, final bool, prev Head) Head {
	op := batch.SetDeferred(blockKeyBytes, blockExtraBytes+len(in.Body))
	putBlockKey(op.Key, in.First)
	in.Hash = encodeBlock(op.Value, in, time, final, &prev.Hash)
	if err := op.Finish(); err != nil {
		panic("BUG: journal: batch without index cannot fail: " + err.Error())
	}
	return Head{Seq: in.Last, Hash: in.Hash, Time: time}
}

func appendRows(batch *pebble.Batch, rows []Row) error {
	for i := range rows {
		r := &rows[i]
		mustSpace(r.Space)
		var op *pebble.DeferredBatchOp
		if r.Delete {
			op = batch.DeleteDeferred(1 + len(r.Key))
		} else {
			op = batch.SetDeferred(1+len(r.Key), len(r.Value))
			copy(op.Value, r.Value)
		}
		op.Key[0] = byte(r.Space)
		copy(op.Key[1:], r.Key)
		if err := op.Finish(); err != nil {
			return fmt.Errorf("journal: row of space %#x: %w", byte(r.Space), err)
		}
	}
	return nil
}

func (s *Store) writeOptions() *pebble.WriteOptions {
	if s.o.unsafeNoSync {
		return pebble.NoSync //nolint:forbidigo // the crash rig alone asks for it, to show that it notices a store that does not sync
	}
	return pebble.Sync
}

// Write writes rows outside of a group, as one atomic batch; safe beside Commit and beside itself. With sync it returns when they are
// durable; without, a crash may lose them, but never an earlier write and not a later one. Two writes to one key from
// two goroutines take effect in either order.
func (s *Store) Write(rows []Row, sync bool) error {
	if s.readOnly {
		return ErrReadOnly
	}
	batch := s.db.NewBatch()
	defer batch.Close()
	if err := appendRows(batch, rows); err != nil {
		return err
	}
	if !sync {
		return wrapWrite(s.db.Apply(batch, pebble.NoSync)) //nolint:forbidigo // nothing is answered: a later synced write covers these rows
	}
	return s.writeCounted(batch)
}

// writeCounted writes a batch that is no group, with the next count, and returns when it is durable.
func (s *Store) writeCounted(batch *pebble.Batch) error {
	if s.o.unsafeNoSync {
		return wrapWrite(s.db.Apply(batch, pebble.NoSync)) //nolint:forbidigo // see writeOptions
	}
	count, err := s.enqueue(batch)
	if err != nil {
		return wrapWrite(err)
	}
	// Apply calls Fatalf when the fsync fails; SyncWait only says so.
	if err := batch.SyncWait(); err != nil {
		s.o.neverReturn(wrapWrite(err))
	}
	if err := s.head.countWrites(count); err != nil {
		s.o.neverReturn(err)
	}
	s.guard.acknowledge()
	return nil
}

// enqueue adds the next count to the batch and hands it to the WAL, in the order of the counts.
func (s *Store) enqueue(batch *pebble.Batch) (uint64, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	count := s.writing.count + 1
	if err := batch.Set(writesKey, binary.BigEndian.AppendUint64(nil, count), nil); err != nil {
		return 0, err
	}
	if err := s.db.ApplyNoSyncWait(batch, pebble.Sync); err != nil {
		return 0, err
	}
	s.writing.count = count
	return count, nil
}

func wrapWrite(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("journal: write rows: %w", err)
}

// Head returns the end of the durable history; safe from any goroutine.
func (s *Store) Head() Head {
	s.durable.Lock()
	defer s.durable.Unlock()
	return s.durable.head
}

func (s *Store) setDurable(h Head) {
	s.durable.Lock()
	s.durable.head = h
	s.durable.Unlock()
}

// startSyncer starts the goroutine that fsyncs the head record every HeadSync; Close stops it and waits for it.
func (s *Store) startSyncer() {
	s.syncer.Add(1)
	go func() {
		defer s.syncer.Done()
		ticker := time.NewTicker(s.o.HeadSync)
		defer ticker.Stop()
		for {
			select {
			case <-s.stop:
				return
			case <-ticker.C:
				if err := s.head.sync(); err != nil {
					s.o.neverReturn(err)
				}
			}
		}
	}()
}

// Close ends the head syncer, fsyncs the head record and closes the store; the directory may then be opened again. Everything committed
// stays. No other call may be under way, and no iterator open. A second Close returns the first one's result.
func (s *Store) Close() error {
	s.closing.Do(func() { s.closed = s.close() })
	return s.closed
}

// flushWait bounds the wait for the last flush: on a disk that takes nothing it would never end.
const flushWait = 2 * time.Second

// flush writes the memtables to tables, so that the next open has no log to read. Nothing depends on it, and on a disk
// that may be full it is not tried: Pebble panics when it cannot begin a log.
func (s *Store) flush() error {
	if !s.hasRoom() {
		return nil
	}
	done, err := s.db.AsyncFlush()
	if err != nil {
		return err
	}
	timer := time.NewTimer(flushWait)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
	return nil
}

// hasRoom reports whether the disk surely takes all memtables, and as much again.
func (s *Store) hasRoom() bool {
	room, err := s.o.FS.GetDiskUsage(s.o.path(liveName))
	return err == nil && room.AvailBytes >= 2*memTables*s.o.MemTableBytes
}

func (s *Store) close() error {
	close(s.stop)
	s.syncer.Wait()
	if !s.readOnly { // the check before an open has the same guard
		close(s.guard.stop)
	}
	var errs []error
	if s.batch != nil {
		errs = append(errs, s.batch.Close(), s.flush())
	}
	errs = append(errs, s.db.Close())
	if s.head != nil {
		errs = append(errs, s.head.sync(), s.head.f.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("journal: close: %w", err)
	}
	return nil
}
