package publish

import (
	"context"
	"log/slog"
	"testing"
)

// BenchmarkRelay publishes b.N lines of about 400 bytes from an outbox in memory.
func BenchmarkRelay(b *testing.B) {
	b.Run("kafka", func(b *testing.B) {
		c := realCluster(b)
		all := settlement("a", 1, uint64(b.N))
		for i := range all {
			all[i].Value = append(all[i].Value, make([]byte, 350)...)
		}
		box := newBox(all...)
		o := c.options(b)
		o.Logger = slog.New(slog.DiscardHandler)
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
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	})
}
