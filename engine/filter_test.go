package engine

import (
	"math/rand/v2"
	"testing"
)

// TestFilter: whatever was added is found, and few others are.
func TestFilter(t *testing.T) {
	f := newFilter(10_000)
	rng := rand.New(rand.NewPCG(1, 2))
	hashes := make([]uint64, 10_000)
	for i := range hashes {
		hashes[i] = rng.Uint64()
		f.add(hashes[i])
	}
	for _, hash := range hashes {
		if !f.maybe(hash) {
			t.Fatal("a hash that was added is not there")
		}
	}
	wrong := 0
	for range 100_000 {
		if f.maybe(rng.Uint64()) {
			wrong++
		}
	}
	if wrong > 300 {
		t.Fatalf("%d of 100,000 hashes are taken for others", wrong)
	}
}

// BenchmarkAsk asks twelve filters of full epochs about a batch of new identities: what 200 million of them cost an event.
func BenchmarkAsk(b *testing.B) {
	var epochs []*epoch
	for range 12 {
		f := newFilter(16 << 20)
		for i := range f.blocks {
			f.blocks[i][i%8].Store(uint64(i) * 0x9e3779b97f4a7c15) // memory of its own
		}
		epochs = append(epochs, &epoch{runs: []*runInfo{{filter: f}}})
	}
	rng := rand.New(rand.NewPCG(1, 2))
	hashes := make([]uint64, 1000)
	run := func(ask func(*epoch) int) func(*testing.B) {
		return func(b *testing.B) {
			sink := 0
			for b.Loop() {
				for i := range hashes {
					hashes[i] = rng.Uint64()
				}
				for _, e := range epochs {
					sink += ask(e)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
		}
	}
	b.Run("touched", run(func(e *epoch) int { return len(e.ask(hashes, nil)) }))
	b.Run("one by one", run(func(e *epoch) (n int) {
		for _, hash := range hashes {
			if e.filter().maybe(hash) {
				n++
			}
		}
		return n
	}))
}
