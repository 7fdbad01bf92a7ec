package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"farthing/engine"
	"farthing/journal"
	"farthing/meter"
	"farthing/publish"
	"farthing/webhook"
)

// serveCmd is `farthing serve`. The defaults of the advanced flags are those of
// engine.Options, where a zero would mean the same, so it is not offered.
type serveCmd struct {
	Data             string   `help:"The data directory: created if absent, served by one process at a time." required:"" placeholder:"DIR"`
	Listen           string   `help:"Address to listen on, host:port; port 0 takes a free one. Without --api-keys only loopback, and only requests whose Host is localhost or a loopback address." default:"127.0.0.1:8080"`
	ListenFile       string   `help:"Write the address that was bound, host:port, to this file, outside of the data directory." placeholder:"FILE"`
	Kafka            []string `help:"Publish settlement batches to these brokers, host:port separated by commas. Default: they stay in the outbox." placeholder:"BROKER"`
	KafkaTopic       string   `help:"Topic for --kafka. It must keep its records for ever." default:"farthing.settlements"`
	KafkaCompression string   `help:"How record batches for --kafka are compressed: none, gzip, snappy, lz4 or zstd. kafkajs reads only none and gzip by itself." default:"gzip"`
	CreateTopics     bool     `help:"Create the topics that are published to if they are missing, with one partition and the broker's replication factor."`

	KafkaResultsTopic       string `help:"Topic that results of lines are read from with --kafka, if it exists; empty: none is." default:"farthing.settlement-results"`
	KafkaNotificationsTopic string `help:"Topic for notifications with --kafka; empty: they are not published." default:"farthing.notifications"`
	WebhooksAllowPrivate    bool   `help:"Let webhooks go to loopback and private addresses and over plain http. Whoever has an admin key can then make this server send requests to whatever it can reach: services behind the firewall, the metadata service of a cloud."`

	accessFlags
	kafkaFlags

	windowFlags `embed:""`
	signingFlags
	backupFlags
	retainFlags

	LedgerID    string        `name:"ledger-id" help:"Id of the ledger, when this start creates it. Default: a random one. A ledger never changes its id." placeholder:"ID"`
	Catalogue   bool          `help:"Put the price catalogue that comes with this program into a ledger that has no price version yet (farthing prices catalogue shows it)."`
	DedupWindow time.Duration `help:"How old an event may be, from 1h. Ids are remembered for it and 10 minutes more; then they may be booked again." default:"840h"`

	DebugListen     string        `help:"Serve Go's profiles (/debug/pprof/) on this loopback address." placeholder:"ADDR" group:"Advanced"`
	MaxRequests     int64         `help:"Requests admitted at once; more are refused with 429. Up to 1,048,576." default:"4096" group:"Advanced"`
	MaxEvents       int64         `help:"Events in admitted requests; more are refused with 429. High bounds let latency grow under overload." default:"2000000" group:"Advanced"`
	MaxBytes        int64         `help:"Bytes of the bodies of admitted requests; more are refused with 429." default:"268435456" group:"Advanced"`
	RunIdentities   int           `help:"Event ids kept in memory before they become a sorted run on disk: about 80 bytes each, up to three times over. Few make many runs, which every event has to ask." default:"1048576" group:"Advanced"`
	DedupMemory     int64         `help:"Bytes of memory for the filters of event ids on disk: 2 an id. Beyond it the oldest ids are asked on disk about every event, which is exact and many times slower." default:"1073741824" group:"Advanced"`
	CheckpointBytes int64         `help:"Journal growth after which a checkpoint is taken. It bounds the replay at a restart: 256 MiB are some seconds." default:"268435456" group:"Advanced"`
	QueueTarget     time.Duration `help:"How long admitted requests should wait at most: what is queued is bounded by it and the measured rate, and more is refused with 429." default:"100ms" group:"Advanced"`
	MinFree         int64         `help:"Free bytes of the disk below which changes are refused, reads not, before it is full; 0 turns that off." default:"1073741824" group:"Advanced"`
	DiskStallMax    time.Duration `help:"How long a write may hang before the server gives up and exits with status 3. From 1s on it takes no requests." default:"60s" group:"Advanced"`
}

// Help is the long help of the command.
func (serveCmd) Help() string {
	return `GET /healthz answers 200 while the process lives, GET /readyz only once the
journal is replayed and writes are taken. SIGTERM or SIGINT ends it cleanly:
everything begun is answered, everything answered is durable, exit code 0. A
second signal ends it at once, which loses nothing that was answered either.

    farthing serve --data ./data
    farthing serve --data ./data --catalogue
    farthing serve --data ./data --listen :8080 --api-keys keys.yaml --kafka kafka-1:9092,kafka-2:9092
    farthing serve --data ./data --listen :8443 --api-keys keys.yaml --tls-cert cert.pem --tls-key key.pem

Keys and certificates are read again when their files change, and on SIGHUP; a file
that cannot be used changes nothing, which log and metrics say.

Without --kafka batches stay in the outbox and are read over HTTP; when a broker
is added later, all of them are published. So it is with notifications, which also
go to the endpoints of POST /v1/webhooks.`
}

// Run serves until the context ends.
func (c *serveCmd) Run(ctx *Context) error {
	access, err := openAccess(&c.accessFlags, ctx.Log)
	if err != nil {
		return err
	}
	if err := c.load(); err != nil {
		return err
	}
	if err := c.validate(); err != nil {
		return usageError{err}
	}
	if c.sendsPassword() {
		ctx.Log.Warn("--kafka-sasl=PLAIN shows the password to whoever can listen on the way to the brokers; use --kafka-tls, or SCRAM")
	}
	return newProcess(c, access, ctx.Log).run(ctx.Ctx)
}

// validate reports everything that can be seen to be wrong before anything is
// opened.
func (c *serveCmd) validate() error {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	if _, err := c.windows(); err != nil {
		problems = append(problems, err)
	}
	if err := c.problem(c.Data); err != nil {
		problems = append(problems, err)
	}
	check(c.DedupWindow >= time.Hour, "--dedup-window=%v is shorter than 1h", c.DedupWindow)
	check(c.LedgerID == "" || meter.ValidID([]byte(c.LedgerID)), "--ledger-id %q is no id: want 1 to %d of A-Z a-z 0-9 . _ : - / @", c.LedgerID, meter.MaxIDBytes)
	check(c.MaxRequests > 0 && c.MaxRequests <= 1<<20, "--max-requests=%d is outside of 1 to 1,048,576", c.MaxRequests)
	check(c.MaxConnections > 0, "--max-connections=%d is not positive", c.MaxConnections)
	check(c.MaxConnectionsPerAddress >= 0, "--max-connections-per-address=%d is negative", c.MaxConnectionsPerAddress)
	check(c.MaxEvents > 0, "--max-events=%d is not positive", c.MaxEvents)
	check(c.MaxBytes > 0, "--max-bytes=%d is not positive", c.MaxBytes)
	check(c.DedupMemory > 0, "--dedup-memory=%d must be positive", c.DedupMemory)
	check(c.QueueTarget > 0 && c.QueueTarget <= time.Second, "--queue-target=%v is outside of 1ns to 1s", c.QueueTarget)
	check(c.MinFree >= 0, "--min-free=%d is negative", c.MinFree)
	check(c.DiskStallMax > time.Second, "--disk-stall-max=%v is not above 1s", c.DiskStallMax)
	check(c.RunIdentities > 0 && c.RunIdentities <= 1<<26, "--run-identities=%d is outside of 1 to 67,108,864", c.RunIdentities)
	check(c.CheckpointBytes > 0, "--checkpoint-bytes=%d is not positive", c.CheckpointBytes)
	if c.ListenFile != "" {
		inside, err := within(c.Data, c.ListenFile)
		check(err == nil, "--listen-file: %w", err)
		check(!inside, "--listen-file %s is in the data directory, which is the ledger's alone", c.ListenFile)
	}
	if c.BackupDir != "" {
		inside, err := dirWithin(c.Data, c.BackupDir)
		check(err == nil, "--backup-dir: %w", err)
		check(!inside, "--backup-dir %s is in the data directory, which is the ledger's alone", c.BackupDir)
	}
	check(!c.BackupCopy || c.BackupDir != "", "--backup-copy says how backups are made, and there is no --backup-dir")
	if len(c.Kafka) > 0 {
		// The ledger's id is known only once it is open; any id will do here.
		if err := c.publishOptions("any", 0).EnsureDefaults().Validate(); err != nil {
			problems = append(problems, fmt.Errorf("--kafka: %w", err))
		} else if err := c.noticeOptions("any", 0).EnsureDefaults().Validate(); err != nil {
			problems = append(problems, fmt.Errorf("--kafka-notifications-topic: %w", err))
		} else if err := c.resultsOptions("any").EnsureDefaults().Validate(); err != nil {
			problems = append(problems, fmt.Errorf("--kafka-results-topic: %w", err))
		}
		check(!c.readsResults() || (c.KafkaResultsTopic != c.KafkaTopic && c.KafkaResultsTopic != c.KafkaNotificationsTopic),
			"--kafka-results-topic is one that is published to")
		check(c.KafkaNotificationsTopic != c.KafkaTopic, "--kafka-notifications-topic is that of --kafka-topic: each stream counts in a topic of its own")
	}
	return errors.Join(problems...)
}

func (c *serveCmd) engineOptions(p *process) engine.Options {
	w, err := c.windows()
	if err != nil {
		panic("BUG: flags that were not validated: " + err.Error())
	}
	minFree := c.MinFree
	if minFree == 0 {
		minFree = -1
	}
	return engine.Options{
		Journal:          journal.Options{Dir: c.Data, Logger: p.log},
		LedgerID:         c.LedgerID,
		SettleEvery:      w.every,
		Schedule:         w.schedule,
		Thresholds:       w.thresholds,
		DedupWindow:      c.DedupWindow,
		RequestsMax:      c.MaxRequests,
		EventsMax:        c.MaxEvents,
		BytesMax:         c.MaxBytes,
		RunIdentities:    c.RunIdentities,
		DedupMemoryBytes: c.DedupMemory,
		CheckpointBytes:  c.CheckpointBytes,
		SigningKey:       c.signing,
		NewSigningKey:    c.NewSigningKey,
		Observer:         p.groups,
		Logger:           p.log,
		QueueTarget:      c.QueueTarget,
		MinFreeBytes:     minFree,
		DiskStallMax:     c.DiskStallMax,
	}
}

func (c *serveCmd) publishOptions(ledger string, partition uint32) publish.Options {
	return publish.Options{
		Brokers: c.Kafka, Topic: c.KafkaTopic, Partition: int32(partition), Ledger: ledger, CreateTopics: c.CreateTopics,
		TLS: c.tls, SASL: c.sasl, Compression: publish.Compression(c.KafkaCompression),
	}
}

// readsResults says whether results are to be read from a topic.
func (c *serveCmd) readsResults() bool { return len(c.Kafka) > 0 && c.KafkaResultsTopic != "" }

// resultsOptions are those of the reader of results.
func (c *serveCmd) resultsOptions(ledger string) publish.Options {
	return publish.Options{Brokers: c.Kafka, Topic: c.KafkaResultsTopic, Stream: "results", Ledger: ledger, TLS: c.tls, SASL: c.sasl}
}

// noticeOptions are those of the relay of notifications.
func (c *serveCmd) noticeOptions(ledger string, partition uint32) publish.Options {
	o := c.publishOptions(ledger, partition)
	o.Stream, o.Topic = "notification", c.KafkaNotificationsTopic
	return o
}

func (c *serveCmd) webhookOptions(e *engine.Engine, log *slog.Logger) webhook.Options {
	return webhook.Options{Ledger: e.LedgerID(), AllowPrivate: c.WebhooksAllowPrivate, Types: engine.NotificationTypes(), Logger: log}
}

// within says whether a file would stand in dir or below, links followed.
func within(dir, file string) (bool, error) {
	parent, err := realPath(filepath.Dir(file))
	if err != nil {
		return false, err
	}
	if dir, err = realPath(dir); err != nil {
		return false, err
	}
	rel, err := filepath.Rel(dir, parent)
	if err != nil {
		return false, err
	}
	return rel == "." || rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)), nil
}

// dirWithin reports whether one directory is another one, or below it.
func dirWithin(dir, other string) (bool, error) { return within(dir, filepath.Join(other, "file")) }

// realPath is the path without links; what does not exist yet stands as it is
// under its nearest parent that does.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	resolved, err := filepath.EvalSymlinks(path)
	if parent := filepath.Dir(path); errors.Is(err, os.ErrNotExist) && parent != path {
		if parent, err = realPath(parent); err == nil {
			return filepath.Join(parent, filepath.Base(path)), nil
		}
	}
	return resolved, err
}

// writeListenFile writes an address so that a reader sees all of it or nothing.
// It is not synced: after a power loss the address means nothing.
func writeListenFile(path, address string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.WriteString(address)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
