package e2e

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"farthing/meter"
	"farthing/money"
	"farthing/prices"

	"github.com/shopspring/decimal"
)

// TestListPrices rates every request of the trace at the prices of every chat model of the
// public list that has any, in its batch tier as well, and compares each component's amount
// and each total with the oracle's. Each request comes twice: with the tokens of the trace, and with
// usage derived from it that reads and writes caches, reasons, listens and speaks, with
// prompts on both sides of the sizes from which the list has other prices.
func TestListPrices(t *testing.T) {
	traceFile, priceFile := input(t, "azure_llm_conv_2023.csv"), input(t, "model_prices.json")
	began := time.Now()
	version, listed := importList(t, priceFile)
	trace := readTraceFile(t, traceFile)
	step := 1
	if raceEnabled || testing.Short() {
		step = 16
		t.Logf("only every %dth of the %d requests: -race and -short are no place for all", step, len(trace))
	}
	r := rating{t: t, version: version, trace: trace, step: step}
	r.run(listed)
	if r.above.Load() == 0 {
		t.Error("no prompt was above a size from which a model has other prices")
	}
	t.Logf("%d prices of chat models × %d requests, twice each: %d events rated and compared (%d of them above some size), %d amounts, in %v",
		len(listed), (len(trace)+step-1)/step, r.events.Load(), r.above.Load(), r.amounts.Load(), time.Since(began).Round(time.Millisecond))
}

// importList imports the list and checks that it prices just the models that the oracle does.
func importList(t *testing.T, priceFile string) (*meter.Version, []listing) {
	t.Helper()
	text, err := os.ReadFile(priceFile)
	if err != nil {
		t.Fatal(err)
	}
	doc, _, err := prices.ImportLiteLLM(text, prices.Options{})
	if err != nil {
		t.Fatal(err)
	}
	version, refused := meter.ParseVersion("list", doc.AppendJSON(nil))
	if refused != nil {
		t.Fatal(refused)
	}
	listed, err := listings(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	imported := map[string]bool{}
	for i := range version.Prices {
		imported[fmt.Sprint(version.Prices[i].Match)] = true
	}
	for i := range listed {
		if match := fmt.Sprint(listed[i].match()); !imported[match] {
			t.Errorf("%s is listed and was not imported", match)
		}
	}
	if len(listed) < 1000 {
		t.Fatalf("%d chat models have a price", len(listed))
	}
	return version, listed
}

// match is the dimensions of the listing's events.
func (l *listing) match() []meter.Dimension {
	dims := []meter.Dimension{{Key: "model", Value: l.name}}
	if l.batch {
		dims = append(dims, meter.Dimension{Key: "service_tier", Value: "batch"})
	}
	return dims
}

func readTraceFile(t *testing.T, file string) []traced {
	t.Helper()
	rows, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	trace, err := readTrace(rows)
	if err != nil || len(trace) < 19_000 {
		t.Fatalf("%d requests: %v", len(trace), err)
	}
	return trace
}

// rating rates the trace by a version and by the oracle.
type rating struct {
	t       *testing.T
	version *meter.Version
	trace   []traced
	step    int

	events, above, amounts, wrong atomic.Int64
}

// run rates every listing. Those with equal prices are asked of the oracle together: it is
// the slower one.
func (r *rating) run(listed []listing) {
	r.t.Helper()
	groups := map[string][]*listing{}
	for i := range listed {
		key := listed[i].signature()
		groups[key] = append(groups[key], &listed[i])
	}
	queue := make(chan []*listing, len(groups))
	for _, group := range groups {
		queue <- group
	}
	close(queue)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for group := range queue {
				r.group(group)
			}
		})
	}
	workers.Wait()
}

// wrongMax is how many differences are shown.
const wrongMax = 20

// group rates the trace for listings with equal prices.
func (r *rating) group(group []*listing) {
	w := newWorker(group)
	for i := 0; i < len(r.trace) && r.wrong.Load() < wrongMax; i += r.step {
		for _, derived := range []bool{false, true} {
			usage(w.usage, w.components, i, &r.trace[i], derived)
			w.ask()
			for k, l := range group {
				if fault := w.rate(r.version, k); fault != "" {
					r.wrong.Add(1)
					r.t.Errorf("%s, batch %v, request %d, %v: %s", l.name, l.batch, i, w.usage, fault)
				}
			}
		}
	}
	r.events.Add(w.events)
	r.amounts.Add(w.amounts)
	r.above.Add(w.aboves)
}

// worker rates the requests of one group.
type worker struct {
	group      []*listing
	components []string // sorted
	prices     columns
	plans      []map[uint32]*meter.Plan // by listing, then by which components have usage

	// The request under way.
	usage    []uint64 // in thousandths, by component
	decimals []decimal.Decimal
	parts    []decimal.Decimal
	want     []words
	total    words
	mask     uint32 // of the components that have usage
	used     [meter.MaxComponents]money.Quantity

	above                   bool // some component has its price above a size
	events, aboves, amounts int64
}

// words is an amount at scale 18.
type words struct {
	hi int64
	lo uint64
	ok bool
}

func newWorker(group []*listing) *worker {
	w := &worker{group: group}
	for name := range group[0].units {
		w.components = append(w.components, name)
	}
	slices.Sort(w.components)
	n := len(w.components)
	w.prices = group[0].columns(w.components)
	w.usage, w.decimals, w.parts, w.want = make([]uint64, n), make([]decimal.Decimal, n), make([]decimal.Decimal, n), make([]words, n)
	for range group {
		w.plans = append(w.plans, map[uint32]*meter.Plan{})
	}
	return w
}

// usage fills in what request i used of each component, in thousandths.
func usage(out []uint64, components []string, i int, row *traced, derived bool) {
	prompt, answer := row.input, row.output
	var part map[string]uint64
	if derived {
		prompt, part = derive(i, row)
	}
	for k, name := range components {
		out[k] = part[name]
		switch name {
		case "cached_input", "cache_write", "audio_input":
			prompt -= part[name]
		case "reasoning", "audio_output":
			answer -= part[name]
		case "characters":
			out[k] = 4 * row.input
		case "output_characters":
			out[k] = 4 * row.output
		case "seconds":
			out[k] = row.input + 20*row.output // milliseconds
			continue
		}
		out[k] *= 1000
	}
	for k, name := range components {
		switch name {
		case "input":
			out[k] = 1000 * prompt
		case "output":
			out[k] = 1000 * answer
		}
	}
}

// edges are prompts at the sizes from which prices differ.
var edges = []uint64{127_999, 128_000, 128_001, 199_999, 200_000, 200_001}

// derive returns the size of a prompt, and the parts of prompt and answer that are not plain.
func derive(i int, row *traced) (prompt uint64, part map[string]uint64) {
	n := uint64(i)
	prompt = row.input << (n % 9)
	if n%16 == 0 {
		prompt = edges[n/16%uint64(len(edges))]
	}
	return prompt, map[string]uint64{
		"cached_input": prompt * (n % 5) / 5, "cache_write": prompt * (n % 3) / 29, "audio_input": prompt * (n % 2) / 11,
		"reasoning": row.output * (n % 4) / 4, "audio_output": row.output * (n % 2) / 9,
		"citation": n % 100, "web_search_medium": n % 4,
	}
}

// ask computes what the request costs by the oracle.
func (w *worker) ask() {
	w.mask = 0
	for k, thousandths := range w.usage {
		w.decimals[k] = decimal.New(int64(thousandths), -3)
		if thousandths != 0 {
			w.mask |= 1 << k
		}
	}
	var total decimal.Decimal
	total, w.above = w.prices.cost(w.decimals, w.parts)
	for k := range w.parts {
		w.want[k].hi, w.want[k].lo, w.want[k].ok = atScale18(w.parts[k])
	}
	w.total.hi, w.total.lo, w.total.ok = atScale18(total)
}

// rate rates the request as an event of listing k and says what differs.
func (w *worker) rate(v *meter.Version, k int) string {
	plan, fault := w.plan(v, k)
	if fault != "" {
		return fault
	}
	var before [meter.MaxComponents]money.Quantity
	var amounts [meter.MaxComponents]money.Amount
	n := 0
	for _, thousandths := range w.usage {
		if thousandths != 0 {
			w.used[n] = money.Quantity(thousandths * 1000)
			n++
		}
	}
	total, refused := plan.Rate(&w.used, &before, &amounts)
	if refused != nil {
		return refused.Error()
	}
	w.events++
	if w.above {
		w.aboves++
	}
	w.amounts += int64(n) + 1
	n = 0
	for i := range w.usage {
		if w.usage[i] == 0 {
			continue
		}
		if !w.want[i].same(amounts[n]) {
			return fmt.Sprintf("%s: %s, want %s", w.components[i], amounts[n], w.parts[i])
		}
		n++
	}
	if !w.total.same(total) {
		return fmt.Sprintf("%s in all", total)
	}
	return ""
}

func (w *words) same(a money.Amount) bool {
	hi, lo := a.Words()
	return w.ok && w.hi == hi && w.lo == lo
}

// plan returns how listing k's events with the components in use are rated.
func (w *worker) plan(v *meter.Version, k int) (*meter.Plan, string) {
	if plan := w.plans[k][w.mask]; plan != nil {
		return plan, ""
	}
	shape := meter.Shape{Type: "llm.tokens", Dimensions: w.group[k].match()}
	for i, name := range w.components {
		if w.mask>>i&1 != 0 {
			shape.Components = append(shape.Components, name)
		}
	}
	usd, _ := money.Lookup("USD")
	plan, none := v.Plan(&shape, usd)
	if none != meter.Planned {
		return nil, fmt.Sprintf("no price for %v (%d)", shape.Components, none)
	}
	w.plans[k][w.mask] = &plan
	return &plan, ""
}
