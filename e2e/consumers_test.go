package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"farthing/bench/child"
	"farthing/bench/client"
	"farthing/internal/postgrestest"
	"farthing/publish/kafkatest"

	"github.com/shopspring/decimal"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	consumersWindows   = 14
	consumersCustomers = 150
	consumersTopic     = "consumers.settlements"
)

// TestConsumers runs both example consumers against a real broker, a real PostgreSQL and a server that settles, while they are killed
// at random moments and somebody else writes repeats and records of his own into the topic. Both end with equal tables, which equal the
// ledger. Then comes a gap: both stop with an error and apply nothing behind it, however often they are started.
func TestConsumers(t *testing.T) {
	postgres := postgrestest.Start(t)
	broker := kafkatest.StartOwn(t).Addr
	seed := seedOf(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	dir := t.TempDir()
	programs := newPrograms(ctx, t, dir, postgres)
	signing := newSigning(t, dir)
	binary := build(ctx, t, dir)
	server := child.New(child.Options{Binary: binary, Data: filepath.Join(dir, "data"), Scratch: dir, Log: logFile(t, dir), Args: []string{
		"--kafka", broker, "--kafka-topic", consumersTopic, "--create-topics", "--settle-every", "0", "--signing-key", signing.private}})
	if err := server.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Kill() }() // does nothing after Terminate
	c := client.New(server.URL, client.Options{})
	defer c.Close()
	for _, p := range programs {
		if err := postgres.CreateDatabase(ctx, p.name); err != nil {
			t.Fatal(err)
		}
		p.args = []string{"--brokers", broker, "--topic", consumersTopic, "--public-keys", signing.public[0]}
	}
	s := &consumersRun{t: t, rng: rand.New(rand.NewPCG(seed, 9)), client: c, broker: broker, kafka: newConsumerOf(t, broker, consumersTopic)}

	s.openAccounts(ctx)
	s.harass(ctx, programs, seed)
	last := s.lastSeq()
	for _, p := range programs {
		eventually(ctx, t, p.name+" has applied everything", func() bool {
			got, err := postgres.Query(ctx, p.name, "SELECT stream_seq FROM stream")
			return err == nil && got == fmt.Sprint(last)
		})
	}
	tables := s.compareTables(ctx, programs)
	t.Logf("%d batches, %d records, %d repeats and %d foreign records: equal tables of %d bytes", len(s.kafka.got.sealed), last, s.repeats, s.foreign, len(tables))
	reconcile := []string{"reconcile", "--kafka", broker, "--topic", consumersTopic, "--url", server.URL(), "--json"}
	said, code := runBinary(ctx, t, binary, reconcile...)
	var report struct {
		Green   bool
		Records struct{ Repeats, Foreign int }
	}
	if err := json.Unmarshal([]byte(said), &report); err != nil || code != 0 || !report.Green || report.Records.Repeats != s.repeats || report.Records.Foreign != s.foreign {
		t.Errorf("reconcile: exit %d, %v: %s", code, err, said)
	}

	s.checkPair(ctx, programs, tables, last)

	s.plantGap(ctx, last)
	s.checkStopped(ctx, programs, last, tables)
	if said, code := runBinary(ctx, t, binary, reconcile...); code != 1 {
		t.Errorf("reconcile after the gap: exit %d: %s", code, said)
	}
	s.checkForgeries(ctx, programs, signing.public[0])
	s.checkNewKind(ctx, programs, signing.public[0])
	if err := server.Terminate(); err != nil {
		t.Errorf("SIGTERM must end with exit 0: %v", err)
	}
}

// consumersRun is what TestConsumers has done so far.
type consumersRun struct {
	t       *testing.T
	rng     *rand.Rand
	client  *client.Client
	broker  string
	kafka   *consumer
	repeats int
	foreign int
}

func (s *consumersRun) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *consumersRun) openAccounts(ctx context.Context) {
	s.t.Helper()
	for i := range consumersCustomers {
		s.must(s.client.Open(ctx, client.Account{ID: customer(i), Currency: currencyOf(i), Kind: "customer", Billing: "postpaid"}))
	}
	var book client.Book
	for i, currency := range []string{"USD", "JPY"} {
		provider := "provider-" + currency
		s.must(s.client.Open(ctx, client.Account{ID: provider, Currency: currency, Kind: "provider", MinimumPayout: "25"}))
		// With residues that are carried, so that no amount fits a float.
		price := json.RawMessage(fmt.Sprintf(`"%d.012345678901234567"`, i+1))
		book.Prices = append(book.Prices, client.Price{Meter: "calls", Currency: currency, Components: map[string]json.RawMessage{"call": price}, Payee: provider, Fee: "0.1"})
	}
	book.EffectiveFrom = time.Now().Add(-time.Hour)
	s.must(s.client.PutPrices(ctx, "v1", book))
}

func customer(i int) string { return fmt.Sprintf("customer-%03d", i) }

func currencyOf(i int) string { return []string{"USD", "JPY"}[i%2] }

// closeWindow charges some customers, settles, and waits until the batches are in the topic.
func (s *consumersRun) closeWindow(ctx context.Context, n int) {
	s.t.Helper()
	var events []client.Event
	for i := range consumersCustomers {
		for k := range s.rng.IntN(3) {
			events = append(events, client.Event{ID: fmt.Sprintf("%d-%d-%d", n, i, k), Source: "e2e", Type: "calls", Subject: customer(i)})
		}
	}
	got, err := s.client.Post(ctx, events)
	s.must(err)
	if got.Accepted != len(events) || got.Unpriced != 0 {
		s.t.Fatalf("%d events came to %+v", len(events), got)
	}
	_, err = s.client.CloseWindow(ctx, fmt.Sprint("close-", n))
	s.must(err)
	manifests, err := s.client.Settlements(ctx)
	s.must(err)
	s.kafka.untilSealed(ctx, s.t, len(manifests))
}

func (s *consumersRun) lastSeq() int { return len(s.kafka.got.applied[0]) }

// harass settles a window for each time that the one or the other program is killed.
func (s *consumersRun) harass(ctx context.Context, programs []*program, seed uint64) {
	s.t.Helper()
	s.closeWindow(ctx, 1) // the topic is there
	work, giveUp := context.WithCancel(ctx)
	defer giveUp()
	killed, stop, harassed := make(chan struct{}, 1), make(chan struct{}), &sync.WaitGroup{}
	for i, p := range programs {
		rng := rand.New(rand.NewPCG(seed, uint64(100+i)))
		p.harass(s.t, rng.Int64N, killed, stop, harassed, giveUp)
	}
	defer harassed.Wait()
	defer close(stop)
	for n := 2; n <= consumersWindows; n++ {
		s.closeWindow(ctx, n)
		s.disturb(ctx)
		select {
		case <-killed:
		case <-work.Done():
			s.t.Fatal("a program has ended")
		}
	}
}

// checkStopped: both programs have stopped at the gap, stop again whenever they are started, and have applied nothing behind it.
func (s *consumersRun) checkStopped(ctx context.Context, programs []*program, last int, tables string) {
	s.t.Helper()
	gap := fmt.Sprintf("gap: stream_seq %d follows %d", last+2, last)
	for _, p := range programs {
		p.mustFail(ctx, s.t, gap)
		for _, fromStart := range []bool{false, true} {
			p.start(s.t, fromStart)
			p.mustFail(ctx, s.t, gap)
		}
		if got := dump(ctx, s.t, p); got != tables {
			s.t.Errorf("%s has applied something behind the gap", p.name)
		}
	}
}

// disturb sends records that stand in the topic once more, and records of others. In between the last one, so that it is a repeat of what
// nobody may have applied yet.
func (s *consumersRun) disturb(ctx context.Context) {
	s.t.Helper()
	applied := s.kafka.got.applied[0]
	var out []*kgo.Record
	for range 1 + s.rng.IntN(40) {
		out = append(out, copyOfRecord(applied[s.rng.IntN(len(applied))]))
	}
	out = append(out, copyOfRecord(applied[len(applied)-1]))
	s.repeats += len(out)
	strangers := []*kgo.Record{
		{Value: []byte("not JSON")},
		{Key: []byte("k"), Value: nil, Headers: []kgo.RecordHeader{{Key: "ce_type", Value: []byte(lineType)}}},
		{Value: []byte("{}"), Headers: []kgo.RecordHeader{{Key: "ce_type", Value: []byte("somebody.else.v1")}, {Key: "ce_source", Value: []byte("stranger")}}},
	}
	s.foreign += len(strangers)
	for _, r := range append(out, strangers...) {
		r.Topic = consumersTopic
	}
	s.rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	s.produce(ctx, consumersTopic, append(out, strangers...)...)
}

func copyOfRecord(r *kgo.Record) *kgo.Record {
	return &kgo.Record{Key: slices.Clone(r.Key), Value: slices.Clone(r.Value), Headers: slices.Clone(r.Headers)}
}

// produce appends without compression: of what compresses, kafkajs reads gzip alone.
func (s *consumersRun) produce(ctx context.Context, topic string, records ...*kgo.Record) {
	s.t.Helper()
	writer, err := kgo.NewClient(kgo.SeedBrokers(s.broker), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	s.must(err)
	defer writer.Close()
	s.must(writer.ProduceSync(ctx, records...).FirstErr())
}

// dump is what a program has applied: its batches and its lines, with amounts as numbers.
func dump(ctx context.Context, t *testing.T, p *program) string {
	t.Helper()
	return p.query(ctx, t, `SELECT batch_id, ledger, partition, window_number, currency, first_stream_seq, lines, events, paid, collected, key_id, manifest
		FROM batch ORDER BY first_stream_seq`) + "\n" +
		p.query(ctx, t, `SELECT l.* FROM settled_line l JOIN batch b USING (batch_id) ORDER BY b.first_stream_seq, l.line`) + "\n" +
		p.query(ctx, t, `SELECT stream_seq FROM stream`) + "\n" + p.query(ctx, t, `SELECT count(*) FROM line`)
}

// compareTables wants equal tables, the ledger's: every byte of its records, and every amount as the number that the record spells.
func (s *consumersRun) compareTables(ctx context.Context, programs []*program) string {
	s.t.Helper()
	tables := dump(ctx, s.t, programs[0])
	if other := dump(ctx, s.t, programs[1]); other != tables {
		s.t.Errorf("%s and %s have different tables", programs[0].name, programs[1].name)
	}
	manifests, err := s.client.Settlements(ctx)
	s.must(err)
	pays, collects := 0, 0
	for _, m := range manifests {
		raw, err := s.client.RawLines(ctx, m.BatchID)
		s.must(err)
		lines, err := s.client.Lines(ctx, m.BatchID)
		s.must(err)
		p := programs[0]
		where := fmt.Sprintf("FROM settled_line WHERE batch_id = '%s'", m.BatchID)
		if got := p.query(ctx, s.t, "SELECT record "+where+" ORDER BY line"); got != string(bytes.Join(raws(raw), []byte("\n"))) {
			s.t.Errorf("batch %s: the records are not the ledger's", m.BatchID)
		}
		var want strings.Builder
		sum := decimal.Decimal{}
		for _, l := range lines {
			fmt.Fprintf(&want, "%d|%s|%s|%s|%s|%s\n", l.Line, l.Account, l.Direction, l.Amount, l.CarriedOut, l.GrossDebits)
			sum = sum.Add(l.GrossDebits.Decimal)
			switch l.Direction {
			case "pay":
				pays++
			case "collect":
				collects++
			}
		}
		got := p.query(ctx, s.t, "SELECT line, account, direction, trim_scale(amount), trim_scale(carried_out), trim_scale(gross_debits) "+where+" ORDER BY line")
		if got+"\n" != want.String() {
			s.t.Errorf("batch %s:\n%s\nthe ledger has\n%s", m.BatchID, got, want.String())
		}
		if got := p.query(ctx, s.t, "SELECT trim_scale(sum(gross_debits)) "+where); got != sum.String() {
			s.t.Errorf("batch %s: gross debits sum up to %s, want %s", m.BatchID, got, sum)
		}
	}
	if n := programs[0].query(ctx, s.t, "SELECT count(*), count(key_id) FROM batch"); n != fmt.Sprintf("%d|%d", len(manifests), len(manifests)) || pays == 0 || collects == 0 {
		s.t.Errorf("batches and signed ones: %s, want %d; %d lines to pay and %d to collect", n, len(manifests), pays, collects)
	}
	return tables
}

func raws(in []json.RawMessage) [][]byte {
	out := make([][]byte, len(in))
	for i := range in {
		out[i] = in[i]
	}
	return out
}

// plantGap leaves out one number. What is left out comes after it, too late.
func (s *consumersRun) plantGap(ctx context.Context, last int) {
	s.t.Helper()
	next := func(seq int) *kgo.Record {
		r := copyOfRecord(s.kafka.got.applied[0][0])
		r.Topic = consumersTopic
		setStreamSeq(r, seq)
		return r
	}
	s.produce(ctx, consumersTopic, next(last+2), next(last+1))
}

func setStreamSeq(r *kgo.Record, seq int) {
	i := slices.IndexFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == "stream_seq" })
	r.Headers[i].Value = fmt.Append(nil, seq)
}

// firstBatch is the records of the first batch, to be changed.
func (s *consumersRun) firstBatch() (batch []*kgo.Record) {
	for _, r := range s.kafka.got.applied[0] {
		batch = append(batch, copyOfRecord(r))
		if slices.ContainsFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == "ce_type" && string(h.Value) == batchType }) {
			break
		}
	}
	return batch
}

// onTopic has a program, with a database of its own, read a new topic.
func (s *consumersRun) onTopic(ctx context.Context, p *program, topic, keys string) *program {
	s.t.Helper()
	other := &program{name: p.name + "_" + topic, command: p.command, postgres: p.postgres, args: []string{"--brokers", s.broker, "--topic", topic, "--public-keys", keys}}
	s.must(p.postgres.CreateDatabase(ctx, other.name))
	other.start(s.t, false)
	return other
}

func (s *consumersRun) newTopic(ctx context.Context, topic string, records ...*kgo.Record) {
	s.t.Helper()
	res, err := kadm.NewClient(s.kafka.reader).CreateTopic(ctx, 1, 1, nil, topic)
	s.must(errors.Join(err, res.Err))
	s.produce(ctx, topic, records...)
}

// checkForgeries gives both programs topics that nobody's ledger has written: they stop, and nothing of it becomes visible.
func (s *consumersRun) checkForgeries(ctx context.Context, programs []*program, keys string) {
	s.t.Helper()
	other := newSigning(s.t, s.t.TempDir())
	visible := "true" // of what must not be
	f := func(topic, mention, keys string, change func(batch []*kgo.Record) []*kgo.Record) {
		s.t.Helper()
		s.newTopic(ctx, topic, change(s.firstBatch())...)
		for _, p := range programs {
			forged := s.onTopic(ctx, p, topic, keys)
			forged.mustFail(ctx, s.t, mention)
			if got := forged.query(ctx, s.t, "SELECT count(*) FROM settled_line WHERE "+visible); got != "0" {
				s.t.Errorf("%s: %s lines are visible", forged.name, got)
			}
		}
	}
	replace := func(r *kgo.Record, from, to string) {
		s.t.Helper()
		if !bytes.Contains(r.Value, []byte(from)) {
			s.t.Fatalf("no %s in %s", from, r.Value)
		}
		r.Value = bytes.Replace(r.Value, []byte(from), []byte(to), 1)
	}
	f("forged_line", "the lines have the hash", keys, func(batch []*kgo.Record) []*kgo.Record {
		replace(batch[0], `"account":"c`, `"account":"d`)
		return batch
	})
	f("forged_amount", "constraint", keys, func(batch []*kgo.Record) []*kgo.Record {
		replace(batch[0], `"carried_in":"0"`, `"carried_in":"1"`)
		return batch
	})
	f("forged_manifest", "signature", keys, func(batch []*kgo.Record) []*kgo.Record {
		replace(batch[len(batch)-1], `"window":1`, `"window":2`)
		return batch
	})
	f("unknown_key", "not among ours", other.public[0], func(batch []*kgo.Record) []*kgo.Record { return batch })
	visible = "account LIKE 'd%'" // the batch itself is good
	f("line_behind", "behind the manifest", keys, func(batch []*kgo.Record) []*kgo.Record {
		late := copyOfRecord(batch[0])
		replace(late, `"line":1,`, `"line":10001,`)
		replace(late, `"account":"c`, `"account":"d`)
		setStreamSeq(late, len(batch)+1)
		return append(batch, late)
	})
}

// checkNewKind puts a record of a kind that is not known yet into the stream: it counts and is passed over.
func (s *consumersRun) checkNewKind(ctx context.Context, programs []*program, keys string) {
	s.t.Helper()
	batch := s.firstBatch()
	added := copyOfRecord(batch[1])
	added.Headers[slices.IndexFunc(added.Headers, func(h kgo.RecordHeader) bool { return h.Key == "ce_type" })].Value = []byte("farthing.settlement.remark.v1")
	batch = slices.Insert(batch, 1, added)
	for i, r := range batch {
		setStreamSeq(r, i+1)
	}
	s.newTopic(ctx, "new_kind", batch...)
	for _, p := range programs {
		reader := s.onTopic(ctx, p, "new_kind", keys)
		eventually(ctx, s.t, reader.name+" has applied everything", func() bool {
			got, err := p.postgres.Query(ctx, reader.name, "SELECT stream_seq, (SELECT count(*) FROM settled_line) FROM stream")
			return err == nil && got == fmt.Sprintf("%d|%d", len(batch), len(batch)-2)
		})
		s.must(reader.kill())
	}
}

// TestConsumersShareTheirSchema: two files of one content, so that each example stands alone.
func TestConsumersShareTheirSchema(t *testing.T) {
	var texts [][]byte
	for _, name := range []string{"consumer-go", "consumer-node"} {
		text, err := os.ReadFile(filepath.Join(examples, name, "schema.sql"))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	if !bytes.Equal(texts[0], texts[1]) {
		t.Error("schema.sql of the two consumers differ")
	}
}
