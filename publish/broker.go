package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// Limits of the requests.
const (
	// transactionTimeout is what InitProducerID must name although no transaction is begun; zero is refused.
	transactionTimeout = 60 * time.Second
	fetchBytes         = 4 << 20
	fetchWait          = 100 * time.Millisecond
)

// broker speaks the requests the relay needs, through kafka-go's Client. It is used by one goroutine.
//
// kafka-go routes produce and fetch to the partition's leader by metadata that it caches for up to 6 s, and it keeps connections
// on which a request has timed out. reset throws both away, so whoever sees a failure calls it before the next request.
type broker struct {
	o         Options
	client    *kafka.Client
	transport *kafka.Transport
	reached   bool // the cluster's layout is known
}

func newBroker(o Options) *broker {
	b := &broker{o: o}
	b.reset()
	return b
}

// reset drops connections and metadata. Requests still on the way are not called back.
func (b *broker) reset() {
	b.close()
	mechanism, err := b.o.SASL.mechanism()
	if err != nil {
		panic("BUG: " + err.Error()) // Validate has made one
	}
	b.reached = false
	b.transport = &kafka.Transport{
		Dial: b.o.Dial, ClientID: b.o.transactionalID(), TLS: b.o.TLS, SASL: mechanism,
		// Without names kafka-go asks for the metadata of every topic of the cluster.
		MetadataTopics: []string{b.o.Topic},
	}
	// A Client without Timeout has half a second.
	b.client = &kafka.Client{Addr: kafka.TCP(b.o.Brokers...), Timeout: b.o.RequestTimeout, Transport: b.transport}
}

// reach makes sure that the cluster's layout is known. Without one kafka-go routes by an empty layout and says that there is no
// leader, where the reason was a certificate or a password.
func (b *broker) reach(ctx context.Context) error {
	if b.reached {
		return nil
	}
	if _, err := b.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{b.o.Topic}}); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			// So end TLS to a listener without it, and the other way round.
			err = fmt.Errorf("the broker hung up (one side speaks TLS and the other does not?): %w", err)
		}
		return fmt.Errorf("connect to %s: %w", strings.Join(b.o.Brokers, ","), err)
	}
	b.reached = true
	return nil
}

func (b *broker) close() {
	if b.transport != nil {
		b.transport.CloseIdleConnections()
	}
}

// producer is a producer id and one of its epochs. Both are -1 for none; zero would claim id 0.
type producer struct {
	id    int64
	epoch int16
}

var noProducer = producer{-1, -1}

// initProducer asks for the next epoch of the transactional id. held is what this run was given before, or noProducer: the
// coordinator refuses it if somebody else has asked since.
func (b *broker) initProducer(ctx context.Context, held producer) (producer, error) {
	if err := b.reach(ctx); err != nil {
		return noProducer, err
	}
	res, err := b.client.InitProducerID(ctx, &kafka.InitProducerIDRequest{
		TransactionalID: b.o.transactionalID(), ProducerID: int(held.id), ProducerEpoch: int(held.epoch),
		TransactionTimeoutMs: int(transactionTimeout.Milliseconds()),
	})
	if err == nil {
		err = res.Error // the broker's answer, which err does not have
	}
	if err != nil {
		return noProducer, fmt.Errorf("ask for a producer epoch: %w", err)
	}
	return producer{int64(res.Producer.ProducerID), int16(res.Producer.ProducerEpoch)}, nil
}

// produce sends one encoded batch and returns the offset of its first record.
func (b *broker) produce(ctx context.Context, set []byte) (base int64, err error) {
	if err := b.reach(ctx); err != nil {
		return -1, err
	}
	res, err := b.client.RawProduce(ctx, &kafka.RawProduceRequest{
		Topic: b.o.Topic, Partition: int(b.o.Partition), RequiredAcks: kafka.RequireAll,
		RawRecords: protocol.RawRecordSet{Reader: bytes.NewReader(set)},
	})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return -1, fmt.Errorf("produce to %s/%d: %w", b.o.Topic, b.o.Partition, err)
	}
	if res.BaseOffset < 0 {
		return -1, fmt.Errorf("produce to %s/%d: answered without an offset", b.o.Topic, b.o.Partition)
	}
	return res.BaseOffset, nil
}

// bounds returns the partition's first offset and the offset after its last record.
func (b *broker) bounds(ctx context.Context) (first, end int64, err error) {
	if err := b.reach(ctx); err != nil {
		return 0, 0, err
	}
	p := int(b.o.Partition)
	res, err := b.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
		b.o.Topic: {kafka.FirstOffsetOf(p), kafka.LastOffsetOf(p)},
	}})
	if err != nil {
		return 0, 0, fmt.Errorf("list offsets of %s/%d: %w", b.o.Topic, p, err)
	}
	for _, r := range res.Topics[b.o.Topic] {
		switch {
		case r.Partition != p:
		case r.Error != nil:
			return 0, 0, fmt.Errorf("list offsets of %s/%d: %w", b.o.Topic, p, r.Error)
		default:
			return r.FirstOffset, r.LastOffset, nil
		}
	}
	return 0, 0, fmt.Errorf("list offsets of %s/%d: not answered", b.o.Topic, p)
}

// topicRecord is a record as it stands in the topic.
type topicRecord struct {
	offset     int64
	key, value []byte
	id, ceType string
	hasSeq     bool // has a stream_seq header; without one it is a control record
	streamSeq  uint64
	producer   producer // who appended it; noProducer for plain producers
	headers    []Header // beyond those of the contract
}

// read calls visit with every record of the partition at an offset in [from, end), in order, and returns only when it has seen
// the offset before end. Records of transactions are passed like others: the topic never holds ours.
func (b *broker) read(ctx context.Context, from, end int64, visit func(*topicRecord) error) error {
	for from < end {
		next, err := b.fetch(ctx, from, end, visit)
		if err != nil {
			return err
		}
		if next == from {
			// Right after a change of leader its high watermark may still be behind what was acknowledged.
			return fmt.Errorf("read %s/%d: nothing at offset %d of %d", b.o.Topic, b.o.Partition, from, end)
		}
		from = next
	}
	return nil
}

// fetch does one request and returns the offset to go on from; from itself if it brought nothing.
func (b *broker) fetch(ctx context.Context, from, end int64, visit func(*topicRecord) error) (int64, error) {
	res, err := b.client.Fetch(ctx, &kafka.FetchRequest{
		Topic: b.o.Topic, Partition: int(b.o.Partition), Offset: from,
		MinBytes: 1, MaxBytes: fetchBytes, MaxWait: min(fetchWait, b.o.RequestTimeout/2), IsolationLevel: kafka.ReadUncommitted,
	})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return from, fmt.Errorf("read %s/%d at %d: %w", b.o.Topic, b.o.Partition, from, err)
	}
	for _, batch := range batchesOf(res.Records) {
		by, isControl := producerOf(batch)
		for from < end {
			record, err := batch.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return from, fmt.Errorf("read %s/%d at %d: %w", b.o.Topic, b.o.Partition, from, err)
			}
			if record.Offset < from {
				continue // the batch begins before the offset we asked for
			}
			from = record.Offset + 1
			if isControl {
				continue
			}
			t, err := decodeRecord(record, by)
			if err != nil {
				return from, fmt.Errorf("%s/%d at offset %d: %w", b.o.Topic, b.o.Partition, record.Offset, err)
			}
			if err := visit(t); err != nil {
				return from, err
			}
		}
	}
	return from, nil
}

// batchesOf takes kafka-go's stream apart: read as a whole it hides control batches, so their offsets would look missing.
func batchesOf(r kafka.RecordReader) []kafka.RecordReader {
	if stream, ok := r.(*protocol.RecordStream); ok {
		return stream.Records
	}
	return []kafka.RecordReader{r}
}

// producerOf returns who appended the batch, and whether it holds the broker's own transaction markers.
func producerOf(batch kafka.RecordReader) (by producer, isControl bool) {
	switch b := batch.(type) {
	case *protocol.RecordBatch:
		return producer{b.ProducerID, b.ProducerEpoch}, false
	case *protocol.ControlBatch:
		return noProducer, true
	}
	return noProducer, false
}

func decodeRecord(r *protocol.Record, by producer) (*topicRecord, error) {
	t := &topicRecord{offset: r.Offset, producer: by}
	var err error
	if t.key, err = protocol.ReadAll(r.Key); err != nil {
		return nil, err
	}
	if t.value, err = protocol.ReadAll(r.Value); err != nil {
		return nil, err
	}
	for _, h := range r.Headers {
		switch h.Key {
		case headerID:
			t.id = string(h.Value)
		case headerType:
			t.ceType = string(h.Value)
		case headerStreamSeq:
			t.hasSeq = true
			if t.streamSeq, err = strconv.ParseUint(string(h.Value), 10, 64); err != nil || t.streamSeq == 0 {
				return nil, fmt.Errorf("%w: stream_seq %.40q is not a number of ours", ErrForked, h.Value)
			}
		default:
			if !isContractHeader(h.Key) {
				t.headers = append(t.headers, Header(h))
			}
		}
	}
	return t, nil
}
