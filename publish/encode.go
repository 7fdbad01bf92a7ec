package publish

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strconv"

	"github.com/segmentio/kafka-go/compress"
)

// Compression says how record batches are compressed; a topic may hold batches of several kinds.
type Compression string

// The compressions that Kafka knows. Brokers and kafka-go read them all; kafkajs reads only gzip without further modules.
const (
	NoCompression Compression = "none"
	Gzip          Compression = "gzip"
	Snappy        Compression = "snappy"
	LZ4           Compression = "lz4"
	Zstd          Compression = "zstd"
)

var compressions = []Compression{NoCompression, Gzip, Snappy, LZ4, Zstd}

// code is the number of the compression in a batch's attributes.
func (c Compression) code() int8 {
	for i, name := range compressions {
		if name == c {
			return int8(i)
		}
	}
	return -1
}

// rawBytesMax bounds the records of a compressed batch before compression: a consumer unpacks a batch as a whole.
const rawBytesMax = 4 << 20

// encoder makes chunks. It belongs to one goroutine.
type encoder struct {
	source string
	codec  Compression
	limit  int // of a batch's bytes
	// room is how many bytes before compression are tried for a batch. It follows how well the last ones were compressed.
	room int
	raw  []byte
}

func newEncoder(o *Options, limit int) *encoder {
	return &encoder{source: o.Source, codec: o.Compression, limit: limit, room: limit}
}

// encode makes a chunk of the first records, at least one and as many as the limit allows.
func (e *encoder) encode(records []Record) (chunk, error) {
	if e.codec == NoCompression {
		n := pack(records, e.source, e.limit+setLengthBytes)
		return e.plain(records[:n]), nil
	}
	for {
		n := pack(records, e.source, e.room)
		c, err := e.compressed(records[:n])
		if err != nil {
			return chunk{}, err
		}
		switch size := c.batchBytes(); {
		case size > e.limit && n > 1:
			e.room = max(e.room/2, 1)
			records = records[:(n+1)/2]
			continue
		case size < e.limit/2 && n < len(records):
			e.room = min(2*e.room, max(rawBytesMax, e.limit))
		}
		return c, nil
	}
}

// plain makes a chunk of all the records.
func (e *encoder) plain(records []Record) chunk {
	size := batchOverheadBytes
	for i := range records {
		size += encodedBytesMax(&records[i], e.source)
	}
	set := make([]byte, batchOverheadBytes, size)
	for i := range records {
		set = appendRecord(set, i, &records[i], e.source)
	}
	return chunkOf(set, records, NoCompression)
}

// compressed makes a chunk of all the records.
func (e *encoder) compressed(records []Record) (chunk, error) {
	e.raw = e.raw[:0]
	for i := range records {
		e.raw = appendRecord(e.raw, i, &records[i], e.source)
	}
	out := &appender{make([]byte, batchOverheadBytes, batchOverheadBytes+len(e.raw)/4)}
	w := compress.Compression(e.codec.code()).Codec().NewWriter(out)
	_, err := w.Write(e.raw)
	if closing := w.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return chunk{}, fmt.Errorf("compress a record batch: %w", err)
	}
	return chunkOf(out.b, records, e.codec), nil
}

func chunkOf(set []byte, records []Record, codec Compression) chunk {
	finish(set, len(records), codec)
	return chunk{set: set, records: len(records), first: records[0].StreamSeq, last: records[len(records)-1].StreamSeq}
}

// appender is a slice to write to.
type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

// appendRecord appends r as record number i of a batch. One without StreamSeq is a control record. kafka-go's encoder does the
// same with several allocations for each record.
func appendRecord(dst []byte, i int, r *Record, source string) []byte {
	var number [20]byte
	seq := strconv.AppendUint(number[:0], r.StreamSeq, 10)
	dst = binary.AppendVarint(dst, int64(recordBytes(i, r, source, len(seq))))
	dst = append(dst, 0, 0) // attributes, time delta
	dst = binary.AppendVarint(dst, int64(i))
	dst = appendVarBytes(dst, r.Key)
	dst = appendVarBytes(dst, r.Value)
	headers := 5 + len(r.Headers)
	if r.StreamSeq > 0 {
		headers++
	}
	dst = binary.AppendVarint(dst, int64(headers))
	dst = appendVarBytes(appendVarBytes(dst, headerSpecVersion), specVersion)
	dst = appendVarBytes(appendVarBytes(dst, headerID), r.ID)
	dst = appendVarBytes(appendVarBytes(dst, headerSource), source)
	dst = appendVarBytes(appendVarBytes(dst, headerType), r.Type)
	dst = appendVarBytes(appendVarBytes(dst, headerContentType), contentType)
	if r.StreamSeq > 0 {
		dst = appendVarBytes(appendVarBytes(dst, headerStreamSeq), seq)
	}
	for k := range r.Headers {
		dst = appendVarBytes(appendVarBytes(dst, r.Headers[k].Key), r.Headers[k].Value)
	}
	return dst
}

// recordBytes is the length that stands before a record.
func recordBytes(i int, r *Record, source string, seqBytes int) int {
	headers := 5 + len(r.Headers)
	n := 2 + varintBytes(i) + varBytes(len(r.Key)) + varBytes(len(r.Value)) +
		varBytes(len(headerSpecVersion)) + varBytes(len(specVersion)) +
		varBytes(len(headerID)) + varBytes(len(r.ID)) +
		varBytes(len(headerSource)) + varBytes(len(source)) +
		varBytes(len(headerType)) + varBytes(len(r.Type)) +
		varBytes(len(headerContentType)) + varBytes(len(contentType))
	if r.StreamSeq > 0 {
		headers++
		n += varBytes(len(headerStreamSeq)) + varBytes(seqBytes)
	}
	for k := range r.Headers {
		n += varBytes(len(r.Headers[k].Key)) + varBytes(len(r.Headers[k].Value))
	}
	return n + varintBytes(headers)
}

func appendVarBytes[T string | []byte](dst []byte, p T) []byte {
	return append(binary.AppendVarint(dst, int64(len(p))), p...)
}

func varBytes(length int) int { return varintBytes(length) + length }

// varintBytes is the length of a zigzag varint of n >= 0.
func varintBytes(n int) int { return (bits.Len64(uint64(n)<<1|1) + 6) / 7 }
