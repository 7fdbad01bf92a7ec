package journal

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Base is the end of the history that was dropped: the block that starts at Seq+1 names Hash as its predecessor's. The zero Base: nothing
// was dropped, the first block starts at sequence 1.
type Base struct {
	Seq  uint64 // last sequence that was dropped
	Hash Hash   // hash of the block that ended there
	Time int64  // time of that block's group
}

// baseKey is the row that says where the stored history begins. It is written with the deletion of what lies before, as one batch: either both
// are there after a crash or neither.
var baseKey = []byte{metaByte, 'b'}

const baseBytes = 8 + 32 + 8

func (b *Base) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, b.Seq)
	dst = append(dst, b.Hash[:]...)
	return binary.BigEndian.AppendUint64(dst, uint64(b.Time))
}

// readBase reads where the stored history begins.
func readBase(db *pebble.DB) (b Base, err error) {
	value, found, err := get(db, baseKey)
	if err != nil || !found {
		return b, err
	}
	if len(value) != baseBytes || binary.BigEndian.Uint64(value) == 0 {
		return b, fmt.Errorf("%w: the row that says where the history begins has %d bytes", ErrCorrupt, len(value))
	}
	b.Seq, b.Time = binary.BigEndian.Uint64(value), int64(binary.BigEndian.Uint64(value[40:]))
	copy(b.Hash[:], value[8:])
	return b, nil
}

// checkBegin checks that the first block is the one that the base names. Damage there is found by who reads it, like any other.
func checkBegin(db *pebble.DB, b Base) error {
	first, err := firstBlock(db)
	switch {
	case errors.Is(err, ErrCorrupt) || err == nil && first == 0: // an empty journal is found elsewhere
		return nil
	case err != nil:
		return err
	case first != b.Seq+1:
		return fmt.Errorf("%w: it begins at sequence %d, and must begin at %d", ErrShortHistory, first, b.Seq+1)
	}
	return nil
}

// firstBlock is the first sequence that is stored; zero: none is.
func firstBlock(db *pebble.DB) (seq uint64, err error) {
	it, err := newBlockIter(db, false)
	if err != nil {
		return 0, err
	}
	defer closeIter(it, &err)
	if !it.First() {
		if err := it.Error(); err != nil {
			return 0, readError("begin of the journal", err)
		}
		return 0, nil
	}
	return blockSeq(it.Key()), nil
}

// Base returns where the stored history begins; safe from any goroutine.
func (s *Store) Base() Base {
	s.durable.Lock()
	defer s.durable.Unlock()
	return s.durable.base
}

func (s *Store) setBase(b Base) {
	s.durable.Lock()
	s.durable.base = b
	s.durable.Unlock()
}

// First is the first sequence that is stored, and the hash of the block before it.
func (s *Store) First() (seq uint64, prev Hash) {
	b := s.Base()
	return b.Seq + 1, b.Hash
}

// BaseAt returns what Base would be after DropBlocks(through): a durable group must end there.
func (s *Store) BaseAt(through uint64) (Base, error) {
	b, err := s.BlockAt(through)
	if err != nil {
		return Base{}, err
	}
	if b.Last != through || !b.Final {
		return Base{}, fmt.Errorf("journal: no group ends at sequence %d", through)
	}
	return Base{Seq: b.Last, Hash: b.Hash, Time: b.Time}, nil
}

// DropBlocks removes the blocks up to and including the one that ends a group at through, and returns when that is durable, with about how many
// bytes of disk they had. What is gone must be kept elsewhere: nothing here asks. The last group is never dropped. Readers under way
// still see the blocks; later ones get ErrDropped. Dropping what is gone is no error.
//
// It is a range tombstone and the base row in one synced batch. Excise would free the space at once, but only after a flush
// and apart from the row; Pebble deletes files that a tombstone covers whole without reading them, and blocks share files with nothing else.
func (s *Store) DropBlocks(through uint64) (freed uint64, err error) {
	if s.readOnly {
		return 0, ErrReadOnly
	}
	if through <= s.Base().Seq {
		return 0, nil
	}
	if through >= s.Head().Seq {
		return 0, fmt.Errorf("journal: sequence %d cannot be dropped: the history ends at %d", through, s.Head().Seq)
	}
	base, err := s.BaseAt(through)
	if err != nil {
		return 0, err
	}
	// The head record on disk may be one that names a block before the cut; after a power loss that would be missed.
	if err := s.head.sync(); err != nil {
		s.o.neverReturn(err)
	}
	lower, upper := blockKey(0), blockKey(through+1)
	if freed, err = s.db.EstimateDiskUsage(lower, upper); err != nil {
		return 0, readError("size of the journal", err)
	}
	batch := s.db.NewBatch()
	defer batch.Close()
	if err := errors.Join(batch.DeleteRange(lower, upper, nil), batch.Set(baseKey, base.append(nil), nil)); err != nil {
		return 0, wrapWrite(err)
	}
	s.setBase(base) // before the blocks go: who misses one looks here for the reason
	if err := s.writeCounted(batch); err != nil {
		return 0, err
	}
	// The tombstone takes effect on files once it is in one itself.
	if _, err := s.db.AsyncFlush(); err != nil {
		return 0, fmt.Errorf("journal: flush after dropping blocks: %w", err)
	}
	return freed, nil
}
