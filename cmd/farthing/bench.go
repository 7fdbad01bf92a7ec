package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"farthing/bench"
	"farthing/bench/child"
	"farthing/bench/limits"
	"farthing/bench/report"
	"farthing/bench/suite"
	"farthing/httpapi"
)

// benchCmd is `farthing bench`.
type benchCmd struct {
	Run    benchRunCmd    `cmd:"" default:"withargs" help:"Run the benchmark and print its report (what bench does by itself)."`
	Peers  benchPeersCmd  `cmd:"" help:"Measure other engines that are installed beside single events and batches here."`
	Report benchReportCmd `cmd:"" help:"Print a report that was kept as JSON."`
	Empty  benchEmptyCmd  `cmd:"" hidden:"" help:"Serve a handler that does nothing: a limit to measure against."`
}

// benchRunCmd is `farthing bench run`.
type benchRunCmd struct {
	Workload    []string      `help:"What to send, several by commas: single, batch-100, batch-1000, compact, hot, zipf, llm, mixed, holds, holds-single, window-close, sustained, identities, restart, or all, which is all but window-close." default:"all" placeholder:"NAME"`
	Repeats     int           `help:"How often each workload is measured, each time on a server of its own; 0: three times those that are held against others (single, batch-1000), twice the rest." default:"0"`
	Duration    time.Duration `help:"Time measured per run; 0 takes the workload's own: 10s for batch-1000, 3s for others." default:"0"`
	Sustained   time.Duration `help:"How long the workload sustained drives batch-1000; compact is driven half as long. 0 for none." default:"60s"`
	Identities  uint64        `help:"Events that the workload identities goes on to, with one account and with 1,000,000; 0 for none." default:"20000000"`
	Verify      string        `help:"Which ledgers verify reads afterwards: that of the first run of each workload, all, or none. Balances are compared after every run." enum:"first,all,none" default:"first" placeholder:"WHICH"`
	GoBench     string        `name:"go-bench" help:"Output of go test -bench Sequencer ./engine, for the targets of the sequencer alone." type:"existingfile" placeholder:"FILE"`
	WarmUp      time.Duration `help:"Time driven before measuring." default:"1s"`
	Rates       []float64     `help:"Shares of the capacity just measured that single and batch-1000 are sent at in open loops, to measure latency; 0 for none." default:"0.25,0.5,0.75,0.9" placeholder:"SHARE"`
	Limits      bool          `help:"Measure the limits of the machine first, to compare with." default:"true" negatable:""`
	Profile     bool          `help:"Run workloads once more (of all, six of them) to see where the server's processor time goes." default:"true" negatable:""`
	Profiles    string        `help:"Keep the profiles of processor time, allocations, waits and locks in this directory, for go tool pprof." type:"existingdir" placeholder:"DIR"`
	ProfileTime time.Duration `help:"How long each profile of processor time is taken, in whole seconds." default:"2s"`
	Peers       bool          `help:"Have the other engines that are installed do the same: PostgreSQL, Redis, TigerBeetle." default:"true" negatable:""`
	TigerBeetle string        `name:"tigerbeetle" help:"TigerBeetle's program, in a build with its client (CGO_ENABLED=1, -tags tigerbeetle)." placeholder:"FILE"`
	Connections int           `help:"Connections; 0 takes the workload's own number." default:"0"`
	Batch       int           `help:"Events or holds in a request of workloads of batches, up to 10,000; 0 takes the workload's." default:"0"`
	Accounts    int           `help:"Payers; 0 takes the workload's: 1,000 for most, 1,000,000 for zipf. 1 is one hot account." default:"0"`
	HoldBy      string        `help:"What holds are asked for: an estimate of the usage, which the server rates, or the amount." enum:"estimate,amount" default:"estimate" placeholder:"WHAT"`
	Chain       bool          `help:"Payers of holds are the last of four accounts in a chain, each with three limits that nothing reaches."`
	Events      uint64        `help:"Events of the window that window-close closes; 0 takes 20 for each payer."`
	Kafka       []string      `help:"window-close: have the server publish to these brokers, and measure that too, in a topic of its own." placeholder:"BROKER"`
	Models      int           `help:"Priced models the events are spread over, up to 12." default:"8"`
	Seed        uint64        `help:"Seed of payers, models and quantities." default:"1"`
	URL         string        `name:"url" help:"Measure this server instead of starting one. Its price book is replaced: never a ledger in use." placeholder:"URL"`
	Key         string        `help:"API key for --url." placeholder:"KEY"`
	// BenchData is not called data: that is the key and the variable of serve, which names a real ledger.
	BenchData string   `help:"Directory in which the fresh data directories are made and removed: the disk to measure." type:"existingdir" placeholder:"DIR"`
	ServeFlag []string `help:"Further flag for the servers that are started, as --serve-flag=--settle-every=1h." sep:"none" placeholder:"FLAG"`
	JSON      string   `name:"json" help:"Also write the report to this file as JSON." placeholder:"FILE"`
	HTML      string   `name:"html" help:"Also write the report to this file as one page with plots." placeholder:"FILE"`
}

// Help explains the workloads.
func (c *benchRunCmd) Help() string {
	return `Workloads:

  single        one usage event a request, 256 connections
  batch-100     requests of 100 usage events
  batch-1000    requests of 1,000 usage events
  compact       the same in the compact binary form
  hot           requests of 1,000 usage events of one account
  zipf          requests of 1,000 usage events of 1,000,000 accounts, by Zipf's law
  llm           requests of 20 usage events with the tokens of a trace of real requests, by Zipf's law
  mixed         single requests: of a hundred ninety events, nine holds with their captures, one balance
  holds         a request of 1,000 holds, then one that captures them with what was used
  holds-single  one hold a request, then its capture
  window-close  requests of 1,000 usage events; after --events it closes the window while they go on coming in
  sustained     batch-1000 for --sustained and compact for half of that, from the first request until everything is indexed and in the
                evidence; and what that leaves on disk once it has settled down
  identities    hot and zipf go on to --identities events, each once, and the server's memory is watched
  restart       how long a server is away when it is stopped, and when it is killed under load

A figure counts events, or pairs of a hold and its capture, whose answers came within the time measured: each is durable
then. Closed loops say what goes through: each connection sends again when it was answered. Open loops say how long it
takes: requests are sent when they are due, and their latency counts from then, so that a stall is charged for all who
would have come meanwhile.

A capture is sent only when its hold was answered. Accounts of holds are prepaid and have credit enough; each pair
goes to another of them. With --chain ten of them share the account above, ten such accounts the next one, and ten of
those the root, which holds the money.

The figures of window-close are the rate of events over --duration before the window is closed and from there to its seal,
the longest answers, how long the seal took, the server's memory and proofs of inclusion. At the end the lines of all
windows must equal what was sent.

At the end every balance must equal what was sent times its price, nothing may be held, the limits must have counted the
same, and the ledger must pass verify. If not, the run is an error.`
}

// The workloads that are more than a load.
const (
	restartWorkload    = "restart"
	sustainedWorkload  = "sustained"
	identitiesWorkload = "identities"
)

// workloads are those that were asked for; what is more than a load is set in o.
func (c *benchRunCmd) workloads(o *suite.Options) error {
	for _, name := range c.Workload {
		all := name == "all"
		o.Restart = o.Restart || name == restartWorkload || all && c.URL == ""
		if all || name == sustainedWorkload {
			o.Sustained = c.Sustained
		}
		if all || name == identitiesWorkload {
			o.Identities = c.Identities
		}
		if name == restartWorkload || name == sustainedWorkload {
			continue
		}
		names := []string{name}
		if name == identitiesWorkload {
			names = []string{"hot", "zipf"}
		}
		for _, name := range names {
			named, err := bench.WorkloadsNamed(name)
			if err != nil {
				return usageError{err}
			}
			o.Workloads = append(o.Workloads, named...)
		}
	}
	return nil
}

// Run measures and prints the report. Balances that do not add up, and a
// verify that finds a difference, are errors.
func (c *benchRunCmd) Run(ctx *Context) error {
	o := suite.Options{
		Dir: c.BenchData, ServeArgs: c.serveFlags, Repeats: c.Repeats, Verify: suite.Verify(c.Verify), Limits: c.Limits, Profile: c.Profile || c.Profiles != "", ProfileDir: c.Profiles, ProfileTime: c.ProfileTime, Peers: c.Peers, TigerBeetle: c.TigerBeetle,
		Run: bench.Options{URL: c.URL, Key: c.Key, Connections: c.Connections, Warmup: c.WarmUp, Duration: c.Duration, Batch: c.Batch, Accounts: c.Accounts,
			HoldBy: c.HoldBy, Chain: c.Chain, Events: c.Events, Published: len(c.Kafka) > 0, Models: c.Models, Seed: c.Seed, Progress: progressLine(ctx.Stderr)},
		Say: func(what string) { fmt.Fprintf(ctx.Stderr, "==== %s\n", what) },
	}
	if err := c.workloads(&o); err != nil {
		return err
	}
	benchmarks, err := c.benchmarks()
	if err != nil {
		return err
	}
	for _, share := range c.Rates {
		if share < 0 || share > 2 {
			return usageError{fmt.Errorf("--rates: %v is not between 0 and 2", share)}
		}
		if share > 0 {
			o.Shares = append(o.Shares, share)
		}
	}
	if c.URL == "" {
		if o.Binary, err = os.Executable(); err != nil {
			return err
		}
	}
	r, err := suite.Run(ctx.Ctx, o)
	if errors.Is(err, bench.ErrOptions) {
		return usageError{err}
	}
	r.Version, r.Settings, r.Benchmarks = version, c.settings(), benchmarks
	if len(r.Runs)+len(r.Sustained) > 0 || err == nil {
		r.WriteTable(ctx.Stdout)
	}
	return errors.Join(err, writeBenchReport(c.JSON, r.WriteJSON), writeBenchReport(c.HTML, r.WriteHTML))
}

// benchmarks are the figures of Go's benchmarks, if their output is given.
func (c *benchRunCmd) benchmarks() ([]report.Benchmark, error) {
	if c.GoBench == "" {
		return nil, nil
	}
	f, err := os.Open(c.GoBench)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return report.ReadBenchmarks(f, "cpu-ns/event")
}

// settings are what a reader has to know to repeat it.
func (c *benchRunCmd) settings() []string {
	all := []string{"--workload=" + strings.Join(c.Workload, ","), fmt.Sprintf("--repeats=%d", c.Repeats), fmt.Sprintf("--duration=%v", c.Duration),
		fmt.Sprintf("--sustained=%v", c.Sustained), fmt.Sprintf("--warm-up=%v", c.WarmUp), fmt.Sprintf("--seed=%d", c.Seed)}
	for _, n := range []struct {
		flag  string
		value int
	}{{"connections", c.Connections}, {"batch", c.Batch}, {"accounts", c.Accounts}, {"events", int(c.Events)}} {
		if n.value != 0 {
			all = append(all, fmt.Sprintf("--%s=%d", n.flag, n.value))
		}
	}
	if c.Chain {
		all = append(all, "--chain")
	}
	for _, flag := range c.ServeFlag {
		all = append(all, "--serve-flag="+flag)
	}
	return all
}

// serveFlags are those of one server that is started; each has a topic of its own.
func (c *benchRunCmd) serveFlags() []string {
	if len(c.Kafka) == 0 {
		return c.ServeFlag
	}
	topic := fmt.Sprintf("farthing.bench-%d", time.Now().UnixNano())
	return append([]string{"--kafka=" + strings.Join(c.Kafka, ","), "--kafka-topic=" + topic, "--kafka-notifications-topic=", "--create-topics"}, c.ServeFlag...)
}

// progressLine prints a line a second.
func progressLine(w io.Writer) func(bench.Progress) {
	return func(p bench.Progress) {
		phase := "warm-up"
		if p.Measuring {
			phase = "measure"
		}
		fmt.Fprintf(w, "%-12s  %s  %5.1fs  %12s %s/s  %14s %[5]s", p.Workload, phase, p.Elapsed.Seconds(),
			bench.Thousands(p.EventsPerSecond), p.Unit, bench.Thousands(int64(p.Events)))
		if p.Retries > 0 {
			fmt.Fprintf(w, "  %d retries", p.Retries)
		}
		fmt.Fprintln(w)
	}
}

// writeBenchReport writes to a file, if one is named.
func writeBenchReport(name string, write func(io.Writer) error) error {
	if name == "" {
		return nil
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// benchReportCmd is `farthing bench report`.
type benchReportCmd struct {
	File     string `arg:"" help:"The report, as bench --json has written it." type:"existingfile"`
	Markdown bool   `help:"Print it as Markdown, for a document."`
	HTML     string `name:"html" help:"Write it to this file as one page with plots, and print nothing." placeholder:"FILE"`
}

// Run prints it.
func (c *benchReportCmd) Run(ctx *Context) error {
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	r, err := report.ReadJSON(f)
	switch {
	case err != nil:
		return err
	case c.HTML != "":
		return writeBenchReport(c.HTML, r.WriteHTML)
	case c.Markdown:
		r.WriteMarkdown(ctx.Stdout)
	default:
		r.WriteTable(ctx.Stdout)
	}
	return nil
}

// benchPeersCmd is `farthing bench peers`.
type benchPeersCmd struct {
	Repeats     int           `help:"How often single and batch-1000 are measured here." default:"3"`
	Duration    time.Duration `help:"Time measured per run." default:"5s"`
	WarmUp      time.Duration `help:"Time driven before measuring." default:"1s"`
	TigerBeetle string        `name:"tigerbeetle" help:"TigerBeetle's program, in a build with its client (CGO_ENABLED=1, -tags tigerbeetle)." placeholder:"FILE"`
	BenchData   string        `help:"Directory in which fresh data directories are made and removed: the disk to measure." type:"existingdir" placeholder:"DIR"`
	JSON        string        `name:"json" help:"Also write the report to this file as JSON." placeholder:"FILE"`
	HTML        string        `name:"html" help:"Also write the report to this file as one page with plots." placeholder:"FILE"`
}

// Help says what is compared.
func (c *benchPeersCmd) Help() string {
	return `Starts PostgreSQL and Redis from the system's packages, if they are installed, each on a fresh directory of the same disk, and has
them book usage events as the server does: each once, with the balances of payer and payee, durable before the answer; event by event and in
batches of 1,000. TigerBeetle is measured if its program is given. What is not installed is listed. Notes say what each does less or more.`
}

// Run measures single and batch-1000 here, and what is installed.
func (c *benchPeersCmd) Run(ctx *Context) error {
	run := benchRunCmd{Workload: []string{"single", "batch-1000"}, Repeats: c.Repeats, Duration: c.Duration, WarmUp: c.WarmUp, Limits: true, Peers: true,
		TigerBeetle: c.TigerBeetle, HoldBy: bench.HoldByEstimate, Models: 8, Seed: 1, BenchData: c.BenchData, JSON: c.JSON, HTML: c.HTML}
	return run.Run(ctx)
}

// benchEmptyCmd is `farthing bench empty`.
type benchEmptyCmd struct {
	Listen     string `help:"Loopback address to serve on." default:"127.0.0.1:0"`
	ListenFile string `help:"File that gets the address." placeholder:"FILE"`
}

// Run serves until it is told to end. It answers as one new event is answered, to /readyz as well.
func (c *benchEmptyCmd) Run(ctx *Context) error {
	listener, err := httpapi.Listen(ctx.Ctx, c.Listen, nil)
	if err != nil {
		return err
	}
	if c.ListenFile != "" {
		if err := os.WriteFile(c.ListenFile, []byte(listener.Addr().String()), 0o600); err != nil {
			return err
		}
	}
	stop := context.AfterFunc(ctx.Ctx, func() { _ = listener.Close() })
	defer stop()
	return limits.ServeEmpty(listener)
}

// newChild is a server of this very binary with its data under dir.
func newChild(dir string, args []string, log io.Writer) (*child.Server, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return child.New(child.Options{Binary: binary, Data: dataOf(dir), Scratch: dir, Args: args, Log: log}), nil
}

func verifyChild(ctx context.Context, dir string) (string, error) {
	binary, err := os.Executable()
	if err != nil {
		return "", err
	}
	return child.Verify(ctx, binary, dataOf(dir))
}

func dataOf(dir string) string { return filepath.Join(dir, "data") }
