package export

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
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
	// After is the sequence to begin behind where Dir holds no part and the history begins before it: what another directory has. It must end a
	// group. 0: with all that is stored.
	After uint64
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
	Manifest    [32]byte // hash of the manifest of the part that has Through
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
	if err := makeDirs(o.Dir); err != nil {
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
	kept  []*Manifest // what is there already
	last  *Manifest   // the newest part that is there
	part  *partWriter
	out   Written
}

func (w *writer) run() (Written, error) {
	if err := w.existing(); err != nil {
		return w.out, err
	}
	if w.last == nil || w.last.Last < w.o.Through {
		if err := w.append(); err != nil {
			return w.out, err
		}
	}
	if w.last == nil || w.last.Last < w.o.Through {
		return w.out, fmt.Errorf("the history ends at %d, sequence %d was asked for", w.out.Last, w.o.Through)
	}
	w.out.Manifest = w.last.hash()
	if i := slices.IndexFunc(w.kept, func(m *Manifest) bool { return m.Last >= w.o.Through }); i >= 0 {
		w.out.Manifest = w.kept[i].hash()
	}
	return w.out, w.progress()
}

// append writes the parts that are missing.
func (w *writer) append() (err error) {
	if w.names, err = w.src.Names(); err != nil {
		return err
	}
	err = w.src.Blocks(w.o.Through, w.block)
	if err == nil && w.part != nil {
		err = w.finish()
	}
	if err != nil && w.part != nil {
		w.part.discard()
	}
	return err
}

// existing looks at the parts that are there, after it has dealt with what an interrupted export left.
func (w *writer) existing() error {
	if err := recoverDir(w.ctx, w.o.Dir); err != nil {
		return err
	}
	parts, err := list(w.o.Dir)
	if err != nil {
		return err
	}
	ledger, partition := w.src.Ledger()
	for _, m := range parts {
		if m.Ledger != ledger || m.Partition != partition {
			return fmt.Errorf("%s: %w: it is of ledger %s, partition %d", m.stem(), ErrForked, m.Ledger, m.Partition)
		}
		if w.last != nil || m.First == 1 { // what was dropped before may be in another directory
			err = cmpFollows(w.last, m)
		}
		if err == nil {
			err = m.whole(w.ctx, w.o.Dir)
		}
		if err != nil {
			return err
		}
		w.last = m
		w.out.Kept++
		w.out.Last = m.Last
	}
	w.kept = parts
	return w.ours()
}

// ours checks that the parts are of the history that is exported, and not of another future of the ledger: of one that was restored since, or of the one
// that it was restored from. The hash at the end of the last part says so for all of them. They may reach further than what is asked for.
func (w *writer) ours() error {
	if w.last == nil {
		return nil
	}
	if first := w.src.First(); w.kept[0].First > first {
		return fmt.Errorf("%s is the first part here, and the ledger begins at sequence %d: a part is missing", w.kept[0].stem(), first)
	}
	hash, err := w.src.HashAt(w.last.Last)
	switch {
	case errors.Is(err, journal.ErrDropped):
		return fmt.Errorf("%s is the last part here, and the ledger begins at sequence %d: a part is missing", w.last.stem(), w.src.First())
	case errors.Is(err, engine.ErrNoGroup):
		return fmt.Errorf("%s: %w: no group of the ledger ends at sequence %d, it ends at %d", w.last.stem(), ErrForked, w.last.Last, w.src.Head().Seq)
	case err != nil:
		return err
	case hex.EncodeToString(hash[:]) != w.last.LastHash:
		return fmt.Errorf("%s: %w: sequence %d has another hash", w.last.stem(), ErrForked, w.last.Last)
	}
	return nil
}

// block takes the next block of the history: what is exported already only for its names.
func (w *writer) block(b *journal.Block) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if w.last != nil && b.First <= w.last.Last {
		return w.names.Block(b, nil)
	}
	if w.last == nil && w.part == nil && b.First <= w.o.After && w.o.After < w.o.Through {
		return w.names.Block(b, nil)
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
	case m.PreviousPart != part && m.PreviousPart != "": // empty: it is the first of a directory, and the chain of blocks joins
		return fmt.Errorf("%s: sequence %d: the part before it is not the one that it was written after", m.stem(), m.First)
	case before != nil && (m.Ledger != before.Ledger || m.Partition != before.Partition):
		return fmt.Errorf("%s: sequence %d: it is of ledger %s, partition %d", m.stem(), m.First, m.Ledger, m.Partition)
	}
	return nil
}
