package bench

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"
)

// Workload is a named shape of traffic.
type Workload struct {
	// Name as given on the command line.
	Name string
	// Holds is false for usage events. Else each request of holds is followed, when
	// it was answered, by one that captures them with what was used.
	Holds bool
	// Settles closes the window once Options.Events have come in, and measures that.
	Settles bool
	// Mixed is, of a hundred requests or pairs, ninety with an event, nine with a hold and its capture, and one that reads a balance.
	Mixed bool
	// Zipf has the events of few payers be many: by Zipf's law, newly drawn for each event.
	Zipf bool
	// Trace takes the tokens of events from a trace of real requests.
	Trace bool
	// Compact sends the events in the compact binary form instead of JSON.
	Compact bool
	// Batch is the number of events, or holds, in a request: 1 to 10,000.
	Batch int
	// Connections is the default number of connections. For batches, enough
	// to keep requests in flight while a group is on its way to disk: with 8
	// two cores idled a third of the time, with 16 a seventh. One by one, what
	// a fleet of gateways would hold open.
	Connections int
	// Accounts is the default number of payers.
	Accounts int
	// Duration is how long a run of it is measured, if nobody says otherwise; 0: three seconds.
	Duration time.Duration
	// Identities has a run of it go on until so many events are booked, where that is asked for.
	Identities bool
	// Variants is the number of different turns each connection cycles
	// through. Bodies of 1,000 events take about 200 KB, so more would drive
	// the generator out of the processor's cache and measure that.
	Variants int
}

// Unit is what the workload's figures count.
func (w Workload) Unit() string {
	if w.Holds {
		return "pairs"
	}
	return "events"
}

// Workloads returns the named workloads in the order they are run.
func Workloads() []Workload {
	return []Workload{
		{Name: "single", Batch: 1, Connections: 256, Accounts: 1000, Variants: 16},
		{Name: "batch-100", Batch: 100, Connections: 96, Accounts: 1000, Variants: 4},
		{Name: "batch-1000", Duration: 10 * time.Second, Batch: 1000, Connections: 48, Accounts: 1000, Variants: 2},
		{Name: "compact", Compact: true, Batch: 1000, Connections: 48, Accounts: 1000, Variants: 2},
		{Name: "hot", Identities: true, Batch: 1000, Connections: 48, Accounts: 1, Variants: 2},
		{Name: "zipf", Identities: true, Zipf: true, Batch: 1000, Connections: 48, Accounts: 1_000_000, Variants: 2},
		{Name: "llm", Trace: true, Zipf: true, Batch: 20, Connections: 128, Accounts: 10_000, Variants: 8},
		{Name: "mixed", Mixed: true, Batch: 1, Connections: 128, Accounts: 10_000, Variants: 100},
		{Name: "holds", Holds: true, Batch: 1000, Connections: 48, Accounts: 100_000, Variants: 2},
		{Name: "holds-single", Holds: true, Batch: 1, Connections: 64, Accounts: 100_000, Variants: 16},
		{Name: windowClose, Settles: true, Batch: 1000, Connections: 16, Accounts: 10_000, Variants: 2},
	}
}

// windowClose is the workload whose figures are of another kind.
const windowClose = "window-close"

// turnKind is what a turn does.
type turnKind int

const (
	events turnKind = iota
	holds
	reads
)

// kindOf is the kind of a connection's turn number i. Of a hundred turns of a mixed workload ninety have events, nine a hold, and one
// reads.
func (w Workload) kindOf(i int) turnKind {
	switch {
	case w.Holds, w.Mixed && i%100 > 90:
		return holds
	case w.Mixed && i%100 == 90:
		return reads
	}
	return events
}

// prepaid says whether its payers have to have credit.
func (w Workload) prepaid() bool { return w.Holds || w.Mixed }

// moves reports whether the elements go to other payers each time.
func (w Workload) moves() bool { return w.prepaid() || w.Settles }

// WorkloadsNamed returns the workload of that name; "all" is all but window-close, whose figures are of another
// kind.
func WorkloadsNamed(name string) ([]Workload, error) {
	if name == "all" {
		return slices.DeleteFunc(Workloads(), func(w Workload) bool { return w.Settles }), nil
	}
	for _, w := range Workloads() {
		if w.Name == name {
			return []Workload{w}, nil
		}
	}
	return nil, fmt.Errorf("%w: no workload %q", ErrOptions, name)
}

// Bounds of Options.
const (
	batchMax       = 10_000 // the contract's bound on a request
	rateMax        = 1e8
	connectionsMax = 4096 // of loopback sockets that two cores can serve
	accountsMax    = 1_000_000
)

// Options of a run.
type Options struct {
	// URL of the server, http://host:port. The run replaces the price book in
	// force, so it must not be a ledger that anyone needs.
	URL string
	// Key is the API key, sent as a bearer token; "" sends none.
	Key string
	// Workload is what to send.
	Workload Workload
	// Connections overrides the workload's; 0 leaves it.
	Connections int
	// Warmup runs before the clock starts; default 2 s. Too short measures
	// the server's start: empty caches, files not yet allocated.
	Warmup time.Duration
	// Rate is how many events, or pairs, are sent a second, whether or not the answers come: an open loop, whose latencies count from when
	// a request should have been sent. 0: a closed loop, in which each connection sends again when it was answered.
	Rate float64
	// Duration of the measurement; default 10 s.
	Duration time.Duration
	// Sustained has no warm-up, and measures from the first request until everything that came within Duration is settled: indexed
	// and in the evidence (SustainedResult).
	Sustained bool
	// Reach has the measurement go on beyond Duration until so many events were sent, those before it included; 0: it does not.
	Reach uint64
	// Batch overrides the size of the requests of a workload of batches; 0
	// leaves it.
	Batch int
	// Accounts is the number of payers; 0 takes the workload's. Each is opened
	// before and read after the run; those of holds are prepaid and have credit
	// enough. 1 is one hot account.
	Accounts int
	// Events is how many a window that is settled has before it is measured; default 20 for each
	// account. Others have none.
	Events uint64
	// PID is the server's process, whose memory is measured; 0: it is not.
	PID int
	// Published says that the server publishes its batches: that is measured too.
	Published bool
	// HoldBy says what holds are asked for, HoldByEstimate (the default) or
	// HoldByAmount. Events have none.
	HoldBy string
	// Chain makes the payers of holds the leaves of chains of four accounts, each
	// of which has three limits that nothing reaches. Ten accounts share the one
	// above them, as keys share a user.
	Chain bool
	// Models is the number of priced models, 1 to len(catalogue); default 8.
	Models int
	// Seed of payers, models and quantities; the ids do not depend on it.
	Seed uint64
	// Progress is called about once a second from one goroutine; nil: never.
	Progress func(Progress)
}

func (o Options) withDefaults() Options {
	if o.Connections == 0 {
		o.Connections = o.Workload.Connections
	}
	if o.Warmup == 0 {
		o.Warmup = 2 * time.Second
	}
	if o.Duration == 0 {
		o.Duration = 10 * time.Second
	}
	if o.Batch != 0 && o.Workload.Batch > 1 {
		o.Workload.Batch = o.Batch
	}
	if o.Accounts == 0 {
		o.Accounts = o.Workload.Accounts
	}
	if o.Workload.Holds && o.HoldBy == "" {
		o.HoldBy = HoldByEstimate
	}
	if o.Events == 0 {
		o.Events = 20 * uint64(max(o.Accounts, 0))
	}
	if !o.Workload.Holds {
		o.HoldBy, o.Chain = "", false
	}
	if o.Sustained {
		o.Warmup = 0
	}
	if o.Models == 0 {
		o.Models = 8
	}
	return o
}

// Validate reports every problem at once.
func (o Options) Validate() error {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	u, err := url.Parse(o.URL)
	check(err == nil && u.Scheme == "http" && u.Host != "" && u.Path == "", "url %q is not http://host:port", o.URL)
	check(o.Workload.Batch >= 1 && o.Workload.Batch <= batchMax, "batch %d is not 1 to %d", o.Workload.Batch, batchMax)
	check(o.Workload.Variants >= 1, "variants %d is not positive", o.Workload.Variants)
	check(o.Connections >= 1 && o.Connections <= connectionsMax, "connections %d is not 1 to %d", o.Connections, connectionsMax)
	check(o.Rate >= 0 && o.Rate <= rateMax && (o.Rate == 0 || !o.Workload.Settles), "rate %v is not 0 to %d, or of a workload that has none", o.Rate, int(rateMax))
	check(o.Warmup >= 0 && o.Duration > 0, "warm-up %v or duration %v is negative or nothing", o.Warmup, o.Duration)
	check(o.Accounts >= 1 && o.Accounts <= accountsMax, "accounts %d is not 1 to %d", o.Accounts, accountsMax)
	check(!o.Workload.Holds || o.HoldBy == HoldByEstimate || o.HoldBy == HoldByAmount, "a hold by %q is none by estimate or amount", o.HoldBy)
	check(o.Models >= 1 && o.Models <= len(catalogue()), "models %d is not 1 to %d", o.Models, len(catalogue()))
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrOptions, errors.Join(problems...))
}
