package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"farthing/publish/kafkatest"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// resultBook is a ledger in memory: it books each id once and refuses ids that begin with "no".
type resultBook struct {
	mu       sync.Mutex
	next     map[int32]int64
	booked   map[string]string
	calls    int
	fail     func() error // asked before anything is booked
	changed  chan struct{}
	failSave error
}

func newResultBook() *resultBook {
	return &resultBook{next: map[int32]int64{}, booked: map[string]string{}, changed: make(chan struct{})}
}

func (b *resultBook) Positions(string) (map[int32]int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.next), nil
}

func (b *resultBook) SetPosition(_ string, partition int32, next int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.failSave; err != nil {
		b.failSave = nil
		return err
	}
	b.next[partition] = next
	b.changedLocked()
	return nil
}

func (b *resultBook) changedLocked() {
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *resultBook) Results(list []Result) ([]ResultOutcome, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := call(b.fail); err != nil {
		return nil, err
	}
	out := make([]ResultOutcome, len(list))
	for i, r := range list {
		amount := "all"
		if r.Amount != nil {
			amount = *r.Amount
		}
		content := fmt.Sprint(r.BatchID, r.Line, r.Status, amount, r.Reference)
		known, repeated := b.booked[r.ID]
		switch {
		case strings.HasPrefix(r.ID, "no"):
			out[i] = ResultOutcome{Code: "result_conflict", Reason: "result_conflict", Detail: "no"}
		case repeated && known != content:
			out[i] = ResultOutcome{Code: "id_conflict", Reason: "id_conflict"}
		default:
			b.booked[r.ID], out[i].Repeated = content, repeated
		}
	}
	b.calls++
	b.changedLocked()
	return out, nil
}

// await waits until the ledger says so.
func (b *resultBook) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	late := time.After(patience)
	for {
		b.mu.Lock()
		done, changed := ok(), b.changed
		b.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("%s: never; positions %v, %d booked", what, b.next, len(b.booked))
		}
	}
}

func (b *resultBook) awaitPositions(t *testing.T, want map[int32]int64) {
	t.Helper()
	b.await(t, fmt.Sprint("positions ", want), func() bool { return maps.Equal(b.next, want) })
}

// readResults starts a reader and returns it with what ends it.
func readResults(t *testing.T, c cluster, book *resultBook) (*ResultsReader, func()) {
	t.Helper()
	r, err := NewResultsReader(c.options(t), book)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stop := func() { cancel(); run.Wait() }
	t.Cleanup(stop)
	return r, stop
}

func (r *ResultsReader) awaitState(t *testing.T, want State) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(patience); r.Stats().State != want; {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("never %s: %+v", want, r.Stats())
		}
	}
}

func resultText(id string) string {
	return fmt.Sprintf(`{"batch_id":"b1","line":7,"id":%q,"status":"paid","amount":"1.50","reference":"r"}`, id)
}

// say has a bank write messages to a partition.
func (c cluster) say(t *testing.T, partition int32, texts ...string) {
	t.Helper()
	client := c.admin(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for _, text := range texts {
		r := &kgo.Record{Topic: c.topic, Partition: partition, Value: []byte(text)}
		if text == "" {
			r.Value = nil
		}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func (c cluster) parts(t *testing.T, n int32) cluster {
	t.Helper()
	c.topic += ".results"
	res, err := kadm.NewClient(c.admin(t)).CreateTopic(t.Context(), n, 1, nil, c.topic)
	if err = errors.Join(err, res.Err); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestResults reads good and bad messages of three partitions, some of them twice, and goes on behind the bad ones. A restart from an
// older position books nothing again.
func TestResults(t *testing.T) {
	onBoth(t, func(t *testing.T, c cluster) {
		c = c.parts(t, 3)
		c.say(t, 0, resultText("r1"), resultText("r2"), resultText("r1"), "not json", "")
		c.say(t, 1, resultText("no1"), `{"batch_id":"b9","line":8,"id":"r9","status":"paid","extra":1}`, resultText("r3"))
		book := newResultBook()
		r, stop := readResults(t, c, book)
		book.awaitPositions(t, map[int32]int64{0: 5, 1: 3})
		c.say(t, 2, resultText("r4"), strings.Replace(resultText("r1"), "1.50", "1.51", 1))
		book.awaitPositions(t, map[int32]int64{0: 5, 1: 3, 2: 2})
		stop()
		s := r.Stats()
		if s.Applied != 4 || s.Repeated != 1 || s.Refused != 5 || s.State != StateIdle || len(s.Partitions) != 3 {
			t.Fatalf("%+v", s)
		}
		var got []string
		for _, f := range s.Recent {
			got = append(got, fmt.Sprintf("%d/%d %s %s %s %s/%d", f.Partition, f.Offset, f.ID, f.Code, f.Reason, f.BatchID, f.Line))
			if f.Topic != c.topic || f.Time.IsZero() {
				t.Fatalf("%+v", f)
			}
		}
		slices.Sort(got)
		want := []string{"0/3  malformed malformed_json /0", "0/4  malformed malformed_json /0", "1/0 no1 result_conflict result_conflict b1/7",
			"1/1 r9 invalid unknown_field b9/8", "2/1 r1 id_conflict id_conflict b1/7"}
		if !slices.Equal(got, want) {
			t.Fatalf("refused\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		book.next = map[int32]int64{0: 1}
		r, _ = readResults(t, c, book)
		book.awaitPositions(t, map[int32]int64{0: 5, 1: 3, 2: 2})
		if s := r.Stats(); s.Applied != 0 || s.Repeated != 4 || len(book.booked) != 4 {
			t.Fatalf("%+v, %d booked", s, len(book.booked))
		}
	})
}

// TestResultsFailures has the ledger fail before and after it books: each message is booked once, and none is lost.
func TestResultsFailures(t *testing.T) {
	onBoth(t, func(t *testing.T, c cluster) {
		c = c.parts(t, 1)
		book := newResultBook()
		failures := 3
		book.fail = func() error {
			if failures--; failures >= 0 {
				return errors.New("not ready")
			}
			return nil
		}
		book.failSave = errors.New("disk full")
		c.say(t, 0, resultText("r1"), resultText("r2"))
		r, stop := readResults(t, c, book)
		book.awaitPositions(t, map[int32]int64{0: 2})
		stop()
		if s := r.Stats(); s.Failures != 4 || s.Applied != 2 || s.Repeated != 2 || s.LastError == "" || book.calls != 2 {
			t.Fatalf("%+v, %d calls", s, book.calls)
		}
	})
}

// TestResultsTopicComes starts before there is a topic, and sees it deleted and created again.
func TestResultsTopicComes(t *testing.T) {
	c := realCluster(t)
	c.topic += ".later"
	book := newResultBook()
	r, _ := readResults(t, c, book)
	r.awaitState(t, StateNoTopic)
	if s := r.Stats(); s.Failures != 0 || s.LastError != "" {
		t.Fatalf("a topic that is not there counts as a failure: %+v", s)
	}
	c.createTopic(t)
	c.say(t, 0, resultText("r1"), resultText("r2"))
	book.awaitPositions(t, map[int32]int64{0: 2})
	c.recreateTopic(t)
	c.say(t, 0, resultText("r3"))
	book.await(t, "r3", func() bool { return len(book.booked) == 3 })
	book.awaitPositions(t, map[int32]int64{0: 1})
}

// TestResultsOfTransactions: what a bank's transaction took back is not booked. †
func TestResultsOfTransactions(t *testing.T) {
	c := realCluster(t)
	client := c.admin(t, kgo.TransactionalID(c.topic+".bank"), kgo.DefaultProduceTopic(c.topic))
	for i, commit := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryAbort, kgo.TryCommit} {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for k := range 2 {
			if err := client.ProduceSync(t.Context(), kgo.StringRecord(resultText(fmt.Sprintf("t%d-%d", i, k)))).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := client.EndTransaction(t.Context(), commit); err != nil {
			t.Fatal(err)
		}
		c.say(t, 0, resultText(fmt.Sprint("between", i)))
	}
	book := newResultBook()
	readResults(t, c, book)
	book.awaitPositions(t, map[int32]int64{0: c.end(t)})
	got := slices.Sorted(maps.Keys(book.booked))
	want := []string{"between0", "between1", "between2", "between3", "t0-0", "t0-1", "t3-0", "t3-1"}
	if !slices.Equal(got, want) {
		t.Fatalf("booked %v, want %v", got, want)
	}
}

// TestResultsRetention has the position passed by the topic's beginning.
func TestResultsRetention(t *testing.T) {
	c := realCluster(t)
	c.say(t, 0, resultText("r1"), resultText("r2"), resultText("r3"))
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: c.topic, Partition: 0, At: 2})
	if res, err := kadm.NewClient(c.admin(t)).DeleteRecords(t.Context(), offsets); err != nil || res.Error() != nil {
		t.Fatal(err, res.Error())
	}
	book := newResultBook()
	readResults(t, c, book)
	book.awaitPositions(t, map[int32]int64{0: 3})
	if got := slices.Sorted(maps.Keys(book.booked)); !slices.Equal(got, []string{"r3"}) {
		t.Fatal(got)
	}
}

// TestResultsBrokerAway has the broker killed and come back. †
func TestResultsBrokerAway(t *testing.T) {
	own := kafkatest.StartOwn(t)
	c := cluster{addr: own.Addr, topic: topicName(t)}
	c.createTopic(t)
	c.say(t, 0, resultText("r1"))
	book := newResultBook()
	r, _ := readResults(t, c, book)
	book.awaitPositions(t, map[int32]int64{0: 1})
	if err := own.Kill(); err != nil {
		t.Fatal(err)
	}
	r.awaitState(t, StateFailing)
	if err := own.Up(); err != nil {
		t.Fatal(err)
	}
	c.say(t, 0, resultText("r2"))
	book.awaitPositions(t, map[int32]int64{0: 2})
	if s := r.Stats(); s.Applied != 2 || s.Repeated != 0 || s.State != StateReading {
		t.Fatalf("%+v", s)
	}
}

// TestResultsPartitionAway has one partition without a leader: the others are read meanwhile, and it once it has one.
func TestResultsPartitionAway(t *testing.T) {
	c := fakeCluster(t).parts(t, 3)
	var back atomic.Bool
	c.fake.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.fake.KeepControl()
		req := r.(*kmsg.FetchRequest)
		if back.Load() || len(req.Topics) != 1 || len(req.Topics[0].Partitions) != 1 || req.Topics[0].Partitions[0].Partition != 1 {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		topic, partition := kmsg.NewFetchResponseTopic(), kmsg.NewFetchResponseTopicPartition()
		topic.Topic, topic.TopicID = req.Topics[0].Topic, req.Topics[0].TopicID
		partition.Partition, partition.ErrorCode = 1, kerr.LeaderNotAvailable.Code
		topic.Partitions = append(topic.Partitions, partition)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	for p := range int32(3) {
		c.say(t, p, resultText(fmt.Sprint("r", p)))
	}
	book := newResultBook()
	r, _ := readResults(t, c, book)
	book.awaitPositions(t, map[int32]int64{0: 1, 2: 1})
	r.awaitState(t, StateFailing)
	c.say(t, 2, resultText("r3"))
	book.awaitPositions(t, map[int32]int64{0: 1, 2: 2})
	back.Store(true)
	book.awaitPositions(t, map[int32]int64{0: 1, 1: 1, 2: 2})
	r.awaitState(t, StateReading)
}

// TestRefusedKept keeps the last hundred.
func TestRefusedKept(t *testing.T) {
	r, err := NewResultsReader(Options{Brokers: []string{"127.0.0.1:1"}, Ledger: "l", Logger: slog.New(slog.DiscardHandler)}, newResultBook())
	if err != nil {
		t.Fatal(err)
	}
	if r.o.Topic != DefaultResultsTopic {
		t.Fatal(r.o.Topic)
	}
	for i := range 250 {
		r.refuse(&Result{Offset: int64(i), ID: strings.Repeat("x", 1000)}, "c", "r", "d")
	}
	s := r.Stats()
	if s.Refused != 250 || len(s.Recent) != 100 || s.Recent[0].Offset != 249 || s.Recent[99].Offset != 150 || len(s.Recent[0].ID) != 128 {
		t.Fatalf("%d, %d kept", s.Refused, len(s.Recent))
	}
}

func TestDecodeResult(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		var r Result
		got := "ok"
		if bad := decodeResult([]byte(text), &r); bad != nil {
			got = bad.code + " " + bad.reason
		}
		if got != want {
			t.Fatalf("%.200s: %s, want %s", text, got, want)
		}
	}
	with := func(field string) string {
		return `{"batch_id":"b","line":1,"id":"i","status":"paid"` + field + "}"
	}
	f(with(""), "ok")
	f(" \n"+with(`,"amount":"1","reference":""`)+"\n", "ok")
	f("", "malformed malformed_json")
	f("null", "malformed malformed_json")
	f("[]", "malformed malformed_json")
	f("["+with("")+"]", "malformed malformed_json")
	f(with("")+with(""), "malformed malformed_json")
	f(with("")+"x", "malformed malformed_json")
	f(with("")[:30], "malformed malformed_json")
	f(with(`,"reference":"`+"\xff"+`"`), "malformed malformed_json")
	f(with(`,"reference":"`+strings.Repeat("x", resultBytesMax)+`"`), "too_large too_large")
	f(with(`,"amount":1`), "invalid invalid_type")
	f(with(`,"amount":null`), "invalid invalid_type")
	f(with(`,"amount":{"a":[1]}`), "invalid invalid_type")
	f(with(`,"note":"x"`), "invalid unknown_field")
	f(with(`,"Amount":"1"`), "invalid unknown_field")
	f(with(`,"id":"i"`), "invalid duplicate_field")
	f(with(`,"\u0069d":"i"`), "invalid duplicate_field")
	f(strings.Replace(with(""), `"line":1`, `"line":"1"`, 1), "invalid invalid_type")
	for _, line := range []string{"0", "-1", "1.5", "1e0", "4294967296"} {
		f(strings.Replace(with(""), `"line":1`, `"line":`+line, 1), "invalid invalid_line")
	}
	f(strings.Replace(with(""), `"line":1`, `"line":01`, 1), "malformed malformed_json")
	for _, field := range []string{`"batch_id":"b",`, `"line":1,`, `"id":"i",`} {
		f(strings.Replace(with(""), field, "", 1), "invalid missing_field")
	}
}

// FuzzDecodeResult compares what is accepted with encoding/json's reading.
func FuzzDecodeResult(f *testing.F) {
	f.Add([]byte(resultText("r1")))
	f.Add([]byte(`{"batch_id":"b","line":4294967295,"id":"\u00e9","status":"","amount":"x"}`))
	f.Add([]byte(`{"line":1e0}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var got Result
		if decodeResult(text, &got) != nil {
			return
		}
		var want struct {
			BatchID   *string `json:"batch_id"`
			Line      *uint32 `json:"line"`
			ID        *string `json:"id"`
			Status    *string `json:"status"`
			Amount    *string `json:"amount"`
			Reference string  `json:"reference"`
		}
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.DisallowUnknownFields()
		if err := d.Decode(&want); err != nil {
			t.Fatalf("accepted %q, which encoding/json refuses: %v", text, err)
		}
		if want.BatchID == nil || want.Line == nil || want.ID == nil || want.Status == nil {
			t.Fatalf("accepted %q, which lacks something", text)
		}
		same := got.BatchID == *want.BatchID && got.Line == *want.Line && got.ID == *want.ID && got.Status == *want.Status && got.Reference == want.Reference
		if !same || (got.Amount == nil) != (want.Amount == nil) || (got.Amount != nil && *got.Amount != *want.Amount) {
			t.Fatalf("%q was read as %+v", text, got)
		}
	})
}
