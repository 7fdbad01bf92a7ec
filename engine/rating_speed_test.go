package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
)

// modelList is a price list of so many models, four components each, effective at the given time.
func modelList(models int, from, components string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"effective_from":%q,"prices":[`, from)
	for i := range models {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "\n"+`{"meter":"llm.tokens","currency":"USD","match":{"model":"provider-%d/model-%d"},"components":%s}`,
			i%40, i, strings.ReplaceAll(components, "N", fmt.Sprint(i%97+1)))
	}
	return b.String() + "]}"
}

const (
	fourLinear = `{"input":"0.00000N","cached_input":"0.0000N","output":{"unit":"N","per":"1000000"},"reasoning":"0.00N"}`
	// twoCounted counts two of the components in the month.
	twoCounted = `{"input":{"graduated":[{"up_to":"1000000","unit":"0.00000N"},{"unit":"0.0000001"}]},"cached_input":"0.0000N",` +
		`"output":{"unit":"0.00000N","included":"5000"},"reasoning":"0.00N"}`
)

// ratePath is what the sequencer does to rate events, without the rest of the engine: a
// state with a price list, and events of random models in the order and the memory in which
// a decoder leaves them.
type ratePath struct {
	st      *state
	version *meter.Version
	events  []rateInput
	shapes  []uint32 // of the request under way, found ahead as lookahead does
	rec     eventRecord
	amounts ratingAmounts
	next    int
}

type rateInput struct {
	raw        []byte // shape
	hash       uint64
	quantities [4]money.Quantity
}

// rateRequest is how many events are looked up ahead of being rated.
const rateRequest = 1000

func newRatePath(t testing.TB, models int, components string) *ratePath {
	t.Helper()
	v, refused := meter.ParseVersion("v", []byte(modelList(models, "2026-01-01T00:00:00Z", components)))
	if refused != nil {
		t.Fatal(refused)
	}
	p := &ratePath{st: newState(genesis{seed: 7}), version: v}
	payer := p.st.applyAccount(&ledger.Participant{ID: "acme", Currency: v.Prices[0].Currency, Kind: ledger.Customer, Billing: ledger.Prepaid, Parent: ledger.NoRef})
	p.rec.account = payer
	p.st.applyPrices(v)
	shape := func(i int) []byte {
		s := meter.Shape{Type: "llm.tokens", Components: []string{"cached_input", "input", "output", "reasoning"},
			Dimensions: []meter.Dimension{{Key: "model", Value: fmt.Sprintf("provider-%d/model-%d", i%40, i)}}}
		return s.Append(nil)
	}
	for i := range models {
		if _, err := p.st.applyShape(string(shape(i))); err != nil {
			t.Fatal(err)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var arena []byte
	for range 64 * rateRequest {
		start := len(arena)
		arena = append(arena, shape(rng.IntN(models))...)
		e := rateInput{raw: arena[start:], hash: p.st.hashOf(arena[start:])}
		for i := range e.quantities {
			e.quantities[i] = money.Quantity(1+rng.IntN(100_000)) * 1_000_000
		}
		p.events = append(p.events, e)
	}
	p.rec.time, p.rec.components = v.EffectiveFrom+1, 4
	for range 64 { // every slot is resolved once
		p.request(t)
	}
	return p
}

// request rates the next rateRequest events: from shape bytes and hash to the amounts.
func (p *ratePath) request(t testing.TB) {
	if p.next == len(p.events) {
		p.next = 0
	}
	events := p.events[p.next : p.next+rateRequest]
	p.next += rateRequest
	p.shapes = p.shapes[:0]
	for i := range events {
		n, ok := p.st.rates.lookup(events[i].hash, events[i].raw)
		if !ok {
			t.Fatal("a shape is not known")
		}
		p.shapes = append(p.shapes, n)
	}
	usd := p.version.Prices[0].Currency
	for i := range events {
		copy(p.rec.quantities[:], events[i].quantities[:])
		slot := p.st.slot(p.shapes[i], p.st.rates.book.InForce(p.rec.time), usd)
		if refused := p.st.rate(slot, &p.rec, &p.amounts, 1); refused != nil || p.rec.amount.Sign() <= 0 {
			t.Fatal(refused, p.rec.amount)
		}
	}
}

// BenchmarkRatePath is the engine's share of rating, per event: at most 150 ns with 2,000
// models in random order. What meter does for a shape that was never seen is its
// BenchmarkRateEvent.
func BenchmarkRatePath(b *testing.B) {
	f := func(name string, models int, components string) {
		b.Run(fmt.Sprintf("%s/models=%d", name, models), func(b *testing.B) {
			p := newRatePath(b, models, components)
			b.ReportAllocs()
			for b.Loop() {
				p.request(b)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rateRequest, "ns/event")
		})
	}
	for _, models := range []int{20, 2_000, 20_000} {
		f("linear", models, fourLinear)
	}
	f("counted", 2_000, twoCounted)
}

// BenchmarkRateGrowth reports how many times as long this takes with 20,000 prices, each with
// events of its own, as with 20. Both are measured in turn, so that what slows the machine
// down slows both. Rating itself grows by less than half (meter's BenchmarkRateEvent); what
// more there is here is waiting for memory, the shapes and slots of which no cache holds.
func BenchmarkRateGrowth(b *testing.B) {
	few, many := newRatePath(b, 20, fourLinear), newRatePath(b, 20_000, fourLinear)
	var times [2][]time.Duration
	for b.Loop() {
		for i, p := range []*ratePath{few, many} {
			began := time.Now()
			for range 64 {
				p.request(b)
			}
			times[i] = append(times[i], time.Since(began))
		}
	}
	slices.Sort(times[0])
	slices.Sort(times[1])
	median := len(times[0]) / 2
	b.ReportMetric(float64(times[1][median])/float64(times[0][median]), "times")
	b.ReportMetric(0, "ns/op")
}

// TestRatePathAllocations: rating an event with a known shape allocates nothing, counted
// components and large books included.
func TestRatePathAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, components := range []string{fourLinear, twoCounted} {
		for _, models := range []int{20, 2_000} {
			p := newRatePath(t, models, components)
			if n := testing.AllocsPerRun(64, func() { p.request(t) }); n != 0 {
				t.Errorf("%d models: %v allocations in %d events", models, n, rateRequest)
			}
		}
	}
}

// span is when a request was asked and answered.
type span struct{ from, to time.Time }

// ingestLoad posts events from some goroutines until it is stopped.
type ingestLoad struct {
	r       *rig
	stop    chan struct{}
	answers chan struct{} // one for each answer; when full they are not counted
	workers sync.WaitGroup
	spans   [][]span // by goroutine, to be read after stopping
}

const (
	loadGoroutines = 4
	loadEvents     = 200 // in a request
)

func startLoad(r *rig) *ingestLoad {
	l := &ingestLoad{r: r, stop: make(chan struct{}), answers: make(chan struct{}, 1<<16), spans: make([][]span, loadGoroutines)}
	for g := range loadGoroutines {
		l.workers.Go(func() { l.post(g) })
	}
	return l
}

func (l *ingestLoad) post(g int) {
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return
		default:
		}
		calls := make([]call, loadEvents)
		for i := range calls {
			calls[i] = llm(fmt.Sprintf("e-%d-%d-%d", g, n, i), "acme", fmt.Sprintf("provider-%d/model-%d", i%40, i), 1200, 310)
		}
		q := l.r.e.Acquire(200 * len(calls))
		if q == nil {
			continue // refused for a moment
		}
		fill(l.r.t, q.Batch(), calls)
		began := time.Now()
		out, refused := l.r.e.Ingest(q)
		l.spans[g] = append(l.spans[g], span{began, time.Now()})
		if refused != nil || out.Accepted != loadEvents || out.Unpriced != 0 {
			l.r.t.Errorf("%+v %v", out, refused)
		}
		l.r.e.Release(q)
		select {
		case l.answers <- struct{}{}:
		default:
		}
	}
}

func (l *ingestLoad) await(answers int) {
	for range answers {
		<-l.answers
	}
}

// longest returns the longest span among those that touch from..to, and how many lie within.
func (l *ingestLoad) longest(from, to time.Time) (longest time.Duration, within int) {
	for _, spans := range l.spans {
		for _, s := range spans {
			if s.to.Before(from) || s.from.After(to) {
				continue
			}
			longest = max(longest, s.to.Sub(s.from))
			if s.from.After(from) && s.to.Before(to) {
				within++
			}
		}
	}
	return longest, within
}

// TestPutPricesWhileIngesting puts a version of 20,000 prices, parsing included, while four
// goroutines post: in less than a second, and events are answered meanwhile.
func TestPutPricesWhileIngesting(t *testing.T) {
	const models = 20_000
	r := newRig(t, nil)
	r.account("acme", "customer", "postpaid")
	r.prices("v1", modelList(1000, "2026-01-01T00:00:00Z", fourLinear))
	body := []byte(modelList(models, "2026-10-01T00:00:00Z", fourLinear))
	load := startLoad(r)
	began := time.Now()
	load.await(100)
	from := time.Now()
	v, refused := meter.ParseVersion("v2", body)
	parsed := time.Now()
	if refused == nil {
		_, _, refused = r.e.PutPrices(v, nil)
	}
	to := time.Now()
	load.await(100)
	close(load.stop)
	load.workers.Wait()
	if refused != nil {
		t.Fatal(refused)
	}
	before, _ := load.longest(began, from)
	during, within := load.longest(from, to)
	t.Logf("%d prices in %d KiB were put in %v, %v of it parsing; %d requests of %d events were asked and answered meanwhile, the longest in %v; before, the longest took %v",
		models, len(body)>>10, to.Sub(from), parsed.Sub(from), within, loadEvents, during, before)
	if within == 0 {
		t.Error("nothing was answered while the version was put")
	}
	if took := to.Sub(from); took >= time.Second && !raceEnabled {
		t.Errorf("the version was put in %v, want less than a second", took)
	}
	r.post(llm("after", "acme", "provider-39/model-19999", 1, 1))
	if got, refused := r.e.Event("gw", "after"); refused != nil || got.Rating == nil || got.Rating.Version != "v2" {
		t.Errorf("an event after the version: %+v %v", got.Rating, refused)
	}
}
