package engine

import (
	"farthing/ledger"
	"farthing/meter"
)

// tables are the append-only tables of the state, by number. Entries never change
// once appended, so a copy of the headers may be read by any goroutine while the
// sequencer appends: it sees the tables as of the copy.
type tables struct {
	people   []*ledger.Participant
	sources  [][]byte // from 1: 0 means "spelled out"
	shapes   []*internedShape
	versions []*PriceVersion
	terms    []*countedTerms // of counted prices
	windows  []*window       // sealed ones, by number from 1 at index 0
	batches  []batchEntry    // of windows, in their order
	grants   []*grantInfo    // by number
	scopes   []*scope        // by number from 1 at index 0
	limits   []*limitInfo    // by row
	plans    []*subscription // by number; their state is in rows
	notices  []noticeRun     // in order
	told     uint64          // number of the last notification
	keys     []*signingKey   // by number from 1 at index 0
	dropped  []*droppedPart  // exported parts of the history, in order

	// loose: grants, limits and terms are not listed, and what refers to them is taken as it is. So
	// it is for who reads the journal to show it, and does not book (export.go).
	loose bool
}

func (t *tables) hasGrant(n uint32) bool { return int(n) < len(t.grants) || t.loose }
func (t *tables) hasLimit(n uint32) bool { return int(n) < len(t.limits) || t.loose }

// internedShape is a shape with a number.
type internedShape struct {
	shape meter.Shape
	raw   string   // canonical bytes
	hash  [32]byte // SHA-256 of raw
}

func (t *tables) source(r *reader) []byte {
	id := r.uvarint()
	if id == 0 || id >= uint64(len(t.sources)) {
		r.fail()
		return nil
	}
	return t.sources[id]
}
