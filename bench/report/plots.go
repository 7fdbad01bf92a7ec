package report

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"time"

	"github.com/go-analyze/charts"

	"farthing/bench"
)

// plot is a drawing of the page.
type plot struct {
	Title, Note string
	SVG         template.HTML
}

const plotWidth, plotHeight = 960, 360

// plots draws what there is to draw.
func (r *Report) plots() (all []plot, err error) {
	for _, draw := range []func() (*plot, error){r.throughput, r.sustainedOverTime, r.overTime, r.byRate, r.stagesOfBatches, r.stagesOfSingles} {
		p, err := draw()
		if err != nil {
			return nil, err
		}
		if p != nil {
			all = append(all, *p)
		}
	}
	return all, nil
}

// throughput has a bar for each workload.
func (r *Report) throughput() (*plot, error) {
	var names []string
	var values []float64
	for _, s := range r.Summaries() {
		names, values = append(names, s.Title), append(values, float64(s.Rate.Median))
	}
	if len(values) == 0 {
		return nil, nil
	}
	opt := charts.NewBarChartOptionWithData([][]float64{values})
	opt.CategoryAxis.Labels = names
	opt.ValueFormatter = count
	opt.SeriesList[0].Label.Show = charts.Ptr(true)
	opt.SeriesList[0].Label.ValueFormatter = count
	return drawn("Durable a second", "Medians. Of holds, pairs of a hold and its capture.", func(p *charts.Painter) error { return p.BarChart(opt) })
}

// overTime has a line for the last run of each workload.
func (r *Report) overTime() (*plot, error) {
	var last []bench.Result
	for _, s := range r.Summaries() {
		last = append(last, s.Runs[len(s.Runs)-1])
	}
	return series("Throughput over time", "The last run of each workload, by quarters of a second.", last, 1)
}

// sustainedOverTime has a line for each sustained run.
func (r *Report) sustainedOverTime() (*plot, error) {
	var runs []bench.Result
	for _, s := range r.Sustained {
		runs = append(runs, s.Result)
	}
	return series("Throughput over time, sustained", "By seconds. What comes in is answered when it is durable; the figure counts until all of it is indexed and in evidence.", runs, 4)
}

// series draws runs over time, so many ticks to a point.
func series(title, note string, runs []bench.Result, ticks int) (*plot, error) {
	var names []string
	var lines [][]float64
	longest := 0
	for _, run := range runs {
		var line []float64
		for piece := range slices.Chunk(run.Series, ticks) {
			sum := int64(0)
			for _, n := range piece {
				sum += n
			}
			line = append(line, float64(sum)/float64(len(piece)))
		}
		if len(line) > 1 {
			names, lines, longest = append(names, run.Title()), append(lines, line), max(longest, len(line))
		}
	}
	if len(lines) == 0 {
		return nil, nil
	}
	for i := range lines {
		for len(lines[i]) < longest {
			lines[i] = append(lines[i], charts.GetNullValue())
		}
	}
	opt := charts.NewLineChartOptionWithData(lines)
	opt.Legend.SeriesNames = names
	opt.Symbol.Shape = charts.SymbolNone
	opt.ValueFormatter = count
	opt.YAxis[0].Min = charts.Ptr(0.0) // what goes up and down by a tenth is to look like that
	opt.XAxis.Labels = make([]string, longest)
	for i := range opt.XAxis.Labels {
		opt.XAxis.Labels[i] = fmt.Sprintf("%.1f s", (time.Duration((i+1)*ticks) * bench.SeriesTick).Seconds())
	}
	return drawn(title, note, func(p *charts.Painter) error { return p.LineChart(opt) })
}

// byRate has a line for each percentile of the open loops of single events.
func (r *Report) byRate() (*plot, error) {
	names := []string{"p50", "p90", "p99", "p99.9", "max"}
	lines := make([][]float64, len(names))
	var labels []string
	for _, run := range r.Rates {
		if run.Workload != r.Rates[0].Workload {
			continue
		}
		labels = append(labels, bench.Thousands(int64(run.Rate))+"/s")
		l := run.Latency
		for i, d := range []time.Duration{l.P50, l.P90, l.P99, l.P999, l.Max} {
			lines[i] = append(lines[i], math.Log10(max(micros(d), 1)))
		}
	}
	if len(labels) == 0 {
		return nil, nil
	}
	opt := charts.NewLineChartOptionWithData(lines)
	opt.Legend.SeriesNames = names
	opt.XAxis.Labels = labels
	opt.ValueFormatter = func(log float64) string {
		return bench.Short(time.Duration(math.Pow(10, log) * float64(time.Microsecond))).String()
	}
	return drawn("Latency by rate: "+r.Rates[0].Workload, "Open loop, counted from when a request was due; logarithmic.", func(p *charts.Painter) error { return p.LineChart(opt) })
}

// stageSplit tells workloads of batches from those of single requests, whose bars would leave nothing to see of the others.
const stageSplit = 6 * time.Microsecond

func (r *Report) stagesOfBatches() (*plot, error) {
	return byStage("Processor time of an event, by stage: batches", r.stages(func(d time.Duration) bool { return d < stageSplit }))
}

func (r *Report) stagesOfSingles() (*plot, error) {
	return byStage("Processor time of an event, by stage: one by one", r.stages(func(d time.Duration) bool { return d >= stageSplit }))
}

// stages are those of the workloads whose events take such a time.
func (r *Report) stages(of func(time.Duration) bool) (all []Stages) {
	for _, s := range r.Stages {
		if of(s.total() / time.Duration(max(s.Events, 1))) {
			all = append(all, s)
		}
	}
	return all
}

// byStage has a bar for each workload, with the stages on top of each other.
func byStage(title string, all []Stages) (*plot, error) {
	if len(all) == 0 {
		return nil, nil
	}
	var names, stages []string
	at := map[string]int{}
	var bars [][]float64
	for i, run := range all {
		names = append(names, run.Title)
		for _, s := range run.Stages {
			if _, there := at[s.Name]; !there {
				at[s.Name] = len(bars)
				stages, bars = append(stages, s.Name), append(bars, make([]float64, len(all)))
			}
			bars[at[s.Name]][i] = micros(s.CPU) / float64(max(run.Events, 1))
		}
	}
	opt := charts.NewBarChartOptionWithData(bars)
	opt.CategoryAxis.Labels = names
	opt.Legend.SeriesNames = stages
	opt.StackSeries = charts.Ptr(true)
	opt.ValueFormatter = func(v float64) string { return fmt.Sprintf("%.2f µs", v) }
	return drawn(title, "The server's alone, from a profile taken while the workload ran.", func(p *charts.Painter) error { return p.BarChart(opt) })
}

// drawn draws one plot.
func drawn(title, note string, draw func(*charts.Painter) error) (*plot, error) {
	p := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: plotWidth, Height: plotHeight})
	if err := draw(p); err != nil {
		return nil, fmt.Errorf("draw %q: %w", title, err)
	}
	svg, err := p.Bytes()
	if err != nil {
		return nil, fmt.Errorf("draw %q: %w", title, err)
	}
	return &plot{Title: title, Note: note, SVG: template.HTML(svg)}, nil //nolint:gosec // drawn here, of numbers and the names of workloads and stages
}

// count is a number on an axis.
func count(n float64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.2f M", n/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.0f k", n/1e3)
	}
	return fmt.Sprintf("%.0f", n)
}
