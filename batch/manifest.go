package batch

import (
	"crypto/sha256"
	"fmt"
	"hash"
)

// Manifest closes a batch: what it covers, what it sums up to, and the hashes
// that tie it to its lines, its events and the batch before it. Where it was
// published stands outside, so that it cannot change the bytes.
type Manifest struct {
	Cut
	BatchID   [32]byte // Cut.ID
	Lines     uint32   // number of lines, at least 2
	Sums      Sums     // over the lines; Sums.Events == Cut.Events
	LinesHash [32]byte // SHA-256 of the canonical line records, one after the other
}

// NewManifest closes a batch of so many lines. Errors: ErrRange when a field
// of the cut does not fit in a record, ErrUnbalanced when the sums disagree
// with each other or with the cut.
func NewManifest(cut Cut, lines int, sums Sums, linesHash [32]byte) (Manifest, error) {
	if err := cut.check(); err != nil {
		return Manifest{}, err
	}
	if lines < 0 || uint64(lines) > lineMax {
		return Manifest{}, fmt.Errorf("%w: %d lines", ErrRange, lines)
	}
	m := Manifest{Cut: cut, BatchID: cut.ID(), Lines: uint32(lines), Sums: sums, LinesHash: linesHash}
	if err := m.check(); err != nil {
		return Manifest{}, err
	}
	return m, nil
}

// check proves what must hold for a manifest alone.
func (m *Manifest) check() error {
	if err := m.Cut.check(); err != nil {
		return err
	}
	if m.BatchID != m.ID() {
		return fmt.Errorf("%w: batch id is not that of the cut", ErrMismatch)
	}
	if m.Lines < 2 {
		return fmt.Errorf("%w: %d lines, less than a participant and the operator", ErrRange, m.Lines)
	}
	if m.Sums.Events != m.Events {
		return fmt.Errorf("%w: %d events on the lines, %d in the window", ErrUnbalanced, m.Sums.Events, m.Events)
	}
	return m.Sums.check()
}

// Hash returns SHA-256 of the canonical bytes: what the next batch of the
// partition and currency names as its previous.
func (m *Manifest) Hash() [32]byte { return sha256.Sum256(m.AppendJSON(nil)) }

// AppendJSON appends the canonical (RFC 8785) value of the
// farthing.settlement.batch.v1 record. It panics when the manifest could not
// have come from NewManifest.
func (m *Manifest) AppendJSON(dst []byte) []byte {
	dst = appendHash(append(dst, `{"batch_id":`...), &m.BatchID)
	dst = appendString(append(dst, `,"currency":`...), m.Currency.Code())
	dst = appendUint(append(dst, `,"events":`...), m.Events)
	dst = appendUint(append(dst, `,"first_sequence":`...), m.First)
	dst = appendUint(append(dst, `,"first_stream_seq":`...), m.FirstStreamSeq)
	dst = appendUint(append(dst, `,"last_sequence":`...), m.Last)
	dst = appendID(append(dst, `,"ledger":`...), m.Ledger)
	dst = appendUint(append(dst, `,"lines":`...), uint64(m.Lines))
	dst = appendHash(append(dst, `,"lines_hash":`...), &m.LinesHash)
	dst = appendHash(append(dst, `,"merkle_root":`...), &m.MerkleRoot)
	dst = appendUint(append(dst, `,"partition":`...), uint64(m.Partition))
	dst = appendHash(append(dst, `,"previous":`...), &m.Previous)
	dst = m.Sums.appendJSON(append(dst, `,"sums":`...))
	dst = append(appendTime(append(dst, `,"time":"`...), m.Time), '"')
	dst = appendUint(append(dst, `,"window":`...), m.Window)
	return append(dst, '}')
}

func (s *Sums) appendJSON(dst []byte) []byte {
	dst = appendAmount(append(dst, `{"carried_in":`...), s.CarriedIn)
	dst = appendAmount(append(dst, `,"carried_out":`...), s.CarriedOut)
	dst = appendAmount(append(dst, `,"collected":`...), s.Collected)
	dst = appendAmount(append(dst, `,"gross_credits":`...), s.GrossCredits)
	dst = appendAmount(append(dst, `,"gross_debits":`...), s.GrossDebits)
	dst = appendAmount(append(dst, `,"paid":`...), s.Paid)
	dst = appendAmount(append(dst, `,"returned":`...), s.Returned)
	return append(dst, '}')
}

// ParseManifest reads a record that AppendJSON wrote: re-encoding what it
// returns gives the same bytes. Errors: ErrFormat for any other spelling,
// ErrMismatch for a batch id that is not that of its fields, ErrRange or
// ErrUnbalanced as for NewManifest. It keeps nothing of data.
func ParseManifest(data []byte) (Manifest, error) {
	var m Manifest
	c := cursor{rest: data, ok: true}
	m.BatchID = c.hash(`{"batch_id":`)
	m.Currency = c.currency(`,"currency":`)
	m.Events = c.uint(`,"events":`, numberMax)
	m.First = c.uint(`,"first_sequence":`, numberMax)
	m.FirstStreamSeq = c.uint(`,"first_stream_seq":`, numberMax)
	m.Last = c.uint(`,"last_sequence":`, numberMax)
	m.Ledger = c.id(`,"ledger":`)
	m.Lines = uint32(c.uint(`,"lines":`, lineMax))
	m.LinesHash = c.hash(`,"lines_hash":`)
	m.MerkleRoot = c.hash(`,"merkle_root":`)
	m.Partition = uint32(c.uint(`,"partition":`, partitionMax))
	m.Previous = c.hash(`,"previous":`)
	m.Sums = c.sums(`,"sums":`)
	m.Time = c.time(`,"time":`)
	m.Window = c.uint(`,"window":`, numberMax)
	c.end(`}`)
	if !c.ok {
		return Manifest{}, fmt.Errorf("%w: manifest: at byte %d of %d", ErrFormat, len(data)-len(c.rest), len(data))
	}
	m.Sums.Events = m.Events
	if err := m.check(); err != nil {
		return Manifest{}, fmt.Errorf("manifest: %w", err)
	}
	return m, nil
}

func (c *cursor) sums(key string) (s Sums) {
	c.literal(key)
	s.CarriedIn = c.amount(`{"carried_in":`)
	s.CarriedOut = c.amount(`,"carried_out":`)
	s.Collected = c.amount(`,"collected":`)
	s.GrossCredits = c.amount(`,"gross_credits":`)
	s.GrossDebits = c.amount(`,"gross_debits":`)
	s.Paid = c.amount(`,"paid":`)
	s.Returned = c.amount(`,"returned":`)
	c.literal(`}`)
	return s
}

// LinesHash sums up line records in their order, so that lines can be staged
// in chunks. The zero value is not ready: see NewLinesHash.
type LinesHash struct{ state hash.Hash }

// NewLinesHash returns the hash of no lines.
func NewLinesHash() *LinesHash { return &LinesHash{sha256.New()} }

// Add adds the canonical bytes of one line, or of several one after the other.
func (h *LinesHash) Add(records []byte) {
	if _, err := h.state.Write(records); err != nil {
		panic("BUG: batch: SHA-256 refused a write: " + err.Error())
	}
}

// Sum returns the hash of what was added; more may be added after it.
func (h *LinesHash) Sum() (sum [32]byte) {
	h.state.Sum(sum[:0])
	return sum
}

// HashLines returns the hash of the records of lines.
func HashLines(s *Scope, lines []Line) [32]byte {
	h := NewLinesHash()
	var record []byte
	for i := range lines {
		record = lines[i].AppendJSON(record[:0], s)
		h.Add(record)
	}
	return h.Sum()
}
