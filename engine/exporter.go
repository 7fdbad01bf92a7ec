package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"farthing/journal"
)

// Exporter reads a ledger's history for an export: blocks, the rows that go with sealed windows, and how far the streams are
// published. Its methods may be called beside everything else that the ledger does; one walk belongs to one goroutine.
type Exporter struct {
	store  storage
	owned  bool // Close closes it
	ledger genesisAt
	// aborted gives up what takes long.
	aborted func() error
}

// ExportPart is a stretch of durable history that an export is asked for: the commands After+1 to Through, which ends a group. What
// lies up to After was exported before. Through may be After: then it was all.
type ExportPart struct {
	After, Through uint64
	Source         *Exporter
	// Stop is closed when the engine closes: the export gives up with an error, and is asked for again.
	Stop <-chan struct{}
}

// OpenExporter opens a data directory that no server has open. Nothing in it is changed.
func OpenExporter(o journal.Options) (*Exporter, error) {
	store, err := journal.OpenReadOnly(o)
	if err != nil {
		return nil, err
	}
	x, err := newExporter(onDisk{store})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	x.owned = true
	return x, nil
}

// Exporter reads the ledger that is open.
func (e *Engine) Exporter() (*Exporter, error) { return newExporter(e.store) }

func newExporter(store storage) (*Exporter, error) {
	first, err := readGenesis(store)
	if err != nil {
		return nil, err
	}
	return &Exporter{store: store, ledger: first, aborted: goOn}, nil
}

// Close closes what OpenExporter opened.
func (x *Exporter) Close() error {
	if !x.owned {
		return nil
	}
	return x.store.Close()
}

// Ledger is the ledger's id and partition.
func (x *Exporter) Ledger() (id string, partition uint32) {
	return x.ledger.ledgerID, x.ledger.partition
}

// First is the first sequence that is stored.
func (x *Exporter) First() uint64 { return x.store.Base().Seq + 1 }

// ErrNoGroup says that no group of the durable history ends at a sequence.
var ErrNoGroup = errors.New("no group ends there")

// HashAt is the hash of the block with which a group ends at a sequence. journal.ErrDropped: it is not stored any more.
func (x *Exporter) HashAt(seq uint64) (journal.Hash, error) {
	if base := x.store.Base(); seq == base.Seq && seq > 0 {
		return base.Hash, nil
	}
	if seq == 0 || seq > x.store.Head().Seq {
		return journal.Hash{}, ErrNoGroup
	}
	b, err := x.store.BlockAt(seq)
	if err == nil && (b.Last != seq || !b.Final) {
		err = ErrNoGroup
	}
	if err != nil {
		return journal.Hash{}, err
	}
	return b.Hash, nil
}

// Head is the end of the durable history.
func (x *Exporter) Head() journal.Head { return x.store.Head() }

// Blocks calls fn with every durable block from the beginning of what is stored to the one that ends at through, in order, and with the names as they are before it. A walk of
// everything is what tells the names; fn has to read each block (ExportNames.Block) whether it wants it or not.
func (x *Exporter) Blocks(through uint64, fn func(*journal.Block) error) error {
	errDone := errors.New("done")
	err := x.store.Blocks(0, func(b *journal.Block) error {
		if b.First > through {
			return errDone
		}
		return fn(b)
	})
	if errors.Is(err, errDone) {
		return nil
	}
	return err
}

// Names are the names as they are before the first block: none with the genesis, those of the base where the history was dropped.
func (x *Exporter) Names() (*ExportNames, error) {
	n := NewExportNames()
	if x.store.Base().Seq == 0 {
		return n, nil
	}
	from, err := start(x.store, x.aborted)
	if err != nil {
		return nil, err
	}
	n.p.state, n.known = from.state, true
	n.p.state.loose = true // what comes is not booked
	n.ledgerID, n.partition = x.Ledger()
	n.stream, n.notices = from.state.nextStream-1, from.state.nextNotice-1
	return n, nil
}

// Base calls fn with the chunks of the base that the stored history goes on from, and returns the last sequence before it and the hash of the chunks that
// a command names; 0 and no call: it begins with the genesis.
func (x *Exporter) Base(fn func(chunk []byte) error) (through uint64, sum [32]byte, err error) {
	if through = x.store.Base().Seq; through > 0 {
		sum, err = baseChunks(x.store, through, fn)
	}
	return through, sum, err
}

// The spaces of rows that exports hold, as they call them.
const (
	ExportLines    = "lines"    // up to 128 line records of a sealed batch, canonical JSON
	ExportManifest = "manifest" // the manifest of a sealed batch, canonical JSON
	ExportTile     = "tile"     // a tile of an evidence tree
	ExportProgress = "progress" // how far a stream is published, or read
)

// ExportedRow is a stored row that goes with the history. Of lines and manifests Records are the JSON documents in it, of others
// there is the value.
type ExportedRow struct {
	Space   string
	Key     []byte
	Records [][]byte
	Value   []byte
}

// SealedRows calls fn with the rows of the windows that the last block sealed.
func (x *Exporter) SealedRows(n *ExportNames, fn func(*ExportedRow) error) error {
	for i := range n.sealed {
		s := &n.sealed[i]
		for _, id := range s.batches {
			if err := x.batchRows(id, fn); err != nil {
				return err
			}
		}
		lo := binary.BigEndian.AppendUint64(nil, s.window)
		hi := binary.BigEndian.AppendUint64(nil, s.window+1)
		err := x.store.Scan(journal.SpaceEvidence, lo, hi, func(key, value []byte) (bool, error) {
			return true, fn(&ExportedRow{Space: ExportTile, Key: key, Value: value})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (x *Exporter) batchRows(id [32]byte, fn func(*ExportedRow) error) error {
	manifest, ok, err := x.store.Get(journal.SpaceManifest, id[:])
	if err != nil || !ok {
		return missing("manifest of batch "+hexID(id), err)
	}
	if err := fn(&ExportedRow{Space: ExportManifest, Key: id[:], Records: [][]byte{manifest}}); err != nil {
		return err
	}
	return x.store.Scan(journal.SpaceLines, id[:], lineKey(id, ^uint32(0)), func(key, value []byte) (bool, error) {
		row := ExportedRow{Space: ExportLines, Key: key}
		r := reader{p: value}
		for len(r.p) > 0 {
			row.Records = append(row.Records, r.bytes())
		}
		if err := r.end(); err != nil {
			return false, fmt.Errorf("lines of batch %s: %w", hexID(id), err)
		}
		return true, fn(&row)
	})
}

// Progress calls fn with the rows that say how far the two streams are published and results are read, cut off behind a place of each stream: the relay may have
// gone on since the history was read.
func (x *Exporter) Progress(settlements, notifications uint64, fn func(*ExportedRow) error) error {
	notices := &Engine{store: x.store}
	for _, s := range []struct {
		p    progress
		last uint64
	}{{progress{store: x.store}, settlements}, {notices.noticeProgress(), notifications}} {
		if err := s.p.export(s.last, fn); err != nil {
			return err
		}
	}
	return x.store.Scan(journal.SpacePublisher, []byte{resultRow}, []byte{resultRow + 1}, func(key, value []byte) (bool, error) {
		return true, fn(&ExportedRow{Space: ExportProgress, Key: key, Value: value})
	})
}

// export calls fn with the rows of a stream up to a record. A send in flight is left out: the next session finds out what became of it.
func (p progress) export(last uint64, fn func(*ExportedRow) error) error {
	at, err := p.Position()
	if err != nil {
		return err
	}
	position := Position{}
	err = p.store.Scan(journal.SpacePublisher, p.key(confirmationRow), p.key(confirmationRow+1), func(key, value []byte) (bool, error) {
		to := binary.BigEndian.Uint64(key[len(key)-8:])
		if to > last {
			return false, nil
		}
		r := reader{p: value}
		first := r.uvarint()
		_, _ = r.str(), r.varint()
		position.Confirmed, position.NextOffset = to, r.varint()+int64(to-first)+1
		if err := r.end(); err != nil {
			return false, fmt.Errorf("confirmation of record %d: %w", to, err)
		}
		return true, fn(&ExportedRow{Space: ExportProgress, Key: key, Value: value})
	})
	if err != nil || position.Confirmed == 0 {
		return err
	}
	if position.Confirmed == at.Confirmed {
		position.NextOffset = max(position.NextOffset, at.NextOffset)
	}
	value := binary.AppendVarint(binary.AppendUvarint(nil, position.Confirmed), position.NextOffset)
	return fn(&ExportedRow{Space: ExportProgress, Key: p.key(positionRow), Value: value})
}

// stored is the row as the store has it, or an error when no ledger could have it.
func (r *ExportedRow) stored() (out journal.Row, err error) {
	out.Key, out.Value = r.Key, r.Value
	switch r.Space {
	case ExportTile:
		out.Space = journal.SpaceEvidence
	case ExportProgress:
		out.Space = journal.SpacePublisher
	case ExportManifest:
		out.Space = journal.SpaceManifest
		if len(r.Records) == 1 {
			out.Value = r.Records[0]
		}
	case ExportLines:
		out.Space, out.Value = journal.SpaceLines, nil
		for _, record := range r.Records {
			out.Value = appendBytes(out.Value, record)
		}
	default:
		return out, fmt.Errorf("a row of an unknown space %q", r.Space)
	}
	if len(out.Key) == 0 || len(out.Value) == 0 {
		return out, fmt.Errorf("a row of %s without key or value", r.Space)
	}
	return out, nil
}

// RowCheck checks that stored rows are those of the windows that blocks seal: of every batch the manifest with the hash that the seal
// names, and all its lines. Lines are compared with their manifest, and tiles with the history, by Verify.
type RowCheck struct {
	windows   map[uint64]bool
	manifests map[[32]byte][32]byte // hash by batch
	lines     map[[32]byte]uint32   // of each batch so far
	want      map[[32]byte]uint32
}

// NewRowCheck expects nothing.
func NewRowCheck() *RowCheck {
	return &RowCheck{windows: map[uint64]bool{}, manifests: map[[32]byte][32]byte{}, lines: map[[32]byte]uint32{}, want: map[[32]byte]uint32{}}
}

// Block expects the rows of what a block seals. Its commands were decoded before.
func (k *RowCheck) Block(c *ExportedCommand) error {
	r := reader{p: c.Raw}
	if kind := r.byte(); kind != kindSeal {
		return nil
	}
	payload := r.bytes()
	if err := r.end(); err != nil {
		return err
	}
	q := reader{p: payload}
	seal := q.seal()
	if err := q.end(); err != nil {
		return err
	}
	k.windows[seal.window] = true
	for i := range seal.batches {
		b := &seal.batches[i]
		k.manifests[b.id], k.want[b.id] = b.hash, b.lines
	}
	return nil
}

// Row takes one row.
func (k *RowCheck) Row(r *ExportedRow) error {
	if _, err := r.stored(); err != nil {
		return err
	}
	switch r.Space {
	case ExportTile:
		if len(r.Key) < 8 || !k.windows[binary.BigEndian.Uint64(r.Key)] {
			return fmt.Errorf("a tile of a window that is not sealed here")
		}
	case ExportManifest, ExportLines:
		return k.batchRow(r)
	default:
		return fmt.Errorf("a row of %s has no place here", r.Space)
	}
	return nil
}

func (k *RowCheck) batchRow(r *ExportedRow) error {
	var id [32]byte
	if copy(id[:], r.Key) != len(id) {
		return fmt.Errorf("a row of no batch")
	}
	hash, ok := k.manifests[id]
	if r.Space == ExportManifest {
		if !ok || len(r.Key) != len(id) || len(r.Records) != 1 || sha256.Sum256(r.Records[0]) != hash {
			return fmt.Errorf("batch %s: the manifest is not the one that was sealed", hexID(id))
		}
		delete(k.manifests, id)
		return nil
	}
	if _, sealed := k.want[id]; !sealed || !bytes.Equal(r.Key, lineKey(id, k.lines[id]+1)) {
		return fmt.Errorf("batch %s: its lines do not go on after line %d", hexID(id), k.lines[id])
	}
	k.lines[id] += uint32(len(r.Records))
	return nil
}

// End says what is missing.
func (k *RowCheck) End() error {
	for id := range k.manifests {
		return fmt.Errorf("batch %s: its manifest is missing", hexID(id))
	}
	for id, n := range k.want {
		if k.lines[id] != n {
			return fmt.Errorf("batch %s: %d of %d lines are there", hexID(id), k.lines[id], n)
		}
	}
	return nil
}
