package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"farthing/bench/client"

	"github.com/gowebpki/jcs"
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
	last    map[int32]int64 // stream_seq last applied, by partition
	lines   map[string][]json.RawMessage
	sealed  map[string]json.RawMessage // manifests by batch id
	ids     map[string]bool            // every ce_id seen
	repeats int                        // dropped: not greater than the last applied
	ignored int                        // without stream_seq, or of an unknown kind
	faults  []error
}

func newSettlements() *settlements {
	return &settlements{
		last: map[int32]int64{}, lines: map[string][]json.RawMessage{}, sealed: map[string]json.RawMessage{}, ids: map[string]bool{},
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
	if err != nil {
		s.fault(r, "stream_seq %q", text)
		return false
	}
	last, begun := s.last[r.Partition]
	switch {
	case begun && seq <= last:
		s.repeats++
		return true
	case begun && seq != last+1:
		s.fault(r, "a gap from stream_seq %d to %d", last, seq)
		return false
	case !begun && seq > 1:
		s.fault(r, "the stream begins at stream_seq %d", seq)
		return false
	}
	s.last[r.Partition] = seq
	s.take(r, headers)
	return true
}

// take applies a record of the next stream_seq.
func (s *settlements) take(r *kgo.Record, headers map[string]string) {
	kind, id := headers["ce_type"], string(r.Key)
	if kind != lineType && kind != batchType {
		s.ignored++
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

// consume reads the topic from its start until the manifests of want batches
// have been applied.
func consume(ctx context.Context, t *testing.T, broker string, want int) *settlements {
	t.Helper()
	reader, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	s := newSettlements()
	for len(s.sealed) < want {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("after %v: %d of %d manifests on Kafka", readTimeout, len(s.sealed), want)
		}
		for _, e := range fetches.Errors() {
			t.Fatalf("read %s/%d: %v", e.Topic, e.Partition, e.Err)
		}
		for _, r := range fetches.Records() {
			if !s.apply(r) {
				t.Fatal(s.faults)
			}
		}
	}
	return s
}

// checkKafka reads every batch from Kafka with a client that shares nothing
// with the publisher and compares it with what HTTP shows.
func checkKafka(ctx context.Context, t *testing.T, c *client.Client, broker string) {
	t.Helper()
	manifests, err := c.Settlements(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s := consume(ctx, t, broker, len(manifests))
	for _, fault := range s.faults {
		t.Error(fault)
	}
	lines := 0
	for _, m := range manifests {
		lines += compareBatch(ctx, t, c, s, m.BatchID)
	}
	if len(s.sealed) != len(manifests) || len(s.lines) > len(manifests) {
		t.Errorf("%d manifests and lines of %d batches on Kafka, want %d", len(s.sealed), len(s.lines), len(manifests))
	}
	t.Logf("Kafka: %d batches, %d lines; dropped as repeats %d, ignored %d", len(manifests), lines, s.repeats, s.ignored)
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
	sameFields(t, "manifest of "+id, manifest, s.sealed[id], "published", "signature")
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
