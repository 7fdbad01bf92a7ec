package publish

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// Limits of TopicReader.
const (
	readerBytes = 8 << 20
	// readerPatience is how many times Options.RequestTimeout nothing may come; the Reader tries again by itself.
	readerPatience = 3
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

// Count is how many headers have that name.
func (r *TopicRecord) Count(key string) (n int) {
	for i := range r.Headers {
		if r.Headers[i].Key == key {
			n++
		}
	}
	return n
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
	transport := &kafka.Transport{Dial: r.o.Dial, TLS: r.o.TLS, SASL: r.dialer.SASLMechanism, MetadataTopics: []string{r.o.Topic}}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(r.o.Brokers...), Timeout: r.o.RequestTimeout, Transport: transport}
	if first, end, err = r.boundsBy(ctx, client); err != nil {
		return 0, 0, fmt.Errorf("%s/%d: %w", r.o.Topic, r.o.Partition, err)
	}
	return first, end, nil
}

func (r *TopicReader) boundsBy(ctx context.Context, client *kafka.Client) (first, end int64, err error) {
	meta, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{r.o.Topic}})
	if err != nil {
		return 0, 0, err
	}
	p := int(r.o.Partition)
	isOurs := func(at kafka.Partition) bool { return at.ID == p }
	switch {
	case len(meta.Topics) != 1, errors.Is(meta.Topics[0].Error, kafka.UnknownTopicOrPartition):
		return 0, 0, ErrNoTopic
	case meta.Topics[0].Error != nil:
		return 0, 0, meta.Topics[0].Error
	case !slices.ContainsFunc(meta.Topics[0].Partitions, isOurs):
		return 0, 0, ErrNoTopic
	}
	res, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
		r.o.Topic: {kafka.FirstOffsetOf(p), kafka.LastOffsetOf(p)},
	}})
	if err != nil {
		return 0, 0, err
	}
	for _, at := range res.Topics[r.o.Topic] {
		if at.Partition == p {
			return at.FirstOffset, at.LastOffset, at.Error
		}
	}
	return 0, 0, errors.New("the broker named no offsets")
}

// Read calls visit with every record at an offset in [from, end), in order. kafka-go shows the markers of other people's transactions
// as records without headers, and aborted records like others: a consumer may see them too. An error of visit ends it and is returned as it is.
func (r *TopicReader) Read(ctx context.Context, from, end int64, visit func(*TopicRecord) error) error {
	if from >= end {
		return nil
	}
	conns := &openConns{dial: r.o.Dial}
	dialer := *r.dialer
	dialer.DialFunc = conns.open
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: r.o.Brokers, Topic: r.o.Topic, Partition: int(r.o.Partition), Dialer: &dialer,
		MinBytes: 1, MaxBytes: readerBytes, QueueCapacity: 1000, IsolationLevel: kafka.ReadUncommitted, OffsetOutOfRangeError: true,
	})
	defer func() {
		conns.close()
		_ = reader.Close()
	}()
	if err := reader.SetOffset(from); err != nil {
		return fmt.Errorf("read %s/%d: %w", r.o.Topic, r.o.Partition, err)
	}
	for from < end {
		message, err := fetchWithin(ctx, reader, readerPatience*r.o.RequestTimeout)
		if err != nil {
			return fmt.Errorf("read %s/%d at offset %d of %d: %w", r.o.Topic, r.o.Partition, from, end, errors.Join(ctx.Err(), err))
		}
		from = message.Offset + 1
		if message.Offset >= end {
			return nil // compacted away in between
		}
		if err := visit(topicRecordOf(&message)); err != nil {
			return err
		}
	}
	return nil
}

// openConns closes what a Reader has open. By itself it waits, when it is closed, for the answer to the fetch on the way, which at the end of
// the partition is a long one.
type openConns struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	mu   sync.Mutex
	all  []net.Conn
}

func (c *openConns) open(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.dial(ctx, network, address)
	if err == nil {
		c.mu.Lock()
		c.all = append(c.all, conn)
		c.mu.Unlock()
	}
	return conn, err
}

func (c *openConns) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.all {
		_ = conn.Close()
	}
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
