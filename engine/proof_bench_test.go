package engine

import (
	"fmt"
	"testing"
)

// BenchmarkProof asks for proofs of events all over a sealed window of three million events with one
// in 251 in a second currency, whose leaves lie far apart. Their identities are in runs on disk.
func BenchmarkProof(b *testing.B) {
	const events, request, rare = 3_000_000, 10_000, 251
	r := rareRig(b, nil)
	for at := 0; at < events; at += request {
		q := r.e.Acquire(200 * request)
		fill(b, q.Batch(), manyCalls(at, request, rare))
		if out, refused := r.e.Ingest(q); refused != nil || out.Accepted != request {
			b.Fatalf("%+v %v", out, refused)
		}
		r.e.Release(q)
	}
	r.settle("w")
	for _, of := range []struct {
		name        string
		first, step int
		size        uint64
	}{{"common", 1, 1_000_003, events - (events+rare-1)/rare}, {"rare", 0, 251 * 4001, (events + rare - 1) / rare}} {
		b.Run(of.name, func(b *testing.B) {
			n := of.first
			for b.Loop() {
				if n = (n + of.step) % events; of.name == "common" && n%rare == 0 {
					n++
				} else if of.name == "rare" {
					n -= n % rare
				}
				p, refused := r.e.Proof("gw", fmt.Sprint("many", n))
				if refused != nil || p.Size != of.size {
					b.Fatalf("event %d: a tree of %d, %v", n, p.Size, refused)
				}
			}
		})
	}
}
