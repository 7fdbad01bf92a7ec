package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The tests of this file check on the real broker why kafka-go's own ways to publish are not used; ARCHITECTURE.md, section 14, has what
// came out.

// examined is what nothing else may use.
type examined = kafka.Writer //nolint:forbidigo // the tests show why it is forbidden

// TestClaimWriterLoses: the zero Writer asks for no acks, and a batch that the broker refuses is gone without an error. †
func TestClaimWriterLoses(t *testing.T) {
	c := realCluster(t)
	c.topic += ".small"
	c.createTopicWith(t, map[string]*string{setMaxMessage: new("1000")})
	write := func(acks kafka.RequiredAcks) error {
		w := &examined{Addr: kafka.TCP(c.addr), Topic: c.topic, RequiredAcks: acks, BatchTimeout: time.Millisecond}
		err := w.WriteMessages(t.Context(), kafka.Message{Value: make([]byte, 5000)})
		return errors.Join(err, w.Close())
	}
	var zero examined
	if err := write(zero.RequiredAcks); err != nil || c.end(t) != 0 {
		t.Fatalf("error %v, the topic ends at %d", err, c.end(t))
	}
	if err := write(kafka.RequireAll); err == nil || !strings.Contains(err.Error(), "Message Size Too Large") {
		t.Fatal(err) // the broker does refuse it
	}
}

// TestClaimWriterRepeats: with RequireAll, two lost answers are three copies and no error. †
func TestClaimWriterRepeats(t *testing.T) {
	c := realCluster(t)
	w := &wire{}
	w.cutAnswers.Store(2)
	writer := &examined{Addr: kafka.TCP(c.addr), Topic: c.topic, RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond,
		WriteBackoffMin: time.Millisecond, WriteBackoffMax: time.Millisecond, Transport: &kafka.Transport{Dial: w.dial}}
	err := errors.Join(writer.WriteMessages(t.Context(), kafka.Message{Value: []byte("once")}), writer.Close())
	if end := c.end(t); err != nil || end != 3 {
		t.Fatalf("error %v, %d copies", err, end)
	}
}

// TestClaimWriterDeliversLate: what WriteMessages gave up at the end of its context is delivered afterwards. †
func TestClaimWriterDeliversLate(t *testing.T) {
	c := realCluster(t)
	g, w := newGate(), &wire{}
	w.gate.Store(g)
	writer := &examined{Addr: kafka.TCP(c.addr), Topic: c.topic, RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond,
		Transport: &kafka.Transport{Dial: w.dial}}
	ctx, cancel := context.WithCancel(t.Context())
	written := make(chan error, 1)
	go func() { written <- writer.WriteMessages(ctx, kafka.Message{Value: []byte("given up")}) }()
	<-g.come
	cancel()
	if err := <-written; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if end := c.end(t); end != 0 {
		t.Fatal("it was there before it was given up")
	}
	close(g.open)
	if err := writer.Close(); err != nil { // waits for what is under way
		t.Fatal(err)
	}
	if end := c.end(t); end != 1 {
		t.Fatalf("the topic ends at %d", end)
	}
}

// TestClaimContentIsIgnored: a triple with other content is answered as a repetition. †
func TestClaimContentIsIgnored(t *testing.T) {
	c := realCluster(t)
	o := c.options(t).EnsureDefaults()
	b := newBroker(o)
	defer b.close()
	p := initProducerSoon(t, b)
	for _, flavour := range []string{"a", "b"} {
		base, err := b.produce(t.Context(), encodeRecords(settlement(flavour, 1, 2), o.Source, o.Now(), triple{p, 0}))
		if err != nil || base != 0 {
			t.Fatal(base, err)
		}
	}
	if log := c.log(t); len(log) != 2 || headers(log[0])[headerID] != "a-batch-0/1" {
		t.Fatalf("%d records, %v", len(log), headers(log[0]))
	}
}

// TestClaimInitProducerID: zeros claim producer id 0 and are refused, and so is no transaction timeout; the refusal stands in the answer and
// not in the error. †
func TestClaimInitProducerID(t *testing.T) {
	c := realCluster(t)
	o := c.options(t).EnsureDefaults()
	b := newBroker(o)
	defer b.close()
	held := initProducerSoon(t, b)
	ask := func(req kafka.InitProducerIDRequest) (producer, error) {
		t.Helper()
		res, err := b.client.InitProducerID(t.Context(), &req)
		if err != nil {
			t.Fatal("the refusal is an error now: ", err)
		}
		if res.Error != nil {
			return noProducer, res.Error
		}
		return producer{int64(res.Producer.ProducerID), int16(res.Producer.ProducerEpoch)}, nil
	}
	id := o.transactionalID()
	if p, err := ask(kafka.InitProducerIDRequest{TransactionalID: id, TransactionTimeoutMs: 60_000}); !errors.Is(err, kafka.ProducerFenced) {
		t.Fatal(p, err)
	}
	if p, err := ask(kafka.InitProducerIDRequest{TransactionalID: id, ProducerID: -1, ProducerEpoch: -1}); !errors.Is(err, kafka.InvalidTransactionTimeout) {
		t.Fatal(p, err)
	}
	if p, err := ask(kafka.InitProducerIDRequest{TransactionalID: id, ProducerID: -1, ProducerEpoch: -1, TransactionTimeoutMs: 60_000}); err != nil || p.id != held.id {
		t.Fatal(p, err)
	}
}

// TestClaimWithoutTransactionalID: each call gives another producer id at epoch 0, and all of them go on appending. †
func TestClaimWithoutTransactionalID(t *testing.T) {
	c := realCluster(t)
	o := c.options(t).EnsureDefaults()
	b := newBroker(o)
	defer b.close()
	client := c.admin(t)
	var got []producer
	for range 3 {
		req := kmsg.NewInitProducerIDRequest() // without the name: null
		res, err := req.RequestWith(t.Context(), client)
		if err != nil || res.ErrorCode != 0 {
			t.Fatal(err, res.ErrorCode)
		}
		p := producer{res.ProducerID, res.ProducerEpoch}
		if p.epoch != 0 || slices.Contains(got, p) {
			t.Fatalf("%+v after %v", p, got)
		}
		got = append(got, p)
	}
	for sequence := range int32(2) {
		for i, p := range got {
			if base, err := b.produce(t.Context(), encodeRecords(settlement("a", 1, 1), o.Source, o.Now(), triple{p, sequence})); err != nil {
				t.Fatal(i, base, err)
			}
		}
	}
}

// TestClaimTimeout: a Client without Timeout has the broker wait half a second for its replicas, one with it half of it. How long the
// Client itself waits it does not say: without Timeout as long as the context lets it.
func TestClaimTimeout(t *testing.T) {
	c := fakeCluster(t)
	told := make(chan int32, 1)
	c.fake.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.fake.KeepControl()
		told <- req.(*kmsg.ProduceRequest).TimeoutMillis
		return nil, nil, false
	})
	o := c.options(t).EnsureDefaults()
	b := newBroker(o)
	defer b.close()
	p := initProducerSoon(t, b)
	f := func(timeout time.Duration, from, to int32) {
		t.Helper()
		b.client.Timeout = timeout
		if _, err := b.produce(t.Context(), encodeRecords(settlement("a", 1, 1), o.Source, o.Now(), triple{p, 0})); err != nil {
			t.Fatal(err)
		}
		if got := <-told; got < from || got > to {
			t.Fatalf("with %v the broker is told %d ms, want %d to %d", timeout, got, from, to)
		}
	}
	f(0, 500, 500)
	f(10*time.Second, 4500, 5000)
}

// TestClaimFakeFencesEarlier: the broker in process refuses the old epoch as soon as there is a new one. The real one does not (TestFacts).
func TestClaimFakeFencesEarlier(t *testing.T) {
	c := fakeCluster(t)
	o := c.options(t).EnsureDefaults()
	b := newBroker(o)
	defer b.close()
	old := initProducerSoon(t, b)
	if _, err := b.initProducer(t.Context(), noProducer); err != nil {
		t.Fatal(err)
	}
	_, err := b.produce(t.Context(), encodeRecords(settlement("a", 1, 1), o.Source, o.Now(), triple{old, 0}))
	if classify(err) != fenced {
		t.Fatal(err)
	}
}

// TestClaimReadCommitted: under ReadCommitted kafka-go's Reader gives what was aborted, and the broker's markers as messages. †
func TestClaimReadCommitted(t *testing.T) {
	c := realCluster(t)
	client := c.admin(t, kgo.TransactionalID(c.topic), kgo.DefaultProduceTopic(c.topic))
	for _, commit := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := client.ProduceSync(t.Context(), kgo.StringRecord(fmt.Sprint(commit))).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := client.EndTransaction(t.Context(), commit); err != nil {
			t.Fatal(err)
		}
	}
	c.fill(t, &kgo.Record{Value: []byte("last")})
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{c.addr}, Topic: c.topic, IsolationLevel: kafka.ReadCommitted, MaxWait: 50 * time.Millisecond})
	defer reader.Close()
	var got []string
	for len(got) == 0 || got[len(got)-1] != "4 last" {
		m, err := reader.ReadMessage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Value) == 6 { // a version, and how often the coordinator has changed: a broker that was started again counts
			m.Value = m.Value[:2]
		}
		got = append(got, fmt.Sprintf("%d %s", m.Offset, m.Value))
	}
	const marker = " \x00\x00"
	if want := []string{"0 false", "1" + marker, "2 true", "3" + marker, "4 last"}; !slices.Equal(got, want) {
		t.Fatalf("Reader gives %q, want %q", got, want)
	}
	whole, err := readWhole(t, c)
	if want := []string{"0 false", "1 marker", "2 true", "3 marker", "4 last"}; err != nil || !slices.Equal(whole, want) {
		t.Fatalf("Client gives %q, %v, want %q", whole, err, want)
	}
}

// readWhole shows what kafka-go's Client makes of the partition when its stream is taken apart.
func readWhole(t *testing.T, c cluster) (got []string, err error) {
	b := newBroker(c.options(t).EnsureDefaults())
	defer b.close()
	res, err := b.client.Fetch(t.Context(), &kafka.FetchRequest{Topic: c.topic, MinBytes: 1, MaxBytes: fetchBytes, IsolationLevel: kafka.ReadCommitted})
	if err != nil || res.Error != nil {
		return nil, errors.Join(err, res.Error)
	}
	for _, batch := range batchesOf(res.Records) {
		_, control := batch.(*protocol.ControlBatch)
		for {
			r, err := batch.ReadRecord()
			if err != nil {
				break
			}
			text, _ := protocol.ReadAll(r.Value)
			if control {
				text = []byte("marker")
			}
			got = append(got, fmt.Sprintf("%d %s", r.Offset, text))
		}
	}
	return got, nil
}
