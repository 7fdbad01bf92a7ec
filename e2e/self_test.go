package e2e

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"farthing/bench/client"
	"farthing/bench/twin"

	"github.com/shopspring/decimal"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestReadTrace(t *testing.T) {
	const head = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
	f := func(rows string, want []traced, fails bool) {
		t.Helper()
		got, err := readTrace(strings.NewReader(head + rows))
		if (err != nil) != fails {
			t.Fatalf("%q: error %v", rows, err)
		}
		if len(got) != len(want) && !fails {
			t.Fatalf("%q: %d rows", rows, len(got))
		}
		for i := range want {
			if !got[i].at.Equal(want[i].at) || got[i].input != want[i].input || got[i].output != want[i].output {
				t.Errorf("%q: got %+v", rows, got[i])
			}
		}
	}
	at := time.Date(2023, 11, 16, 18, 15, 46, 680_590_000, time.UTC)
	f("2023-11-16 18:15:46.6805900,374,44\n", []traced{{at, 374, 44}}, false)
	f("2023-11-16 18:15:46.6805900,374,44", []traced{{at, 374, 44}}, false)
	f("", nil, false)
	f("2023-11-16 18:15:46.6805900,-1,44\n", nil, true)
	f("yesterday,1,2\n", nil, true)
	f("2023-11-16 18:15:46.6805900,1\n", nil, true)
}

func TestShift(t *testing.T) {
	begin, now := time.Unix(1000, 0), time.Unix(50_000, 7)
	got := shift([]traced{{at: begin}, {at: begin.Add(time.Hour)}, {at: begin.Add(time.Minute)}}, now)
	for i, want := range []time.Time{now.Add(-time.Hour), now, now.Add(time.Minute - time.Hour)} {
		if !got[i].at.Equal(want) {
			t.Errorf("row %d at %v, want %v", i, got[i].at, want)
		}
	}
}

func TestListedModels(t *testing.T) {
	got, err := listedModels(strings.NewReader(`{
		"b": {"mode": "chat", "input_cost_per_token": 1.25e-06, "output_cost_per_token": 3E-15},
		"a": {"mode": "chat", "input_cost_per_token": 2, "output_cost_per_token": 0.1},
		"free": {"mode": "chat", "input_cost_per_token": 0, "output_cost_per_token": 1e-6},
		"half": {"mode": "chat", "input_cost_per_token": 1e-6},
		"picture": {"mode": "image_generation", "input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}}`))
	if err != nil || len(got) != 2 {
		t.Fatalf("%v %+v", err, got)
	}
	if got[0].name != "a" || got[1].input.String() != "0.00000125" || got[1].output.String() != "0.000000000000003" {
		t.Errorf("%+v", got)
	}
}

// The oracle's own arithmetic, worked by hand.
func TestOracle(t *testing.T) {
	d := decimal.RequireFromString
	midnight := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	event := func(payer, model string, at time.Time, input, output uint64) client.Event {
		return client.Event{Subject: payer, Model: model, Time: at, Usage: map[string]uint64{"input": input, "output": output}}
	}
	o, err := newOracle(&scenario{
		accounts: []client.Account{{ID: "p", Kind: "provider"}, {ID: "c", Kind: "customer"}, {ID: "idle", Kind: "customer"}},
		models:   []model{{"m", "p", d("0.000001"), d("0.0000025")}},
		topups:   []topup{{account: "c", amount: client.M("1.5")}, {account: "c", amount: client.M("0.25")}},
		events: []client.Event{
			event("c", "m", midnight.Add(-1), 1000, 0),
			event("c", "m", midnight, 1000, 10),
			event("c", "m", midnight.Add(time.Hour), 1, 1),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	c, p := o.accounts["c"], o.accounts["p"]
	debits, credits := c.gross()
	if debits.String() != "0.0020285" || credits.String() != "1.75" || c.events != 3 || o.events != 3 {
		t.Errorf("customer: %s %s %d", debits, credits, c.events)
	}
	if debits, credits := p.gross(); !debits.IsZero() || credits.String() != "0.0020285" {
		t.Errorf("provider: %s %s", debits, credits)
	}
	f := func(component, day string, quantity uint64, amount string) {
		t.Helper()
		if got := c.rows[usageKey{"m", component, day}]; got.quantity != quantity || got.amount.String() != amount {
			t.Errorf("%s on %s: %+v", component, day, got)
		}
	}
	f("input", "2026-01-01", 1000, "0.001")
	f("input", "2026-01-02", 1001, "0.001001")
	f("output", "2026-01-02", 11, "0.0000275")
	if len(c.rows) != 3 || len(o.accounts["idle"].rows) != 0 {
		t.Errorf("rows %v", c.rows)
	}
	if _, err := newOracle(&scenario{events: []client.Event{{ID: "x", Subject: "nobody"}}}); err == nil {
		t.Error("an unknown payer was booked")
	}
}

// synthetic is a scenario with invented input.
func synthetic(rng *rand.Rand, events int) (*scenario, client.Book) {
	d := decimal.RequireFromString
	var trace []traced
	for i := range events {
		trace = append(trace, traced{time.Unix(int64(i), 0), rng.Uint64N(5000), 1 + rng.Uint64N(900)})
	}
	raw := func(s string) json.RawMessage { return json.RawMessage(`"` + s + `"`) }
	price := func(name, input, output string) client.Price {
		return client.Price{Meter: "llm.tokens", Currency: "USD", Match: map[string]string{"model": name},
			Components: map[string]json.RawMessage{"input": raw(input), "output": raw(output)}}
	}
	imported := client.Book{Prices: []client.Price{price("a", "0.0000025", "0.00001"), price("b", "0.000000075", "0.0000003")}}
	models := []model{{name: "a", input: d("0.0000025"), output: d("0.00001")}, {name: "b", input: d("0.000000075"), output: d("0.0000003")}}
	return newScenario(rng, trace, models, time.Now()), imported
}

// twinProcess is the twin with its connections cut for a crash.
type twinProcess struct{ *httptest.Server }

func (p twinProcess) URL() string { return p.Server.URL }

func (p twinProcess) Crash(context.Context) error {
	p.CloseClientConnections()
	return nil
}

// Flow, oracle and checks agree with the twin, so that a disagreement with the
// server is not theirs.
func TestFlowAgainstTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	s, imported := synthetic(rng, 3000)
	if _, err := importedOnly(s.models, imported); err != nil {
		t.Fatal(err)
	}
	book, err := s.book(imported)
	if err != nil {
		t.Fatal(err)
	}
	want, err := newOracle(s)
	if err != nil {
		t.Fatal(err)
	}
	server := twinProcess{httptest.NewServer(twin.New())}
	defer server.Close()
	c := client.New(server.URL, client.Options{})
	f := &flow{t: t, rng: rng, target: server, client: c}
	f.play(t.Context(), s, book)
	batches := readBatches(t.Context(), t, c)
	checkBalances(t.Context(), t, c, want, checkLines(t, want, batches))
	checkUsage(t.Context(), t, c, want)
	checkEvents(t.Context(), t, c, want, s, batches)
	checkTrial(t.Context(), t, c)
	f.checkNothingLeft(t.Context())
}

func TestImportedOnly(t *testing.T) {
	s, imported := synthetic(rand.New(rand.NewPCG(1, 1)), 10)
	unknown := model{name: "not-imported", input: decimal.New(1, -6), output: decimal.New(1, -6)}
	if kept, err := importedOnly(append(s.models, unknown), imported); err != nil || len(kept) != 2 {
		t.Errorf("%v %v", kept, err)
	}
	s.models[0].input = s.models[0].input.Add(decimal.New(1, -18))
	if _, err := importedOnly(s.models, imported); err == nil {
		t.Error("a wrong price was not noticed")
	}
}

// record is a record of batch b1 as the publisher should write it.
func record(seq, kind, id, value string) *kgo.Record {
	r := &kgo.Record{Topic: topic, Key: []byte("b1"), Value: []byte(value)}
	header := func(k, v string) { r.Headers = append(r.Headers, kgo.RecordHeader{Key: k, Value: []byte(v)}) }
	if seq != "" {
		header("stream_seq", seq)
	}
	header("ce_type", kind)
	header("ce_id", id)
	header("ce_source", "farthing")
	header("ce_specversion", "1.0")
	header("content-type", "application/json")
	return r
}

// The consumer reads a topic from its start to the last manifest, and then to its end.
func TestConsume(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topic))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	broker := cluster.ListenAddrs()[0]
	writer, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	line, seal := func() *kgo.Record { return record("1", lineType, "i1", `{"line":1}`) }, func() *kgo.Record { return record("2", batchType, "i2", `{}`) }
	written := []*kgo.Record{record("", "fence", "f", ""), line(), line(), seal(), record("", "fence", "f", ""), line(), seal()}
	if err := writer.ProduceSync(t.Context(), written...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	c := newConsumer(t, broker)
	c.untilSealed(t.Context(), t, 1)
	c.toEnd(t.Context(), t)
	s := c.got
	if len(s.lines["b1"]) != 1 || len(s.sealed) != 1 || s.repeats != 3 || s.ignored != 2 || len(s.faults) != 0 {
		t.Errorf("%+v", s)
	}
}

// Requests are 1 to 1,000 events, in order and complete.
func TestCutBatches(t *testing.T) {
	events := make([]client.Event, 20_000)
	for i := range events {
		events[i].ID = strconv.Itoa(i)
	}
	next, small, large := 0, 0, 0
	for _, batch := range cutBatches(rand.New(rand.NewPCG(2, 2)), events) {
		if len(batch) < 1 || len(batch) > batchMax {
			t.Fatalf("a batch of %d", len(batch))
		}
		if len(batch) < 10 {
			small++
		}
		if len(batch) > 500 {
			large++
		}
		for _, e := range batch {
			if e.ID != strconv.Itoa(next) {
				t.Fatalf("event %s where %d was due", e.ID, next)
			}
			next++
		}
	}
	if next != len(events) || small == 0 || large == 0 {
		t.Errorf("%d events, %d small and %d large batches", next, small, large)
	}
}

// The consumer's rules, one record at a time.
func TestConsumerRules(t *testing.T) {
	f := func(what string, goesOn bool, faults int, records ...*kgo.Record) *settlements {
		t.Helper()
		s, on := newSettlements(), true
		for _, r := range records {
			on = on && s.apply(r)
		}
		if on != goesOn || len(s.faults) != faults {
			t.Errorf("%s: goes on %v, faults %v", what, on, s.faults)
		}
		return s
	}
	line1, line2 := record("1", lineType, "i1", `{"line":0}`), record("2", lineType, "i2", `{"line":1}`)
	seal := record("3", batchType, "i3", `{"batch_id":"b1"}`)
	s := f("in order, with repeats and strangers", true, 0,
		record("", "", "", "fence"), line1, line1, line2, record("", lineType, "x", "{}"), line1, seal, record("4", "unknown.v9", "i4", "?"))
	if len(s.lines["b1"]) != 2 || s.sealed["b1"] == nil || s.repeats != 2 || s.ignored != 2 || s.unknown != 1 {
		t.Errorf("%+v", s)
	}
	f("a gap", false, 1, line1, seal)
	f("a late start", false, 1, line2)
	f("a repeat with another value", true, 1, line1, record("1", lineType, "i1", `{"line":7}`))
	f("a repeat with another id", true, 1, line1, record("1", lineType, "i7", `{"line":0}`))
	f("a repeat as another kind", true, 1, line1, record("1", batchType, "i1", `{"line":0}`))
	f("a number before the first", false, 1, record("0", lineType, "i0", `{"line":0}`))
	f("a word for a number", false, 1, record("one", lineType, "i", "{}"))
	f("not canonical", true, 1, record("1", lineType, "i1", `{"line": 0}`))
	f("an id twice", true, 1, line1, record("2", lineType, "i1", "{}"))
	f("a line after its manifest", true, 1, line1, record("2", batchType, "i2", "{}"), record("3", lineType, "i3", "{}"))
}
