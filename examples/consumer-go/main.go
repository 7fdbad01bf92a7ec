package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"
)

//go:embed schema.sql
var schema string

// recordsMax bounds one transaction.
const recordsMax = 10_000

type options struct {
	brokers, topic, database, publicKeys string
	partition                            int
	fromStart                            bool
}

func main() {
	var o options
	flag.StringVar(&o.brokers, "brokers", "127.0.0.1:9092", "host:port of brokers, separated by commas")
	flag.StringVar(&o.topic, "topic", "farthing.settlements", "topic of the batches")
	flag.IntVar(&o.partition, "partition", 0, "its partition, one process for each")
	flag.StringVar(&o.database, "database", "", "a PostgreSQL connection string")
	flag.StringVar(&o.publicKeys, "public-keys", "", "PEM files, separated by commas; none: signatures are not checked")
	flag.BoolVar(&o.fromStart, "from-start", false, "read the topic from its first record; what is applied is dropped")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	// It does not try again by itself: whoever supervises the process starts it again, and it goes on where it was.
	if err := run(ctx, &o); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "consumer-go:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options) error {
	keys, err := readKeys(o.publicKeys)
	if err != nil {
		return err
	}
	db, err := pgx.Connect(ctx, o.database)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close(context.WithoutCancel(ctx)) }()
	a := &applier{db: db, topic: o.topic, partition: int32(o.partition), keys: keys}
	next, err := a.prepare(ctx)
	if err != nil {
		return err
	}
	from := kgo.NewOffset().AtStart()
	if next > 0 && !o.fromStart {
		from = kgo.NewOffset().At(next)
	}
	// Without a consumer group: it would know another place than the database.
	kafka, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(o.brokers, ",")...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{o.topic: {a.partition: from}}),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())) // if the place is there no more
	if err != nil {
		return err
	}
	defer kafka.Close()
	for {
		fetches := kafka.PollRecords(ctx, recordsMax)
		if err := fetches.Err(); err != nil {
			return err
		}
		if err := a.apply(ctx, fetches.Records()); err != nil {
			return err
		}
	}
}
