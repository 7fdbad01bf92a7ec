package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"farthing/bench/client"

	"github.com/gowebpki/jcs"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	topic       = "farthing.settlements"
	lineType    = "farthing.settlement.line.v1"
	batchType   = "farthing.settlement.batch.v1"
	readTimeout = 60 * time.Second
)

// settlements is what a consumer of the topic has applied, by the contract's
// rules and nothing else.
type settlements struct {
	applied map[int32][]*kgo.Record // by partition; stream_seq n is at n-1
	lines   map[string][]json.RawMessage
	sealed  map[string]json.RawMessage // manifests by batch id
	ids     map[string]bool            // every ce_id seen
	repeats int                        // dropped: not greater than the last applied
	ignored int                        // without stream_seq
	unknown int                        // of a kind that this consumer does not know
	faults  []error
}

func newSettlements() *settlements {
	return &settlements{
		applied: map[int32][]*kgo.Record{}, lines: map[string][]json.RawMessage{}, sealed: map[string]json.RawMessage{}, ids: map[string]bool{},
	}
}

func (s *settlements) fault(r *kgo.Record, format string, args ...any) {
	s.faults = append(s.faults, fmt.Errorf("record %d/%d: %s", r.Partition, r.Offset, fmt.Sprintf(format, args...)))
}

// apply takes the next record; false stops the consumer.
func (s *settlements) apply(r *kgo.Record) bool {
	headers := map[string]string{}
	for _, h := range r.Headers {
		headers[h.Key] = string(h.Value)
	}
	text, ok := headers["stream_seq"]
	if !ok {
		s.ignored++
		return true
	}
	seq, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seq < 1 {
		s.fault(r, "stream_seq %q", text)
		return false
	}
	switch last := int64(len(s.applied[r.Partition])); {
	case seq <= last:
		s.repeat(r, s.applied[r.Partition][seq-1])
		return true
	case seq != last+1:
		s.fault(r, "a gap from stream_seq %d to %d", last, seq)
		return false
	}
	s.applied[r.Partition] = append(s.applied[r.Partition], r)
	s.take(r, headers)
	return true
}

// repeat drops a record that was applied before, after comparing every byte:
// a number has one content for ever.
func (s *settlements) repeat(r, first *kgo.Record) {
	s.repeats++
	if !bytes.Equal(r.Key, first.Key) || !bytes.Equal(r.Value, first.Value) || !reflect.DeepEqual(r.Headers, first.Headers) {
		s.fault(r, "not the same as the record at offset %d with its stream_seq: %s, %s", first.Offset, r.Value, first.Value)
	}
}

// take applies a record of the next stream_seq.
func (s *settlements) take(r *kgo.Record, headers map[string]string) {
	kind, id := headers["ce_type"], string(r.Key)
	if kind != lineType && kind != batchType {
		s.unknown++
		return
	}
	if headers["ce_specversion"] != "1.0" || !strings.HasPrefix(headers["content-type"], "application/json") || headers["ce_source"] == "" {
		s.fault(r, "headers %v", headers)
	}
	if ceID := headers["ce_id"]; ceID == "" || s.ids[ceID] {
		s.fault(r, "ce_id %q is empty or was there before", ceID)
	}
	s.ids[headers["ce_id"]] = true
	if canonical, err := jcs.Transform(r.Value); err != nil || !bytes.Equal(canonical, r.Value) {
		s.fault(r, "not canonical (%v): %s", err, r.Value)
	}
	if s.sealed[id] != nil {
		s.fault(r, "%s after the manifest of batch %s", kind, id)
	}
	if kind == lineType {
		s.lines[id] = append(s.lines[id], json.RawMessage(r.Value))
		return
	}
	s.sealed[id] = json.RawMessage(r.Value)
}

// consumer reads the topic from its start with a client that shares nothing
// with the publisher.
type consumer struct {
	reader *kgo.Client
	topic  string
	next   map[int32]int64 // offset after the last record read, by partition
	got    *settlements
}

// newConsumer lives as long as the test.
func newConsumer(t *testing.T, broker string) *consumer {
	t.Helper()
	return newConsumerOf(t, broker, topic)
}

func newConsumerOf(t *testing.T, broker, topic string) *consumer {
	t.Helper()
	reader, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reader.Close)
	return &consumer{reader: reader, topic: topic, next: map[int32]int64{}, got: newSettlements()}
}

// untilSealed reads until the manifests of want batches have been applied.
func (c *consumer) untilSealed(ctx context.Context, t *testing.T, want int) {
	t.Helper()
	c.read(ctx, t, func() bool { return len(c.got.sealed) >= want })
}

// toEnd reads everything that stands in the topic now.
func (c *consumer) toEnd(ctx context.Context, t *testing.T) {
	t.Helper()
	ends, err := kadm.NewClient(c.reader).ListEndOffsets(ctx, c.topic)
	if err := errors.Join(err, ends.Error()); err != nil {
		t.Fatal(err)
	}
	c.read(ctx, t, func() bool {
		done := true
		ends.Each(func(end kadm.ListedOffset) { done = done && c.next[end.Partition] >= end.Offset })
		return done
	})
}

func (c *consumer) read(ctx context.Context, t *testing.T, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	for !done() {
		fetches := c.reader.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("after %v: %d manifests on Kafka, read up to %v", readTimeout, len(c.got.sealed), c.next)
		}
		for _, e := range fetches.Errors() {
			t.Fatalf("read %s/%d: %v", e.Topic, e.Partition, e.Err)
		}
		for _, r := range fetches.Records() {
			c.next[r.Partition] = r.Offset + 1
			if !c.got.apply(r) {
				t.Fatal(c.got.faults)
			}
		}
	}
}

// checkKafka reads every batch from Kafka and compares it with what HTTP shows.
// It returns the numbers of batches and of lines.
func checkKafka(ctx context.Context, t *testing.T, c *client.Client, k *consumer) (batches, lines int) {
	t.Helper()
	manifests, err := c.Settlements(ctx)
	if err != nil {
		t.Fatal(err)
	}
	k.untilSealed(ctx, t, len(manifests))
	for _, m := range manifests {
		lines += compareBatch(ctx, t, c, k.got, m.BatchID)
	}
	return len(manifests), lines
}

// checkOnce reads what is left of the topic, once the publisher has stopped,
// and checks that each line and each manifest stands there once. A consumer
// would drop a second copy under the same stream_seq, and the contract allows
// one when the broker has forgotten the producer. A broker forgets after days:
// within a test the publisher has no excuse.
func (c *consumer) checkOnce(ctx context.Context, t *testing.T, batches, lines int) {
	t.Helper()
	c.toEnd(ctx, t)
	s := c.got
	for _, fault := range s.faults {
		t.Error(fault)
	}
	if s.repeats != 0 || s.unknown != 0 {
		t.Errorf("%d records stand twice and %d are of an unknown kind, want none", s.repeats, s.unknown)
	}
	read, records := 0, 0
	for id, lines := range s.lines {
		read += len(lines)
		if s.sealed[id] == nil {
			t.Errorf("batch %s: lines without a manifest", id)
		}
	}
	for _, applied := range s.applied {
		records += len(applied)
	}
	if len(s.sealed) != batches || read != lines || records != batches+lines || len(s.applied) != 1 {
		t.Errorf("%d manifests and %d lines on Kafka in %d records of %d partitions, want %d and %d in one partition",
			len(s.sealed), read, records, len(s.applied), batches, lines)
	}
	t.Logf("Kafka: %d batches and %d lines, each once; %d records without stream_seq", batches, lines, s.ignored)
}

// compareBatch compares one batch and returns its number of lines.
func compareBatch(ctx context.Context, t *testing.T, c *client.Client, s *settlements, id string) int {
	t.Helper()
	manifest, err := c.RawSettlement(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := c.RawLines(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	sameFields(t, "manifest of "+id, manifest, s.sealed[id], "published", "key_id", "signature")
	if len(lines) != len(s.lines[id]) {
		t.Errorf("batch %s: %d lines on Kafka, %d over HTTP", id, len(s.lines[id]), len(lines))
		return len(lines)
	}
	for i, line := range lines {
		if !bytes.Equal(line, s.lines[id][i]) {
			t.Errorf("batch %s: line %d is %s over HTTP and %s on Kafka", id, i+1, line, s.lines[id][i])
		}
	}
	return len(lines)
}

// sameFields checks that every field that HTTP shows, but those excepted, is on
// Kafka with the same value. Kafka's record may say more: it stands alone.
func sameFields(t *testing.T, what string, http, kafka json.RawMessage, except ...string) {
	t.Helper()
	shown, published := fields(t, what, http), fields(t, what, kafka)
	for _, name := range except {
		delete(shown, name)
	}
	if len(shown) == 0 {
		t.Errorf("%s: nothing to compare", what)
	}
	for name, value := range shown {
		if !reflect.DeepEqual(value, published[name]) {
			t.Errorf("%s: %s is %v over HTTP and %v on Kafka", what, name, value, published[name])
		}
	}
}

func fields(t *testing.T, what string, raw json.RawMessage) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var m map[string]any
	if err := decoder.Decode(&m); err != nil {
		t.Errorf("%s: %v in %q", what, err, raw)
	}
	return m
}
