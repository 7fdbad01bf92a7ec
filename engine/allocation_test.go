package engine

import (
	"strconv"
	"testing"

	"farthing/money"
)

// TestIngestAllocations fills and ingests requests of 1,000 new events and counts what the
// whole process allocates: request, sequencer, committer, indexer and the store. What
// stays is a few allocations a group (the memtable's arena, the identities' arena, what
// is published), not one an event.
func TestIngestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	r := standard(t, nil)
	const events = 1000
	id := make([]byte, 0, 32)
	source, subject, kind, model, m1 := []byte("gw"), []byte("acme"), []byte("llm.tokens"), []byte("model"), []byte("m1")
	input, output := []byte("input"), []byte("output")
	next := 0
	ingest := func() {
		q := r.e.Acquire(200_000)
		if q == nil {
			t.Fatal("no room")
		}
		defer r.e.Release(q)
		b := q.Batch()
		for i := range events {
			next++
			id = strconv.AppendInt(append(id[:0], "event-"...), int64(next), 10)
			b.Begin(i)
			b.SetSource(source)
			b.SetID(id)
			b.SetSubject(subject)
			b.SetType(kind)
			b.Component(input, money.Quantity(i)*1e6)
			b.Component(output, 7e6)
			b.Dimension(model, m1)
			b.End()
		}
		if out, refused := r.e.Ingest(q); refused != nil || out.Accepted != events {
			t.Fatalf("%+v %v", out, refused)
		}
	}
	for range 20 {
		ingest()
	}
	perEvent := testing.AllocsPerRun(100, ingest) / events
	t.Logf("%.4f allocations an event", perEvent)
	if perEvent > 0.05 {
		t.Errorf("%.4f allocations an event", perEvent)
	}
}
