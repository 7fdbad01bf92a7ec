package reconcile

import (
	"crypto/sha256"
	"fmt"

	"farthing/batch"
	"farthing/money"
	"farthing/publish"
)

// batchCheck adds up the lines of a batch as they stand in the topic.
type batchCheck struct {
	id    string
	lines uint32
	sums  batch.Sums
	hash  *batch.LinesHash
	good  bool // every record so far was the ledger's
}

// add takes an applied record. The sums are those of the topic's own bytes, so they would also show that ledger and topic are
// wrong in the same way.
func (c *checker) add(t *publish.TopicRecord, b *sealed, want *record, good bool) {
	if want.line == 1 {
		c.batch = &batchCheck{id: b.id, hash: batch.NewLinesHash(), good: true}
	}
	k := c.batch
	if k == nil || k.id != b.id {
		return // something of it is missing, which was said
	}
	k.good = k.good && good
	if want.line == 0 {
		c.closeBatch(t, b, k)
		return
	}
	_, line, err := batch.ParseLine(t.Value)
	if err != nil {
		c.differ(Difference{Kind: Sums, StreamSeq: want.seq, Offset: &t.Offset, BatchID: b.id, Line: want.line, Detail: err.Error()})
		c.batch = nil
		return
	}
	k.lines++
	k.hash.Add(t.Value)
	k.add(&line)
}

func (k *batchCheck) add(l *batch.Line) {
	s := &k.sums
	switch l.Direction {
	case batch.Pay:
		s.Paid = plus(s.Paid, l.Amount)
	case batch.Collect:
		s.Collected = plus(s.Collected, l.Amount)
	case batch.None:
	}
	s.GrossDebits, s.GrossCredits = plus(s.GrossDebits, l.GrossDebits), plus(s.GrossCredits, l.GrossCredits)
	s.Returned = plus(s.Returned, l.Returned)
	s.CarriedIn, s.CarriedOut = plus(s.CarriedIn, l.CarriedIn), plus(s.CarriedOut, l.CarriedOut)
	s.Events += l.Events
}

// plus adds. Sums that do not fit wrap to zero and then do not agree with a manifest, whose own always fit.
func plus(a, b money.Amount) money.Amount {
	sum, ok := a.Add(b)
	if !ok {
		return money.Amount{}
	}
	return sum
}

// closeBatch holds the lines against the manifest, both as they stand in the topic.
func (c *checker) closeBatch(t *publish.TopicRecord, b *sealed, k *batchCheck) {
	c.batch = nil
	m, err := batch.ParseManifest(t.Value)
	problem := ""
	switch {
	case err != nil:
		problem = err.Error()
	case m.Lines != k.lines:
		problem = fmt.Sprintf("%d lines, the manifest says %d", k.lines, m.Lines)
	case m.Sums != k.sums:
		problem = fmt.Sprintf("the lines sum up to %+v, the manifest says %+v", k.sums, m.Sums)
	case m.LinesHash != k.hash.Sum():
		problem = "the hash of the lines is not the manifest's"
	}
	if problem != "" {
		c.differ(Difference{Kind: Sums, StreamSeq: b.last(), Offset: &t.Offset, BatchID: b.id, Detail: problem})
		return
	}
	if !k.good {
		return
	}
	c.report.Whole++
	f := &c.report.currency(b.Currency.Code()).Found
	f.Batches++
	f.Lines += uint64(k.lines)
	f.Paid, f.Collected = plus(f.Paid, k.sums.Paid), plus(f.Collected, k.sums.Collected)
}

// chain follows `previous` through the ledger's manifests, which those of the topic were compared with.
func (c *checker) chain() {
	last := map[money.Currency][32]byte{}
	for i := range c.index.batches {
		b := &c.index.batches[i]
		if b.Previous != last[b.Currency] {
			c.differ(Difference{Kind: Chain, StreamSeq: b.last(), BatchID: b.id,
				Detail: fmt.Sprintf("previous is %x, the hash of the batch before is %x", b.Previous, last[b.Currency])})
		}
		last[b.Currency] = sha256.Sum256(b.manifestCanonical)
	}
}
