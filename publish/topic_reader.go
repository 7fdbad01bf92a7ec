package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// Limits of TopicReader.
const (
	readerBytes = 8 << 20
	readerWait  = 500 * time.Millisecond
	// readerQuiet is how long nothing may come before it is asked why; readerQuietMax is how often.
	readerQuiet    = 2 * time.Second
	readerQuietMax = 5
)

// TopicReader reads a partition from its first record to where it ends now, for those who check what was published. It shares nothing
// with the relay's read-back: it is built on kafka-go's high-level Reader, as a consumer would be, so a fault of the one does not hide
// in the other. Used by one goroutine.
type TopicReader struct {
	o      Options
	dialer *kafka.Dialer
}

// TopicRecord is a record as a consumer sees it. It stays as it is after the visit.
type TopicRecord struct {
	Offset     int64
	Key, Value []byte
	Headers    []Header
}

// Header returns the first header of that name.
func (r *TopicRecord) Header(key string) (value []byte, ok bool) {
	for i := range r.Headers {
		if r.Headers[i].Key == key {
			return r.Headers[i].Value, true
		}
	}
	return nil, false
}

// NewTopicReader returns a reader of o's topic and partition. Of o it needs the brokers; the ledger's id is of no interest.
func NewTopicReader(o Options) (*TopicReader, error) {
	if o.Ledger == "" {
		o.Ledger = "reader"
	}
	o = o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	mechanism, err := o.SASL.mechanism()
	if err != nil {
		return nil, err
	}
	return &TopicReader{o: o, dialer: &kafka.Dialer{ClientID: "farthing-reconcile", Timeout: o.RequestTimeout, DialFunc: o.Dial,
		TLS: o.TLS, SASLMechanism: mechanism}}, nil
}

// Topic returns the name of the topic.
func (r *TopicReader) Topic() string { return r.o.Topic }

// Bounds returns the partition's first offset and the one after its last record. ErrNoTopic: there is no such partition.
func (r *TopicReader) Bounds(ctx context.Context) (first, end int64, err error) {
	for _, address := range r.o.Brokers {
		if first, end, err = r.boundsBy(ctx, address); err == nil {
			return first, end, nil
		}
	}
	if errors.Is(err, kafka.UnknownTopicOrPartition) {
		err = errors.Join(ErrNoTopic, err)
	}
	return 0, 0, fmt.Errorf("%s/%d: %w", r.o.Topic, r.o.Partition, err)
}

func (r *TopicReader) boundsBy(ctx context.Context, address string) (first, end int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.o.RequestTimeout)
	defer cancel()
	conn, err := r.dialer.DialLeader(ctx, "tcp", address, r.o.Topic, int(r.o.Partition))
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(r.o.Now().Add(r.o.RequestTimeout)); err != nil {
		return 0, 0, err
	}
	return conn.ReadOffsets()
}

// Read calls visit with every record at an offset in [from, end), in order. The broker's own markers are left out. An error of visit
// ends it and is returned as it is.
func (r *TopicReader) Read(ctx context.Context, from, end int64, visit func(*TopicRecord) error) error {
	if from >= end {
		return nil
	}
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: r.o.Brokers, Topic: r.o.Topic, Partition: int(r.o.Partition), Dialer: r.dialer,
		// Close waits for the fetch on the way.
		MaxWait: readerWait, MinBytes: 1, MaxBytes: readerBytes, QueueCapacity: 1000, IsolationLevel: kafka.ReadUncommitted, OffsetOutOfRangeError: true,
	})
	defer func() { _ = reader.Close() }()
	if err := reader.SetOffset(from); err != nil {
		return fmt.Errorf("read %s/%d: %w", r.o.Topic, r.o.Partition, err)
	}
	for quiet := 0; from < end; {
		message, err := fetchWithin(ctx, reader, readerQuiet)
		switch {
		case err == nil && message.Offset >= end:
			return nil // what came in since the bounds were asked for, behind a marker
		case err == nil:
			quiet, from = 0, message.Offset+1
			if err := visit(topicRecordOf(&message)); err != nil {
				return err
			}
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, context.DeadlineExceeded) && quiet < readerQuietMax:
			quiet++
			if r.onlyMarkers(ctx, from, end) {
				return nil
			}
			continue
		}
		return fmt.Errorf("read %s/%d at offset %d of %d: %w", r.o.Topic, r.o.Partition, from, end, err)
	}
	return nil
}

func fetchWithin(ctx context.Context, reader *kafka.Reader, patience time.Duration) (kafka.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return reader.FetchMessage(ctx)
}

func topicRecordOf(m *kafka.Message) *TopicRecord {
	t := &TopicRecord{Offset: m.Offset, Key: m.Key, Value: m.Value, Headers: make([]Header, len(m.Headers))}
	for i, h := range m.Headers {
		t.Headers[i] = Header{Key: h.Key, Value: h.Value}
	}
	return t
}

// onlyMarkers says whether all that stands in [from, end) are the markers of somebody's transaction, which the Reader never shows and
// waits behind for ever.
func (r *TopicReader) onlyMarkers(ctx context.Context, from, end int64) bool {
	transport := &kafka.Transport{Dial: r.o.Dial, MetadataTopics: []string{r.o.Topic}, TLS: r.dialer.TLS, SASL: r.dialer.SASLMechanism}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(r.o.Brokers...), Timeout: r.o.RequestTimeout, Transport: transport}
	for from < end {
		res, err := client.Fetch(ctx, &kafka.FetchRequest{Topic: r.o.Topic, Partition: int(r.o.Partition), Offset: from,
			MinBytes: 1, MaxBytes: readerBytes, MaxWait: fetchWait, IsolationLevel: kafka.ReadUncommitted})
		if err != nil || res.Error != nil {
			return false
		}
		stream, ok := res.Records.(*protocol.RecordStream)
		if !ok {
			return false
		}
		next, ok := afterMarkers(stream, from, end)
		if !ok {
			return false
		}
		from = next
	}
	return true
}

// afterMarkers returns the offset after the markers in stream; false if it has anything else below end, or nothing new.
func afterMarkers(stream *protocol.RecordStream, from, end int64) (next int64, ok bool) {
	next = from
	for _, batch := range stream.Records {
		_, marker := batch.(*protocol.ControlBatch)
		for {
			record, err := batch.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			switch {
			case err != nil:
				return next, false
			case record.Offset < from:
				continue
			case !marker && record.Offset < end:
				return next, false
			}
			next = record.Offset + 1
		}
	}
	return next, next > from
}
