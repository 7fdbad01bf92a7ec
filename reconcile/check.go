package reconcile

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"farthing/publish"
)

// Bounds of a checker's memory.
const (
	progressEvery = 1 << 14
	gapsMax       = 1000 // later gaps are reported too, but what fills them counts as a repeat
)

// checker follows the topic. It belongs to the goroutine of Run.
type checker struct {
	ctx     context.Context // of Run: a visit has none
	o       Options
	index   index
	known   int // batches of the index whose published state is from before the topic's end was asked for
	report  Report
	source  string // ce_source of this ledger's relays
	expect  uint64 // the next stream_seq
	gaps    []gap
	places  map[int64]uint64 // offsets that the ledger names, and the stream_seq that must stand there
	main    window
	again   window
	batch   *batchCheck // of the batch that is being read; nil between two and after what made it incomplete
	noTopic bool
	// refreshed: the batches were read a second time.
	refreshed bool
}

// gap is a range of stream_seq that was not there when it was due.
type gap struct{ first, last uint64 }

func newChecker(ctx context.Context, o Options, x index) *checker {
	c := &checker{ctx: ctx, o: o, index: x, known: len(x.batches), expect: 1, places: map[int64]uint64{},
		report: Report{Topic: o.Topic.Topic(), Count: map[Kind]uint64{}}}
	if len(x.batches) > 0 {
		m := &x.batches[0].Manifest
		c.report.Ledger, c.report.Partition = m.Ledger, m.Partition
		c.source = fmt.Sprintf("farthing/%s/%d", m.Ledger, m.Partition)
	}
	for i := range x.batches {
		c.place(&x.batches[i])
	}
	return c
}

// place takes note of where the ledger says that a batch stands.
func (c *checker) place(b *sealed) {
	p := b.published
	switch {
	case p == nil:
	case p.Topic != c.report.Topic || p.Partition != int32(b.Partition):
		c.differ(Difference{Kind: Location, StreamSeq: b.first(), Last: b.last(), BatchID: b.id,
			Detail: fmt.Sprintf("the ledger says it stands in %s/%d, this is %s/%d", p.Topic, p.Partition, c.report.Topic, b.Partition)})
	default:
		c.places[p.FirstOffset], c.places[p.LastOffset] = b.first(), b.last()
	}
}

func (c *checker) differ(d Difference) {
	c.report.Count[d.Kind]++
	if len(c.report.Differences) < c.o.DifferencesMax {
		c.report.Differences = append(c.report.Differences, d)
	}
}

// visit takes the topic's next record.
func (c *checker) visit(t *publish.TopicRecord) error {
	c.report.Read++
	if c.o.Progress != nil && c.report.Read%progressEvery == 0 {
		c.o.Progress(uint64(t.Offset-c.report.FirstOffset), uint64(c.report.EndOffset-c.report.FirstOffset))
	}
	text, ok := t.Header("stream_seq")
	seq, err := strconv.ParseUint(string(text), 10, 64)
	valid := ok && err == nil && seq > 0
	if want, named := c.places[t.Offset]; named {
		delete(c.places, t.Offset)
		if !valid || seq != want {
			c.differ(Difference{Kind: Location, StreamSeq: want, Offset: &t.Offset,
				Detail: fmt.Sprintf("the ledger says it stands here, where there is stream_seq %.40q", text)})
		}
	}
	c.report.source(sourceOf(t), c.source, !ok)
	switch {
	case !ok:
		c.control(t)
		return nil
	case !valid:
		c.differ(Difference{Kind: Header, Offset: &t.Offset, Detail: fmt.Sprintf("stream_seq %.40q is no number", text)})
		return nil
	case seq < c.expect:
		return c.repeat(t, seq)
	}
	return c.apply(t, seq)
}

func sourceOf(t *publish.TopicRecord) string {
	text, _ := t.Header("ce_source")
	if len(text) == 0 {
		return sourceNone
	}
	return strings.ToValidUTF8(string(text[:min(len(text), 200)]), "?")
}

// control takes a record without stream_seq, which consumers ignore.
func (c *checker) control(t *publish.TopicRecord) {
	if kind, _ := t.Header("ce_type"); string(kind) == "farthing.settlement.fence.v1" && sourceOf(t) == c.source {
		c.report.Fences++
		return
	}
	c.report.Foreign++
}

// repeat takes a record that a consumer drops.
func (c *checker) repeat(t *publish.TopicRecord, seq uint64) error {
	if i := slices.IndexFunc(c.gaps, func(g gap) bool { return g.first <= seq && seq <= g.last }); i >= 0 {
		c.differ(Difference{Kind: Late, StreamSeq: seq, Offset: &t.Offset, Detail: "it stands behind a greater stream_seq, at which a consumer has stopped"})
		return nil
	}
	b := c.index.find(seq)
	if b == nil {
		c.differ(Difference{Kind: Unsealed, StreamSeq: seq, Offset: &t.Offset, Detail: "the ledger has not sealed it"})
		return nil
	}
	want, err := c.again.record(c.ctx, c.o.Ledger, b, seq)
	if err != nil {
		return err
	}
	if problem := c.compare(t, &want); problem != "" {
		c.differ(Difference{Kind: Content, StreamSeq: seq, Offset: &t.Offset, BatchID: b.id, Line: want.line, Detail: "a repeat with other content: " + problem})
		return nil
	}
	c.report.Repeats++
	return nil
}

// apply takes the next record, or one behind a gap.
func (c *checker) apply(t *publish.TopicRecord, seq uint64) error {
	b := c.index.find(seq)
	if b == nil {
		if err := c.refresh(); err != nil {
			return err
		}
		b = c.index.find(seq)
	}
	if b == nil {
		// It must not move the next one: behind a number from nowhere everything would look like a repeat.
		c.differ(Difference{Kind: Unsealed, StreamSeq: seq, Offset: &t.Offset, Detail: "the ledger has not sealed it"})
		return nil
	}
	if seq > c.expect {
		c.gap(seq, &t.Offset)
	}
	c.expect = seq + 1
	c.report.Applied++
	want, err := c.main.record(c.ctx, c.o.Ledger, b, seq)
	if err != nil {
		return err
	}
	problem := c.compare(t, &want)
	if problem != "" {
		c.differ(Difference{Kind: Content, StreamSeq: seq, Offset: &t.Offset, BatchID: b.id, Line: want.line, Detail: problem})
	}
	c.add(t, b, &want, problem == "")
	return nil
}

func (c *checker) gap(seq uint64, offset *int64) {
	g := gap{c.expect, seq - 1}
	if len(c.gaps) < gapsMax {
		c.gaps = append(c.gaps, g)
	}
	c.batch = nil
	d := Difference{Kind: Missing, StreamSeq: g.first, Last: g.last, Offset: offset, Detail: fmt.Sprintf("stream_seq %d follows %d: a consumer stops here", seq, g.first-1)}
	if c.report.Applied == 0 && c.report.FirstOffset > 0 {
		d.Detail = fmt.Sprintf("the topic begins at offset %d: retention has passed over it", c.report.FirstOffset)
	}
	if b := c.index.find(g.first); b != nil {
		d.BatchID = b.id
	}
	c.differ(d)
}

// refresh reads the batches anew: a server seals and publishes while the topic is read. Once is enough: the topic's end was asked for
// before, and what stands before it was sealed before it.
func (c *checker) refresh() error {
	if c.refreshed {
		return nil
	}
	c.refreshed = true
	x, err := readIndex(c.ctx, c.o.Ledger)
	if err != nil {
		return err
	}
	if len(x.batches) < c.known {
		return fmt.Errorf("the ledger has %d batches, it had %d", len(x.batches), c.known)
	}
	if c.known == 0 && len(x.batches) > 0 {
		m := &x.batches[0].Manifest
		c.report.Ledger, c.report.Partition = m.Ledger, m.Partition
		c.source = fmt.Sprintf("farthing/%s/%d", m.Ledger, m.Partition)
	}
	// Whether they were published when the topic's end was asked for is not known.
	for i := c.known; i < len(x.batches); i++ {
		x.batches[i].published = nil
	}
	c.index.batches = append(c.index.batches, x.batches[len(c.index.batches):]...)
	return nil
}

// compare names how a record differs from the ledger's; "" if it does not.
func (c *checker) compare(t *publish.TopicRecord, want *record) string {
	var problems []string
	header := func(name, want string) {
		switch got, _ := t.Header(name); {
		case string(got) != want:
			problems = append(problems, fmt.Sprintf("%s is %.120q instead of %q", name, got, want))
		case t.Count(name) > 1: // a consumer may read another one of them
			problems = append(problems, fmt.Sprintf("%s stands there %d times", name, t.Count(name)))
		}
	}
	header("stream_seq", strconv.FormatUint(want.seq, 10))
	header("ce_type", want.kind)
	header("ce_id", want.id)
	header("ce_source", c.source)
	header("ce_specversion", "1.0")
	header("content-type", "application/json")
	if want.signature != "" {
		header("key_id", want.keyID)
		header("signature", want.signature)
	}
	if !bytes.Equal(t.Key, want.key) {
		problems = append(problems, fmt.Sprintf("key is %.120q instead of %q", t.Key, want.key))
	}
	if !bytes.Equal(t.Value, want.value) {
		problems = append(problems, firstDifference(t.Value, want.value))
	}
	return strings.Join(problems, "; ")
}

// firstDifference shows where two values part.
func firstDifference(got, want []byte) string {
	n := 0
	for n < min(len(got), len(want)) && got[n] == want[n] {
		n++
	}
	around := func(b []byte) []byte { return b[max(0, min(n-20, len(b))):min(len(b), n+20)] }
	return fmt.Sprintf("value differs at byte %d of %d: …%q instead of …%q", n, len(got), around(got), around(want))
}

// finish looks at what the topic lacks at its end.
func (c *checker) finish() {
	for i := range c.index.batches {
		b := &c.index.batches[i]
		c.report.Batches++
		t := &c.report.currency(b.Currency.Code()).Sealed
		t.Batches++
		t.Lines += uint64(b.Lines)
		t.Paid, t.Collected = plus(t.Paid, b.Sums.Paid), plus(t.Collected, b.Sums.Collected)
		if c.expect > b.last() {
			continue
		}
		from := max(c.expect, b.first())
		if b.published != nil {
			detail := "the ledger says it is published; the topic ends before it"
			if c.noTopic {
				detail = "the ledger says it is published; there is no such topic"
			}
			c.differ(Difference{Kind: Missing, StreamSeq: from, Last: b.last(), BatchID: b.id, Detail: detail})
			continue
		}
		if c.report.Pending.Records == 0 {
			c.report.Pending.From = from
		}
		c.report.Pending.Batches++
		c.report.Pending.Records += b.last() - from + 1
	}
	c.chain()
}
