package publish

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestBatchBytes reads an encoded batch with franz-go's decoder.
func TestBatchBytes(t *testing.T) {
	records := settlement("a", 7, 9)
	at := time.UnixMilli(1_700_000_000_123)
	id := triple{producer{1<<40 + 5, 12}, 99}
	set := encodeRecords(records, "src", at, id)
	if again := encodeRecords(records, "src", at, id); !bytes.Equal(set, again) {
		t.Fatal("two encodings of one batch differ")
	}
	if n := binary.BigEndian.Uint32(set); int(n) != len(set)-setLengthBytes {
		t.Fatalf("length %d of %d bytes", n, len(set))
	}
	var b kmsg.RecordBatch
	if err := b.ReadFrom(set[setLengthBytes:]); err != nil {
		t.Fatal(err)
	}
	if crc := crc32.Checksum(set[setLengthBytes+atAttributes:], crc32.MakeTable(crc32.Castagnoli)); uint32(b.CRC) != crc {
		t.Fatalf("checksum %x, want %x", uint32(b.CRC), crc)
	}
	if b.ProducerID != id.id || b.ProducerEpoch != id.epoch || b.FirstSequence != 99 || b.NumRecords != 3 || b.LastOffsetDelta != 2 ||
		b.FirstTimestamp != at.UnixMilli() || b.MaxTimestamp != at.UnixMilli() || b.Attributes != 0 {
		t.Fatalf("batch %+v", b)
	}
	for i, rest := 0, b.Records; i < 3; i++ {
		var r kmsg.Record
		length, n := binary.Varint(rest)
		if err := r.ReadFrom(rest[:n+int(length)]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n+int(length):]
		number, extra := r.Headers[5], r.Headers[6:]
		same := slices.EqualFunc(extra, records[i].Headers, func(a kmsg.Header, b Header) bool { return Header(a).equal(b) })
		if !same || !bytes.Equal(r.Value, records[i].Value) || number.Key != headerStreamSeq || string(number.Value) != strconv.Itoa(7+i) {
			t.Fatalf("record %d: %+v", i, r)
		}
	}
}

// TestSizeBound checks that what pack assumes of a record is never less than what it takes.
func TestSizeBound(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 8191, 8192, 1 << 20} {
		r := Record{StreamSeq: math.MaxUint64, Type: strings.Repeat("t", min(n, 300)), ID: strings.Repeat("i", min(n, 300)),
			Key: make([]byte, n), Value: make([]byte, n), Headers: []Header{{strings.Repeat("h", n), make([]byte, n)}, {"", nil}}}
		source := strings.Repeat("s", min(n, 300))
		set := encodeRecords([]Record{r, r}, source, time.UnixMilli(1), triple{})
		if bound := batchOverheadBytes + 2*encodedBytesMax(&r, source); len(set) > bound {
			t.Fatalf("%d bytes, bound %d", len(set), bound)
		}
	}
}

func TestPack(t *testing.T) {
	f := func(maxBytes, want int) {
		t.Helper()
		records := make([]Record, 4)
		for i := range records {
			records[i].Value = make([]byte, 1000)
		}
		if got := pack(records, "s", maxBytes); got != want {
			t.Fatalf("%d records in %d bytes, want %d", got, maxBytes, want)
		}
	}
	one := 1000 + 1 + recordOverheadBytes
	f(1, 1) // at least one
	f(batchOverheadBytes+2*one-1, 1)
	f(batchOverheadBytes+2*one, 2)
	f(1<<20, 4)
}

func TestNextSequence(t *testing.T) {
	f := func(sequence int32, n int, want int32) {
		t.Helper()
		if got := nextSequence(sequence, n); got != want {
			t.Fatalf("%d + %d = %d, want %d", sequence, n, got, want)
		}
	}
	f(0, 1, 1)
	f(5, 10, 15)
	f(math.MaxInt32, 1, 0)
	f(math.MaxInt32-1, 4, 2)
}

func TestClassify(t *testing.T) {
	f := func(err error, want verdict) {
		t.Helper()
		if got := classify(fmt.Errorf("wrapped: %w", err)); got != want {
			t.Fatalf("%v is %d, want %d", err, got, want)
		}
	}
	f(errors.New("connection reset"), resend)
	f(kafka.NotLeaderForPartition, resend)
	f(kafka.NotEnoughReplicasAfterAppend, resend)
	f(kafka.RequestTimedOut, resend)
	f(kafka.MessageSizeTooLarge, tooLarge)
	f(kafka.DuplicateSequenceNumber, located)
	f(kafka.OutOfOrderSequenceNumber, restart)
	f(kafka.UnknownProducerId, restart)
	f(kafka.InvalidProducerEpoch, fenced)
	f(kafka.ProducerFenced, fenced)
}

func TestBackoff(t *testing.T) {
	b := backoff{min: 10, max: 35}
	for _, want := range []time.Duration{10, 20, 35, 35} {
		if got := b.next(); got != want {
			t.Fatalf("waits %d, want %d", got, want)
		}
	}
	b.reset()
	if got := b.next(); got != 10 {
		t.Fatalf("after reset waits %d", got)
	}
}

func TestOptions(t *testing.T) {
	_, err := New(Options{Brokers: []string{"nowhere"}, Stream: "a/b", Topic: "a b", Partition: -1, MaxBatchBytes: 1, BackoffMin: -1}, newBox())
	if !errors.Is(err, ErrOptions) {
		t.Fatal(err)
	}
	for _, part := range []string{"nowhere", "ledger", `stream "a/b"`, `topic "a b"`, "-1 is negative", "1024", "back-off"} {
		if !strings.Contains(err.Error(), part) {
			t.Fatalf("%q does not name %q", err, part)
		}
	}
	r, err := New(Options{Brokers: []string{"127.0.0.1:1"}, Ledger: "l", Partition: 2}, newBox())
	if err != nil {
		t.Fatal(err)
	}
	if o := r.o; o.Source != "farthing/l/2" || o.transactionalID() != "farthing/l/2" || o.Topic != DefaultTopic || o.CreatePartitions != 3 {
		t.Fatalf("%+v", o)
	}
	if got := r.o.fenceType(); got != "farthing.settlement.fence.v1" {
		t.Fatal(got)
	}
	if o := (Options{Ledger: "l", Stream: "notification"}).EnsureDefaults(); o.transactionalID() != "farthing/l/0/notification" || o.fenceType() != "farthing.notification.fence.v1" || o.Source != "farthing/l/0" {
		t.Fatalf("%+v", o)
	}
	if s := r.Stats(); s.State != StateIdle || s.Epoch != -1 {
		t.Fatalf("%+v", s)
	}
}

// TestReadback goes through what can stand in a topic. Records 1 to 3 are confirmed, 4 to 6 sealed, the outbox begins at 2.
func TestReadback(t *testing.T) {
	sealed := settlement("a", 2, 6)
	at := func(offset int64, seq uint64) *topicRecord {
		r := settlement("a", seq, seq)[0]
		return &topicRecord{offset: offset, key: r.Key, value: r.Value, id: r.ID, ceType: r.Type, headers: r.Headers, hasSeq: true, streamSeq: seq, producer: producer{7, 1}}
	}
	other := func(r *topicRecord, change func(*topicRecord)) *topicRecord { change(r); return r }
	f := func(want string, records ...*topicRecord) {
		t.Helper()
		b := &readback{box: newBox(sealed...), maxBytes: 100, key: "k", fence: "f", warn: func(string, ...any) {}, last: 9, expect: 4, relays: map[int64]producer{}}
		got := ""
		for _, r := range records {
			if err := b.visit(r); errors.Is(err, ErrForked) {
				got = "forked"
			} else if errors.Is(err, ErrLost) {
				got = "lost"
			} else if err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range b.confirmations("t", 0, 99) {
			got += fmt.Sprintf("[%d-%d at %d next %d]", c.First, c.Last, c.BaseOffset, c.NextOffset)
		}
		if got += fmt.Sprint(b.relays); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	f("map[]")
	f("map[]", &topicRecord{offset: 10, key: []byte("x")})
	f("map[9:{9 4}]", &topicRecord{offset: 10, key: []byte("k"), ceType: "f", producer: producer{9, 4}},
		&topicRecord{offset: 11, key: []byte("k"), ceType: "f", producer: producer{9, 3}})
	f("map[]", &topicRecord{offset: 10, key: []byte("k"), ceType: "another stream", producer: producer{9, 4}})
	f("map[]", &topicRecord{offset: 10, key: []byte("another ledger"), ceType: "f", producer: producer{9, 4}})
	f("[4-6 at 10 next 99]map[7:{7 1}]", at(10, 4), at(11, 5), at(12, 6))
	f("[4-4 at 10 next 11][5-6 at 12 next 99]map[7:{7 1}]", at(10, 4), &topicRecord{offset: 11}, at(12, 5), at(13, 6))
	f("[4-5 at 10 next 99]map[7:{7 1}]", at(10, 4), at(11, 5), at(12, 4)) // a second copy
	f("map[7:{7 1}]", at(9, 3), at(12, 3))                                // the last confirmed one, and a second copy
	f("lostmap[]", at(9, 2))                                              // not the last confirmed one
	f("lostmap[]", at(9, 4))                                              // nor is this
	f("lostmap[]", &topicRecord{offset: 9})
	f("lostmap[]", other(at(9, 3), func(r *topicRecord) { r.value = []byte("{}") }))
	f("map[7:{7 1}]", at(12, 1))       // kept no more
	f("forkedmap[7:{7 1}]", at(10, 5)) // a gap
	f("forked[4-6 at 10 next 99]map[7:{7 1}]", at(10, 4), at(11, 5), at(12, 6), at(13, 7))
	f("forkedmap[7:{7 1}]", other(at(10, 4), func(r *topicRecord) { r.value = []byte("{}") }))
	f("forkedmap[7:{7 1}]", other(at(10, 4), func(r *topicRecord) { r.key = nil }))
	f("forkedmap[7:{7 1}]", other(at(10, 4), func(r *topicRecord) { r.id = "x" }))
	f("forkedmap[7:{7 1}]", other(at(10, 4), func(r *topicRecord) { r.headers = []Header{{Key: "k"}} }))
	f("[4-5 at 10 next 99]map[7:{7 1}]", at(10, 4), at(11, 5))
	f("forked[4-5 at 10 next 99]map[7:{7 1}]", at(10, 4), at(11, 5), other(at(12, 6), func(r *topicRecord) { r.headers = nil }))
	f("forkedmap[7:{7 1}]", other(at(10, 2), func(r *topicRecord) { r.ceType = "x" })) // among the confirmed ones
	f("map[]", other(at(10, 4), func(r *topicRecord) { r.hasSeq = false; r.producer = noProducer }))
}

// TestRunTwice has Run called while it runs.
func TestRunTwice(t *testing.T) {
	c := fakeCluster(t)
	box := newBox(settlement("a", 1, 1)...)
	r := start(t, c.options(t), box)
	box.awaitConfirmed(t, 1)
	if err := r.relay.Run(t.Context()); !errors.Is(err, ErrRunning) {
		t.Fatal(err)
	}
}
