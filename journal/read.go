package journal

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// Blocks calls fn with every durable block in order, from the one that contains from (0 is the first that is stored) to the head at the time of
// the call. ErrDropped if that is not stored any more. It checks each block's hash, that each continues its predecessor, and that none is missing; ErrCorrupt
// names the first sequence that is wrong. The block and its body are valid only during fn. An error of fn ends the walk and is returned as it is.
func (s *Store) Blocks(from uint64, fn func(*Block) error) error {
	base := s.Base()
	if from == 0 {
		from = base.Seq + 1
	}
	return s.orDropped(from, walkBlocks(s.db, base, from, s.Head().Seq, fn))
}

// orDropped is err, or ErrDropped if the block that is missing was dropped meanwhile.
func (s *Store) orDropped(from uint64, err error) error {
	if errors.Is(err, errMissing) && from <= s.Base().Seq {
		return fmt.Errorf("%w: sequence %d", ErrDropped, from)
	}
	return err
}

// BlockAt returns the durable block that contains seq, its hash checked. ErrDropped if it is not stored any more, ErrCorrupt
// if it is not there although it must be.
func (s *Store) BlockAt(seq uint64) (*Block, error) {
	if head := s.Head().Seq; seq == 0 || seq > head {
		return nil, fmt.Errorf("journal: sequence %d is not in the history, which ends at %d", seq, head)
	}
	var found *Block
	err := walkBlocks(s.db, s.Base(), seq, seq, func(b *Block) error {
		b.Body = slices.Clone(b.Body)
		found = b
		return nil
	})
	return found, s.orDropped(seq, err)
}

// Get returns a copy of the row's value and whether there is one. The row need not be durable yet.
func (s *Store) Get(space Space, key []byte) ([]byte, bool, error) {
	return get(s.db, rowKey(space, key))
}

// Scan calls fn with the rows of the space with lo <= key < hi in order, until fn says no or fails; nil bounds are the ends of the space. It
// sees one moment's rows. Key and value are valid only during fn.
func (s *Store) Scan(space Space, lo, hi []byte, fn func(key, value []byte) (more bool, err error)) error {
	lower, upper := rowBounds(space, lo, hi)
	return scan(s.db, lower, upper, 1, fn)
}

func get(db *pebble.DB, key []byte) ([]byte, bool, error) {
	value, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, readError(fmt.Sprintf("key %x", key), err)
	}
	value = slices.Clone(value)
	if err := closer.Close(); err != nil {
		return nil, false, readError(fmt.Sprintf("key %x", key), err)
	}
	return value, true, nil
}

// scan calls fn with the keys in [lower, upper), their first skip bytes cut off.
func scan(db *pebble.DB, lower, upper []byte, skip int, fn func(key, value []byte) (bool, error)) (err error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return readError("iterator", err)
	}
	defer closeIter(it, &err)
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return readError(fmt.Sprintf("key %x", it.Key()), err)
		}
		if more, err := fn(it.Key()[skip:], value); err != nil || !more {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return readError(fmt.Sprintf("keys from %x", lower), err)
	}
	return nil
}

// readError marks what Pebble takes for corruption as ours, with the file if it is known.
func readError(what string, err error) error {
	if info := pebble.ExtractDataCorruptionInfo(err); info != nil {
		d := newDamage(info.Path, info.Bounds.Start, info.Bounds.End.Key, info.Details)
		d.What = what
		return d
	}
	if pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: %s: %w", ErrCorrupt, what, err)
	}
	return fmt.Errorf("journal: read %s: %w", what, err)
}

// walkBlocks calls fn with the blocks from the one that contains from to the one that contains to, checked as Blocks says; the first one
// of all has to follow the base.
func walkBlocks(db *pebble.DB, base Base, from, to uint64, fn func(*Block) error) (err error) {
	if from <= base.Seq {
		return fmt.Errorf("%w: sequence %d", ErrDropped, from)
	}
	if from > to {
		return nil
	}
	it, err := newBlockIter(db, false)
	if err != nil {
		return err
	}
	defer closeIter(it, &err)
	chain := chainCheck{next: from, anywhere: true}
	if base.Seq > 0 && from == base.Seq+1 {
		chain = chainCheck{next: from, prev: base.Hash, time: base.Time}
	}
	var b Block
	for ok := seekBlock(it, from); ok; ok = it.Next() {
		if err := loadBlock(it, chain.next, &b); err != nil {
			return err
		}
		if err := chain.add(&b); err != nil {
			return err
		}
		if err := fn(&b); err != nil {
			return err
		}
		if b.Last >= to {
			return nil
		}
	}
	if err := it.Error(); err != nil {
		return readError(fmt.Sprintf("sequence %d", chain.next), err)
	}
	return atSeq(chain.next, errMissing)
}

// errMissing: a block that must be there is not.
var errMissing = errors.New("block is missing")

// newBlockIter iterates the journal; flushedOnly leaves out what is only in the WAL.
func newBlockIter(db *pebble.DB, flushedOnly bool) (*pebble.Iterator, error) {
	it, err := db.NewIter(&pebble.IterOptions{
		LowerBound:                []byte{blockByte},
		UpperBound:                []byte{blockByte + 1},
		OnlyReadGuaranteedDurable: flushedOnly,
	})
	if err != nil {
		return nil, readError("journal", err)
	}
	return it, nil
}

// closeIter closes the iterator and reports what that says, unless there is an error already.
func closeIter(it *pebble.Iterator, err *error) {
	if closeErr := it.Close(); closeErr != nil && *err == nil {
		*err = readError("iterator", closeErr)
	}
}

// seekBlock moves to the last block that starts at or before seq.
func seekBlock(it *pebble.Iterator, seq uint64) bool {
	if seq == ^uint64(0) {
		return it.Last()
	}
	return it.SeekLT(blockKey(seq + 1))
}

// loadBlock decodes the block under the iterator into b and checks that it lies under its own key. seq names it in errors.
func loadBlock(it *pebble.Iterator, seq uint64, b *Block) error {
	value, err := it.ValueAndErr()
	if err != nil {
		return readError(fmt.Sprintf("sequence %d", seq), err)
	}
	if err := decodeBlock(b, value); err != nil {
		return atSeq(seq, err)
	}
	if blockSeq(it.Key()) != b.First {
		return atSeq(seq, errors.New("block lies under another's key"))
	}
	return nil
}

// chainCheck checks that blocks follow each other.
type chainCheck struct {
	next     uint64 // sequence that must come next
	prev     Hash   // hash of the last block
	time     int64  // its time
	anywhere bool   // the first block need only contain next
}

func (c *chainCheck) add(b *Block) error {
	switch {
	case c.anywhere && (b.First > c.next || b.Last < c.next), !c.anywhere && b.First != c.next:
		return atSeq(c.next, fmt.Errorf("%w; next is %d to %d", errMissing, b.First, b.Last))
	case b.First == 1 && b.Prev != Hash{}:
		return atSeq(1, errors.New("first block names a predecessor"))
	case !c.anywhere && b.Prev != c.prev:
		return atSeq(b.First, errors.New("block does not name its predecessor's hash"))
	case !c.anywhere && b.Time < c.time:
		return atSeq(b.First, errors.New("time goes back"))
	}
	*c = chainCheck{next: b.Last + 1, prev: b.Hash, time: b.Time}
	return nil
}

func atSeq(seq uint64, err error) error {
	return fmt.Errorf("%w: sequence %d: %w", ErrCorrupt, seq, err)
}
