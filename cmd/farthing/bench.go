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
)

// fsyncProbes is enough for a stable median and costs well under a second on
// any disk that one would run a ledger on.
const fsyncProbes = 200

// benchCmd is `farthing bench`.
type benchCmd struct {
	Workload    string        `help:"What to send: batch-1000, single, holds, holds-single, settle, or all, which is all but settle." enum:"batch-1000,single,holds,holds-single,settle,all" default:"all" placeholder:"NAME"`
	Duration    time.Duration `help:"Time measured per workload." default:"10s"`
	WarmUp      time.Duration `help:"Time driven before measuring." default:"2s"`
	Connections int           `help:"Connections; 0 takes the workload's: 48 for batches and holds, 256 for single, 64 for holds-single." default:"0"`
	Batch       int           `help:"Events or holds in a request of batch-1000 and holds, up to 10,000; 0 takes 1,000." default:"0"`
	Accounts    int           `help:"Payers; 0 takes the workload's: 1,000 for events, 100,000 for holds, 10,000 for settle. 1 is one hot account." default:"0"`
	HoldBy      string        `help:"What holds are asked for: an estimate of the usage, which the server rates, or the amount." enum:"estimate,amount" default:"estimate" placeholder:"WHAT"`
	Chain       bool          `help:"Payers of holds are the last of four accounts in a chain, each with three limits that nothing reaches."`
	Events      uint64        `help:"Events of the window that settle closes; 0 takes 20 for each payer."`
	Kafka       []string      `help:"settle: have the server publish to these brokers, and measure that too, in a topic of its own." placeholder:"BROKER"`
	Models      int           `help:"Priced models the events are spread over, up to 12." default:"8"`
	Seed        uint64        `help:"Seed of payers, models and quantities." default:"1"`
	URL         string        `name:"url" help:"Measure this server instead of starting one. Its price book is replaced: never a ledger in use." placeholder:"URL"`
	Key         string        `help:"API key for --url." placeholder:"KEY"`
	// BenchData is not called data: that is the key and the variable of serve, which names a real ledger.
	BenchData string   `help:"Directory in which the fresh data directory is made and removed: the disk to measure." type:"existingdir" placeholder:"DIR"`
	ServeFlag []string `help:"Further flag for the server that is started, as --serve-flag=--settle-every=1h." sep:"none" placeholder:"FLAG"`
	JSON      string   `name:"json" help:"Also write the report to this file as JSON." placeholder:"FILE"`

	pid int // of the server that was started
}

// Help explains the workloads.
func (c *benchCmd) Help() string {
	return `Workloads:

  batch-1000    requests of 1,000 usage events
  single        one usage event a request
  holds         a request of 1,000 holds, then one that captures them with what was used
  holds-single  one hold a request, then its capture
  settle        requests of 1,000 usage events; after --events it closes the window while they go on coming in

A figure counts events, or pairs of a hold and its capture, whose answers came within the time measured: each is durable
then. A capture is sent only when its hold was answered. Accounts of holds are prepaid and have credit enough; each pair
goes to another of them. With --chain ten of them share the account above, ten such accounts the next one, and ten of
those the root, which holds the money.

The figures of settle are the rate of events over --duration before the window is closed and from there to its seal, the
longest answers, how long the seal took, the server's memory and proofs of inclusion. At the end the lines of all windows
must equal what was sent.

At the end every balance must equal what was sent times its price, nothing may be held, the limits must have counted the
same, and the ledger must pass verify. If not, the run is an error.`
}

// Run measures and prints the report. Balances that do not add up, and a
// verify that finds a difference, are errors.
func (c *benchCmd) Run(ctx *Context) error {
	workloads, err := bench.WorkloadsNamed(c.Workload)
	if err != nil {
		return usageError{err}
	}
	report := bench.Report{Time: time.Now().UTC(), Version: version, Machine: bench.ThisMachine()}
	if c.URL != "" {
		err = c.measure(ctx, c.URL, workloads, &report)
	} else {
		err = c.measureChild(ctx, workloads, &report)
	}
	if errors.Is(err, bench.ErrOptions) {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	report.WriteTable(ctx.Stdout)
	return c.writeJSON(report)
}

// measureChild runs the workloads on a server of our own and verifies what it
// leaves.
func (c *benchCmd) measureChild(ctx *Context, workloads []bench.Workload, report *bench.Report) (err error) {
	dir, err := os.MkdirTemp(c.BenchData, "farthing-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	fsync, err := bench.FsyncProbe(dir, fsyncProbes)
	if err != nil {
		return err
	}
	report.Fsync = &fsync
	server, err := newChild(dir, c.serveFlags(), nil)
	if err != nil {
		return err
	}
	if err := server.Start(ctx.Ctx); err != nil {
		return err
	}
	c.pid = server.PID()
	if err := c.measure(ctx, server.URL(), workloads, report); err != nil {
		return errors.Join(err, server.Terminate())
	}
	if err := server.Terminate(); err != nil {
		return err
	}
	report.ServerCPU = server.CPU()
	report.Verify, err = verifyChild(ctx.Ctx, dir)
	return err
}

// serveFlags are those of the server that is started. Nothing but the bench closes a window.
func (c *benchCmd) serveFlags() []string {
	var flags []string
	if c.Workload == "settle" {
		flags = append(flags, "--settle-every=0")
	}
	if len(c.Kafka) > 0 {
		topic := fmt.Sprintf("farthing.bench-%d", time.Now().UnixNano())
		flags = append(flags, "--kafka="+strings.Join(c.Kafka, ","), "--kafka-topic="+topic, "--kafka-notifications-topic=", "--create-topics")
	}
	return append(flags, c.ServeFlag...)
}

func (c *benchCmd) measure(ctx *Context, url string, workloads []bench.Workload, report *bench.Report) error {
	for _, w := range workloads {
		result, err := bench.Run(ctx.Ctx, bench.Options{
			URL: url, Key: c.Key, Workload: w, Connections: c.Connections, Warmup: c.WarmUp, Duration: c.Duration,
			Batch: c.Batch, Accounts: c.Accounts, HoldBy: c.HoldBy, Chain: c.Chain, Events: c.Events, PID: c.pid,
			Published: len(c.Kafka) > 0, Models: c.Models, Seed: c.Seed, Progress: progressLine(ctx.Stderr),
		})
		if err != nil {
			return fmt.Errorf("%s: %w", w.Name, err)
		}
		report.Runs = append(report.Runs, result)
	}
	return nil
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

func (c *benchCmd) writeJSON(report bench.Report) error {
	if c.JSON == "" {
		return nil
	}
	f, err := os.Create(c.JSON)
	if err != nil {
		return err
	}
	return errors.Join(report.WriteJSON(f), f.Close())
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
