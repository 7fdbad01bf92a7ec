package engine

import "testing"

// TestSequencerDoesNotAllocate executes requests of new events once everything has its size. Generations and groups are
// allocated by the million events; between two of them there is nothing but chunks of the identities' arena.
func TestSequencerDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	a := newAloneSequencer(t, 100)
	a.everybody()
	for range 500 { // the table of the generation does not grow any more
		a.request()
	}
	if n := testing.AllocsPerRun(50, a.request); n > 2 {
		t.Errorf("%v allocations in a request of %d events", n, aloneEvents)
	}
}

// TestIndexerDoesNotAllocate has the indexer read groups of a thousand events: leaves and statement entries go into arrays that are
// allocated by the ten thousand, and a few rows of the trees into the store.
func TestIndexerDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	a := newAloneSequencer(t, 100)
	group := func() {
		a.fill()
		a.execute(a.q)
		a.g.tables = a.state.tables
		a.e.marks.durable.advance(a.g.last)
		a.x.group(a.g)
		a.g.reset()
	}
	for range 300 {
		group()
	}
	if n := testing.AllocsPerRun(100, group); n > aloneEvents/50 {
		t.Errorf("%v allocations for a group of %d events", n, aloneEvents)
	} else {
		t.Logf("%v allocations for a group of %d events", n, aloneEvents)
	}
}

// TestRingDoesNotAllocate pushes and takes requests.
func TestRingDoesNotAllocate(t *testing.T) {
	r, q := newRing(64), new(Request)
	n := testing.AllocsPerRun(1000, func() {
		for range 64 {
			if !r.push(q) {
				t.Fatal("full")
			}
		}
		for range 64 {
			if r.pop() != q {
				t.Fatal("empty")
			}
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
