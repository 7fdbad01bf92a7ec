package publish

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

// Record headers of the contract.
const (
	headerSpecVersion = "ce_specversion"
	headerID          = "ce_id"
	headerSource      = "ce_source"
	headerType        = "ce_type"
	headerContentType = "content-type"
	headerStreamSeq   = "stream_seq"

	specVersion = "1.0"
	contentType = "application/json"
)

// Places in a version 2 record batch, counted from its base offset field. The encoded record set has the batch behind
// a length of 4 bytes.
const (
	setLengthBytes = 4
	atCRC          = 17
	atAttributes   = 21 // the checksum covers from here to the end
	atProducerID   = 43
	atEpoch        = 51
	atSequence     = 53
	atRecords      = 61
)

// batchOverheadBytes is the batch header; recordOverheadBytes bounds what one record takes beyond key, value, id, type and source:
// header names and constants (97), lengths and deltas as varints (at most 5 and 10 bytes each), and the decimal stream_seq.
const (
	batchOverheadBytes  = setLengthBytes + atRecords
	recordOverheadBytes = 220
	headerOverheadBytes = 10 // two lengths of an extra header
)

// triple identifies a batch to the broker, which recognises it when it is sent again.
type triple struct {
	producer
	sequence int32
}

// encodedBytesMax bounds the bytes that r takes in a batch.
func encodedBytesMax(r *Record, source string) int {
	n := len(r.Key) + len(r.Value) + len(r.ID) + len(r.Type) + len(source) + recordOverheadBytes
	for i := range r.Headers {
		n += len(r.Headers[i].Key) + len(r.Headers[i].Value) + headerOverheadBytes
	}
	return n
}

// pack returns how many of the records, at least one, fit a batch of maxBytes.
func pack(records []Record, source string, maxBytes int) int {
	size := batchOverheadBytes
	for i := range records {
		size += encodedBytesMax(&records[i], source)
		if size > maxBytes && i > 0 {
			return i
		}
	}
	return len(records)
}

// encodeRecords returns the record set of one batch. Its bytes depend on the arguments alone.
func encodeRecords(records []Record, source string, at time.Time, t triple) ([]byte, error) {
	out := make([]protocol.Record, len(records))
	for i := range records {
		r := &records[i]
		out[i] = protocol.Record{
			Time: at, Key: protocol.NewBytes(r.Key), Value: protocol.NewBytes(r.Value),
			Headers: append(ceHeaders(r.ID, source, r.Type),
				protocol.Header{Key: headerStreamSeq, Value: strconv.AppendUint(nil, r.StreamSeq, 10)}),
		}
		for _, h := range r.Headers {
			out[i].Headers = append(out[i].Headers, protocol.Header(h))
		}
	}
	return encodeBatch(out, t)
}

// encodeFence returns the record set of the batch that opens the epoch of t: one record without stream_seq.
// It has o's transactional id as key and a type that tells its stream.
func encodeFence(o *Options, at time.Time, t triple) ([]byte, error) {
	id := fmt.Sprintf("fence/%d/%d", t.id, t.epoch)
	value := fmt.Sprintf(`{"epoch":%d,"producer_id":%d}`, t.epoch, t.id)
	return encodeBatch([]protocol.Record{{
		Time: at, Key: protocol.NewBytes([]byte(o.transactionalID())), Value: protocol.NewBytes([]byte(value)),
		Headers: ceHeaders(id, o.Source, o.fenceType()),
	}}, t)
}

// isContractHeader says whether every record, or every control record, has a header of this name.
func isContractHeader(key string) bool {
	switch key {
	case headerSpecVersion, headerID, headerSource, headerType, headerContentType, headerStreamSeq:
		return true
	}
	return false
}

func ceHeaders(id, source, ceType string) []protocol.Header {
	return []protocol.Header{
		{Key: headerSpecVersion, Value: []byte(specVersion)},
		{Key: headerID, Value: []byte(id)},
		{Key: headerSource, Value: []byte(source)},
		{Key: headerType, Value: []byte(ceType)},
		{Key: headerContentType, Value: []byte(contentType)},
	}
}

// encodeBatch lets kafka-go encode the batch and then writes what it hard-codes to -1: producer id, epoch, sequence. A
// zero time would be replaced by the clock and make two encodings differ, so it is a bug.
func encodeBatch(records []protocol.Record, t triple) ([]byte, error) {
	if records[0].Time.IsZero() || t.id < 0 || t.epoch < 0 || t.sequence < 0 {
		panic(fmt.Sprintf("BUG: batch without time or triple: %+v", t))
	}
	var buf bytes.Buffer
	set := protocol.RecordSet{Version: 2, Records: protocol.NewRecordReader(records...)}
	if _, err := set.WriteTo(&buf); err != nil {
		return nil, fmt.Errorf("encode record batch: %w", err)
	}
	b := buf.Bytes()[setLengthBytes:]
	if id := int64(binary.BigEndian.Uint64(b[atProducerID:])); id != noProducer.id {
		panic(fmt.Sprintf("BUG: the encoder wrote producer id %d at the place to patch", id))
	}
	binary.BigEndian.PutUint64(b[atProducerID:], uint64(t.id))
	binary.BigEndian.PutUint16(b[atEpoch:], uint16(t.epoch))
	binary.BigEndian.PutUint32(b[atSequence:], uint32(t.sequence))
	binary.BigEndian.PutUint32(b[atCRC:], crc32.Checksum(b[atAttributes:], crc32.MakeTable(crc32.Castagnoli)))
	return buf.Bytes(), nil
}

// nextSequence is the sequence after a batch of n records that began at sequence: it wraps from the largest int32 to 0.
func nextSequence(sequence int32, n int) int32 {
	return int32((int64(sequence) + int64(n)) & math.MaxInt32)
}
