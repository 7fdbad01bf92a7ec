package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// DamageError says which table file of the store is damaged or missing and what of the ledger is in it. It is an ErrCorrupt.
type DamageError struct {
	Path  string // of the file
	What  string // was read or looked for; empty: the file as a whole
	Seq   uint64 // first sequence that cannot be read, 0 if that is not known
	First uint64 // where the file's first block begins, 0 if it holds no block
	Last  uint64 // where its last block begins
	Kind  Kind   // of the table whose keys lie in the file; 0: none
	ID    uint64 // of that table
	Space Space  // of the first row in the file; 0: it holds no rows
	To    Space  // of the last one
	Head  uint64 // where the history ends by the head record, 0 if that was not looked at
	Err   error
}

// Error names the file and what is in it.
func (d *DamageError) Error() string {
	text := fmt.Sprintf("%v: %s, which holds %s", ErrCorrupt, d.Path, d.Holds())
	if d.Seq != 0 {
		text += fmt.Sprintf(", of which sequence %d cannot be read", d.Seq)
	}
	if d.What != "" {
		text += ": " + d.What
	}
	text = fmt.Sprintf("%s: %v", text, d.Err)
	if d.Head != 0 {
		text += fmt.Sprintf("; the history ends at sequence %d", d.Head)
	}
	return text
}

// Unwrap makes it an ErrCorrupt.
func (d *DamageError) Unwrap() []error { return []error{ErrCorrupt, d.Err} }

// Holds says what is in the file.
func (d *DamageError) Holds() string {
	switch {
	case d.First != 0:
		return fmt.Sprintf("the journal from sequence %d to the block of sequence %d", d.First, d.Last)
	case d.Kind != 0:
		return fmt.Sprintf("%s %d", d.Kind, d.ID)
	}
	if d.To != d.Space {
		return fmt.Sprintf("rows: %s to %s", d.Space, d.To)
	}
	return d.Space.String()
}

// newDamage describes a file by the first and the last key in it.
func newDamage(path string, low, high []byte, err error) *DamageError {
	d := &DamageError{Path: path, Err: err}
	switch {
	case len(low) == 0 || len(high) == 0:
	case low[0] <= blockByte && high[0] >= blockByte:
		d.First = max(blockSeq(low), 1)
		d.Last = max(blockSeq(high), d.First)
	case low[0] <= kindLast && len(low) >= tablePrefixBytes:
		d.Kind, d.ID = Kind(low[0]), binary.BigEndian.Uint64(low[1:])
	default:
		d.Space, d.To = Space(low[0]), Space(high[0])
	}
	return d
}

// String names the kind as errors do.
func (k Kind) String() string {
	switch k {
	case KindCheckpoint:
		return "checkpoint"
	case KindBase:
		return "base"
	case KindIdentity:
		return "identity run"
	case KindIdentityFilter:
		return "filter of identity run"
	case KindKept:
		return "kept identities"
	case KindStatement:
		return "statement run"
	}
	return fmt.Sprintf("table of kind %#x,", byte(k))
}

// String names the space as errors do.
func (s Space) String() string {
	switch s {
	case SpaceLines:
		return "settlement lines"
	case SpaceManifest:
		return "manifests of batches"
	case SpaceEvidence:
		return "tiles of evidence"
	case SpacePublisher:
		return "the publishers' rows"
	case SpaceMarker:
		return "markers of checkpoints and runs"
	case SpaceWebhooks:
		return "webhooks"
	}
	if byte(s) == metaByte {
		return "our own counts"
	}
	return fmt.Sprintf("space %#x", byte(s))
}

// CheckFiles reads every table file in use and checks every block of it against its checksum: also what no reader looks at, such as
// properties, and rows that nothing can be compared with. It returns how many files there are; the error is a *DamageError for the first that
// is damaged. What is in the WAL alone was checked when it was replayed at open.
func (s *Store) CheckFiles() (files uint64, err error) {
	levels, err := s.db.SSTables()
	if err != nil {
		return 0, readError("list of tables", err)
	}
	tables := slices.Concat(levels...)
	slices.SortFunc(tables, func(a, b pebble.SSTableInfo) int { return bytes.Compare(a.Smallest.UserKey, b.Smallest.UserKey) })
	checked := map[uint64]bool{} // a file that was cut in two by an excise stands in the list twice
	for i := range tables {
		t := &tables[i]
		if checked[uint64(t.BackingSSTNum)] {
			continue
		}
		checked[uint64(t.BackingSSTNum)] = true
		path := s.o.tablePath(t)
		if err := s.checkTable(path); err != nil {
			d := newDamage(path, t.Smallest.UserKey, t.Largest.UserKey, err)
			if d.First != 0 {
				d.Seq = s.unreadable(d)
			}
			return files, d
		}
		files++
	}
	return files, nil
}

// checkTable reads a table file past the cache.
func (s *Store) checkTable(path string) (err error) {
	f, err := s.o.FS.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r, err := sstable.NewReader(context.Background(), readable, s.pebbleOpt.MakeReaderOptions())
	if err != nil {
		return errors.Join(err, readable.Close())
	}
	return errors.Join(r.ValidateBlockChecksums(), r.Close())
}

// unreadable finds the first sequence of a file's part of the journal that cannot be read; 0 if all of it can: then the damage is to
// what Pebble keeps beside the keys.
func (s *Store) unreadable(d *DamageError) (next uint64) {
	d.First = max(d.First, s.Base().Seq+1)
	next = d.First
	if err := walkBlocks(s.db, s.Base(), d.First, d.Last, func(b *Block) error {
		next = b.Last + 1
		return nil
	}); err != nil {
		return next
	}
	return 0
}

// Files names the files that the store begins with: an error about what is gone with one of them says where to look.
func (s *Store) Files() string { return s.o.filesInUse() }

// filesInUse names the store's directory and in it the manifest, the options and the logs.
func (o *Options) filesInUse() string {
	dir := o.path(liveName, storeName)
	names, err := o.FS.List(dir)
	if err != nil {
		return dir
	}
	slices.Sort(names)
	manifest, options := "no marker.manifest", "no OPTIONS"
	format := "no marker.format-version"
	logs := []string{}
	for _, name := range names {
		switch {
		case strings.HasPrefix(name, "marker.manifest."):
			manifest = name[strings.LastIndexByte(name, '.')+1:]
		case strings.HasPrefix(name, "marker.format-version."):
			format = name
		case strings.HasPrefix(name, "OPTIONS-"):
			options = name
		case strings.HasSuffix(name, ".log"):
			logs = append(logs, name)
		}
	}
	if len(logs) == 0 {
		logs = []string{"no *.log"}
	}
	return fmt.Sprintf("%s with %s, %s, %s, %s", dir, manifest, format, options, strings.Join(logs, " "))
}

// openFailed says what is wrong with a store that Pebble does not open: the table file that is missing or has another length than the
// manifest says, or the files that Pebble reads first, one of which it is.
func (o *Options) openFailed(rec *headRecord, err error) error {
	if d := o.missingTable(err); d != nil {
		d.Head = rec.head.Seq
		return d
	}
	return readError(fmt.Sprintf("store of a history that ends at sequence %d, in %s", rec.head.Seq, o.filesInUse()), err)
}

// checkFailed adds to what the check of the history found where the head is and which files it may be.
func (o *Options) checkFailed(rec *headRecord, err error) error {
	var d *DamageError
	if errors.As(err, &d) {
		d.Head = rec.head.Seq
		return err
	}
	if errors.Is(err, ErrShortHistory) {
		return fmt.Errorf("%w: the head is at sequence %d; a log is missing or cut short, or the manifest: %s", err, rec.head.Seq, o.filesInUse())
	}
	return err
}

// missingTable opens the store without the check that failed, reading only, to learn from the manifest what there should be.
func (o *Options) missingTable(cause error) *DamageError {
	p := o.pebbleOptions(true, new(stallMeter))
	p.DisableConsistencyCheck = true
	db, err := pebble.Open(o.path(liveName, storeName), p)
	if err != nil {
		return nil
	}
	defer db.Close()
	levels, err := db.SSTables()
	if err != nil {
		return nil
	}
	for _, t := range slices.Concat(levels...) {
		path := o.tablePath(&t)
		info, err := o.FS.Stat(path)
		if err != nil || (!t.Virtual && uint64(info.Size()) != t.Size) {
			return newDamage(path, t.Smallest.UserKey, t.Largest.UserKey, cause)
		}
	}
	return nil
}

func (o *Options) tablePath(t *pebble.SSTableInfo) string {
	return o.path(liveName, storeName, fmt.Sprintf("%06d.sst", uint64(t.BackingSSTNum)))
}
