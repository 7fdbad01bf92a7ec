package publish

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

// twinBatch has kafka-go encode what appendRecord encodes, and patches what it hard-codes.
func twinBatch(t *testing.T, records []Record, source string, at time.Time, id triple) []byte {
	t.Helper()
	out := make([]protocol.Record, len(records))
	for i, r := range records {
		out[i] = protocol.Record{Time: at, Key: protocol.NewBytes(r.Key), Value: protocol.NewBytes(r.Value), Headers: []protocol.Header{
			{Key: headerSpecVersion, Value: []byte(specVersion)}, {Key: headerID, Value: []byte(r.ID)}, {Key: headerSource, Value: []byte(source)},
			{Key: headerType, Value: []byte(r.Type)}, {Key: headerContentType, Value: []byte(contentType)},
		}}
		if r.StreamSeq > 0 {
			out[i].Headers = append(out[i].Headers, protocol.Header{Key: headerStreamSeq, Value: []byte(decimal(r.StreamSeq))})
		}
		for _, h := range r.Headers {
			out[i].Headers = append(out[i].Headers, protocol.Header(h))
		}
	}
	var buf bytes.Buffer
	set := protocol.RecordSet{Version: 2, Records: protocol.NewRecordReader(out...)}
	if _, err := set.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	return chunk{set: buf.Bytes()}.stamp(at, id)
}

func decimal(n uint64) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return decimal(n/10) + string(rune('0'+n%10))
}

// TestEncoderAgainstTwin compares the encoder with kafka-go's, byte by byte, on records of any size.
func TestEncoderAgainstTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	bytesOf := func() []byte { // never nil: kafka-go encodes that as no key at all
		b := make([]byte, rng.IntN(1<<rng.IntN(15)))
		for i := range b {
			b[i] = byte('a' + rng.IntN(26))
		}
		return b
	}
	for range 300 {
		records := make([]Record, 1+rng.IntN(90))
		for i := range records {
			records[i] = Record{StreamSeq: rng.Uint64() >> rng.IntN(64), Type: string(bytesOf()), ID: string(bytesOf()), Key: bytesOf(), Value: bytesOf()}
			for range rng.IntN(3) {
				records[i].Headers = append(records[i].Headers, Header{string(bytesOf()), bytesOf()})
			}
		}
		at, id := time.UnixMilli(rng.Int64N(1<<40)+1), triple{producer{rng.Int64(), int16(rng.IntN(1 << 15))}, rng.Int32()}
		got, want := encodeRecords(records, "src", at, id), twinBatch(t, records, "src", at, id)
		if !bytes.Equal(got, want) {
			t.Fatalf("%d records: %d bytes, kafka-go makes %d of them", len(records), len(got), len(want))
		}
	}
}

// TestEncoderLimit takes records through the encoder: all of them leave it, in order, and no chunk is larger than the limit but for a
// single record.
func TestEncoderLimit(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, codec := range compressions {
		all := make([]Record, 4000)
		for i := range all {
			text := make([]byte, 10<<rng.IntN(9))
			for k := range text {
				text[k] = byte(rng.IntN(1 + rng.IntN(256)))
			}
			all[i] = Record{StreamSeq: uint64(i) + 1, Type: "t", ID: "i", Key: []byte("k"), Value: text}
		}
		e := newEncoder(&Options{Source: "s", Compression: codec}, 20_000)
		chunks := 0
		for rest := all; len(rest) > 0; chunks++ {
			c, err := e.encode(rest)
			if err != nil {
				t.Fatal(err)
			}
			n := int(binary.BigEndian.Uint32(c.set[setLengthBytes+atCount:]))
			if n != c.records || c.first != rest[0].StreamSeq || c.last != rest[n-1].StreamSeq {
				t.Fatalf("%s: chunk %+v of %d records from %d", codec, c.records, n, rest[0].StreamSeq)
			}
			if c.batchBytes() > 20_000 && n > 1 {
				t.Fatalf("%s: %d records in %d bytes", codec, n, c.batchBytes())
			}
			rest = rest[n:]
		}
		if chunks > len(all)/10 {
			t.Fatalf("%s: %d chunks of %d records", codec, chunks, len(all))
		}
	}
}

// TestCompressions publishes with each compression, has a second relay find half of it in the topic, and reads it as a consumer.
func TestCompressions(t *testing.T) {
	onBoth(t, func(t *testing.T, c cluster) {
		for _, codec := range compressions {
			c.topic = topicName(t) + "." + string(codec)
			c.createTopic(t)
			all := settlement("a", 1, 400)
			for i := range all {
				all[i].Value = append(all[i].Value, strings.Repeat(" ", i%50)...)
			}
			box := newBox(all[:200]...)
			before := box.copy() // the outbox of an engine that dies before it marks anything
			o := c.options(t)
			o.MaxBatchBytes, o.Compression = 2<<10, codec
			first := start(t, o, box)
			box.awaitConfirmed(t, 200)
			first.stop(t)
			second := start(t, o, before)
			before.seal(all[200:]...)
			before.awaitConfirmed(t, 400)
			if s := second.relay.Stats(); s.Found != 200 || s.Sent != 200 {
				t.Fatalf("%s: %+v", codec, s)
			}
			second.stop(t)
			checkApplied(t, c, o, before, all)
		}
	})
}
