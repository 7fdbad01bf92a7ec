package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"farthing/money"
)

// Kind is the kind of a difference.
type Kind string

// The kinds of differences.
const (
	Missing  Kind = "missing"  // sealed and, by the ledger's word or because later ones are there, published; not in the topic
	Late     Kind = "late"     // stands behind a greater stream_seq: a consumer stopped before it
	Content  Kind = "content"  // other bytes, kind, id, key or headers than the ledger's record of that stream_seq
	Unsealed Kind = "unsealed" // a stream_seq that the ledger has not sealed
	Header   Kind = "header"   // a stream_seq that is no number
	Sums     Kind = "sums"     // the lines in the topic do not add up to the manifest in the topic
	Chain    Kind = "chain"    // a manifest does not name the one before it
	Location Kind = "location" // the ledger says it stands elsewhere
)

// Difference is one disagreement of topic and ledger.
type Difference struct {
	Kind      Kind   `json:"kind"`
	StreamSeq uint64 `json:"stream_seq,omitempty"` // the first
	Last      uint64 `json:"last_stream_seq,omitempty"`
	Offset    *int64 `json:"offset,omitempty"`
	BatchID   string `json:"batch_id,omitempty"`
	Line      uint32 `json:"line,omitempty"` // 0: the manifest, or the batch as a whole
	Detail    string `json:"detail"`
}

// Source counts the records of one ce_source.
type Source struct {
	Source  string `json:"source"`
	Known   bool   `json:"known"`   // this ledger's
	Records uint64 `json:"records"` // with a stream_seq
	Control uint64 `json:"control"` // without one
}

// Currency sums up the batches of a currency on both sides.
type Currency struct {
	Currency string
	Sealed   Tally
	Found    Tally // as applied from the topic
}

// Tally is a number of batches and what their lines say.
type Tally struct {
	Batches   uint64
	Lines     uint64
	Paid      money.Amount
	Collected money.Amount
}

// Pending is what was sealed and not yet published.
type Pending struct {
	Batches uint64 `json:"batches"` // not, or not wholly, in the topic
	Records uint64 `json:"records"`
	From    uint64 `json:"from_stream_seq,omitempty"`
}

// Report is the outcome of Run.
type Report struct {
	Ledger      string // "" for one that has sealed nothing
	Topic       string
	Partition   uint32
	FirstOffset int64
	EndOffset   int64
	Read        uint64 // records in the topic
	Applied     uint64 // by a consumer that goes on behind gaps
	Repeats     uint64 // equal ones that a consumer drops
	Fences      uint64 // control records of this ledger's relays
	Foreign     uint64 // other records without stream_seq
	Batches     uint64 // sealed
	Whole       uint64 // of which so many stand in the topic as sealed
	Currencies  []Currency
	Sources     []Source
	Pending     Pending
	Count       map[Kind]uint64
	Differences []Difference // the first of them
}

// sourcesMax bounds the sources named; the others are counted under sourceOthers.
const (
	sourcesMax   = 20
	sourceOthers = "(others)"
	sourceNone   = "(none)"
)

// DifferenceCount is the number of differences, of which Differences has the first.
func (r *Report) DifferenceCount() (n uint64) {
	for _, count := range r.Count {
		n += count
	}
	return n
}

// Green says that the topic holds what it must: everything, or, with allowPending, all but a tail that was not published yet.
func (r *Report) Green(allowPending bool) bool {
	return r.DifferenceCount() == 0 && (allowPending || r.Pending.Records == 0)
}

// Err is nil if the report is green, else names the first difference. It is for callers that want one line.
func (r *Report) Err(allowPending bool) error {
	switch {
	case r.Green(allowPending):
		return nil
	case len(r.Differences) == 0:
		return fmt.Errorf("%d records from stream_seq %d on are sealed and not published", r.Pending.Records, r.Pending.From)
	}
	d := r.Differences[0]
	return fmt.Errorf("%d differences between topic and ledger, the first: %s: stream_seq %d, batch %s, line %d: %s",
		r.DifferenceCount(), d.Kind, d.StreamSeq, d.BatchID, d.Line, d.Detail)
}

func (r *Report) currency(code string) *Currency {
	i, ok := slices.BinarySearchFunc(r.Currencies, code, func(c Currency, code string) int {
		return strings.Compare(c.Currency, code)
	})
	if !ok {
		r.Currencies = slices.Insert(r.Currencies, i, Currency{Currency: code})
	}
	return &r.Currencies[i]
}

// source counts a record of a ce_source.
func (r *Report) source(name, ours string, control bool) {
	i := slices.IndexFunc(r.Sources, func(s Source) bool { return s.Source == name })
	if i < 0 && len(r.Sources) >= sourcesMax && name != ours && name != sourceOthers {
		r.source(sourceOthers, ours, control)
		return
	}
	if i < 0 {
		i = len(r.Sources)
		r.Sources = append(r.Sources, Source{Source: name, Known: name == ours})
	}
	if control {
		r.Sources[i].Control++
		return
	}
	r.Sources[i].Records++
}
