package engine

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"farthing/journal"
	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
)

// behindBook is priced by three components, as most lists of models are.
const behindBook = `{"effective_from":"2026-01-01T00:00:00Z","prices":[
 {"meter":"llm.tokens","currency":"USD","match":{"model":"m1"},"components":{"input":"0.0000025","cached_input":"0.00000125","output":"0.00001"},"payee":"prov"},
 {"meter":"llm.tokens","currency":"USD","match":{"model":"m2"},"components":{"input":"0.00000015","cached_input":"0.000000075","output":"0.0000006"},"payee":"prov"}]}`

// durable is groups as the indexer gets them, of events with random ids of 26 characters.
func durable(b testing.TB, events, accounts int) (*rig, []*group) {
	r := newRig(b, nil)
	r.account("prov", "provider", "")
	names := make([][]byte, accounts)
	for i := range names {
		names[i] = fmt.Appendf(nil, "customer-of-the-bench-%06d", i)
		r.account(string(names[i]), "customer", "postpaid")
	}
	r.prices("v1", behindBook)
	random := rand.New(rand.NewPCG(1, 2))
	for done := 0; done < events; done += 1000 {
		q := r.e.Acquire(400_000)
		if q == nil {
			b.Fatal("no room")
		}
		for i := range 1000 {
			behindEvent(q.Batch(), i, names[random.IntN(accounts)], random, r.base)
		}
		if out, refused := r.e.Ingest(q); refused != nil || out.Accepted != 1000 {
			b.Fatalf("%+v %v", out, refused)
		}
		r.e.Release(q)
	}
	var list []*group
	g := &group{}
	err := r.e.store.Blocks(1, func(k *journal.Block) error {
		if g.first == 0 {
			g.first, g.time, g.tables = k.First, k.Time, *r.e.published.Load()
		}
		g.last = k.Last
		g.blocks = append(g.blocks, journal.BlockInput{First: k.First, Last: k.Last, Body: append([]byte(nil), k.Body...)})
		if k.Final && len(g.blocks) >= 16 {
			list, g = append(list, g), &group{}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return r, list
}

func behindEvent(batch *meter.Batch, i int, subject []byte, random *rand.Rand, base time.Time) {
	const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	id := make([]byte, 26)
	for k := range id {
		id[k] = digits[random.IntN(32)]
	}
	batch.Begin(i)
	batch.SetSource([]byte("gateway-1"))
	batch.SetID(id)
	batch.SetSubject(subject)
	batch.SetType([]byte("llm.tokens"))
	batch.SetTime(base.UnixNano() - int64(random.IntN(1e9)))
	batch.Component([]byte("input"), money.Quantity(1e6*(1+random.IntN(4000))))
	batch.Component([]byte("cached_input"), money.Quantity(1e6*random.IntN(2000)))
	batch.Component([]byte("output"), money.Quantity(1e6*(1+random.IntN(1000))))
	batch.Dimension([]byte("model"), []byte([2]string{"m1", "m2"}[random.IntN(2)]))
	batch.End()
}

// BenchmarkIndex is what the indexer does for an event: its leaf and its statement entries.
func BenchmarkIndex(b *testing.B) {
	const events = 300_000
	r, groups := durable(b, events, 1000)
	n, began := 0, processorTime()
	for b.Loop() {
		x := &indexer{e: &Engine{store: r.e.store}, earners: newScanEarners(), trees: newEvidence(), young: &postings{}}
		for _, g := range groups {
			x.group(g)
		}
		n += events
	}
	b.ReportMetric(float64(processorTime()-began)/float64(n), "cpu-ns/event")
}

// processorTime is what the process took, in nanoseconds: on a busy machine it says more than the clock.
func processorTime() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

// noTable takes rows and keeps nothing of them but their size.
type noTable struct{ bytes int }

func (t *noTable) Add(key, value []byte) error { t.bytes += len(key) + len(value); return nil }
func (t *noTable) Abort() error                { return nil }

// BenchmarkRun is what a generation's runs cost an event, without the store.
func BenchmarkRun(b *testing.B) {
	const events = 1_000_000
	random := rand.New(rand.NewPCG(3, 4))
	g := newGeneration(1, 1, bucketsAtStart)
	for i := range events {
		g.add(random.Uint64(), []byte("gateway-1\x000123456789ABCDEF0123456789"), seen{uint64(i + 1), 1})
	}
	g.last = events
	p := &postings{}
	for i := range events {
		p.addLocked(ledger.Ref(2+random.IntN(1000)), uint64(i+1))
		p.addLocked(1, uint64(i+1))
	}
	part := func(name string, fn func(t table)) {
		b.Run(name, func(b *testing.B) {
			n, began := 0, processorTime()
			for b.Loop() {
				t := &noTable{}
				fn(t)
				n += events
				b.ReportMetric(float64(t.bytes)/events, "bytes/event")
			}
			b.ReportMetric(float64(processorTime()-began)/float64(n), "cpu-ns/event")
		})
	}
	part("postings", func(t table) { _ = p.write(t.Add) })
	part("sorted", func(table) { g.sorted() })
	entries := g.sorted()
	part("identities", func(t table) {
		info := &runInfo{first: 1, filter: newFilter(events)}
		shared := newFilter(epochRuns * events)
		w := runWriter{t: t, info: info, own: &info.filter, shared: &shared}
		for _, entry := range entries {
			_ = w.add(entry.hash, entry.at)
		}
		_ = w.close()
		_ = info.filter.write(t)
	})
}
