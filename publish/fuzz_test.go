package publish

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/produce"
)

// replying answers every request with the same bytes, decoded as kafka-go decodes a broker's.
type replying []byte

// RoundTrip decodes the reply at the newest version that kafka-go knows.
func (r replying) RoundTrip(_ context.Context, _ net.Addr, req kafka.Request) (kafka.Response, error) {
	key := req.ApiKey()
	framed := binary.BigEndian.AppendUint32(nil, uint32(len(r)+4))
	framed = append(binary.BigEndian.AppendUint32(framed, 1), r...)
	_, m, err := protocol.ReadResponse(bytes.NewReader(framed), key, key.MaxVersion())
	return m, err
}

// reply is what a broker would send for a message, without its size and correlation id.
func reply(t testing.TB, m protocol.Message) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := protocol.WriteResponse(&b, m.ApiKey().MaxVersion(), 1, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()[8:]
}

// The requests of this package whose replies carry something.
const (
	askEpoch = iota
	askProduce
	askBounds
	askRead
	askResults
	askEnd
)

// sent is what a broker may put into a reply: every field that a caller looks at.
type sent struct {
	code         int16 // of the answer
	base         int64
	producer     int64
	epoch        int16
	attributes   int16 // of the record batch: transactional, control
	delta        int64 // from the first record's offset to the second's
	first        int64 // of an aborted transaction
	key, value   []byte
	header, text []byte // of the second record
}

// batch is a record batch of two records. It is well formed: kafka-go allocates what a count says without looking whether so much
// is there, so with any bytes the target would find that and nothing else.
func (s *sent) batch() []byte {
	records := s.record(nil, 0, []protocol.Header{{Key: headerType, Value: []byte("x.v1")}, {Key: headerStreamSeq, Value: []byte("1")}})
	records = s.record(records, s.delta, []protocol.Header{{Key: string(s.header), Value: s.text}})
	b := binary.BigEndian.AppendUint64(nil, uint64(s.base))
	b = binary.BigEndian.AppendUint32(b, uint32(49+len(records)))
	b = append(b, 0, 0, 0, 0, 2, 0, 0, 0, 0) // leader epoch, version, checksum
	b = binary.BigEndian.AppendUint16(b, uint16(s.attributes)&^7)
	b = binary.BigEndian.AppendUint32(b, uint32(s.delta))
	b = append(b, make([]byte, 16)...) // times
	b = binary.BigEndian.AppendUint64(b, uint64(s.producer))
	b = binary.BigEndian.AppendUint16(b, uint16(s.epoch))
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 2) // base sequence, count
	return append(b, records...)
}

func (s *sent) record(dst []byte, delta int64, headers []protocol.Header) []byte {
	r := binary.AppendVarint([]byte{0, 0}, delta) // attributes, time
	for _, part := range [][]byte{s.key, s.value} {
		r = append(binary.AppendVarint(r, int64(len(part))), part...)
	}
	r = binary.AppendVarint(r, int64(len(headers)))
	for _, h := range headers {
		r = append(binary.AppendVarint(r, int64(len(h.Key))), h.Key...)
		r = append(binary.AppendVarint(r, int64(len(h.Value))), h.Value...)
	}
	return append(binary.AppendVarint(dst, int64(len(r))), r...)
}

// reply answers the request that what names.
func (s *sent) reply(t testing.TB, what uint8) []byte {
	switch what {
	case askEpoch:
		return reply(t, &initproducerid.Response{ErrorCode: s.code, ProducerID: s.producer, ProducerEpoch: s.epoch})
	case askProduce:
		return reply(t, &produce.Response{Topics: []produce.ResponseTopic{{Topic: "t", Partitions: []produce.ResponsePartition{{ErrorCode: s.code, BaseOffset: s.base}}}}})
	case askBounds:
		return reply(t, &listoffsets.Response{Topics: []listoffsets.ResponseTopic{{Topic: "t", Partitions: []listoffsets.ResponsePartition{{ErrorCode: s.code, Offset: s.base, Timestamp: -1}}}}})
	}
	return s.fetched()
}

// fetched is the reply to a fetch at version 11: kafka-go writes no record set that it has not made.
func (s *sent) fetched() []byte {
	u16, u32, u64 := binary.BigEndian.AppendUint16, binary.BigEndian.AppendUint32, binary.BigEndian.AppendUint64
	b := u32(nil, 0)                                             // throttle time
	b = u32(u16(b, 0), 0)                                        // error, session
	b = append(u16(u32(b, 1), 1), 't')                           // one topic
	b = u16(u32(u32(b, 1), 0), uint16(s.code))                   // one partition, number 0, its error
	b = u64(u64(u64(b, 2), 2), 0)                                // high watermark, last stable offset, start
	b = u64(u64(u32(b, 1), uint64(s.producer)), uint64(s.first)) // one aborted transaction
	b = u32(b, 0xffffffff)                                       // preferred replica
	set := s.batch()
	return append(u32(b, uint32(len(set))), set...)
}

// FuzzReply gives each of our requests a reply that no broker should send: an error, or values in the ranges that the callers rely on.
func FuzzReply(f *testing.F) {
	o := Options{Brokers: []string{"127.0.0.1:1"}, Topic: "t", Ledger: "l"}
	o.EnsureDefaults()
	result := []byte(`{"id":"r1","batch_id":"b","line":1,"status":"paid"}`)
	for what := range uint8(askEnd) {
		f.Add(what, int16(0), int64(5), int64(7), int16(1), int16(0), int64(1), int64(0), []byte("k"), result, []byte(headerStreamSeq), []byte("2"))
		f.Add(what, int16(51), int64(-1), int64(-1), int16(-1), int16(0x30), int64(-1), int64(5), []byte{}, []byte{}, []byte{}, []byte{})
		f.Add(what, int16(0), int64(0), int64(7), int16(1), int16(0x10), int64(1), int64(0), []byte("k"), result, []byte("ce_type"), []byte("x"))
	}
	f.Fuzz(func(t *testing.T, what uint8, code int16, base, producerID int64, epoch, attributes int16, delta, first int64, key, value, header, text []byte) {
		what %= askEnd
		s := &sent{code, base, producerID, epoch, attributes, delta, first, key, value, header, text}
		b := &broker{o: o, reached: true, client: &kafka.Client{Addr: kafka.TCP("127.0.0.1:1"), Transport: replying(s.reply(t, what))}}
		if err := ask(t, b, what); err == nil && code != 0 {
			t.Fatalf("an answer with error %d passes for a good one", code)
		}
	})
}

// ask makes one request and checks what its callers rely on.
func ask(t *testing.T, b *broker, what uint8) (err error) {
	ctx := context.Background()
	switch what {
	case askEpoch:
		_, err = b.initProducer(ctx, noProducer)
	case askProduce:
		var base int64
		if base, err = b.produce(ctx, []byte("not looked at")); err == nil && base < 0 {
			t.Fatalf("appended at %d", base)
		}
	case askBounds:
		_, _, err = b.bounds(ctx)
	case askRead:
		var next int64
		last := int64(-1)
		next, err = b.fetch(ctx, 0, 10, func(r *topicRecord) error {
			if r.offset <= last || r.offset >= 10 {
				t.Fatalf("offset %d after %d", r.offset, last)
			}
			last = r.offset
			return nil
		})
		if err == nil && next <= last {
			t.Fatalf("goes on at %d after %d", next, last)
		}
	case askResults:
		var list []message
		var next int64
		list, next, err = b.results(ctx, 0, time.Second)
		for i, m := range list {
			if m.Offset < 0 || m.Offset >= next || i > 0 && m.Offset <= list[i-1].Offset {
				t.Fatalf("message %d at %d, next is %d", i, m.Offset, next)
			}
		}
	}
	return err
}
