package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Open opens the ledger in Options.Dir for reading and writing. Pebble's own Open destroys what it does not understand: with a marker
// file gone it starts an empty store over the old one and deletes the old tables. So everything is checked on a read-only open first, which changes nothing,
// and only then is the store opened for writing. ErrNoLedger if there is none; after any error the directory is as it was.
func Open(o Options) (*Store, error) {
	if err := o.prepare(); err != nil {
		return nil, err
	}
	lock, err := lockLedger(&o)
	if err != nil {
		return nil, err
	}
	s, err := openLocked(o)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	s.lock = lock
	return s, nil
}

// OpenTimes is how long the steps of Open took.
type OpenTimes struct {
	Check time.Duration // read-only open, checks, close
	Open  time.Duration // for writing
}

// OpenTimes returns how long Open took; zero of a store that was created or is read-only.
func (s *Store) OpenTimes() OpenTimes { return s.times }

// OpenReadOnly opens the ledger for a checker: the same checks as Open, nothing on disk is changed, and Commit, Write, NewTable, Ingest and
// DropTable answer ErrReadOnly. What a power loss left beyond the head record is part of the history it shows.
func OpenReadOnly(o Options) (*Store, error) {
	if err := o.prepare(); err != nil {
		return nil, err
	}
	lock, err := lockLedger(&o)
	if err != nil {
		return nil, err
	}
	s, err := openChecked(o)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	s.lock = lock
	return s, nil
}

// Exists says whether Options.Dir holds a ledger, whole or damaged. An interrupted Create is none.
func Exists(o Options) (bool, error) {
	if err := o.prepare(); err != nil {
		return false, err
	}
	return exists(o.FS, o.path(liveName))
}

// prepare fills the options, checks them and puts the guard below everything.
func (o *Options) prepare() error {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return err
	}
	o.FS = newGuard(o.FS, o.Fatal)
	return nil
}

func exists(fs vfs.FS, path string) (bool, error) {
	_, err := fs.Stat(path)
	switch {
	case err == nil:
		return true, nil
	case oserror.IsNotExist(err):
		return false, nil
	}
	return false, fmt.Errorf("journal: stat %s: %w", path, err)
}

// lockLedger locks the directory of an existing ledger.
func lockLedger(o *Options) (io.Closer, error) {
	there, err := exists(o.FS, o.path(liveName))
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, fmt.Errorf("%w: %s", ErrNoLedger, o.Dir)
	}
	return lockDir(o)
}

// lockDir takes the directory's lock, which is held from before the first check until Close.
func lockDir(o *Options) (io.Closer, error) {
	lock, err := o.FS.Lock(o.path(lockName))
	if err == nil {
		return lock, nil
	}
	if there, statErr := exists(o.FS, o.Dir); statErr == nil && there && !oserror.IsPermission(err) {
		return nil, fmt.Errorf("%w: %s: %w", ErrLocked, o.Dir, err)
	}
	return nil, fmt.Errorf("journal: lock %s: %w", o.Dir, err)
}

// openLocked opens for writing what a read-only open has found in order. The caller holds the lock.
func openLocked(o Options) (*Store, error) {
	began := time.Now()
	checked, err := openChecked(o)
	if err != nil {
		return nil, err
	}
	tip, writes, base := checked.tip, checked.writing.count, checked.Base()
	if err := checked.Close(); err != nil {
		return nil, err
	}
	took := time.Since(began)
	s, err := openWritable(o, tip)
	if err != nil {
		return nil, err
	}
	s.setBase(base)
	if err := s.adopt(tip, writes); err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	s.times = OpenTimes{Check: took, Open: time.Since(began) - took}
	s.startSyncer()
	s.guard.armed.Store(true)
	return s, nil
}

// openWritable opens the store for writing; its flush of the replayed WAL makes everything it shows durable.
func openWritable(o Options, tip Head) (*Store, error) {
	stalls := new(stallMeter)
	p := o.pebbleOptions(false, stalls)
	var opened atomic.Bool
	p.EventListener.BackgroundError = func(err error) {
		if !opened.Load() { // Pebble's Open flushes, waits for it, and would try for ever
			o.neverReturn(fmt.Errorf("journal: open store: %s cannot be written: %w", o.path(liveName, storeName), err))
		}
	}
	db, err := pebble.Open(o.path(liveName, storeName), p)
	if err != nil {
		return nil, fmt.Errorf("journal: open store: %w", err)
	}
	opened.Store(true)
	p.EnsureDefaults()
	s := newStore(o, db, p, stalls)
	if last, err := lastBlock(db); err != nil || last != tip {
		err = errors.Join(err, fmt.Errorf("%w: journal ends at %d after it ended at %d", ErrShortHistory, last.Seq, tip.Seq))
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// adopt makes tip the head, durably, and clears away what interrupted work left behind.
func (s *Store) adopt(tip Head, writes uint64) error {
	old, err := readHead(s.o.FS, s.o.path(liveName, headName))
	if err != nil {
		return err
	}
	head, err := openHeadFile(s.o.FS, s.o.path(liveName, headName), headRecord{gen: old.gen, writes: writes, head: tip})
	if err != nil {
		return err
	}
	s.head, s.tip, s.writing.count = head, tip, writes
	s.setDurable(tip)
	for _, left := range []string{s.o.path(newName), s.o.path(liveName, buildName)} {
		if err := s.o.FS.RemoveAll(left); err != nil {
			return errors.Join(fmt.Errorf("journal: remove leftover: %w", err), head.f.Close())
		}
	}
	return nil
}

// openChecked opens the store read-only and checks it against the head record. The caller holds the lock.
func openChecked(o Options) (*Store, error) {
	rec, err := locate(&o)
	if err != nil {
		return nil, err
	}
	stalls := new(stallMeter)
	p := o.pebbleOptions(true, stalls)
	db, err := pebble.Open(o.path(liveName, storeName), p)
	if errors.Is(err, pebble.ErrDBDoesNotExist) {
		return nil, fmt.Errorf("%w: the head is at sequence %d: %s: %w", ErrHeadWithoutStore, rec.head.Seq, o.filesInUse(), err)
	}
	if err != nil {
		return nil, o.openFailed(&rec, err)
	}
	base, tip, writes, err := checkContents(db, rec)
	if err != nil {
		return nil, errors.Join(o.checkFailed(&rec, err), db.Close())
	}
	s := newStore(o, db, p, stalls)
	s.tip, s.writing.count = tip, writes
	s.setDurable(tip)
	s.setBase(base)
	return s, nil
}

// checkContents reads where the history begins and checks it against the head record.
func checkContents(db *pebble.DB, rec headRecord) (base Base, tip Head, writes uint64, err error) {
	if base, err = readBase(db); err == nil {
		tip, writes, err = checkHistory(db, base, rec)
	}
	return base, tip, writes, err
}

// locate finds head record and store, and refuses one without the other.
func locate(o *Options) (headRecord, error) {
	head, err := exists(o.FS, o.path(liveName, headName))
	if err != nil {
		return headRecord{}, err
	}
	if !head {
		return headRecord{}, fmt.Errorf("%w: %s is missing, so the last sequence is not known", ErrStoreWithoutHead, o.path(liveName, headName))
	}
	store, err := exists(o.FS, o.path(liveName, storeName))
	if err != nil {
		return headRecord{}, err
	}
	if !store {
		return headRecord{}, fmt.Errorf("%w: %s is missing", ErrHeadWithoutStore, o.path(liveName, storeName))
	}
	return readHead(o.FS, o.path(liveName, headName))
}

// checkHistory checks that the journal contains the block the head record names, and that from the last flushed block to the end nothing is
// missing: a lost WAL leaves a gap there, in front of the head if a later WAL survived. Tables are guarded by the manifest,
// whose files Pebble checks on open. It returns the end of the history, which may lie beyond the head record.
func checkHistory(db *pebble.DB, base Base, rec headRecord) (Head, uint64, error) {
	if rec.head.Seq <= base.Seq {
		return Head{}, 0, fmt.Errorf("%w: the head is at %d, what was dropped ends at %d", ErrCorrupt, rec.head.Seq, base.Seq)
	}
	if err := checkBegin(db, base); err != nil {
		return Head{}, 0, err
	}
	start, err := checkStart(db, rec.head.Seq)
	if err != nil {
		return Head{}, 0, err
	}
	start = max(start, base.Seq+1) // flushed blocks may be dropped by what is in the log only
	last, err := lastBlock(db)
	if err != nil {
		return Head{}, 0, err
	}
	if last.Seq < rec.head.Seq {
		return Head{}, 0, fmt.Errorf("%w: sequence %d is missing, the head is at %d", ErrShortHistory, last.Seq+1, rec.head.Seq)
	}
	if err := checkTail(db, base, start, last.Seq, rec.head); err != nil {
		return Head{}, 0, err
	}
	writes, err := countedWrites(db)
	if err != nil {
		return Head{}, 0, err
	}
	if writes < rec.writes {
		return Head{}, 0, fmt.Errorf("%w: rows of %d of %d synced writes are missing", ErrShortHistory, rec.writes-writes, rec.writes)
	}
	return last, writes, nil
}

// checkStart is the first sequence of the last flushed block, or of the head's block if that comes first.
func checkStart(db *pebble.DB, head uint64) (start uint64, err error) {
	it, err := newBlockIter(db, true)
	if err != nil {
		return 0, err
	}
	defer closeIter(it, &err)
	if !seekBlock(it, head) {
		if err := it.Error(); err != nil {
			return 1, readError(fmt.Sprintf("sequence %d", head), err)
		}
		return 1, nil
	}
	return blockSeq(it.Key()), nil
}

// checkTail walks the chain from start to last and looks for the head's block on the way.
func checkTail(db *pebble.DB, base Base, start, last uint64, head Head) error {
	found, final := false, false
	err := walkBlocks(db, base, start, last, func(b *Block) error {
		final = b.Final
		if b.Last == head.Seq {
			found = b.Hash == head.Hash && b.Time == head.Time && b.Final
		}
		return nil
	})
	switch {
	case errors.Is(err, errMissing):
		return fmt.Errorf("%w: %w", ErrShortHistory, err)
	case err != nil:
		return err
	case !found:
		return atSeq(head.Seq, errors.New("journal holds another block than the head record names"))
	case !final:
		return atSeq(last, errors.New("journal ends within a group"))
	}
	return nil
}

// lastBlock returns the end of the journal, its hash checked; the zero Head if the journal is empty.
func lastBlock(db *pebble.DB) (h Head, err error) {
	it, err := newBlockIter(db, false)
	if err != nil {
		return Head{}, err
	}
	defer closeIter(it, &err)
	if !it.Last() {
		if err := it.Error(); err != nil {
			return Head{}, readError("end of the journal", err)
		}
		return Head{}, nil
	}
	var b Block
	if err := loadBlock(it, blockSeq(it.Key()), &b); err != nil {
		return Head{}, err
	}
	return Head{Seq: b.Last, Hash: b.Hash, Time: b.Time}, nil
}

// countedWrites is the number of synced writes outside of groups that the store holds.
func countedWrites(db *pebble.DB) (uint64, error) {
	value, found, err := get(db, writesKey)
	if err != nil || !found {
		return 0, err
	}
	if len(value) != 8 {
		return 0, fmt.Errorf("%w: count of writes has %d bytes", ErrCorrupt, len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}
