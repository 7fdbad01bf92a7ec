package report

import (
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"farthing/bench"
)

// WriteTable writes the report for people.
func (r *Report) WriteTable(w io.Writer) {
	r.writeRuns(w)
	if len(r.Rates) > 0 {
		r.writeRates(w)
	}
	for _, s := range r.Restarts {
		fmt.Fprintf(w, "restart: %s accounts, %s events: stopped in %v, ready %v later, and %v after a kill under load\n",
			bench.Thousands(int64(s.Accounts)), bench.Thousands(int64(s.Events)), bench.Short(s.Stop), bench.Short(s.StartAfterStop), bench.Short(s.StartAfterKill))
	}
	if len(r.Stages) > 0 {
		r.writeStages(w)
	}
	if ratios := r.Ratios(); len(ratios) > 0 {
		writeRatios(w, ratios)
	}
	if len(r.Peers) > 0 {
		r.writePeers(w)
	}
	for _, run := range r.Runs {
		if run.Settle != nil {
			run.Settle.Write(w, &run)
			continue
		}
		fmt.Fprintf(w, "%s: %s %s, %s balances and the trial balance equal what was sent: USD %s\n",
			run.Title(), bench.Thousands(int64(run.Check.Events)), run.Unit, bench.Thousands(int64(run.Check.Accounts)), run.Check.Total)
	}
	if l := r.Limits; l != nil {
		fmt.Fprintf(w, "disk: write of %d bytes + fsync takes %v (p50), %v (p99), %v (max); synced writes of a MiB: %s MiB/s\n",
			l.Fsync.Bytes, bench.Short(l.Fsync.P50), bench.Short(l.Fsync.P99), bench.Short(l.Fsync.Max), bench.Thousands(l.Writes.BytesPerSecond>>20))
	}
	fmt.Fprintf(w, "machine: %s\n", r.Machine)
	for _, said := range r.Verify {
		fmt.Fprintf(w, "verify: %s\n", said)
	}
	for _, skipped := range r.Skipped {
		fmt.Fprintf(w, "not measured: %s\n", skipped)
	}
}

// newTable has a title, a header, and numbers to the right from the second column on.
func newTable(title string, header ...any) table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleRounded)
	t.Style().Format.Header = text.FormatDefault
	t.Style().Title.Align = text.AlignLeft
	t.SetTitle(title)
	t.AppendHeader(header)
	var right []table.ColumnConfig
	for column := 2; column <= len(header); column++ {
		right = append(right, table.ColumnConfig{Number: column, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(right)
	return t
}

// writeRuns writes the closed loops: what goes through.
func (r *Report) writeRuns(w io.Writer) {
	t := newTable("Closed loop: what goes through, durable; medians (range) of the repeats",
		"workload", "accounts", "connections", "durable a second", "p50", "p99", "retries", "server cpu", "generator", "allocations", "journal", "written")
	for _, s := range r.Summaries() {
		row := table.Row{s.Title, bench.Thousands(int64(s.Accounts)), s.Connections, rates(s.Rate) + " " + s.Unit, bench.Short(s.P50.Median), bench.Short(s.P99.Median), s.Retries,
			"–", bench.Short(s.GeneratorCPU.Median), "–", "–", "–"}
		if s.Told {
			row[7], row[9] = bench.Short(s.ServerCPU.Median), fmt.Sprintf("%.3f", s.Allocations.Median)
			row[10], row[11] = fmt.Sprintf("%.0f B", s.Journal.Median), fmt.Sprintf("%.0f B", s.Wrote.Median)
		}
		t.AppendRow(row)
	}
	fmt.Fprintln(w, t.Render())
	fmt.Fprintln(w, "processor time, allocations and bytes are those of one event")
}

// rates is a median with its range, if there is one.
func rates(s Spread[int64]) string {
	if s.Min == s.Max {
		return bench.Thousands(s.Median)
	}
	return fmt.Sprintf("%s (%s – %s)", bench.Thousands(s.Median), bench.Thousands(s.Min), bench.Thousands(s.Max))
}

// writeRates writes the open loops: how long it takes.
func (r *Report) writeRates(w io.Writer) {
	t := newTable("Open loop: latency at a fixed rate, from when a request was due", "workload", "sent a second", "answered", "p50", "p90", "p99", "p99.9", "max", "retries")
	for _, run := range r.Rates {
		l := run.Latency
		t.AppendRow(table.Row{run.Workload, bench.Thousands(int64(run.Rate)), bench.Thousands(run.EventsPerSecond), bench.Short(l.P50), bench.Short(l.P90), bench.Short(l.P99),
			bench.Short(l.P999), bench.Short(l.Max), run.Retries})
	}
	fmt.Fprintln(w, t.Render())
}

// writeStages writes what the server's processor time went to.
func (r *Report) writeStages(w io.Writer) {
	t := newTable("Processor time of the server, of each event", "workload", "stage", "time", "share")
	for _, run := range r.Stages {
		total := run.total()
		for i, stage := range run.Stages {
			title := run.Title
			if i > 0 {
				title = ""
			}
			t.AppendRow(table.Row{title, stage.Name, bench.Short(stage.CPU / time.Duration(max(run.Events, 1))), fmt.Sprintf("%.0f %%", 100*float64(stage.CPU)/float64(max(total, 1)))})
		}
	}
	fmt.Fprintln(w, t.Render())
}

func (s *Stages) total() (sum time.Duration) {
	for _, stage := range s.Stages {
		sum += stage.CPU
	}
	return sum
}

// writePeers writes what others do, and in which ways that is not the same.
func (r *Report) writePeers(w io.Writer) {
	t := newTable("Others doing the same, durable, on the same disk", "engine", "events at once", "connections", "events a second", "p50", "p99", "here", "times")
	for _, c := range r.Comparisons() {
		row := table.Row{c.Peer, bench.Thousands(int64(c.Batch)), c.Connections, bench.Thousands(c.EventsPerSecond), bench.Short(c.P50), bench.Short(c.P99), "–", "–"}
		if c.Ours > 0 {
			row[6], row[7] = bench.Thousands(c.Ours), fmt.Sprintf("%.1f", c.Times)
		}
		t.AppendRow(row)
	}
	fmt.Fprintln(w, t.Render())
	for name, notes := range r.peerNotes() {
		for _, note := range notes {
			fmt.Fprintf(w, "%s: %s\n", name, note)
		}
	}
}

// peerNotes are the notes of each peer, once.
func (r *Report) peerNotes() iter.Seq2[string, []string] {
	return func(yield func(string, []string) bool) {
		seen := map[string]bool{}
		for _, p := range r.Peers {
			if !seen[p.Peer] && !yield(p.Peer, p.Notes) {
				return
			}
			seen[p.Peer] = true
		}
	}
}

func writeRatios(w io.Writer, ratios []Ratio) {
	t := newTable("Against the limits of the machine", "what", "got", "limit", "of", "reached")
	for _, r := range ratios {
		t.AppendRow(table.Row{r.What, bench.Thousands(int64(r.Got)), r.Limit, bench.Thousands(int64(r.Of)), fmt.Sprintf("%.2f", r.Reached)})
	}
	fmt.Fprintln(w, t.Render())
}
