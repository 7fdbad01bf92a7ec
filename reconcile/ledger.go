package reconcile

import (
	"context"
	"encoding/hex"
	"fmt"
	"sort"

	"farthing/batch"
)

// Ledger is what was sealed.
type Ledger interface {
	// Batches lists every sealed batch in the order of the stream.
	Batches(ctx context.Context) ([]Batch, error)
	// Lines returns line records of a batch from a number on, as many as are at hand, at least one.
	Lines(ctx context.Context, batchID string, from uint32) ([][]byte, error)
}

// Batch is a sealed batch as the ledger shows it.
type Batch struct {
	Manifest []byte // canonical
	// KeyID and Signature are the manifest's, the latter in base64; empty if the ledger does not say.
	KeyID, Signature string
	Published        *Place // nil: not yet, as far as the ledger knows
}

// Place is where a batch stands.
type Place struct {
	Topic                   string
	Partition               int32
	FirstOffset, LastOffset int64
}

// sealed is a batch in the index.
type sealed struct {
	batch.Manifest
	id                string
	keyID, signature  string
	published         *Place
	manifestCanonical []byte
}

func (s *sealed) first() uint64 { return s.FirstStreamSeq }
func (s *sealed) last() uint64  { return s.FirstStreamSeq + uint64(s.Lines) }

// index is the sealed batches by place in the stream.
type index struct {
	batches []sealed
}

// last is the last stream_seq of the ledger.
func (x *index) last() uint64 {
	if len(x.batches) == 0 {
		return 0
	}
	return x.batches[len(x.batches)-1].last()
}

// find returns the batch that holds a stream_seq; nil: none.
func (x *index) find(seq uint64) *sealed {
	i := sort.Search(len(x.batches), func(i int) bool { return x.batches[i].last() >= seq })
	if i == len(x.batches) || seq < x.batches[i].first() {
		return nil
	}
	return &x.batches[i]
}

// readIndex reads the ledger's batches. A ledger that does not parse is an error: there is nothing to compare with.
func readIndex(ctx context.Context, l Ledger) (index, error) {
	list, err := l.Batches(ctx)
	if err != nil {
		return index{}, fmt.Errorf("the ledger's batches: %w", err)
	}
	x := index{make([]sealed, 0, len(list))}
	for i := range list {
		m, err := batch.ParseManifest(list[i].Manifest)
		if err != nil {
			return index{}, fmt.Errorf("the ledger's batch %d: %w", i+1, err)
		}
		if want := x.last() + 1; m.FirstStreamSeq != want {
			return index{}, fmt.Errorf("the ledger's batch %x begins at stream_seq %d, the one before ends at %d", m.BatchID, m.FirstStreamSeq, want-1)
		}
		x.batches = append(x.batches, sealed{Manifest: m, id: hex.EncodeToString(m.BatchID[:]), keyID: list[i].KeyID,
			signature: list[i].Signature, published: list[i].Published, manifestCanonical: list[i].Manifest})
	}
	return x, nil
}

// record is what must stand in the topic under a stream_seq.
type record struct {
	seq              uint64
	kind, id         string
	key, value       []byte
	keyID, signature string // of manifests, if the ledger says
	line             uint32 // 0: the manifest
}

// The record kinds of the stream.
const (
	typeLine     = "farthing.settlement.line.v1"
	typeManifest = "farthing.settlement.batch.v1"
)

// window is a page of the lines of one batch. There is one for the way through the topic and one for repeats, which would
// otherwise throw the page away at each turn.
type window struct {
	batchID string
	first   uint32
	lines   [][]byte
}

// record returns what must stand at seq of batch b.
func (w *window) record(ctx context.Context, l Ledger, b *sealed, seq uint64) (record, error) {
	r := record{seq: seq, kind: typeManifest, id: b.id, key: []byte(b.id), value: b.manifestCanonical, keyID: b.keyID, signature: b.signature}
	if seq == b.last() {
		return r, nil
	}
	n := uint32(seq-b.first()) + 1
	if w.batchID != b.id || n < w.first || n-w.first >= uint32(len(w.lines)) {
		lines, err := l.Lines(ctx, b.id, n)
		if err == nil && len(lines) == 0 {
			err = fmt.Errorf("there is none, the batch has %d", b.Lines)
		}
		if err != nil {
			return r, fmt.Errorf("the ledger's line %d of batch %s: %w", n, b.id, err)
		}
		w.batchID, w.first, w.lines = b.id, n, lines
	}
	r.kind, r.id, r.value, r.keyID, r.signature, r.line = typeLine, fmt.Sprintf("%s/%d", b.id, n), w.lines[n-w.first], "", "", n
	return r, nil
}
