package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"farthing/bench"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"thousands": bench.Thousands,
	"rates":     rates,
	"short":     bench.Short,
	"float":     func(format string, v float64) string { return fmt.Sprintf(format, v) },
	"each":      func(d time.Duration, n uint64) time.Duration { return bench.Short(d / time.Duration(max(n, 1))) },
	"join":      strings.Join,
	"int":       func(v float64) int64 { return int64(v) },
	"wide":      func(n int) int64 { return int64(n) },
	"long":      func(n uint64) int64 { return int64(n) },
	"mib":       func(n int64) int64 { return n >> 20 },
}).Parse(pageText))

// WriteHTML writes the report as one page, which loads nothing from elsewhere.
func (r *Report) WriteHTML(w io.Writer) error {
	plots, err := r.plots()
	if err != nil {
		return err
	}
	return page.Execute(w, map[string]any{"Report": r, "Summaries": r.Summaries(), "Ratios": r.Ratios(), "Plots": plots, "Comparisons": r.Comparisons(), "Notes": r.peerNotes(),
		"Aimed": r.aimed(), "Targets": r.pageTargets(), "SustainedRows": r.sustainedRows(), "SustainedHeader": sustainedHeader, "SustainedNote": sustainedNote, "Checked": r.checked()})
}

// pageTargets are pointers, so that the page can call their methods.
func (r *Report) pageTargets() (all []*Target) {
	for _, t := range r.Targets() {
		all = append(all, &t)
	}
	return all
}
