package publish

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"farthing/publish/kafkatest"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// patience bounds every wait of a test; none is expected to come near it.
const patience = 30 * time.Second

// encodeRecords returns the record set of one batch that is not compressed.
func encodeRecords(records []Record, source string, at time.Time, t triple) []byte {
	e := newEncoder(&Options{Source: source, Compression: NoCompression}, 1<<30)
	return e.plain(records).stamp(at, t)
}

// memBox is an outbox in memory. Its hooks play crashes: a hook's error is returned before anything changes, or, for the
// after hooks, once it has.
type memBox struct {
	mu      sync.Mutex
	records []Record
	pos     Position
	// confirms and attempts are all that were ever made, for assertions.
	confirms []Confirmation
	attempts []Attempt
	changed  chan struct{} // closed on every change
	// Hooks are set before the relay runs.
	onRecords, onAttempt, afterAttempt, onConfirm, afterConfirm func() error
}

func newBox(records ...Record) *memBox {
	return &memBox{records: records, changed: make(chan struct{})}
}

func (b *memBox) copy() *memBox {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := newBox(slices.Clone(b.records)...)
	c.pos, c.confirms = b.pos, slices.Clone(b.confirms)
	return c
}

func (b *memBox) changedLocked() {
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *memBox) seal(records ...Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records = append(b.records, records...)
	b.changedLocked()
}

func call(hook func() error) error {
	if hook == nil {
		return nil
	}
	return hook()
}

func (b *memBox) Records(from uint64, maxBytes int) ([]Record, error) {
	if err := call(b.onRecords); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []Record
	size := 0
	first, _ := slices.BinarySearchFunc(b.records, from, func(r Record, seq uint64) int { return cmp.Compare(r.StreamSeq, seq) })
	for _, r := range b.records[first:] {
		if size += len(r.Key) + len(r.Value); size > maxBytes && len(out) > 0 {
			break
		}
		out = append(out, r)
	}
	return out, nil
}

func (b *memBox) Position() (Position, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pos, nil
}

func (b *memBox) Attempt(a Attempt) error {
	if err := call(b.onAttempt); err != nil {
		return err
	}
	b.mu.Lock()
	b.attemptLocked(a)
	b.mu.Unlock()
	return call(b.afterAttempt)
}

func (b *memBox) Confirm(c Confirmation) error {
	if err := call(b.onConfirm); err != nil {
		return err
	}
	b.mu.Lock()
	b.confirmLocked(c)
	b.mu.Unlock()
	return call(b.afterConfirm)
}

func (b *memBox) confirmLocked(c Confirmation) {
	b.pos = Position{Confirmed: c.Last, Topic: c.Topic, Partition: c.Partition,
		Offset: c.BaseOffset + int64(c.Last-c.First), NextOffset: c.NextOffset}
	b.confirms = append(b.confirms, c)
	b.changedLocked()
}

func (b *memBox) attemptLocked(a Attempt) {
	b.pos.Attempt = &a
	b.attempts = append(b.attempts, a)
}

func (b *memBox) ConfirmAttempt(c Confirmation, a Attempt) error {
	if err := call(b.onAttempt); err != nil {
		return err
	}
	if err := call(b.onConfirm); err != nil {
		return err
	}
	b.mu.Lock()
	b.confirmLocked(c)
	b.attemptLocked(a)
	b.mu.Unlock()
	if err := call(b.afterConfirm); err != nil {
		return err
	}
	return call(b.afterAttempt)
}

func (b *memBox) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

// awaitConfirmed waits until records up to seq are confirmed.
func (b *memBox) awaitConfirmed(t testing.TB, seq uint64) {
	t.Helper()
	late := time.After(patience)
	for {
		changed := b.Changed()
		if pos, _ := b.Position(); pos.Confirmed >= seq {
			return
		}
		select {
		case <-changed:
		case <-late:
			pos, _ := b.Position()
			t.Fatalf("confirmed only up to %d of %d", pos.Confirmed, seq)
		}
	}
}

// settlement returns records from..to as a ledger would seal them: two lines and a manifest to a batch. flavour makes
// the contents of two ledgers differ.
func settlement(flavour string, from, to uint64) []Record {
	var out []Record
	for seq := from; seq <= to; seq++ {
		batch := fmt.Sprintf("%s-batch-%d", flavour, (seq-1)/3)
		kind := "farthing.settlement.line.v1"
		if seq%3 == 0 {
			kind = "farthing.settlement.batch.v1"
		}
		out = append(out, Record{StreamSeq: seq, Type: kind, ID: fmt.Sprintf("%s/%d", batch, seq), Key: []byte(batch),
			Value: fmt.Appendf(nil, `{"batch_id":%q,"line":%d}`, batch, seq)})
		if seq%3 == 0 {
			out[len(out)-1].Headers = []Header{{"key_id", []byte("k1")}, {"signature", []byte(flavour)}}
		}
	}
	return out
}

// cluster is a broker to test against, with a topic of the test's own.
type cluster struct {
	addr, topic string
	fake        *kfake.Cluster // nil for the real one
	opts        []kgo.Opt      // of the independent client
}

// onBoth runs the test in process and against the real broker.
func onBoth(t *testing.T, f func(t *testing.T, c cluster)) {
	t.Helper()
	t.Run("kfake", func(t *testing.T) { f(t, fakeCluster(t)) })
	t.Run("kafka", func(t *testing.T) { f(t, realCluster(t)) })
}

func fakeCluster(t testing.TB, opts ...kfake.Opt) cluster {
	t.Helper()
	fake, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	c := cluster{addr: fake.ListenAddrs()[0], topic: topicName(t), fake: fake}
	c.createTopic(t)
	return c
}

func realCluster(t testing.TB) cluster {
	t.Helper()
	c := cluster{addr: kafkatest.Start(t), topic: topicName(t)}
	c.createTopic(t)
	return c
}

func topicName(t testing.TB) string {
	return strings.NewReplacer("/", ".", "#", ".").Replace(t.Name()) + "." + strconv.FormatInt(time.Now().UnixNano(), 36)
}

// admin is the independent client.
func (c cluster) admin(t testing.TB, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(slices.Concat([]kgo.Opt{kgo.SeedBrokers(c.addr)}, c.opts, opts)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func (c cluster) createTopic(t testing.TB) { t.Helper(); c.createTopicWith(t, nil) }

// createTopicWith creates the topic and waits until it has a leader: before that the broker does not say what it is like.
func (c cluster) createTopicWith(t testing.TB, settings map[string]*string) {
	t.Helper()
	res, err := kadm.NewClient(c.admin(t)).CreateTopic(t.Context(), 1, 1, settings, c.topic)
	if err = errors.Join(err, res.Err); err != nil {
		t.Fatal(err)
	}
	c.awaitLeader(t)
}

// alterTopic changes a setting and waits until the broker goes by it. It applies changes of the cluster one after the other, so it does
// once it shows the setting, and then has a topic that was created after that.
func (c cluster) alterTopic(t testing.TB, name, value string) {
	t.Helper()
	admin, began := kadm.NewClient(c.admin(t)), time.Now()
	res, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}, c.topic)
	if err != nil || res[0].Err != nil {
		t.Fatal(res, err)
	}
	for {
		configs, err := admin.DescribeTopicConfigs(t.Context(), c.topic)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(configs[0].Configs, func(c kadm.Config) bool { return c.Key == name && c.MaybeValue() == value }) {
			break
		}
		if time.Since(began) > patience {
			t.Fatalf("%s never becomes %s", name, value)
		}
	}
	c.topic = topicName(t) + ".later"
	c.createTopic(t)
}

// recreateTopic deletes the topic with all that it holds, and creates it again.
func (c cluster) recreateTopic(t testing.TB) {
	t.Helper()
	c.deleteTopic(t)
	c.createTopic(t)
}

func (c cluster) awaitLeader(t testing.TB) {
	t.Helper()
	admin, began := kadm.NewClient(c.admin(t)), time.Now()
	for {
		ends, err := admin.ListEndOffsets(t.Context(), c.topic)
		if err = errors.Join(err, ends.Error()); err == nil {
			return
		}
		if time.Since(began) > patience {
			t.Fatal(err)
		}
	}
}

func (c cluster) deleteTopic(t testing.TB) {
	t.Helper()
	res, err := kadm.NewClient(c.admin(t)).DeleteTopics(t.Context(), c.topic)
	if err = errors.Join(err, res.Error()); err != nil {
		t.Fatal(err)
	}
}

func (c cluster) end(t testing.TB) int64 {
	t.Helper()
	ends, err := kadm.NewClient(c.admin(t)).ListEndOffsets(t.Context(), c.topic)
	if err = errors.Join(err, ends.Error()); err != nil {
		t.Fatal(err)
	}
	end, _ := ends.Lookup(c.topic, 0)
	return end.Offset
}

// log reads the whole partition with franz-go.
func (c cluster) log(t *testing.T) []*kgo.Record {
	t.Helper()
	end := c.end(t)
	if end == 0 {
		return nil
	}
	client := c.admin(t, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.topic: {0: kgo.NewOffset().AtStart()}}))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out []*kgo.Record
	for len(out) == 0 || out[len(out)-1].Offset < end-1 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		out = append(out, fetches.Records()...)
	}
	return out
}

// applied is what a consumer has after reading the topic by the contract.
type applied struct {
	records []*kgo.Record // in order, stream_seq 1, 2, 3 …
	dropped int           // second copies
	fences  int           // records without stream_seq
}

// consume applies the contract: drop what is not greater than the last applied, stop on a gap, ignore records without stream_seq.
func consume(t *testing.T, log []*kgo.Record) (a applied) {
	t.Helper()
	for _, r := range log {
		text, ok := headers(r)[headerStreamSeq]
		if !ok {
			a.fences++
			continue
		}
		seq, err := strconv.ParseUint(text, 10, 64)
		switch {
		case err != nil:
			t.Fatal(err)
		case seq <= uint64(len(a.records)):
			a.dropped++
		case seq > uint64(len(a.records))+1:
			t.Fatalf("gap: stream_seq %d at offset %d after %d", seq, r.Offset, len(a.records))
		default:
			a.records = append(a.records, r)
		}
	}
	return a
}

func headers(r *kgo.Record) map[string]string {
	out := map[string]string{}
	for _, h := range r.Headers {
		out[h.Key] = string(h.Value)
	}
	return out
}

// checkApplied wants exactly these records, each once, and every confirmation to name the place where its records stand.
func checkApplied(t *testing.T, c cluster, o Options, box *memBox, want []Record) applied {
	t.Helper()
	a := consume(t, c.log(t))
	if len(a.records) != len(want) || a.dropped != 0 {
		t.Fatalf("the consumer applied %d records and dropped %d, want %d and 0", len(a.records), a.dropped, len(want))
	}
	o = o.EnsureDefaults()
	for i, w := range want {
		got := a.records[i]
		if !bytes.Equal(got.Key, w.Key) || !bytes.Equal(got.Value, w.Value) {
			t.Fatalf("record %d is %s %s, want %s %s", i+1, got.Key, got.Value, w.Key, w.Value)
		}
		wantHeaders := map[string]string{"ce_specversion": "1.0", "ce_id": w.ID, "ce_source": o.Source, "ce_type": w.Type,
			"content-type": "application/json", "stream_seq": strconv.FormatUint(w.StreamSeq, 10)}
		for _, h := range w.Headers {
			wantHeaders[h.Key] = string(h.Value)
		}
		if h := headers(got); !maps.Equal(h, wantHeaders) {
			t.Fatalf("record %d has headers %v, want %v", i+1, h, wantHeaders)
		}
	}
	checkConfirmations(t, c, box, a)
	return a
}

func checkConfirmations(t *testing.T, c cluster, box *memBox, a applied) {
	t.Helper()
	next := uint64(1)
	for _, cf := range box.confirms {
		if cf.First != next || cf.Topic != c.topic || cf.Partition != 0 {
			t.Fatalf("confirmation %+v, want one from %d", cf, next)
		}
		for ; next <= cf.Last; next++ {
			if at := a.records[next-1].Offset; at != cf.BaseOffset+int64(next-cf.First) || at >= cf.NextOffset {
				t.Fatalf("record %d stands at offset %d, confirmed by %+v", next, at, cf)
			}
		}
	}
	if int(next) != len(a.records)+1 {
		t.Fatalf("confirmed up to %d of %d", next-1, len(a.records))
	}
}

func (c cluster) options(t testing.TB) Options {
	return Options{Brokers: []string{c.addr}, Topic: c.topic, Ledger: c.topic, RequestTimeout: 5 * time.Second,
		BackoffMin: time.Millisecond, BackoffMax: 50 * time.Millisecond, LostAfter: 20 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
}

// run is a relay at work.
type run struct {
	relay  *Relay
	cancel context.CancelFunc
	result chan error
}

func start(t *testing.T, o Options, box Outbox) *run {
	t.Helper()
	relay, err := New(o, box)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := &run{relay: relay, cancel: cancel, result: make(chan error, 1)}
	go func() { r.result <- relay.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		t.Log("the relay has ended:", <-r.result)
		close(r.result)
	})
	return r
}

// ended waits for Run to return by itself.
func (r *run) ended(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.result:
		r.result <- nil // for the clean-up
		return err
	case <-time.After(patience):
		t.Fatalf("the relay goes on: %+v", r.relay.Stats())
		return nil
	}
}

// stop ends the relay's context.
func (r *run) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	if err := r.ended(t); err != nil {
		t.Fatalf("Run returned %v at the end of its context", err)
	}
}
