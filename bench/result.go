package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// Result is the outcome of one run. Durations are nanoseconds in JSON.
type Result struct {
	Workload string `json:"workload"`
	// Unit is what is counted: events, or pairs of a hold and its capture, each of
	// which books an event.
	Unit        string        `json:"unit"`
	HoldBy      string        `json:"hold_by,omitempty"` // estimate, amount; "": no holds
	Chain       bool          `json:"chain,omitempty"`
	Batch       int           `json:"batch"`
	Connections int           `json:"connections"`
	Accounts    int           `json:"accounts"`
	Models      int           `json:"models"`
	Seed        uint64        `json:"seed"`
	Warmup      time.Duration `json:"warmup_ns"`
	Duration    time.Duration `json:"duration_ns"` // measured
	// Events and Requests answered within Duration.
	Events            uint64  `json:"events"`
	Requests          uint64  `json:"requests"`
	EventsPerSecond   int64   `json:"events_per_second"`
	RequestsPerSecond int64   `json:"requests_per_second"`
	Latency           Latency `json:"latency"`
	// Rate is what an open loop was to send a second; 0: a closed loop.
	Rate float64 `json:"rate,omitempty"`
	// Series is the events a second of each quarter of a second that was measured.
	Series []int64 `json:"series,omitempty"`
	// Retries of the whole run: answers of 429 or 503, broken connections.
	Retries uint64 `json:"retries"`
	// GeneratorCPU is the processor time of this process within Duration.
	GeneratorCPU time.Duration `json:"generator_cpu_ns"`
	Server       *Server       `json:"server,omitempty"` // nil: it does not say
	Check        Check         `json:"check"`
	Settle       *SettleResult `json:"settle,omitempty"`
}

// Latency of a request, from before the write to the whole answer, or in an open loop from when it was due, exact to
// 1 %.
type Latency struct {
	P50  time.Duration `json:"p50_ns"`
	P90  time.Duration `json:"p90_ns"`
	P99  time.Duration `json:"p99_ns"`
	P999 time.Duration `json:"p999_ns"`
	Max  time.Duration `json:"max_ns"`
}

// latencyOf reads the percentiles of a histogram.
func latencyOf(h *hdrhistogram.Histogram) Latency {
	at := func(q float64) time.Duration { return time.Duration(h.ValueAtQuantile(q)) }
	return Latency{P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: time.Duration(h.Max())}
}

func (r *run) result(from, to totals) Result {
	o := r.opts
	all := newHistogram()
	for _, w := range r.workers {
		all.Merge(w.latency)
	}
	elapsed := to.at.Sub(from.at)
	events, requests := to.events-from.events, to.requests-from.requests
	return Result{
		Workload: o.Workload.Name, Unit: o.Workload.Unit(), HoldBy: o.HoldBy, Chain: o.Chain, Batch: o.Workload.Batch, Connections: o.Connections,
		Accounts: o.Accounts, Models: o.Models, Seed: o.Seed, Warmup: o.Warmup, Duration: elapsed,
		Events: events, Requests: requests,
		EventsPerSecond: perSecond(events, elapsed), RequestsPerSecond: perSecond(requests, elapsed),
		Latency: latencyOf(all), Rate: o.Rate, Series: r.series,
		Retries: r.take().retries,
	}
}

// Report is what a command files: runs, machine and disk.
type Report struct {
	Time    time.Time    `json:"time"`
	Version string       `json:"version"` // of the program that measured
	Machine Machine      `json:"machine"`
	Fsync   *FsyncResult `json:"fsync,omitempty"` // nil: the disk is elsewhere
	Runs    []Result     `json:"runs"`
	// ServerCPU is the processor time of the server's process over its whole
	// life; 0 when we did not start it.
	ServerCPU time.Duration `json:"server_cpu_ns,omitempty"`
	// Verify is what `verify` said of the data directory afterwards.
	Verify string `json:"verify,omitempty"`
}

// WriteJSON writes the report indented.
func (r Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// WriteTable writes the report for people.
func (r Report) WriteTable(w io.Writer) {
	t := table.NewWriter()
	t.SetStyle(table.StyleRounded)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{"workload", "accounts", "connections", "durable", "requests/s", "p50", "p90", "p99", "max", "retries", "generator/each"})
	var right []table.ColumnConfig
	for column := 2; column <= 11; column++ {
		right = append(right, table.ColumnConfig{Number: column, Align: text.AlignRight})
	}
	t.SetColumnConfigs(right)
	for _, run := range r.Runs {
		t.AppendRow(table.Row{
			run.title(), Thousands(int64(run.Accounts)), run.Connections, Thousands(run.EventsPerSecond) + " " + run.Unit + "/s", Thousands(run.RequestsPerSecond),
			short(run.Latency.P50), short(run.Latency.P90), short(run.Latency.P99), short(run.Latency.Max),
			run.Retries, short(run.GeneratorCPU / time.Duration(max(run.Events, 1))),
		})
	}
	fmt.Fprintln(w, t.Render())
	for _, run := range r.Runs {
		if run.Settle != nil {
			run.Settle.write(w, &run)
			continue
		}
		fmt.Fprintf(w, "%s: %s %s, %s balances and the trial balance equal what was sent: USD %s\n",
			run.title(), Thousands(int64(run.Check.Events)), run.Unit, Thousands(int64(run.Check.Accounts)), run.Check.Total)
	}
	if r.Fsync != nil {
		fmt.Fprintf(w, "disk: write of %d bytes + fsync takes %v (p50), %v (p99), %v (max)\n",
			r.Fsync.Bytes, short(r.Fsync.P50), short(r.Fsync.P99), short(r.Fsync.Max))
	}
	fmt.Fprintf(w, "machine: %s\n", r.Machine)
	if r.Verify != "" {
		fmt.Fprintf(w, "verify: %s\n", r.Verify)
	}
}

// title names the run for people.
func (r *Result) title() string {
	if r.Chain {
		return r.Workload + ", chains"
	}
	return r.Workload
}

// Thousands writes n with separators, as 1,234,567.
func Thousands(n int64) string {
	if n < 0 {
		return "-" + Thousands(-n)
	}
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", Thousands(n/1000), n%1000)
}

// short drops the digits of a duration that nobody reads.
func short(d time.Duration) time.Duration {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond)
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond)
	case d >= time.Microsecond:
		return d.Round(10 * time.Nanosecond)
	}
	return d
}
