package publish

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"time"
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
	atLength       = 8
	atLeaderEpoch  = 12 // the length counts from here to the end
	atMagic        = 16
	atCRC          = 17
	atAttributes   = 21 // the checksum covers from here to the end
	atLastDelta    = 23
	atFirstTime    = 27
	atMaxTime      = 35
	atProducerID   = 43
	atEpoch        = 51
	atSequence     = 53
	atCount        = 57
	atRecords      = 61
)

// batchOverheadBytes is the batch header; recordOverheadBytes bounds what one record takes beyond key, value, id, type and source:
// header names and constants (97), lengths and deltas as varints (at most 5 and 10 bytes each), and the decimal stream_seq.
const (
	batchOverheadBytes  = setLengthBytes + atRecords
	recordOverheadBytes = 220
	headerOverheadBytes = 10 // two lengths of an extra header
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

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

// pack returns how many of the records, at least one, fit a batch of maxBytes that is not compressed.
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

// chunk is a record set of one batch, whole but for what its send decides: the time, the triple, and with them the checksum.
// They stand before the records, so compression does not touch them.
type chunk struct {
	set         []byte
	records     int
	first, last uint64 // StreamSeq
}

// batchBytes is what the topic's max.message.bytes is compared with.
func (c chunk) batchBytes() int { return len(c.set) - setLengthBytes }

// stamp completes the set. A zero time or no triple is a bug: the broker would take it for a producer without memory.
func (c chunk) stamp(at time.Time, t triple) []byte {
	if at.IsZero() || t.id < 0 || t.epoch < 0 || t.sequence < 0 {
		panic(fmt.Sprintf("BUG: batch without time or triple: %v %+v", at, t))
	}
	b := c.set[setLengthBytes:]
	binary.BigEndian.PutUint64(b[atFirstTime:], uint64(at.UnixMilli()))
	binary.BigEndian.PutUint64(b[atMaxTime:], uint64(at.UnixMilli()))
	binary.BigEndian.PutUint64(b[atProducerID:], uint64(t.id))
	binary.BigEndian.PutUint16(b[atEpoch:], uint16(t.epoch))
	binary.BigEndian.PutUint32(b[atSequence:], uint32(t.sequence))
	binary.BigEndian.PutUint32(b[atCRC:], crc32.Checksum(b[atAttributes:], castagnoli))
	return c.set
}

// finish writes what the header says of the records behind it.
func finish(set []byte, records int, codec Compression) {
	binary.BigEndian.PutUint32(set, uint32(len(set)-setLengthBytes))
	b := set[setLengthBytes:]
	clear(b[:atRecords])
	binary.BigEndian.PutUint32(b[atLength:], uint32(len(b)-atLeaderEpoch))
	binary.BigEndian.PutUint32(b[atLeaderEpoch:], math.MaxUint32) // -1: the broker's to say
	b[atMagic] = 2
	binary.BigEndian.PutUint16(b[atAttributes:], uint16(codec.code()))
	binary.BigEndian.PutUint32(b[atLastDelta:], uint32(records-1))
	binary.BigEndian.PutUint32(b[atCount:], uint32(records))
}

// encodeFence returns the record set of the batch that opens the epoch of t: one record without stream_seq.
// It has o's transactional id as key and a type that tells its stream.
func encodeFence(o *Options, at time.Time, t triple) []byte {
	r := Record{
		ID: fmt.Sprintf("fence/%d/%d", t.id, t.epoch), Type: o.fenceType(),
		Key: []byte(o.transactionalID()), Value: fmt.Appendf(nil, `{"epoch":%d,"producer_id":%d}`, t.epoch, t.id),
	}
	set := appendRecord(make([]byte, batchOverheadBytes), 0, &r, o.Source)
	finish(set, 1, NoCompression)
	return chunk{set: set}.stamp(at, t)
}

// nextSequence is the sequence after a batch of n records that began at sequence: it wraps from the largest int32 to 0.
func nextSequence(sequence int32, n int) int32 {
	return int32((int64(sequence) + int64(n)) & math.MaxInt32)
}

// isContractHeader says whether every record, or every control record, has a header of this name.
func isContractHeader(key string) bool {
	switch key {
	case headerSpecVersion, headerID, headerSource, headerType, headerContentType, headerStreamSeq:
		return true
	}
	return false
}
