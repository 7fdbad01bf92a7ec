package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"farthing/bench"
	"farthing/bench/client"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/shopspring/decimal"
)

// serverFlags name the server that a command asks.
type serverFlags struct {
	Server string `help:"The server to ask; an address without http:// will do." default:"http://127.0.0.1:8080" placeholder:"URL"`
	Key    string `help:"API key, if the server has keys. Better in the environment than on the command line, which others can see." placeholder:"KEY"`
}

func (f *serverFlags) client() *client.Client {
	return client.New(client.At(f.url()), client.Options{Key: f.Key})
}

// url is the server's base URL. An address without a scheme, as --listen has it, is one by
// http: that is all that a server speaks itself.
func (f *serverFlags) url() string {
	url := strings.TrimSuffix(f.Server, "/")
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	return url
}

// repricingFlags name a version and the events that it is held against.
type repricingFlags struct {
	Version string `name:"price-version" aliases:"version" help:"The price version (--version for short)." required:"" placeholder:"ID"`
	From    string `help:"Events from this time on, RFC 3339 or a date. Default: from the first." placeholder:"TIME"`
	To      string `help:"Events before this time. Default: to the last." placeholder:"TIME"`
	All     bool   `help:"Show every row, not only the 50 of each currency with the largest difference."`
}

// stretch tells which events in words.
func (f *repricingFlags) stretch() string {
	from, to := f.From, f.To
	if from == "" {
		from = "the first event"
	}
	if to == "" {
		to = "the last"
	}
	return from + " to " + to
}

// rowsShown is how many rows of a currency are shown without --all.
const rowsShown = 50

// workProgress tells how far a long work on the server is.
type workProgress struct {
	w        io.Writer
	what     string
	terminal bool
	shown    bool
	last     time.Time // of the last line where there is no terminal
}

// linesEvery is how often a line comes where there is no terminal: often enough to see that
// it goes on, seldom enough for a log.
const linesEvery = 5 * time.Second

func newWorkProgress(ctx *Context, what string) *workProgress {
	return &workProgress{w: ctx.Stderr, what: what, terminal: ctx.StderrTerminal, last: time.Now()}
}

// tell draws a bar on a terminal and writes a line now and then elsewhere.
func (p *workProgress) tell(done, total uint64) {
	total = max(total, 1)
	done = min(done, total)
	percent := int(float64(done) / float64(total) * 100)
	if p.terminal {
		const width = 30
		full := percent * width / 100
		bar := text.FgCyan.Sprint(strings.Repeat("█", full)) + strings.Repeat("░", width-full)
		_, _ = fmt.Fprintf(p.w, "\r%s %s %3d %%", p.what, bar, percent)
		p.shown = true
		return
	}
	if now := time.Now(); now.Sub(p.last) >= linesEvery {
		p.last = now
		_, _ = fmt.Fprintf(p.w, "%s: %3d %%\n", p.what, percent)
	}
}

// end takes the bar away.
func (p *workProgress) end() {
	if p.shown {
		_, _ = fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}

// writeRepricing writes a table for each currency: the rows with the largest differences,
// the sum of the others, and the sum of all.
func writeRepricing(w io.Writer, r *client.Repricing, all, terminal bool) error {
	for i := range r.Totals {
		if _, err := fmt.Fprintln(w, repricingTable(r, &r.Totals[i], all, terminal)); err != nil {
			return err
		}
	}
	return nil
}

func repricingTable(r *client.Repricing, total *client.RepricedTotal, all, terminal bool) string {
	var rows []client.RepricedRow
	for _, row := range r.Rows {
		if row.Currency == total.Currency {
			rows = append(rows, row)
		}
	}
	slices.SortStableFunc(rows, func(a, b client.RepricedRow) int { return b.Difference.Abs().Cmp(a.Difference.Abs()) })
	shown := len(rows)
	if !all {
		shown = min(shown, rowsShown)
	}
	places := int32(0)
	for i := range rows[:shown] {
		places = max(places, decimals(rows[i].Was), decimals(rows[i].Would), decimals(rows[i].Difference))
	}
	if shown < len(rows) {
		places = max(places, decimals(total.Was), decimals(total.Would))
	}
	t := newAmountTable(terminal, 4, 5, 6, 7)
	t.AppendHeader(table.Row{"customer", "model", "component", "events", "was", "would be", "difference " + total.Currency})
	rest := *total
	for i := range rows[:shown] {
		row := &rows[i]
		t.AppendRow(table.Row{row.Account, row.Model, row.Component, bench.Thousands(int64(row.Events)), row.Was.StringFixed(places),
			row.Would.StringFixed(places), signed(row.Difference, places)})
		rest.Was.Decimal, rest.Would.Decimal = rest.Was.Sub(row.Was.Decimal), rest.Would.Sub(row.Would.Decimal)
		rest.Difference.Decimal = rest.Difference.Sub(row.Difference.Decimal)
	}
	if hidden := len(rows) - shown; hidden > 0 {
		t.AppendRow(table.Row{fmt.Sprintf("(%s more rows)", bench.Thousands(int64(hidden))), "", "", "", rest.Was.StringFixed(places),
			rest.Would.StringFixed(places), signed(rest.Difference, places)})
	}
	t.AppendFooter(table.Row{"sum", "", "", "", total.Was.StringFixed(places), total.Would.StringFixed(places), signed(total.Difference, places)})
	return t.Render()
}

// decimals counts the decimals that an amount is written with.
func decimals(m client.Money) int32 {
	_, fraction, _ := strings.Cut(m.String(), ".")
	return int32(len(fraction))
}

// signed writes an amount with its sign.
func signed(m client.Money, places int32) string {
	if m.Cmp(decimal.Zero) > 0 {
		return "+" + m.StringFixed(places)
	}
	return m.StringFixed(places)
}

// newAmountTable is a table whose columns of those numbers are flush right.
func newAmountTable(terminal bool, right ...int) table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleDefault)
	if terminal {
		t.SetStyle(table.StyleRounded)
	}
	t.Style().Format.Header, t.Style().Format.Footer = text.FormatDefault, text.FormatDefault
	var columns []table.ColumnConfig
	for _, number := range right {
		columns = append(columns, table.ColumnConfig{Number: number, Align: text.AlignRight, AlignHeader: text.AlignRight, AlignFooter: text.AlignRight})
	}
	t.SetColumnConfigs(columns)
	return t
}

// asks says whether there is somebody who can answer a question.
func (c *Context) asks() bool {
	in, ok := c.Stdin.(*os.File)
	return ok && c.Interactive && isTerminal(in)
}
