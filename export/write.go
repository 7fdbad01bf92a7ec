package export

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"farthing/engine"
	"farthing/journal"
)

// Options says what to export and how.
type Options struct {
	// Dir takes the files. It is made if it is absent. What it holds of an export of the same ledger is kept and gone on from.
	Dir string
	// Encoding of commands; default NDJSON.
	Encoding Encoding
	// Through is the sequence to stop at, which must end a group; 0: the head at the time of the call.
	Through uint64
	// PartCommands and PartBytes bound a part: it ends with the first group that reaches one of them. Bytes are those of commands. Defaults
	// 4,000,000 and 1 GiB. Small parts make many files, each with the names of all accounts.
	PartCommands uint64
	PartBytes    int64
	// Progress is told how many commands of how many are done; may be nil.
	Progress func(done, total uint64)
}

// Written is what Write did.
type Written struct {
	Kept, Parts uint64   // parts that were there; new ones
	Commands    uint64   // in new parts
	Last        uint64   // where the export ends now
	Manifest    [32]byte // hash of the last manifest, which names all before it
}

// ErrForked says that a directory holds an export of another history than the one that is exported.
var ErrForked = errors.New("the directory holds an export of another history")

// Write exports to a directory what it does not hold yet. Every part is durable before the next begins, so who is stopped in between, or killed,
// calls again. Context ends it after a block, without trace of the part under way.
func Write(ctx context.Context, src *engine.Exporter, o Options) (Written, error) {
	if o.Encoding == "" {
		o.Encoding = NDJSON
	}
	if o.PartCommands == 0 {
		o.PartCommands = 4_000_000
	}
	if o.PartBytes == 0 {
		o.PartBytes = 1 << 30
	}
	if o.Through == 0 {
		o.Through = src.Head().Seq
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return Written{}, err
	}
	lock, err := journal.LockDir(journal.Options{Dir: o.Dir})
	if err != nil {
		return Written{}, err
	}
	w := &writer{ctx: ctx, o: o, src: src}
	out, err := w.run()
	return out, errors.Join(err, lock.Close())
}

type writer struct {
	ctx   context.Context
	o     Options
	src   *engine.Exporter
	names *engine.ExportNames
	last  *Manifest // the newest part that is there
	part  *partWriter
	out   Written
}

func (w *writer) run() (Written, error) {
	if err := w.existing(); err != nil {
		return w.out, err
	}
	var err error
	if w.names, err = w.src.Names(); err != nil {
		return w.out, err
	}
	err = w.src.Blocks(w.o.Through, w.block)
	if err == nil && w.part != nil {
		err = w.finish()
	}
	if err != nil {
		if w.part != nil {
			w.part.discard()
		}
		return w.out, err
	}
	if w.last == nil || w.last.Last < w.o.Through {
		return w.out, fmt.Errorf("the history ends at %d, sequence %d was asked for", w.out.Last, w.o.Through)
	}
	w.out.Manifest = w.last.hash()
	return w.out, w.progress()
}

// existing looks at the parts that are there, and removes what an interrupted export left.
func (w *writer) existing() error {
	parts, err := list(w.o.Dir)
	if err != nil {
		return err
	}
	if err := w.clear(parts); err != nil {
		return err
	}
	ledger, partition := w.src.Ledger()
	for _, m := range parts {
		if m.Ledger != ledger || m.Partition != partition {
			return fmt.Errorf("%s: %w: it is of ledger %s, partition %d", m.stem(), ErrForked, m.Ledger, m.Partition)
		}
		if err := cmpFollows(w.last, m); err != nil {
			return err
		}
		if err := m.whole(w.o.Dir); err != nil {
			return err
		}
		w.last = m
		w.out.Kept++
		w.out.Last = m.Last
	}
	return nil
}

// clear removes what an interrupted export left behind its last part.
func (w *writer) clear(parts []*Manifest) error {
	entries, err := os.ReadDir(w.o.Dir)
	if err != nil {
		return err
	}
	named := map[string]bool{}
	for _, m := range parts {
		named[m.stem()] = true
	}
	for _, e := range entries {
		name := e.Name()
		base, _, _ := strings.Cut(name, ".")
		if name == progressName+tempSuffix || (strings.HasPrefix(name, partPrefix) && !named[base] && unfinished(parts, name)) {
			if err := os.Remove(filepath.Join(w.o.Dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// block takes the next block of the history: what is exported already only for its names.
func (w *writer) block(b *journal.Block) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if w.last != nil && b.First <= w.last.Last {
		if b.Last == w.last.Last && hex.EncodeToString(b.Hash[:]) != w.last.LastHash {
			return fmt.Errorf("%s: %w: sequence %d has another hash", w.last.stem(), ErrForked, b.Last)
		}
		return w.names.Block(b, nil)
	}
	if w.last != nil && w.part == nil && b.First > w.last.Last+1 {
		return fmt.Errorf("%s is the last part here, and the ledger begins at sequence %d: a part is missing", w.last.stem(), b.First)
	}
	if w.part == nil {
		var err error
		if w.part, err = newPart(w.o.Dir, w.o.Encoding, w.names, b, w.last); err != nil {
			return err
		}
	}
	if err := w.names.Block(b, w.part.command); err != nil {
		return err
	}
	if err := w.src.SealedRows(w.names, w.part.row); err != nil {
		return err
	}
	w.part.block(b)
	if w.o.Progress != nil {
		w.o.Progress(b.Last, w.o.Through)
	}
	if b.Final && (w.part.m.Commands >= w.o.PartCommands || w.part.bytes >= w.o.PartBytes) {
		return w.finish()
	}
	return nil
}

func (w *writer) finish() error {
	m, err := w.part.finish(w.names)
	w.part = nil
	if err != nil {
		return err
	}
	w.last = m
	w.out.Parts++
	w.out.Commands += m.Commands
	w.out.Last = m.Last
	return nil
}

// progress writes how far the streams are published.
func (w *writer) progress() error {
	ledger, partition := w.src.Ledger()
	p := Progress{Format: progressFormat, Version: formatVersion, Ledger: ledger, Partition: partition, Last: w.last.Last,
		Hash: w.last.LastHash}
	err := w.src.Progress(w.last.Settlements, w.last.Notices, func(r *engine.ExportedRow) error {
		p.Rows = append(p.Rows, ProgressRow{hex.EncodeToString(r.Key), hex.EncodeToString(r.Value)})
		return nil
	})
	if err != nil {
		return err
	}
	return writeDurable(filepath.Join(w.o.Dir, progressName), p.encode())
}

// cmpFollows checks that a part follows another one, or nothing.
func cmpFollows(before, m *Manifest) error {
	previous, part, next := strings.Repeat("0", 64), "", uint64(1)
	if before != nil {
		h := before.hash()
		previous, part, next = before.LastHash, hex.EncodeToString(h[:]), before.Last+1
	}
	switch {
	case m.First != next:
		return fmt.Errorf("%s: it begins at sequence %d, the part with sequence %d is missing", m.stem(), m.First, next)
	case m.PreviousHash != previous:
		return fmt.Errorf("%s: sequence %d does not name the hash that the history before it ends with: it is of another history", m.stem(), m.First)
	case m.PreviousPart != part:
		return fmt.Errorf("%s: sequence %d: the part before it is not the one that it was written after", m.stem(), m.First)
	case before != nil && (m.Ledger != before.Ledger || m.Partition != before.Partition):
		return fmt.Errorf("%s: sequence %d: it is of ledger %s, partition %d", m.stem(), m.First, m.Ledger, m.Partition)
	}
	return nil
}
