package report

import (
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"farthing/bench"
)

// WriteTable writes the report for people.
func (r *Report) WriteTable(w io.Writer) {
	if len(r.Runs) > 0 {
		r.writeRuns(w)
	}
	if len(r.Sustained) > 0 {
		r.writeSustained(w)
	}
	if len(r.Rates) > 0 {
		r.writeRates(w)
	}
	if len(r.Stages) > 0 {
		r.writeStages(w)
	}
	if len(r.Peers) > 0 {
		r.writePeers(w)
	}
	if ratios := r.Ratios(); len(ratios) > 0 {
		writeRatios(w, ratios)
	}
	if r.aimed() {
		r.writeTargets(w)
	}
	for _, s := range r.Restarts {
		fmt.Fprintf(w, "restart: %s accounts, %s events: stopped in %v, ready %v later, and %v after a kill under load\n",
			bench.Thousands(int64(s.Accounts)), bench.Thousands(int64(s.Events)), bench.Short(s.Stop), bench.Short(s.StartAfterStop), bench.Short(s.StartAfterKill))
	}
	for _, run := range r.Runs {
		if run.Settle != nil {
			run.Settle.Write(w, &run)
		}
	}
	if l := r.Limits; l != nil {
		fmt.Fprintf(w, "disk: write of %d bytes + fsync takes %v (p50), %v (p99), %v (max); synced writes of a MiB: %s MiB/s\n",
			l.Fsync.Bytes, bench.Short(l.Fsync.P50), bench.Short(l.Fsync.P99), bench.Short(l.Fsync.Max), bench.Thousands(l.Writes.BytesPerSecond>>20))
	}
	fmt.Fprintf(w, "machine: %s\n", r.Machine)
	for _, line := range r.checked() {
		fmt.Fprintln(w, line)
	}
	for _, skipped := range r.Skipped {
		fmt.Fprintf(w, "not measured: %s\n", skipped)
	}
}

// checked says what was compared: an error would have ended the benchmark.
func (r *Report) checked() (lines []string) {
	var runs, balances int
	var events uint64
	count := func(c bench.Check) {
		if c.Accounts > 0 {
			runs, balances, events = runs+1, balances+c.Accounts, events+c.Events
		}
	}
	for _, run := range r.Runs {
		if run.Settle == nil { // says so itself
			count(run.Check)
		}
	}
	for _, run := range r.Sustained {
		count(run.Check)
	}
	for _, run := range r.Rates {
		count(run.Check)
	}
	if runs > 0 {
		lines = append(lines, fmt.Sprintf("checked: after %s runs %s balances and every trial balance equal what was sent, %s events",
			bench.Thousands(int64(runs)), bench.Thousands(int64(balances)), bench.Thousands(int64(events))))
	}
	agree, commands := 0, int64(0)
	for _, said := range r.Verify {
		n, ok := agreed(said)
		if !ok {
			lines = append(lines, "verify: "+said)
			continue
		}
		agree, commands = agree+1, commands+n
	}
	if agree > 0 {
		line := fmt.Sprintf("verify: all agrees in %d ledgers of %s commands", agree, bench.Thousands(commands))
		if r.Unverified > 0 {
			line += fmt.Sprintf("; %d more were not verified", r.Unverified)
		}
		lines = append(lines, line)
	}
	return lines
}

// agreed takes the number of commands from what `verify` says when all agrees.
func agreed(said string) (commands int64, ok bool) {
	number, ok := strings.CutPrefix(said, "all agrees: ")
	if !ok {
		return 0, false
	}
	number, _, _ = strings.Cut(number, " ")
	commands, err := strconv.ParseInt(strings.ReplaceAll(number, ",", ""), 10, 64)
	return commands, err == nil
}

// aimed says whether enough was measured to hold it to the targets.
func (r *Report) aimed() bool {
	return slices.ContainsFunc(r.Targets(), func(t Target) bool { return t.Missing == "" })
}

// writeTargets writes what is to be reached, and whether it is.
func (r *Report) writeTargets(w io.Writer) {
	t := newTable("Targets of the engine, on a machine with two processors that it shares with the load generator", "what", "here", "target", "dream", "met", "from")
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 2, Align: text.AlignRight, AlignHeader: text.AlignRight}, {Number: 3, Align: text.AlignRight, AlignHeader: text.AlignRight},
		{Number: 4, Align: text.AlignRight, AlignHeader: text.AlignRight}})
	missing := ""
	for _, target := range r.Targets() {
		if target.Missing != "" {
			missing += fmt.Sprintf("no figure: %s: %s\n", target.What, target.Missing)
			continue
		}
		t.AppendRow(table.Row{target.What, target.Shown(target.Value) + " " + target.Unit, target.Bound(target.Goal), target.Bound(target.Dream), target.Verdict(), target.From()})
	}
	fmt.Fprintln(w, t.Render())
	fmt.Fprint(w, missing)
}

var sustainedHeader = []string{"workload", "events", "took", "of that after the last answer", "events a second", "server cpu", "journal", "written", "on disk", "resident at most", "restart"}

// sustainedRows are the runs that last until everything is settled.
func (r *Report) sustainedRows() (rows [][]any) {
	for _, s := range r.Sustained {
		row := []any{s.Workload, bench.Thousands(int64(s.Events)), bench.Short(s.Duration), "–", bench.Thousands(s.EventsPerSecond), "–", "–", "–", "–", "–", "–"}
		if s.Sustained != nil {
			row[3] = bench.Short(s.Sustained.Tail)
		}
		each := func(bytes int64) string { return fmt.Sprintf("%.1f B", float64(bytes)/float64(max(s.Events, 1))) }
		if s.Server != nil {
			row[5], row[6], row[7] = bench.Short(s.Server.CPU/time.Duration(max(s.Events, 1))), each(s.Server.JournalBytes), each(s.Server.DiskBytes)
		}
		if s.Disk != nil {
			row[8], row[10] = each(s.Disk.Bytes), bench.Short(s.Disk.Start)
		}
		if s.Resident > 0 {
			row[9] = fmt.Sprintf("%s MiB", bench.Thousands(s.Resident>>20))
		}
		rows = append(rows, row)
	}
	return rows
}

func (r *Report) writeSustained(w io.Writer) {
	header := make([]any, len(sustainedHeader))
	for i, h := range sustainedHeader {
		header[i] = h
	}
	t := newTable("Sustained: from the first request until everything is indexed and in evidence", header...)
	for _, row := range r.sustainedRows() {
		t.AppendRow(row)
	}
	fmt.Fprintln(w, t.Render())
	fmt.Fprintln(w, sustainedNote)
}

// sustainedNote says what the columns of sustained runs mean.
const sustainedNote = `processor time and bytes are those of one event. On disk: stopped, started again, left alone until nothing is compacted any more, and stopped;
the preallocated write-ahead logs, which are reused and by then hold nothing that tables do not, are not counted`

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
			t.AppendRow(table.Row{title, stage.Name, run.each(stage), fmt.Sprintf("%.0f %%", 100*float64(stage.CPU)/float64(max(total, 1)))})
		}
	}
	fmt.Fprintln(w, t.Render())
}

// each is the time of a stage, of one event.
func (s *Stages) each(stage Stage) time.Duration {
	return bench.Short(stage.CPU / time.Duration(max(s.Events, 1)))
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
