package engine

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"farthing/journal"
	"farthing/meter"
	"farthing/money"
)

// Options says how an engine runs. The zero value of a field means its default.
type Options struct {
	// Journal says where the ledger is and how its store is kept. Dir is required.
	Journal journal.Options
	// LedgerID names a ledger that is created; a random one if empty. An existing ledger
	// keeps its own.
	LedgerID string
	// Partition numbers the partition of a ledger that is created; default 0.
	Partition uint32
	// Clock tells the wall clock at start; from then on time is that plus monotonic
	// time. Default time.Now.
	Clock func() time.Time
	// Now, if set, is all the time there is, in nanoseconds since the Unix epoch, and Clock is
	// not asked: tests move it. It must not go back while the engine runs.
	Now func() int64
	// SigningKey signs the manifests of batches; nil: they are not signed. Its public half is
	// journaled when it is new, so that signatures can be checked after it was replaced.
	SigningKey ed25519.PrivateKey
	// NewSigningKey is the id of a key that is to sign from now on although the ledger has signed with others and not with it. Any other such
	// key is refused (ErrOtherKey): it is a file that was mixed up, or in which a bit has flipped.
	NewSigningKey string
	// SettleEvery closes windows on UTC multiples of this interval; 0: not by an interval.
	SettleEvery time.Duration
	// Schedule closes windows at times of its own: it returns the first after the given one, or the
	// zero time when there is none. nil: it does not. It must depend on nothing else. There is either
	// an interval or a schedule.
	Schedule func(after time.Time) time.Time
	// Thresholds closes the window, for everyone, when a participant's position reaches the amount of
	// its currency: what a customer owes, or what a provider is owed once that is its minimum payout.
	Thresholds map[money.Currency]money.Amount
	// DedupWindow is how old an event may be. Default 35 days. Identities are remembered for it and a
	// little longer; then they may be booked again.
	DedupWindow time.Duration
	// RequestsMax bounds admitted requests, EventsMax and BytesMax the events and body
	// bytes in them. Beyond any of them requests are refused (429). Defaults 4,096,
	// 2,000,000 and 256 MiB. Low bounds refuse early; high ones let latency grow.
	RequestsMax, EventsMax, BytesMax int64
	// QueueTarget is how long admitted requests should wait at most before their group is
	// committed: what is queued is bounded by that time and the measured rate, and never by less than
	// two full groups. Default 100 ms, at most a second. Short ones refuse early, long ones let latency
	// grow when the disk is slow.
	QueueTarget time.Duration
	// DiskStallAfter is how long a commit may take before the engine takes no more requests;
	// they are taken again when it returns. Default 1 s. DiskStallMax is after how long the process
	// is told to stop, because nobody will be answered any more. Default 60 s.
	DiskStallAfter, DiskStallMax time.Duration
	// MinFreeBytes is the free space below which the engine takes no more changes, before the disk
	// is full: checkpoints, flushes and what is on its way still have to fit. It takes them again with an
	// eighth more. Default 1 GiB; below 0: it does not look.
	MinFreeBytes int64
	// GroupBytes is the size at which a group takes no further requests and waits for the
	// committer. Default 1 MiB, 16 blocks: a synced write of 1 MiB goes at three quarters
	// more bytes a second than one of 200 KiB, and larger ones gain nothing but latency.
	GroupBytes int
	// RunIdentities is how many identities are kept in memory before they become a
	// sorted run on disk. Default 1,048,576: about 80 MiB a generation, three of which may
	// live at once. Small values make many runs, which every event has to ask.
	RunIdentities int
	// DedupMemoryBytes bounds the filters of identities on disk that are kept in memory: 2 bytes an
	// identity, beside the generations. Default 1 GiB, 500 million identities. Where it is too little the
	// oldest runs are asked on disk about every event, which is exact and many times slower.
	DedupMemoryBytes int64
	neverForget      bool // for tests that count commands
	// CheckpointBytes is the journal growth after which a checkpoint is taken. Default
	// 256 MiB, some seconds of replay. 0 keeps the default.
	CheckpointBytes int64
	// Abort, when it is closed while Open is still loading or replaying, makes it give up with
	// ErrGivenUp. Nothing is changed then. nil: it does not.
	Abort <-chan struct{}
	// Observer is told of every group; default nobody.
	Observer Observer
	// Logger receives what an operator should know. Default slog.Default().
	Logger *slog.Logger

	// Retention is how long settled history stays in the store; what is older is exported and dropped, as far as nothing needs it. What
	// retries may ask for is younger than the dedup window, so at least that, and how long a hold may be open, is kept (retainAge).
	// 0, the default, keeps everything.
	Retention time.Duration
	// Export makes a stretch of history durable elsewhere and returns the hash of what describes it there. It is asked again for a
	// stretch that it may have exported before, when something went wrong after it. Required with Retention.
	Export func(ExportPart) (manifest [32]byte, err error)
	// NoticesNeeded tells the number of the first notification that somebody has still to be told, all ones if nobody has; the relay's
	// own position is known. nil: nobody.
	NoticesNeeded func() uint64
	// NoticesPublished says that notifications go to a topic: those that it does not have yet are needed.
	NoticesPublished bool

	retainStep time.Duration // how much history a round has to find; tests drop less
	world      surroundings
}

// ErrGivenUp is what Open returns when Options.Abort was closed.
var ErrGivenUp = errors.New("the start was given up")

func (o *Options) aborted() error {
	select {
	case <-o.Abort:
		return ErrGivenUp
	default:
		return nil
	}
}

// Observer sees groups go by; its methods are called on the commit path and must
// not block.
type Observer interface {
	// GroupCommitted tells the commands and bytes of a group and how long its commit took.
	GroupCommitted(commands int, bytes int, took time.Duration)
}

type nobody struct{}

// GroupCommitted does nothing.
func (nobody) GroupCommitted(int, int, time.Duration) {}

// Defaults of Options.
const (
	DefaultDedupWindow = 35 * 24 * time.Hour
	aheadMax           = 5 * time.Minute // how far ahead of us an event's time may be
)

func (o *Options) ensureDefaults() {
	setDefault(&o.RequestsMax, 4096)
	setDefault(&o.EventsMax, 2_000_000)
	setDefault(&o.BytesMax, 256<<20)
	setDefault(&o.GroupBytes, 1<<20)
	setDefault(&o.QueueTarget, 100*time.Millisecond)
	setDefault(&o.DiskStallAfter, time.Second)
	setDefault(&o.DiskStallMax, time.Minute)
	setDefault(&o.MinFreeBytes, 1<<30)
	setDefault(&o.RunIdentities, 1<<20)
	setDefault(&o.DedupMemoryBytes, 1<<30)
	setDefault(&o.CheckpointBytes, 256<<20)
	setDefault(&o.DedupWindow, DefaultDedupWindow)
	setDefault(&o.retainStep, o.Retention/retainSteps)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Journal.Logger == nil {
		o.Journal.Logger = o.Logger
	}
	o.Journal.EnsureDefaults() // Fatal is the engine's way to stop as well
}

// loaders is how many goroutines read filters at start: reading waits for the disk and for memory.
func (o *Options) loaders() int {
	if o.world.stages != nil {
		return 1
	}
	return min(max(2, runtime.GOMAXPROCS(0)), 8)
}

// Validate reports everything that is wrong with the options, after defaults.
func (o *Options) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(o.Journal.Dir != "", "no data directory")
	check(o.LedgerID == "" || meter.ValidID([]byte(o.LedgerID)), "ledger id %q is no id", o.LedgerID)
	check(o.SigningKey == nil || len(o.SigningKey) == ed25519.PrivateKeySize, "the signing key has %d bytes", len(o.SigningKey))
	check(o.RequestsMax > 0 && o.RequestsMax <= 1<<20, "RequestsMax %d is outside of 1 to 1,048,576", o.RequestsMax)
	check(o.EventsMax > 0 && o.BytesMax > 0, "EventsMax and BytesMax must be positive")
	check(o.QueueTarget > 0 && o.QueueTarget <= time.Second, "QueueTarget %v is outside of 1 ns to 1 s", o.QueueTarget)
	check(o.DiskStallAfter > 0 && o.DiskStallMax > o.DiskStallAfter, "DiskStallMax %v is not above DiskStallAfter %v", o.DiskStallMax, o.DiskStallAfter)
	check(o.GroupBytes >= journal.BlockBytes, "GroupBytes %d is below a block's %d", o.GroupBytes, journal.BlockBytes)
	check(o.RunIdentities > 0 && o.RunIdentities <= 1<<26, "RunIdentities %d is outside of 1 to 67,108,864", o.RunIdentities)
	check(o.DedupMemoryBytes > 0, "DedupMemoryBytes %d must be positive", o.DedupMemoryBytes)
	check(o.SettleEvery == 0 || o.SettleEvery >= time.Second, "windows cannot be shorter than a second")
	check(o.SettleEvery == 0 || o.Schedule == nil, "windows close by an interval or by a schedule, not by both")
	for c, amount := range o.Thresholds {
		units, _ := amount.Cut(c.Digits())
		check(units.Sign() > 0, "the threshold of %s %s is below a minor unit", amount, c.Code())
	}
	check(o.Retention >= 0, "the retention %v is negative", o.Retention)
	check(o.Retention == 0 || o.Export != nil, "history is only dropped where it is exported")
	check(o.DedupWindow >= time.Hour, "the dedup window %v is below an hour", o.DedupWindow)
	return errors.Join(errs...)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
