package reconcile

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"farthing/batch"
	"farthing/money"
	"farthing/publish"
	"farthing/publish/kafkatest"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

const patience = 30 * time.Second

// memLedger is a ledger in memory. It hands out few lines at once, so that pages change within a batch.
type memLedger struct {
	batches []Batch
	lines   map[string][][]byte
	later   []Batch // sealed after the first call of Batches
}

const memPage = 3

func (l *memLedger) Batches(context.Context) ([]Batch, error) {
	out := slices.Clone(l.batches)
	l.batches, l.later = append(l.batches, l.later...), nil
	return out, nil
}

func (l *memLedger) Lines(_ context.Context, id string, from uint32) ([][]byte, error) {
	lines := l.lines[id]
	if int(from) > len(lines) {
		return nil, nil
	}
	return lines[from-1 : min(len(lines), int(from)-1+memPage)], nil
}

// sealedLedger seals so many batches of customers who are each collected 1.50, alternately in two currencies. spoil may
// change a line or a manifest before it is sealed.
func sealedLedger(t *testing.T, batches, customers int, spoil func(n int, lines []batch.Line, m *batch.Manifest)) *memLedger {
	t.Helper()
	l := &memLedger{lines: map[string][][]byte{}}
	next, previous := uint64(1), map[money.Currency][32]byte{}
	for n := 1; n <= batches; n++ {
		currency := must(money.Lookup([]string{"USD", "EUR"}[n%2]))
		charge, total := amount(t, "1.5"), money.Amount{}
		lines := make([]batch.Line, 0, customers+1)
		for i := range customers {
			lines = append(lines, batch.Line{Line: uint32(i + 1), Account: fmt.Sprintf("c%04d", i), Direction: batch.Collect, Amount: charge, GrossDebits: charge, Events: 1})
			total = must(total.Add(charge))
		}
		lines = append(lines, batch.Line{Line: uint32(customers + 1), Account: batch.OperatorAccount, GrossCredits: total, CarriedOut: total})
		cut := batch.Cut{Ledger: "led", Window: uint64(n), Currency: currency, First: uint64(n * 100), Last: uint64(n*100 + 99), Time: int64(n) * 1e9,
			Events: uint64(customers), Previous: previous[currency], FirstStreamSeq: next}
		scope := cut.Scope()
		m, err := batch.NewManifest(cut, len(lines), batch.Sums{Collected: total, GrossDebits: total, GrossCredits: total, CarriedOut: total,
			Events: uint64(customers)}, batch.HashLines(&scope, lines))
		if err != nil {
			t.Fatal(err)
		}
		if spoil != nil {
			spoil(n, lines, &m)
		}
		id := fmt.Sprintf("%x", m.BatchID)
		for i := range lines {
			l.lines[id] = append(l.lines[id], lines[i].AppendJSON(nil, &scope))
		}
		l.batches = append(l.batches, Batch{Manifest: m.AppendJSON(nil), KeyID: "k1", Signature: fmt.Sprint("sig", n)})
		previous[currency] = sha256.Sum256(l.batches[n-1].Manifest)
		next += uint64(len(lines)) + 1
	}
	return l
}

// stream is what a relay makes of the ledger, after a fence.
func (l *memLedger) stream() []*kgo.Record {
	header := func(id, kind string) []kgo.RecordHeader {
		return []kgo.RecordHeader{{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_id", Value: []byte(id)}, {Key: "ce_source", Value: []byte("farthing/led/0")},
			{Key: "ce_type", Value: []byte(kind)}, {Key: "content-type", Value: []byte("application/json")}}
	}
	out := []*kgo.Record{{Key: []byte("farthing/led/0"), Value: []byte("{}"), Headers: header("fence/1/0", "farthing.settlement.fence.v1")}}
	seq := 0
	add := func(key, id, kind string, value []byte, more ...kgo.RecordHeader) {
		seq++
		h := append(header(id, kind), kgo.RecordHeader{Key: "stream_seq", Value: strconv.AppendInt(nil, int64(seq), 10)})
		out = append(out, &kgo.Record{Key: []byte(key), Value: slices.Clone(value), Headers: append(h, more...)})
	}
	for _, b := range l.batches {
		m, err := batch.ParseManifest(b.Manifest)
		if err != nil {
			panic(err)
		}
		id := fmt.Sprintf("%x", m.BatchID)
		for i, line := range l.lines[id] {
			add(id, fmt.Sprint(id, "/", i+1), typeLine, line)
		}
		add(id, id, typeManifest, b.Manifest, kgo.RecordHeader{Key: "key_id", Value: []byte(b.KeyID)}, kgo.RecordHeader{Key: "signature", Value: []byte(b.Signature)})
	}
	return out
}

// published makes the ledger say that its first n batches stand where an undisturbed stream has them.
func (l *memLedger) published(topic string, n int) {
	for i := range l.batches[:n] {
		m, err := batch.ParseManifest(l.batches[i].Manifest)
		if err != nil {
			panic(err)
		}
		first := int64(m.FirstStreamSeq) // the fence is at 0
		l.batches[i].Published = &Place{Topic: topic, FirstOffset: first, LastOffset: first + int64(m.Lines)}
	}
}

func must[T any](value T, ok bool) T {
	if !ok {
		panic("not ok")
	}
	return value
}

func amount(t *testing.T, text string) money.Amount {
	t.Helper()
	a, err := money.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// cluster is a broker with a topic of the test's own.
type cluster struct {
	addr, topic string
	client      *kgo.Client
}

// onBoth runs the test on a broker in this process and on a real one.
func onBoth(t *testing.T, f func(t *testing.T, addr string)) {
	t.Run("kfake", func(t *testing.T) {
		fake, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(fake.Close)
		f(t, fake.ListenAddrs()[0])
	})
	t.Run("kafka", func(t *testing.T) { f(t, kafkatest.Start(t)) })
}

// newTopic is empty.
func newTopic(t *testing.T, addr string) *cluster {
	t.Helper()
	c := &cluster{addr: addr, topic: strings.NewReplacer("/", ".", "#", ".").Replace(t.Name()) + "." + strconv.FormatInt(time.Now().UnixNano(), 36)}
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(c.topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	c.client = client
	res, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, c.topic)
	if err = errors.Join(err, res.Err); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cluster) produce(t *testing.T, records ...*kgo.Record) {
	t.Helper()
	if len(records) == 0 {
		return
	}
	if err := c.client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// reader is the one to be tested.
func (c *cluster) reader(t *testing.T) *publish.TopicReader {
	t.Helper()
	r, err := publish.NewTopicReader(publish.Options{Brokers: []string{c.addr}, Topic: c.topic})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// setHeader replaces a header; a nil value takes it away.
func setHeader(r *kgo.Record, key string, value []byte) {
	i := slices.IndexFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == key })
	switch {
	case value == nil:
		r.Headers = slices.Delete(r.Headers, i, i+1)
	case i < 0:
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: key, Value: value})
	default:
		r.Headers[i].Value = value
	}
}

// again is a copy of a record, to be sent once more.
func again(r *kgo.Record) *kgo.Record {
	return &kgo.Record{Key: slices.Clone(r.Key), Value: slices.Clone(r.Value), Headers: slices.Clone(r.Headers)}
}
