package publish

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"

	"farthing/batch"
	"farthing/money"
)

// BenchmarkPublish publishes b.N lines as a ledger seals them, from an outbox in memory to a real broker on the same machine.
func BenchmarkPublish(b *testing.B) {
	for _, codec := range compressions {
		b.Run(string(codec), func(b *testing.B) { publishLines(b, codec) })
	}
}

func publishLines(b *testing.B, codec Compression) {
	c := realCluster(b)
	box := newBox(lineRecords(b.N)...)
	o := c.options(b)
	o.Logger, o.Compression = slog.New(slog.DiscardHandler), codec
	relay, err := New(o, box)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	b.ResetTimer()
	go func() { done <- relay.Run(ctx) }()
	box.awaitConfirmed(b, uint64(b.N))
	b.StopTimer()
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	if end := c.end(b); end != int64(b.N)+1 {
		b.Fatalf("the topic ends at %d after %d records and a fence", end, b.N)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lines/s")
	b.ReportMetric(float64(b.N)/float64(relay.Stats().Batches), "lines/send")
}

// lineRecords are lines of a batch with the amounts of a busy month.
func lineRecords(n int) []Record {
	rng := rand.New(rand.NewPCG(1, 2))
	usd, _ := money.Lookup("USD")
	scope := batch.Scope{BatchID: sha256.Sum256([]byte("batch")), Window: 731, Currency: usd}
	id := hex.EncodeToString(scope.BatchID[:])
	out := make([]Record, n)
	for i := range out {
		amount := func(digits int) money.Amount {
			m, err := money.Parse(fmt.Sprintf("%d.%0*d", rng.IntN(100_000), digits, rng.Int64N(100_000_000)))
			if err != nil {
				panic(err)
			}
			return m
		}
		line := batch.Line{Line: uint32(i + 1), Account: fmt.Sprintf("customer-%06d", i), Direction: batch.Collect,
			Amount: amount(8), GrossDebits: amount(12), CarriedIn: amount(12), CarriedOut: amount(12), Events: rng.Uint64N(100_000)}
		out[i] = Record{StreamSeq: uint64(i) + 1, Type: "farthing.settlement.line.v1", ID: fmt.Sprintf("%s/%d", id, line.Line),
			Key: []byte(id), Value: line.AppendJSON(nil, &scope)}
	}
	return out
}
