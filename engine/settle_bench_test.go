package engine

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"farthing/ledger"
	"farthing/money"
)

// BenchmarkSettle closes a window in which every one of very many participants moved, while
// events go on coming in: 1,000,000 customers, or as many as SETTLE_ACCOUNTS says. Run it with
// -benchtime=1x. Its metrics:
//
//	cut-ms        the longest that an answer to events took between cut and seal
//	before-ms     the same over as long a time before it
//	seal-s        from the cut to the seal
//	kept-%        of the rate of events, during against before
//	heap-MB       growth of what the heap takes from the system
//	rss-MB        growth of resident memory
func BenchmarkSettle(b *testing.B) {
	n := 1_000_000
	if text := os.Getenv("SETTLE_ACCOUNTS"); text != "" {
		n, _ = strconv.Atoi(text)
	}
	for range b.N {
		benchmarkSettle(b, n)
	}
}

func benchmarkSettle(b *testing.B, accounts int) {
	r := newRig(b, nil)
	r.account("prov", "provider", "")
	r.prices("v1", standardBook)
	manyAccounts(r, accounts)
	load := startSettleLoad(b, r.e, accounts)
	load.await(uint64(accounts)*3/2 + 1)
	runtime.GC()
	rss, heap := startPeak(residentMB), startPeak(heapMB)
	before := load.measure(5 * time.Second)
	rssBefore, heapBefore := rss.read(), heap.read()
	began := time.Now()
	done := make(chan Settlement, 1)
	go func() { done <- r.settle("w") }()
	during := load.measureUntil(func() bool { return len(done) > 0 })
	took := time.Since(began)
	s := <-done
	if len(s.Batches) != 1 || int(s.Batches[0].Lines) != accounts+2 {
		b.Fatalf("%+v", s)
	}
	load.stop()
	b.ReportMetric(float64(during.longest.Microseconds())/1000, "cut-ms")
	b.ReportMetric(float64(before.longest.Microseconds())/1000, "before-ms")
	b.ReportMetric(took.Seconds(), "seal-s")
	b.ReportMetric(100*during.rate/before.rate, "kept-%")
	b.ReportMetric(before.rate, "events/s")
	b.ReportMetric(rss.read()-rssBefore, "rss-MB")
	b.ReportMetric(heap.read()-heapBefore, "heap-MB")
}

// BenchmarkCut takes the rows of a cut of 1,000,000 participants that all moved, without anything
// else going on: the longest that the sequencer is held up at once, and in all.
func BenchmarkCut(b *testing.B) {
	s := newState(genesis{})
	for i := range 1_000_000 {
		s.applyAccount(&ledger.Participant{ID: customerName(i), Currency: usd(), Kind: ledger.Customer, Billing: ledger.Postpaid, Unlimited: true, Parent: ledger.NoRef})
	}
	one := amount(b, "1.25")
	var longest, sum time.Duration
	timed := func(f func()) {
		began := time.Now()
		f()
		took := time.Since(began)
		longest, sum = max(longest, took), sum+took
	}
	for range b.N {
		for ref := range ledger.Ref(len(s.people)) {
			if s.people[ref].Kind == ledger.Customer {
				s.ledger.TopUp(ref, one)
			}
		}
		timed(func() { s.applyCut(cutCommand{window: s.ledger.Window()}) })
		for !s.pending.ready {
			timed(func() { s.collect(snapshotStep) })
		}
		if s.pending.rows.len != 1_000_000 {
			b.Fatalf("%d rows", s.pending.rows.len)
		}
		s.pending = nil
	}
	b.ReportMetric(float64(longest.Microseconds()), "longest-µs")
	b.ReportMetric(sum.Seconds()*1000/float64(b.N), "all-ms")
}

// manyAccounts makes customers in steps of 1,000, each with one answer to wait for.
func manyAccounts(r *rig, n int) {
	for at := 0; at < n; at += 1000 {
		r.e.internal(func(s *sequencer) {
			for i := at; i < min(at+1000, n); i++ {
				p := &ledger.Participant{ID: customerName(i), Currency: usd(), Kind: ledger.Customer, Billing: ledger.Postpaid, Unlimited: true, Parent: ledger.NoRef}
				s.command(kindAccount, appendParticipant(nil, p))
				s.state.applyAccount(p)
			}
		})
	}
}

func customerName(i int) string { return fmt.Sprintf("customer-%07d", i) }

// settleLoad is events that come in all the time, each of another account than the one before.
type settleLoad struct {
	tb       testing.TB
	e        *Engine
	accounts int
	next     atomic.Uint64
	sent     atomic.Uint64
	longest  atomic.Int64
	ended    atomic.Bool
	wg       sync.WaitGroup
}

func startSettleLoad(tb testing.TB, e *Engine, accounts int) *settleLoad {
	l := &settleLoad{tb: tb, e: e, accounts: accounts}
	for range 8 {
		l.wg.Go(func() {
			for !l.ended.Load() {
				l.post()
			}
		})
	}
	return l
}

func (l *settleLoad) stop() {
	l.ended.Store(true)
	l.wg.Wait()
}

func (l *settleLoad) post() {
	q := l.e.Acquire(200_000)
	if q == nil {
		runtime.Gosched()
		return
	}
	defer l.e.Release(q)
	batch := q.Batch()
	first := l.next.Add(1000) - 1000
	id, name := make([]byte, 0, 32), []byte(customerName(0))
	for i := range 1000 {
		n := first + uint64(i)
		id = strconv.AppendUint(append(id[:0], "event-"...), n*0x9e3779b97f4a7c15, 36)
		account := n * 611953 % uint64(l.accounts)
		for k := len(name) - 1; k > len(name)-8; k-- {
			name[k], account = byte('0'+account%10), account/10
		}
		batch.Begin(i)
		batch.SetSource([]byte("gateway-1"))
		batch.SetID(id)
		batch.SetSubject(name)
		batch.SetType([]byte("llm.tokens"))
		batch.Component([]byte("input"), money.Quantity(1200e6))
		batch.Component([]byte("output"), money.Quantity(310e6))
		batch.Dimension([]byte("model"), []byte("m1"))
		batch.End()
	}
	began := time.Now()
	out, refused := l.e.Ingest(q)
	if refused != nil || out.Accepted != 1000 {
		l.tb.Errorf("%+v %v", out, refused)
		return
	}
	took := int64(time.Since(began))
	for {
		old := l.longest.Load()
		if took <= old || l.longest.CompareAndSwap(old, took) {
			break
		}
	}
	l.sent.Add(1000)
}

// await returns once that many events are in.
func (l *settleLoad) await(n uint64) {
	for l.sent.Load() < n && !l.tb.Failed() {
		<-time.After(10 * time.Millisecond)
	}
}

type loadMeasure struct {
	rate    float64
	longest time.Duration
}

func (l *settleLoad) measure(d time.Duration) loadMeasure {
	end := time.Now().Add(d)
	return l.measureUntil(func() bool { return time.Now().After(end) })
}

func (l *settleLoad) measureUntil(done func() bool) loadMeasure {
	began, from := time.Now(), l.sent.Load()
	l.longest.Store(0)
	for !done() {
		<-time.After(time.Millisecond)
	}
	return loadMeasure{float64(l.sent.Load()-from) / time.Since(began).Seconds(), time.Duration(l.longest.Load())}
}

// peak is the highest of a figure, asked every few milliseconds.
type peak struct {
	value atomic.Int64
}

func startPeak(ask func() float64) *peak {
	p := &peak{}
	p.value.Store(int64(ask()))
	go func() {
		for {
			<-time.After(20 * time.Millisecond)
			p.value.Store(max(p.value.Load(), int64(ask())))
		}
	}()
	return p
}

func (p *peak) read() float64 { return float64(p.value.Load()) }

func heapMB() float64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse) / (1 << 20)
}

func residentMB() float64 {
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, _ := strconv.ParseFloat(strings.Fields(string(raw))[1], 64)
	return pages * float64(os.Getpagesize()) / (1 << 20)
}
