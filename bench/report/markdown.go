package report

import (
	"fmt"
	"io"
	"strings"

	"farthing/bench"
)

// WriteMarkdown writes the parts of the report that a document keeps.
func (r *Report) WriteMarkdown(w io.Writer) {
	fmt.Fprintf(w, "%s UTC, version %s, on %s", r.Time.Format("2006-01-02 15:04"), r.Version, r.Machine)
	if len(r.Settings) > 0 {
		fmt.Fprintf(w, "; settings `%s`", strings.Join(r.Settings, " "))
	}
	fmt.Fprintf(w, ". Took %.1f minutes.\n", r.Took.Minutes())
	r.markTargets(w)
	r.markRuns(w)
	r.markSustained(w)
	r.markRates(w)
	r.markPeers(w)
	r.markRatios(w)
	r.markStages(w)
	for _, s := range r.Restarts {
		fmt.Fprintf(w, "\nRestart, with %s accounts and %s events: stopped in %v, ready %v later, and %v after a kill under load.\n",
			bench.Thousands(int64(s.Accounts)), bench.Thousands(int64(s.Events)), bench.Short(s.Stop), bench.Short(s.StartAfterStop), bench.Short(s.StartAfterKill))
	}
	if l := r.Limits; l != nil {
		fmt.Fprintf(w, "\nThe disk: a write of %d bytes and fsync %v (p50), %v (p99), %v (max); synced writes of a MiB %s MiB/s. Memory is copied at %s MiB/s, JSON scanned at %s MiB/s.\n",
			l.Fsync.Bytes, bench.Short(l.Fsync.P50), bench.Short(l.Fsync.P99), bench.Short(l.Fsync.Max), bench.Thousands(l.Writes.BytesPerSecond>>20),
			bench.Thousands(l.CopyBytesPerSecond>>20), bench.Thousands(l.ScanBytesPerSecond>>20))
	}
	if lines := append(r.checked(), prefixed("not measured: ", r.Skipped)...); len(lines) > 0 {
		fmt.Fprintf(w, "\n%s.\n", strings.Join(lines, ".\n"))
	}
}

func prefixed(prefix string, all []string) (out []string) {
	for _, s := range all {
		out = append(out, prefix+s)
	}
	return out
}

// markTable begins a table with a title.
func markTable(w io.Writer, title string, header ...string) {
	fmt.Fprintf(w, "\n**%s**\n\n| %s |\n|%s\n", title, strings.Join(header, " | "), strings.Repeat("---|", len(header)))
}

func markRow(w io.Writer, cells ...any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = strings.ReplaceAll(fmt.Sprint(c), "|", `\|`)
	}
	fmt.Fprintf(w, "| %s |\n", strings.Join(texts, " | "))
}

func (r *Report) markTargets(w io.Writer) {
	markTable(w, "Targets", "what", "here", "target", "dream", "met", "from")
	for _, t := range r.Targets() {
		if t.Missing != "" {
			markRow(w, t.What, "–", t.Bound(t.Goal), t.Bound(t.Dream), t.Verdict(), t.Missing)
			continue
		}
		markRow(w, t.What, t.Shown(t.Value)+" "+t.Unit, t.Bound(t.Goal), t.Bound(t.Dream), t.Verdict(), t.From())
	}
}

func (r *Report) markRuns(w io.Writer) {
	if len(r.Runs) == 0 {
		return
	}
	markTable(w, "Closed loop: what goes through, durable; medians (range) of the repeats; processor time, allocations and bytes of one event",
		"workload", "accounts", "connections", "a second", "p50 / p99", "server", "generator", "allocations", "journal", "written")
	for _, s := range r.Summaries() {
		server, allocations, journal, wrote := "–", "–", "–", "–"
		if s.Told {
			server, allocations = bench.Short(s.ServerCPU.Median).String(), fmt.Sprintf("%.3f", s.Allocations.Median)
			journal, wrote = fmt.Sprintf("%.0f B", s.Journal.Median), fmt.Sprintf("%.0f B", s.Wrote.Median)
		}
		markRow(w, s.Title, bench.Thousands(int64(s.Accounts)), s.Connections, rates(s.Rate)+" "+s.Unit, fmt.Sprintf("%v / %v", bench.Short(s.P50.Median), bench.Short(s.P99.Median)),
			server, bench.Short(s.GeneratorCPU.Median), allocations, journal, wrote)
	}
}

func (r *Report) markSustained(w io.Writer) {
	if len(r.Sustained) == 0 {
		return
	}
	rows := r.sustainedRows()
	markTable(w, "Sustained: from the first request until everything is indexed and in evidence; processor time and bytes of one event", sustainedHeader...)
	for _, row := range rows {
		markRow(w, row...)
	}
}

func (r *Report) markRates(w io.Writer) {
	if len(r.Rates) == 0 {
		return
	}
	markTable(w, "Open loop: latency at a fixed rate, from when a request was due", "workload", "sent a second", "answered", "p50", "p90", "p99", "p99.9", "max")
	for _, run := range r.Rates {
		l := run.Latency
		markRow(w, run.Workload, bench.Thousands(int64(run.Rate)), bench.Thousands(run.EventsPerSecond), bench.Short(l.P50), bench.Short(l.P90), bench.Short(l.P99), bench.Short(l.P999), bench.Short(l.Max))
	}
}

func (r *Report) markPeers(w io.Writer) {
	if len(r.Peers) == 0 {
		return
	}
	markTable(w, "Others doing the same, durable, on the same disk", "engine", "events at once", "connections", "events a second", "p50 / p99", "here", "times")
	for _, c := range r.Comparisons() {
		ours, times := "–", "–"
		if c.Ours > 0 {
			ours, times = bench.Thousands(c.Ours), fmt.Sprintf("%.1f", c.Times)
		}
		markRow(w, c.Peer, bench.Thousands(int64(c.Batch)), c.Connections, bench.Thousands(c.EventsPerSecond), fmt.Sprintf("%v / %v", bench.Short(c.P50), bench.Short(c.P99)), ours, times)
	}
	fmt.Fprintln(w)
	for name, notes := range r.peerNotes() {
		for _, note := range notes {
			fmt.Fprintf(w, "- %s: %s\n", name, note)
		}
	}
}

func (r *Report) markRatios(w io.Writer) {
	ratios := r.Ratios()
	if len(ratios) == 0 {
		return
	}
	markTable(w, "Against the limits of the machine", "what", "got", "limit", "of", "reached")
	for _, x := range ratios {
		markRow(w, x.What, bench.Thousands(int64(x.Got)), x.Limit, bench.Thousands(int64(x.Of)), fmt.Sprintf("%.2f", x.Reached))
	}
}

// markStages has a column for each workload.
func (r *Report) markStages(w io.Writer) {
	if len(r.Stages) == 0 {
		return
	}
	header, names := []string{"stage"}, []string{}
	cells := map[string][]any{}
	for i, run := range r.Stages {
		header = append(header, run.Title)
		for _, s := range run.Stages {
			if cells[s.Name] == nil {
				names = append(names, s.Name)
				cells[s.Name] = make([]any, len(r.Stages))
			}
			cells[s.Name][i] = run.each(s)
		}
	}
	markTable(w, "Processor time of the server, of each event, by stage", header...)
	for _, name := range names {
		row := []any{name}
		for _, c := range cells[name] {
			if c == nil {
				c = "–"
			}
			row = append(row, c)
		}
		markRow(w, row...)
	}
}
