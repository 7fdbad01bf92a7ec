package prices

import (
	"encoding/csv"
	"fmt"
	"io"
	"strings"

	"github.com/go-faster/jx"
	"github.com/jedib0t/go-pretty/v6/table"
)

// Write prints tables of what became of the entries and of their price fields
// and, if verbose, every note. Of a CSV, which has no price fields and of which
// every row was imported, it prints the numbers.
func (r *Report) Write(w io.Writer, verbose bool) error {
	p := printer{w: w}
	if r.Rows {
		p.printf("%d rows, %d prices\n", r.Entries, r.Prices)
		return p.err
	}
	p.table("entries", r.Entries, []part{
		{fmt.Sprintf("priced, in %d prices", r.Prices), r.Entries - len(r.Listed), nil},
		{"listed", len(r.Listed), ByReason(r.Listed)},
	})
	p.table("price fields", r.Fields, []part{
		{"used", len(r.Used), nil},
		{"left out", len(r.LeftOut), ByReason(r.LeftOut)},
	})
	p.table("derived prices, which no field states", len(r.Derived), []part{{"", 0, r.ByComponent()}})
	if !verbose {
		return p.err
	}
	for _, n := range r.Listed {
		p.printf("not priced: %q: %s\n", n.Model, n.Reason)
	}
	for _, n := range r.LeftOut {
		p.printf("left out: %q: %q: %s\n", n.Model, n.Field, n.Reason)
	}
	for _, d := range r.Derived {
		p.printf("derived: %q: %s%s: from %s\n", d.Model, d.Component, inTier(d.Tier), d.From)
	}
	return p.err
}

func inTier(tier string) string {
	if tier == "" {
		return ""
	}
	return " of tier " + tier
}

// part is a row of a table and the rows that make it up.
type part struct {
	name  string
	n     int
	under []Count
}

// printer keeps the first error of a series of prints.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

func (p *printer) table(title string, n int, parts []part) {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendRow(table.Row{n, title})
	t.AppendSeparator()
	for _, part := range parts {
		if part.name != "" {
			t.AppendRow(table.Row{part.n, "  " + part.name})
		}
		for _, c := range part.under {
			t.AppendRow(table.Row{c.N, "    " + c.Of})
		}
	}
	p.printf("%s\n", t.Render())
}

// WriteTSV writes every entry and field with its fate, a line each, for
// spreadsheets: kind (listed, used, left out, derived), model, field, tier,
// component, reason or what the price is derived from.
func (r *Report) WriteTSV(w io.Writer) error {
	out := csv.NewWriter(w)
	out.Comma = '\t'
	rows := [][]string{{"kind", "model", "field", "tier", "component", "reason"}}
	for _, n := range r.Listed {
		rows = append(rows, []string{"listed", n.Model, "", "", "", string(n.Reason)})
	}
	for _, n := range r.LeftOut {
		rows = append(rows, []string{"left out", n.Model, n.Field, "", "", string(n.Reason)})
	}
	for _, d := range r.Derived {
		rows = append(rows, []string{"derived", d.Model, "", d.Tier, d.Component, d.From})
	}
	for _, u := range r.Used {
		rows = append(rows, []string{"used", u.Model, u.Field, u.Tier, u.Component, ""})
	}
	return out.WriteAll(rows)
}

// AppendJSON appends the report as one JSON object: the counts, and listed,
// left_out, derived and used as arrays of objects, one a line.
func (r *Report) AppendJSON(dst []byte) []byte {
	dst = fmt.Appendf(dst, `{"entries":%d,"priced":%d,"prices":%d,"fields":%d`, r.Entries, r.Entries-len(r.Listed), r.Prices, r.Fields)
	dst = appendList(dst, "listed", r.Listed, func(e *jx.Encoder, n *Note) {
		field(e, "model", n.Model)
		field(e, "reason", string(n.Reason))
	})
	dst = appendList(dst, "left_out", r.LeftOut, func(e *jx.Encoder, n *Note) {
		field(e, "model", n.Model)
		field(e, "field", n.Field)
		field(e, "reason", string(n.Reason))
	})
	dst = appendList(dst, "derived", r.Derived, func(e *jx.Encoder, d *Derived) {
		field(e, "model", d.Model)
		optional(e, "service_tier", d.Tier)
		field(e, "component", d.Component)
		field(e, "from", d.From)
	})
	dst = appendList(dst, "used", r.Used, func(e *jx.Encoder, u *Use) {
		field(e, "model", u.Model)
		field(e, "field", u.Field)
		optional(e, "service_tier", u.Tier)
		field(e, "component", u.Component)
	})
	return append(dst, "}\n"...)
}

func appendList[T any](dst []byte, name string, items []T, encode func(*jx.Encoder, *T)) []byte {
	dst = fmt.Appendf(dst, ",\n%q:[", name)
	separator := "\n"
	var e jx.Encoder
	for i := range items {
		e.Reset()
		e.ObjStart()
		encode(&e, &items[i])
		e.ObjEnd()
		dst = append(dst, separator...)
		dst = append(dst, e.Bytes()...)
		separator = ",\n"
	}
	return append(dst, ']')
}

// WriteFor writes the report in the format that a file's name asks for: JSON
// for .json, else tab-separated.
func (r *Report) WriteFor(name string, w io.Writer) error {
	if strings.HasSuffix(strings.ToLower(name), ".json") {
		_, err := w.Write(r.AppendJSON(nil))
		return err
	}
	return r.WriteTSV(w)
}
