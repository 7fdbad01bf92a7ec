package reconcile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"farthing/batch"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// plan is one state of topic and ledger, and what Run must find in it. Three batches of seven customers: nine records each, the first
// at offset 1, where stream_seq 1 stands.
type plan struct {
	name    string
	spoil   func(n int, lines []batch.Line, m *batch.Manifest) // the ledger
	stream  func(s []*kgo.Record) []*kgo.Record
	ledger  func(l *memLedger, c *cluster) // after it is sealed and "published"
	topic   func(t *testing.T, c *cluster) // after the stream was sent
	want    string                         // kind stream_seq[-last] …, in the order of the report
	check   func(r *Report) bool
	pending uint64
	detail  string // stands in the first difference
}

// at is the place of a stream_seq in the stream as sent.
func at(seq int) int { return seq }

var plans = []plan{
	{name: "whole", check: func(r *Report) bool {
		eur, usd := r.Currencies[0], r.Currencies[1]
		return r.Read == 28 && r.Applied == 27 && r.Fences == 1 && r.Foreign == 0 && r.Batches == 3 && r.Whole == 3 && r.Ledger == "led" &&
			eur.Sealed == eur.Found && usd.Sealed == usd.Found && eur.Found.Batches == 2 && eur.Found.Lines == 16 && eur.Found.Collected.String() == "21"
	}},
	{name: "equal repeats", stream: func(s []*kgo.Record) []*kgo.Record {
		return append(s, again(s[at(27)]), again(s[at(2)]), again(s[at(18)]))
	}, check: func(r *Report) bool { return r.Repeats == 3 && r.Whole == 3 }},
	{name: "records of others", stream: func(s []*kgo.Record) []*kgo.Record {
		stranger := &kgo.Record{Value: []byte("?")}
		fence := again(s[0])
		setHeader(fence, "ce_source", []byte("farthing/other/0"))
		return slices.Insert(s, 5, stranger, fence, again(s[0]))
	}, ledger: func(l *memLedger, _ *cluster) { l.unpublish(0) },
		check: func(r *Report) bool {
			return r.Foreign == 2 && r.Fences == 2 && r.Whole == 3 && slices.Contains(r.Sources, Source{Source: "farthing/other/0", Control: 1}) &&
				slices.Contains(r.Sources, Source{Source: sourceNone, Control: 1}) && slices.Contains(r.Sources, Source{"farthing/led/0", true, 27, 2})
		}},
	{name: "transactions of others at the end", topic: func(t *testing.T, c *cluster) { c.transactions(t) },
		check: func(r *Report) bool { return r.Foreign == 2 && r.Whole == 3 && r.EndOffset == 30 }},

	{name: "a value differs", stream: func(s []*kgo.Record) []*kgo.Record {
		s[at(3)].Value = []byte(strings.Replace(string(s[at(3)].Value), `"amount":"1.5"`, `"amount":"2.5"`, 1))
		return s
	}, want: "content 3, sums 3", detail: "value differs at byte"},
	{name: "a manifest differs", stream: func(s []*kgo.Record) []*kgo.Record {
		s[at(9)].Value = []byte(strings.Replace(string(s[at(9)].Value), `"events":7`, `"events":8`, 1))
		return s
	}, want: "content 9, sums 9"},
	{name: "another key", stream: func(s []*kgo.Record) []*kgo.Record { s[at(4)].Key = []byte("x"); return s }, want: "content 4", detail: "key is"},
	{name: "another kind", stream: func(s []*kgo.Record) []*kgo.Record {
		setHeader(s[at(4)], "ce_type", []byte("x.y"))
		return s
	}, want: "content 4", detail: "ce_type"},
	{name: "another source", stream: func(s []*kgo.Record) []*kgo.Record {
		setHeader(s[at(4)], "ce_source", []byte("farthing/other/0"))
		return s
	}, want: "content 4", detail: "ce_source"},
	{name: "two numbers", stream: func(s []*kgo.Record) []*kgo.Record {
		s[at(4)].Headers = append(s[at(4)].Headers, kgo.RecordHeader{Key: "stream_seq", Value: []byte("5")})
		return s
	}, want: "content 4", detail: "2 times"},
	{name: "another spelling of a number", stream: func(s []*kgo.Record) []*kgo.Record {
		setHeader(s[at(4)], "stream_seq", []byte("04"))
		return s
	}, want: "content 4", detail: "stream_seq"},
	{name: "another signature", stream: func(s []*kgo.Record) []*kgo.Record {
		setHeader(s[at(18)], "signature", []byte("sig1"))
		return s
	}, want: "content 18", detail: "signature"},
	{name: "no signature", stream: func(s []*kgo.Record) []*kgo.Record { setHeader(s[at(18)], "signature", nil); return s }, want: "content 18"},
	{name: "a repeat with other content", stream: func(s []*kgo.Record) []*kgo.Record {
		r := again(s[at(2)])
		r.Value = s[at(3)].Value
		return append(s, r)
	}, want: "content 2", detail: "a repeat"},

	{name: "one is missing", stream: func(s []*kgo.Record) []*kgo.Record { return slices.Delete(s, at(5), at(6)) },
		ledger: func(l *memLedger, _ *cluster) { l.unpublish(0) }, want: "missing 5", check: func(r *Report) bool { return r.Whole == 2 }},
	{name: "a batch is missing", stream: func(s []*kgo.Record) []*kgo.Record { return slices.Delete(s, at(10), at(19)) },
		ledger: func(l *memLedger, _ *cluster) { l.unpublish(0) }, want: "missing 10-18"},
	{name: "the published end is missing", stream: func(s []*kgo.Record) []*kgo.Record { return s[:at(16)] }, want: "missing 16-18, missing 19-27",
		check: func(r *Report) bool { return r.Whole == 1 }},
	{name: "the end is not published yet", stream: func(s []*kgo.Record) []*kgo.Record { return s[:at(16)] },
		ledger: func(l *memLedger, c *cluster) { l.unpublish(1) }, pending: 12, check: func(r *Report) bool { return r.Pending.Batches == 2 && r.Pending.From == 16 }},
	{name: "nothing is published yet", stream: func([]*kgo.Record) []*kgo.Record { return nil },
		ledger: func(l *memLedger, _ *cluster) { l.unpublish(0) }, pending: 27},
	{name: "one is late", stream: func(s []*kgo.Record) []*kgo.Record {
		late := s[at(5)]
		return append(slices.Delete(s, at(5), at(6)), late)
	}, ledger: func(l *memLedger, _ *cluster) { l.unpublish(0) }, want: "missing 5, late 5"},
	{name: "not sealed", stream: func(s []*kgo.Record) []*kgo.Record {
		r := again(s[at(27)])
		setHeader(r, "stream_seq", []byte("28"))
		return append(s, r)
	}, want: "unsealed 28"},
	{name: "no number", stream: func(s []*kgo.Record) []*kgo.Record {
		r := again(s[at(27)])
		setHeader(r, "stream_seq", []byte("-1"))
		return append(s, r)
	}, want: "header 0"},
	{name: "retention has passed", topic: func(t *testing.T, c *cluster) { c.deleteBefore(t, 5) }, want: "missing 1-4", detail: "retention"},

	{name: "both sides have a line that does not add up", spoil: func(n int, lines []batch.Line, _ *batch.Manifest) {
		if n == 2 {
			lines[0].Events++
		}
	}, want: "sums 18", detail: "sum up to"},
	{name: "both sides have the lines of another batch", spoil: func(n int, _ []batch.Line, m *batch.Manifest) {
		if n == 2 {
			m.LinesHash[0]++
		}
	}, want: "sums 18", detail: "hash of the lines"},
	{name: "the chain is broken", spoil: func(n int, _ []batch.Line, m *batch.Manifest) {
		if n == 3 {
			m.Previous[0]++
		}
	}, want: "chain 27"},
	{name: "the ledger names another offset", ledger: func(l *memLedger, _ *cluster) { l.batches[1].Published.FirstOffset++ }, want: "location 10"},
	{name: "the ledger names another topic", ledger: func(l *memLedger, _ *cluster) { l.published("elsewhere", 1) }, want: "location 1-9"},
	{name: "sealed while the topic is read", ledger: func(l *memLedger, _ *cluster) {
		l.later, l.batches = l.batches[1:], l.batches[:1]
	}, check: func(r *Report) bool { return r.Batches == 3 && r.Whole == 3 }},
}

// TestDifferences plants each kind of difference on a real topic and wants exactly this one to be found.
func TestDifferences(t *testing.T) {
	onBoth(t, func(t *testing.T, addr string) {
		for i := range plans {
			t.Run(plans[i].name, func(t *testing.T) { plans[i].run(t, addr) })
		}
	})
}

func (p *plan) run(t *testing.T, addr string) {
	c := newTopic(t, addr)
	l := sealedLedger(t, 3, 7, p.spoil)
	s := l.stream()
	l.published(c.topic, 3)
	if p.ledger != nil {
		p.ledger(l, c)
	}
	if p.stream != nil {
		s = p.stream(s)
	}
	c.produce(t, s...)
	if p.topic != nil {
		p.topic(t, c)
	}
	r, err := Run(t.Context(), Options{Ledger: l, Topic: c.reader(t)})
	if err != nil {
		t.Fatal(err)
	}
	if got := summary(&r); got != p.want || r.Pending.Records != p.pending {
		t.Errorf("differences %q and %d pending, want %q and %d: %+v", got, r.Pending.Records, p.want, p.pending, r.Differences)
	}
	if len(r.Differences) > 0 && !strings.Contains(r.Differences[0].Detail, p.detail) {
		t.Errorf("no %q in %q", p.detail, r.Differences[0].Detail)
	}
	if p.check != nil && !p.check(&r) {
		t.Errorf("report %+v", r)
	}
	if green := p.want == ""; r.Green(true) != green || r.Green(false) != (green && p.pending == 0) || (r.Err(true) == nil) != green {
		t.Errorf("green %v, %v: %v", r.Green(true), r.Green(false), r.Err(true))
	}
}

func summary(r *Report) string {
	var out []string
	for _, d := range r.Differences {
		text := fmt.Sprintf("%s %d", d.Kind, d.StreamSeq)
		if d.Last > d.StreamSeq {
			text += fmt.Sprint("-", d.Last)
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// unpublish forgets where batches from i on stand.
func (l *memLedger) unpublish(i int) {
	for ; i < len(l.batches); i++ {
		l.batches[i].Published = nil
	}
}

// transactions leaves one: a record and the marker of its end.
func (c *cluster) transactions(t *testing.T) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.addr), kgo.TransactionalID(c.topic), kgo.DefaultProduceTopic(c.topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(t.Context(), &kgo.Record{Value: []byte("?")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := client.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	// The marker is written behind the answer.
	for began := time.Now(); ; {
		ends, err := kadm.NewClient(c.client).ListEndOffsets(t.Context(), c.topic)
		if err = errors.Join(err, ends.Error()); err != nil || time.Since(began) > patience {
			t.Fatal(err)
		}
		if end, _ := ends.Lookup(c.topic, 0); end.Offset == 30 {
			return
		}
	}
}

func (c *cluster) deleteBefore(t *testing.T, offset int64) {
	t.Helper()
	var to kadm.Offsets
	to.AddOffset(c.topic, 0, offset, -1)
	res, err := kadm.NewClient(c.client).DeleteRecords(t.Context(), to)
	if err == nil {
		err = res.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestNoTopic: what was published to a topic that is gone is missing, what was not is pending.
func TestNoTopic(t *testing.T) {
	onBoth(t, func(t *testing.T, addr string) {
		c := newTopic(t, addr)
		c.topic += ".none"
		l := sealedLedger(t, 2, 3, nil)
		l.published(c.topic, 1)
		r, err := Run(t.Context(), Options{Ledger: l, Topic: c.reader(t)})
		if got := summary(&r); err != nil || got != "missing 1-5" || r.Pending.Records != 5 || r.Green(true) {
			t.Errorf("%q, %+v, %v", got, r, err)
		}
	})
}

// TestManyDifferences are counted and not all listed.
func TestManyDifferences(t *testing.T) {
	l := sealedLedger(t, 1, 500, nil)
	other := sealedLedger(t, 1, 500, func(_ int, lines []batch.Line, _ *batch.Manifest) {
		for i := range lines {
			lines[i].Events += 2
		}
	})
	c := newChecker(t.Context(), Options{Ledger: l, Topic: emptyTopic{}, DifferencesMax: 7}, index{})
	if err := c.refresh(); err != nil {
		t.Fatal(err)
	}
	for i, r := range other.stream() {
		if err := c.visit(topicRecord(r, int64(i))); err != nil {
			t.Fatal(err)
		}
	}
	c.finish()
	if r := c.report; len(r.Differences) != 7 || r.Count[Content] != 501 || r.Count[Sums] != 1 || r.DifferenceCount() != 502 || r.Whole != 0 {
		t.Errorf("%d listed, counted %v", len(r.Differences), r.Count)
	}
}
