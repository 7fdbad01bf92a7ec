package engine

import (
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"

	"farthing/money"
)

// BenchmarkIngest measures the engine without HTTP and JSON: batches of 1,000 LLM events
// with 26-character ids, several callers, durable. The metric is events a second.
func BenchmarkIngest(b *testing.B) {
	for _, accounts := range []int{10, 100_000} {
		b.Run(fmt.Sprintf("accounts=%d", accounts), func(b *testing.B) { benchmarkIngest(b, accounts) })
	}
}

func benchmarkIngest(b *testing.B, accounts int) {
	r := newRig(b, nil)
	r.account("prov", "provider", "")
	names := make([][]byte, accounts)
	for i := range names {
		names[i] = fmt.Appendf(nil, "customer-%06d", i)
		r.account(string(names[i]), "customer", "postpaid")
	}
	r.prices("v1", standardBook)
	var next atomic.Uint64
	b.SetParallelism(8)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		var raw [16]byte
		id := make([]byte, 26)
		input, output := money.Quantity(1200e6), money.Quantity(310e6)
		for pb.Next() {
			q := r.e.Acquire(200_000)
			if q == nil {
				b.Fatal("no room")
			}
			batch := q.Batch()
			for i := range 1000 {
				n := next.Add(1)
				binary.BigEndian.PutUint64(raw[8:], n*0x9e3779b97f4a7c15)
				binary.BigEndian.PutUint64(raw[:], n)
				base32.HexEncoding.WithPadding(base32.NoPadding).Encode(id, raw[:])
				batch.Begin(i)
				batch.SetSource([]byte("gateway-1"))
				batch.SetID(id)
				batch.SetSubject(names[n*7919%uint64(accounts)])
				batch.SetType([]byte("llm.tokens"))
				batch.Component([]byte("input"), input)
				batch.Component([]byte("output"), output)
				batch.Dimension([]byte("model"), []byte("m1"))
				batch.End()
			}
			out, refused := r.e.Ingest(q)
			if refused != nil || out.Accepted != 1000 {
				b.Fatalf("%+v %v", out, refused)
			}
			r.e.Release(q)
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(next.Load())/b.Elapsed().Seconds(), "events/s")
}
