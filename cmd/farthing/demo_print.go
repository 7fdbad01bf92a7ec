package main

import (
	"fmt"
	"io"
	"sort"
	"strings"
	"time"

	"farthing/bench"
	"farthing/bench/audit"
	"farthing/bench/client"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/shopspring/decimal"
)

// demoPrinter writes the demo's report. On a terminal it draws lines and
// rewrites its progress; otherwise everything is plain text, one line at a
// time.
type demoPrinter struct {
	w        io.Writer
	terminal bool
	open     bool      // a progress line without its end stands on the terminal
	last     time.Time // of the last plain progress line
}

func newDemoPrinter(ctx *Context) *demoPrinter {
	return &demoPrinter{w: ctx.Stdout, terminal: ctx.Interactive}
}

func (p *demoPrinter) title(url string, w *demoWorld) {
	p.note(fmt.Sprintf("farthing demo: server at %s on a fresh directory", url))
	p.note(fmt.Sprintf("%d customers (%d prepaid), %d providers, %d models and api.calls in USD and JPY",
		len(w.customers), len(w.topups), len(w.providers), len(w.models)))
	p.note(fmt.Sprintf("a prepaid organisation, %s, with a team and an agent's key below it", demoOrg))
	p.listed(w)
}

// listed prints what the models cost.
func (p *demoPrinter) listed(w *demoWorld) {
	var rows []table.Row
	remark := ""
	for _, m := range w.models {
		prices := map[string]string{}
		for _, c := range m.listed {
			prices[c.Name] = c.Unit
			if c.AboveTokens != "" {
				prices[c.Name] += " / " + c.AboveUnit
				remark = fmt.Sprintf("(%s: the second price where a request has more than %s tokens of input)", m.name, c.AboveTokens)
			}
		}
		carried := "components"
		if m.format != "" {
			carried = m.format + "'s own usage"
		}
		rows = append(rows, table.Row{m.vendor, m.name, prices["input"], prices["cached_input"], prices["output"], carried})
	}
	p.table("List prices of the catalogue, USD per million tokens", table.Row{"vendor", "model", "input", "cached", "output", "events carry"}, rows, 3, 4, 5)
	if remark != "" {
		fmt.Fprintln(p.w, remark)
	}
	fmt.Fprintln(p.w)
}

// note prints one line of its own.
func (p *demoPrinter) note(s string) {
	p.endProgress()
	fmt.Fprintln(p.w, s)
}

// endProgress ends the line that progress left open.
func (p *demoPrinter) endProgress() {
	if p.open {
		fmt.Fprintln(p.w)
		p.open = false
	}
}

// progress draws a bar on a terminal and prints a line a second elsewhere.
func (p *demoPrinter) progress(elapsed, total time.Duration, sent int64, windows int) {
	if !p.terminal {
		if now := time.Now(); now.Sub(p.last) >= time.Second {
			p.last = now
			fmt.Fprintf(p.w, "  %4.1fs  %s events booked, %d windows closed\n", elapsed.Seconds(), bench.Thousands(sent), windows)
		}
		return
	}
	const width = 30
	done := int(min(elapsed, total) * width / total)
	bar := text.FgCyan.Sprint(strings.Repeat("█", done)) + strings.Repeat("░", width-done)
	fmt.Fprintf(p.w, "\r  %s %4.1fs  %s events booked, %d windows closed ", bar, elapsed.Seconds(), bench.Thousands(sent), windows)
	p.open = true
}

func (p *demoPrinter) table(title string, header table.Row, rows []table.Row, right ...int) {
	t := table.NewWriter()
	t.SetStyle(table.StyleDefault)
	if p.terminal {
		t.SetStyle(table.StyleRounded)
	}
	t.Style().Format.Header = text.FormatDefault
	t.SetTitle(title)
	t.AppendHeader(header)
	t.AppendRows(rows)
	var columns []table.ColumnConfig
	for _, number := range right {
		columns = append(columns, table.ColumnConfig{Number: number, Align: text.AlignRight})
	}
	t.SetColumnConfigs(columns)
	fmt.Fprintf(p.w, "\n%s\n", t.Render())
}

func (p *demoPrinter) traffic(e *demoExpected, took, outage time.Duration) {
	rate := int64(float64(e.tally.accepted) / took.Seconds())
	p.table("Traffic", table.Row{"accepted", "unpriced at first", "duplicates", "rejected", "retries", "time", "down", "events/s"}, []table.Row{{
		bench.Thousands(int64(e.tally.accepted)), bench.Thousands(int64(e.tally.unpriced)), bench.Thousands(int64(e.tally.duplicates)),
		bench.Thousands(int64(e.tally.rejected)), e.retries, took.Round(time.Millisecond), outage.Round(time.Millisecond), bench.Thousands(rate),
	}}, 1, 2, 3, 4, 5, 6, 7, 8)
	fmt.Fprintln(p.w, "(one connection per sender, amounts computed in decimals beside it: see `farthing bench` for what the server can do)")
}

// tiers prints what the calls of a graduated price came to.
func (p *demoPrinter) tiers(w *demoWorld, e *demoExpected) {
	price := w.calls["JPY"]
	header, right := table.Row{"customer", "month", "calls"}, []int{3}
	for _, t := range price.tiers {
		upTo := "the rest"
		if t.upTo > 0 {
			upTo = "up to " + bench.Thousands(int64(t.upTo))
		}
		header, right = append(header, fmt.Sprintf("%s at %s", upTo, t.unit)), append(right, len(header)+1)
	}
	header, right = append(header, "T(calls)"), append(right, len(header)+1)
	var rows []table.Row
	for key, calls := range e.net.calls {
		if w.currency(key.account) != "JPY" {
			continue
		}
		row := table.Row{key.account, fmt.Sprintf("%d-%02d", key.year, key.month), bench.Thousands(int64(calls))}
		for _, n := range price.parts(calls) {
			row = append(row, bench.Thousands(int64(n)))
		}
		rows = append(rows, append(row, price.cost(calls)))
	}
	sort.Slice(rows, func(i, j int) bool { return fmt.Sprint(rows[i][:2]) < fmt.Sprint(rows[j][:2]) })
	p.table("Calls in JPY, graduated by the month", header, rows, right...)
	fmt.Fprintln(p.w, "(the order does not matter: Q calls of a month cost T(Q), whichever came first, and a void gives back what the last one costs)")
}

func (p *demoPrinter) batches(batches []audit.Batch) {
	sorted := append([]audit.Batch(nil), batches...)
	sort.Slice(sorted, func(i, j int) bool {
		a, b := sorted[i].Manifest, sorted[j].Manifest
		return a.Window < b.Window || a.Window == b.Window && a.Currency < b.Currency
	})
	var rows []table.Row
	for _, b := range sorted {
		gross, paid, collected := decimal.Zero, decimal.Zero, decimal.Zero
		for _, line := range b.Lines {
			gross = gross.Add(line.GrossDebits.Decimal)
			if line.Direction == "pay" {
				paid = paid.Add(line.Amount.Decimal)
			} else {
				collected = collected.Add(line.Amount.Decimal)
			}
		}
		rows = append(rows, table.Row{
			b.Manifest.Window, b.Manifest.BatchID[:min(12, len(b.Manifest.BatchID))], b.Manifest.Currency,
			bench.Thousands(int64(b.Manifest.Events)), len(b.Lines), gross, paid, collected,
		})
	}
	p.table("Settlement batches", table.Row{"window", "batch", "currency", "events", "lines", "gross", "paid out", "collected"}, rows, 1, 4, 5, 6, 7, 8)
}

func (p *demoPrinter) trial(trial []client.Trial) {
	var rows []table.Row
	for _, t := range trial {
		rows = append(rows, table.Row{t.Currency, t.Debits, t.Credits})
	}
	p.table("Trial balance", table.Row{"currency", "debits", "credits"}, rows, 2, 3)
}

func (p *demoPrinter) checks(checks []demoCheck) {
	fmt.Fprintln(p.w)
	for _, check := range checks {
		mark := p.mark("ok  ", "✔", text.FgGreen)
		if check.fault != nil {
			mark = p.mark("FAIL", "✘", text.FgRed)
		}
		fmt.Fprintf(p.w, "%s %s\n", mark, check.what)
		if check.fault != nil {
			first, _, _ := strings.Cut(check.fault.Error(), "\n")
			fmt.Fprintf(p.w, "     %s\n", first)
		}
	}
}

func (p *demoPrinter) mark(plain, drawn string, colour text.Color) string {
	if !p.terminal {
		return plain
	}
	return colour.Sprint(drawn)
}
