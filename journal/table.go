package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// TableBuilder writes an immutable table, a checkpoint or a run of an index, as one file beside the store. It belongs to one goroutine
// and ends with Ingest or Abort. A crash before Ingest leaves only a file that the next Open removes.
type TableBuilder struct {
	s     *Store
	kind  Kind
	id    uint64
	path  string
	w     *sstable.Writer
	key   []byte // kind | id | last key
	count uint64
	done  bool
}

// NewTable starts the table (kind, id). Ids of one kind should grow with time: such tables never overlap, so nothing ever rewrites them. What
// an interrupted Ingest left under the same kind and id is dropped. A table in use must not be built again.
func (s *Store) NewTable(kind Kind, id uint64) (*TableBuilder, error) {
	mustKind(kind)
	if s.readOnly {
		return nil, ErrReadOnly
	}
	if err := s.DropTable(kind, id); err != nil {
		return nil, err
	}
	if err := makeDir(s.o.FS, s.o.path(liveName, buildName)); err != nil {
		return nil, err
	}
	b := &TableBuilder{s: s, kind: kind, id: id, key: tableKey(kind, id, nil)}
	b.path = s.o.path(liveName, buildName, fmt.Sprintf("%02x-%016x.sst", byte(kind), id))
	file, err := s.o.FS.Create(b.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("journal: create table: %w", err)
	}
	// The options of the lowest level: that is where ingestion puts a table that overlaps nothing.
	options := s.pebbleOpt.MakeWriterOptions(len(s.pebbleOpt.Levels)-1, s.db.TableFormat())
	b.w = sstable.NewWriter(objstorageprovider.NewFileWritable(file), options)
	return b, nil
}

// Add appends a key and its value, which it copies. Keys must ascend strictly; anything else is a bug and panics.
func (b *TableBuilder) Add(key, value []byte) error {
	if b.count > 0 && bytes.Compare(key, b.key[tablePrefixBytes:]) <= 0 {
		panic(fmt.Sprintf("BUG: journal: table key %x after %x", key, b.key[tablePrefixBytes:]))
	}
	b.key = append(b.key[:tablePrefixBytes], key...)
	b.count++
	if err := b.w.Set(b.key, value); err != nil {
		return fmt.Errorf("journal: write table: %w", err)
	}
	return nil
}

// Count is the number of keys added.
func (b *TableBuilder) Count() uint64 { return b.count }

// Abort gives the table up and removes its file. It does nothing after Ingest.
func (b *TableBuilder) Abort() error {
	if b.done {
		return nil
	}
	b.done = true
	closeErr := b.w.Close()
	if err := errors.Join(closeErr, b.s.o.FS.Remove(b.path)); err != nil {
		return fmt.Errorf("journal: abort table: %w", err)
	}
	return nil
}

// finish completes the file, fsynced.
func (b *TableBuilder) finish() error {
	if b.done {
		panic("BUG: journal: table is ingested or aborted already")
	}
	b.done = true
	if err := b.w.Close(); err != nil {
		return fmt.Errorf("journal: finish table: %w", err)
	}
	return nil
}

// Ingest makes the tables part of the store, all or none, and then writes the markers as one synced batch. Only the markers make the
// tables valid: after a crash in between, the tables are there and nobody knows them; NewTable under the same id replaces them. An empty
// table is valid. After an error the builders are used up; build again. Safe beside Commit, which waits for it only if
// a table overlaps unflushed rows, which tables never do.
func (s *Store) Ingest(tables []*TableBuilder, markers []Row) error {
	if s.readOnly {
		return ErrReadOnly
	}
	var paths []string
	for _, b := range tables {
		if err := b.finish(); err != nil {
			return err
		}
		if b.count > 0 {
			paths = append(paths, b.path)
			continue
		}
		if err := s.o.FS.Remove(b.path); err != nil {
			return fmt.Errorf("journal: remove empty table: %w", err)
		}
	}
	s.tables.RLock()
	defer s.tables.RUnlock()
	if len(paths) > 0 {
		if err := s.db.Ingest(context.Background(), paths); err != nil {
			return fmt.Errorf("journal: ingest: %w", err)
		}
	}
	if len(markers) == 0 {
		return nil
	}
	return s.Write(markers, true)
}

// TableGet returns a copy of the value under key and whether there is one.
func (s *Store) TableGet(kind Kind, id uint64, key []byte) ([]byte, bool, error) {
	return get(s.db, tableKey(kind, id, key))
}

// TableScan calls fn with the table's keys lo <= key < hi in order, until fn says no or fails; nil bounds are the ends of the table. Key and value are
// valid only during fn.
func (s *Store) TableScan(kind Kind, id uint64, lo, hi []byte, fn func(key, value []byte) (more bool, err error)) error {
	lower, upper := tableBounds(kind, id, lo, hi)
	return scan(s.db, lower, upper, tablePrefixBytes, fn)
}

// Tables returns the ids of the kind's non-empty tables in ascending order, those without a marker included.
func (s *Store) Tables(kind Kind) (ids []uint64, err error) {
	mustKind(kind)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{byte(kind)}, UpperBound: []byte{byte(kind) + 1}})
	if err != nil {
		return nil, readError("iterator", err)
	}
	defer closeIter(it, &err)
	for ok := it.First(); ok; {
		if len(it.Key()) < tablePrefixBytes {
			return nil, fmt.Errorf("%w: table key %x", ErrCorrupt, it.Key())
		}
		id := binary.BigEndian.Uint64(it.Key()[1:])
		ids = append(ids, id)
		_, next := tableBounds(kind, id, nil, nil)
		ok = it.SeekGE(next)
	}
	if err := it.Error(); err != nil {
		return nil, readError("tables", err)
	}
	return ids, nil
}

// DropTable removes a table. Its files go at once, without tombstones; readers under way still see it. Dropping what is not there is
// no error. Remove the marker first, with a synced Write.
func (s *Store) DropTable(kind Kind, id uint64) error {
	if s.readOnly {
		return ErrReadOnly
	}
	there := false
	err := s.TableScan(kind, id, nil, nil, func([]byte, []byte) (bool, error) {
		there = true
		return false, nil
	})
	if err != nil || !there {
		return err
	}
	lower, upper := tableBounds(kind, id, nil, nil)
	if err := s.db.Excise(context.Background(), pebble.KeyRange{Start: lower, End: upper}); err != nil {
		return fmt.Errorf("journal: drop table: %w", err)
	}
	return nil
}
