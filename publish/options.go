package publish

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"
)

// Defaults of Options.
const (
	DefaultTopic = "farthing.settlements"
	// DefaultStream is the stream of settlements; its names are as they were when it was the only one.
	DefaultStream = "settlement"
	// DefaultMaxBatchBytes leaves a broker's default message.max.bytes (1,048,588) more than 10 % of headroom.
	DefaultMaxBatchBytes  = 900 << 10
	DefaultCompression    = Gzip
	DefaultRequestTimeout = 10 * time.Second
	DefaultBackoffMin     = 100 * time.Millisecond
	DefaultBackoffMax     = 10 * time.Second
	// DefaultRenewEvery is well within producer.id.expiration.ms (a day) and transactional.id.expiration.ms (a week).
	DefaultRenewEvery = 6 * time.Hour
	// DefaultLostAfter is beyond broker.session.timeout.ms (9 s), after which a broker cut off from its controller is replaced.
	DefaultLostAfter = 15 * time.Second
)

// maxBatchBytesMin keeps room for at least one small record; below it every record is a batch of its own.
const maxBatchBytesMin = 1 << 10

// Options configures a Relay. The zero value of an optional field means its default.
type Options struct {
	// Brokers are host:port addresses to start from, at least one. Required.
	Brokers []string
	// Stream names what is published: it is in the names of fences and, except for the default, settlement, in the transactional
	// id. Two streams of one ledger under one name fence each other.
	Stream string
	// Topic to publish to; default farthing.settlements. Each stream needs one of its own, as stream_seq counts in it.
	Topic string
	// Partition of the topic, from 0. The ledger's partition and the topic's are the same number.
	Partition int32
	// Ledger is the ledger's id, part of the transactional id. Required. Two ledgers with one id fence each other.
	Ledger string
	// Source is the ce_source header; default farthing/<ledger>/<partition>.
	Source string
	// MaxBatchBytes bounds one record batch on the wire, from 1 KiB; default 900 KiB. The topic's max.message.bytes does too. A
	// record that is larger by itself is sent alone; if the broker refuses it the relay waits, failing, until the topic takes it.
	MaxBatchBytes int
	// Compression of record batches; default gzip, which every consumer reads without further modules.
	Compression Compression
	// TLS, if set, is how connections are encrypted and brokers identified; without ServerName it is the broker's host.
	TLS *tls.Config
	// SASL is how we identify ourselves.
	SASL SASL
	// RequestTimeout bounds one request; default 10 s. Too small and sends to a slow cluster are repeated (without harm).
	RequestTimeout time.Duration
	// BackoffMin and BackoffMax bound the wait after a failure, which doubles; defaults 100 ms and 10 s.
	BackoffMin, BackoffMax time.Duration
	// RenewEvery is the age at which the producer epoch is renewed, at the cost of one fence record; default 6 h. It
	// must stay below the broker's producer.id.expiration.ms and transactional.id.expiration.ms.
	RenewEvery time.Duration
	// LostAfter is how long a partition must have looked too short before it counts as lost: a broker that is no
	// longer the leader and does not know it yet answers with an end of the past. Default 15 s; too little and a change of leaders may
	// stop the relay for nothing.
	LostAfter time.Duration
	// CreateTopics creates the topic if it is missing and nothing was ever confirmed, with CreatePartitions (default
	// Partition+1) partitions and the broker's replication factor.
	CreateTopics     bool
	CreatePartitions int32
	// Logger receives state changes and failures, never record contents; default slog.Default().
	Logger *slog.Logger
	// Dial opens broker connections; default a net.Dialer. Tests cut connections here.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Now stamps records at their first send (Kafka's retention goes by it); default time.Now.
	Now func() time.Time
}

// EnsureDefaults returns o with every unset optional field filled.
func (o Options) EnsureDefaults() Options {
	setDefault(&o.Topic, DefaultTopic)
	setDefault(&o.Stream, DefaultStream)
	setDefault(&o.Source, fmt.Sprintf("farthing/%s/%d", o.Ledger, o.Partition))
	setDefault(&o.MaxBatchBytes, DefaultMaxBatchBytes)
	setDefault(&o.Compression, DefaultCompression)
	setDefault(&o.RequestTimeout, DefaultRequestTimeout)
	setDefault(&o.BackoffMin, DefaultBackoffMin)
	setDefault(&o.BackoffMax, max(DefaultBackoffMax, o.BackoffMin))
	setDefault(&o.RenewEvery, DefaultRenewEvery)
	setDefault(&o.LostAfter, DefaultLostAfter)
	setDefault(&o.CreatePartitions, o.Partition+1)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Validate reports every problem of o, after EnsureDefaults, as one error wrapping ErrOptions.
func (o Options) Validate() error {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	check(len(o.Brokers) > 0, "no brokers")
	for _, b := range o.Brokers {
		_, _, err := net.SplitHostPort(b)
		check(err == nil, "broker %q is not host:port", b)
	}
	check(o.Ledger != "", "no ledger id")
	check(isStreamName(o.Stream), "stream %q is not a word of small letters", o.Stream)
	check(o.Topic != "" && !strings.ContainsAny(o.Topic, " /"), "topic %q is not a topic name", o.Topic)
	check(o.Partition >= 0, "partition %d is negative", o.Partition)
	check(o.CreatePartitions > o.Partition, "%d partitions do not include partition %d", o.CreatePartitions, o.Partition)
	check(o.MaxBatchBytes >= maxBatchBytesMin, "batch limit of %d bytes is below %d", o.MaxBatchBytes, maxBatchBytesMin)
	check(o.Compression.code() >= 0, "compression %q is none of none, gzip, snappy, lz4, zstd", o.Compression)
	if err := o.SASL.validate(); err != nil {
		problems = append(problems, err)
	}
	check(o.RequestTimeout > 0, "request timeout %v is not positive", o.RequestTimeout)
	check(o.BackoffMin > 0 && o.BackoffMax >= o.BackoffMin, "back-off %v to %v is not a range", o.BackoffMin, o.BackoffMax)
	check(o.RenewEvery > 0, "renewal every %v is not positive", o.RenewEvery)
	check(o.LostAfter > 0, "lost after %v is not positive", o.LostAfter)
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrOptions, errors.Join(problems...))
}

// transactionalID names the producer to the transaction coordinator; it is the ledger's partition and the stream, never the process.
// A ledger's id may have slashes, but no other ledger's name ends like this one's.
func (o Options) transactionalID() string {
	id := fmt.Sprintf("farthing/%s/%d", o.Ledger, o.Partition)
	if o.Stream != DefaultStream {
		id += "/" + o.Stream
	}
	return id
}

// fenceType is the ce_type of the stream's fences.
func (o Options) fenceType() string { return "farthing." + o.Stream + ".fence.v1" }

func isStreamName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz") == ""
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
