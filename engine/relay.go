package engine

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
	"strconv"

	"farthing/batch"
	"farthing/journal"
)

// Record is one sealed record of the stream of settlements.
type Record struct {
	StreamSeq  uint64 // from 1, without gaps
	Type       string // TypeLine or TypeManifest
	ID         string // unique in the stream
	Key, Value []byte // batch id in hex; canonical JSON
	Headers    []Header
}

// Header is a header of a record beyond those that every record has.
type Header struct {
	Key   string
	Value []byte
}

// Outbox is the ledger's outbox as a publisher sees it. A seal is the
// outbox entry: it is journaled in the same atomic write as the state it announces, and only
// what is durable and sealed is handed out.
type Outbox struct {
	progress
	e *Engine
}

// Outbox returns the ledger's outbox.
func (e *Engine) Outbox() *Outbox { return &Outbox{e.settlementProgress(), e} }

// settlementProgress is how far the stream of settlements is published.
func (e *Engine) settlementProgress() progress { return progress{store: e.store} }

// The CloudEvents types of the stream.
const (
	TypeLine     = "farthing.settlement.line.v1"
	TypeManifest = "farthing.settlement.batch.v1"
)

// Records returns sealed records from a stream_seq on.
func (o *Outbox) Records(from uint64, maxBytes int) ([]Record, error) {
	done, refused := o.e.read()
	if refused != nil {
		return nil, refused
	}
	defer done()
	windows := o.e.published.Load().windows
	// Windows without batches have no place in the stream; the search looks at the
	// stream after each window, which only grows.
	i := sort.Search(len(windows), func(i int) bool { return lastStreamOf(windows[:i+1]) >= from })
	var out []Record
	size := 0
	for ; i < len(windows) && size < maxBytes; i++ {
		for k := range windows[i].batches {
			b := &windows[i].batches[k]
			if b.lastStream() < from || size >= maxBytes {
				continue
			}
			var err error
			if out, err = o.batchRecords(b, max(from, b.firstStream), maxBytes-size, out); err != nil {
				return nil, err
			}
			size = sizeOf(out)
		}
	}
	return out, nil
}

// lastStreamOf is the last stream_seq of the newest window that has any.
func lastStreamOf(windows []*window) uint64 {
	for i := len(windows) - 1; i >= 0; i-- {
		if n := len(windows[i].batches); n > 0 {
			return windows[i].batches[n-1].lastStream()
		}
	}
	return 0
}

func sizeOf(records []Record) int {
	n := 0
	for i := range records {
		n += len(records[i].Key) + len(records[i].Value)
	}
	return n
}

// batchRecords appends the records of one batch from a stream_seq on, as far as room goes.
func (o *Outbox) batchRecords(b *sealedBatch, from uint64, room int, out []Record) ([]Record, error) {
	id := hexID(b.id)
	key, name := []byte(id), append([]byte(id), '/')
	first := uint32(from-b.firstStream) + 1
	size := 0
	if first <= b.lines {
		var values slab
		out = slices.Grow(out, min(int(b.lines-first)+2, room/lineBytesUsual))
		err := scanLines(o.e.store, b.id, b.lines, first, func(n uint32, record []byte) bool {
			name = strconv.AppendUint(name[:len(id)+1], uint64(n), 10)
			out = append(out, Record{StreamSeq: b.firstStream + uint64(n) - 1, Type: TypeLine,
				ID: string(name), Key: key, Value: values.copy(record)})
			size += len(id) + len(record)
			first = n + 1
			return size < room
		})
		if err != nil {
			return nil, err
		}
	}
	if first <= b.lines || (size >= room && len(out) > 0) {
		return out, nil
	}
	manifest, ok, err := o.e.store.Get(journal.SpaceManifest, b.id[:])
	if err != nil || !ok {
		return nil, missing("manifest of batch "+id, err)
	}
	return append(out, Record{StreamSeq: b.lastStream(), Type: TypeManifest, ID: id, Key: key, Value: manifest,
		Headers: o.e.signatureHeaders(b)}), nil
}

// lineBytesUsual is about what the record of a line has, with its key.
const lineBytesUsual = 450

// slab copies many small values into few allocations.
type slab []byte

const slabBytes = 64 << 10

func (s *slab) copy(p []byte) []byte {
	if cap(*s)-len(*s) < len(p) {
		*s = make([]byte, 0, max(slabBytes, len(p)))
	}
	at := len(*s)
	*s = append(*s, p...)
	return (*s)[at:len(*s):len(*s)]
}

func missing(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s is missing", what)
}

// scanLines calls fn with the line records of a batch of so many lines from a number on,
// until fn says no. A line that is missing is an error.
func scanLines(store storage, id [32]byte, lines, first uint32, fn func(n uint32, record []byte) bool) error {
	next := (first-1)/stagedLines*stagedLines + 1
	stopped := false
	err := store.Scan(journal.SpaceLines, lineKey(id, next), lineKey(id, ^uint32(0)), func(key, value []byte) (bool, error) {
		if n := binary.BigEndian.Uint32(key[32:]); n != next {
			return false, fmt.Errorf("batch %s: line %d is missing", hexID(id), next)
		}
		for r := (reader{p: value}); len(r.p) > 0; next++ {
			record := r.bytes()
			if r.bad || next > lines {
				return false, fmt.Errorf("batch %s: line %d does not decode", hexID(id), next)
			}
			if next >= first && !fn(next, record) {
				stopped = true
				return false, nil
			}
		}
		return true, nil
	})
	if err == nil && !stopped && next != lines+1 {
		err = fmt.Errorf("batch %s: line %d is missing", hexID(id), next)
	}
	return err
}

// lineOf finds the line of an account in a batch by bisection over the staged rows, which
// are sorted by account.
func lineOf(store storage, b *sealedBatch, account string) (batch.Line, bool, error) {
	var found batch.Line
	rows := int(b.lines+stagedLines-1) / stagedLines
	var failed error
	firstLine := func(row int) (line batch.Line) {
		err := scanLines(store, b.id, b.lines, uint32(row*stagedLines)+1, func(_ uint32, record []byte) bool {
			_, line, failed = batch.ParseLine(record)
			return false
		})
		if err != nil {
			failed = err
		}
		return line
	}
	row := sort.Search(rows, func(i int) bool { return firstLine(i).Account > account }) - 1
	if row < 0 || failed != nil {
		return found, false, failed
	}
	ok := false
	err := scanLines(store, b.id, b.lines, uint32(row*stagedLines)+1, func(_ uint32, record []byte) bool {
		_, line, err := batch.ParseLine(record)
		if err != nil {
			failed = err
			return false
		}
		if line.Account == account {
			found, ok = line, true
		}
		return line.Account < account
	})
	if err != nil {
		return found, false, err
	}
	return found, ok, failed
}

// Confirm makes durable where records stand and ends the attempt. Nothing unsealed can be
// confirmed.
func (o *Outbox) Confirm(c Confirmation) error { return o.confirmed(c, nil) }

// ConfirmAttempt is Confirm and the next Attempt in one write.
func (o *Outbox) ConfirmAttempt(c Confirmation, a Attempt) error { return o.confirmed(c, &a) }

func (o *Outbox) confirmed(c Confirmation, next *Attempt) error {
	err := o.confirm(c, lastStreamOf(o.e.published.Load().windows), next)
	if err == nil {
		o.e.confirmed.Store(c.Last) // rows can be read before their fsync: this is what readers go by
	}
	return err
}

// Changed returns a channel that is closed once more may have been sealed.
func (o *Outbox) Changed() <-chan struct{} { return o.e.sealedChanged.changed() }

// publication says where a batch stands in Kafka; nil while its manifest does not.
func (e *Engine) publication(b *sealedBatch) (*Publication, error) {
	if b.lastStream() > e.confirmed.Load() {
		return nil, nil
	}
	first, ok, err := e.offsetOf(b.firstStream)
	if err != nil || !ok {
		return nil, err
	}
	last, ok, err := e.offsetOf(b.lastStream())
	if err != nil || !ok {
		return nil, err
	}
	return &Publication{Topic: last.Topic, Partition: last.Partition, FirstOffset: first.FirstOffset, LastOffset: last.FirstOffset}, nil
}

// offsetOf finds where a record stands, as FirstOffset.
func (e *Engine) offsetOf(stream uint64) (Publication, bool, error) {
	return e.settlementProgress().offsetOf(stream)
}
