package engine

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestGenerations holds the tables of identities against a map: growing ones, ones made of the memory of others, hashes that
// agree in their low bits, in their top byte or in all, and names of all lengths, so that chunks end in every way.
func TestGenerations(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	const perGeneration, generations = 9_000, 6
	x := newIdentities(0, 1, perGeneration)
	type entry struct {
		hash uint64
		s    seen
	}
	want := []map[string]entry{{}}
	order := [][]string{nil}
	hashes := []func() uint64{rng.Uint64, func() uint64 { return rng.Uint64() << 20 }, func() uint64 { return rng.Uint64() >> 8 }, func() uint64 { return rng.Uint64N(20) << 50 }}
	for seq := uint64(1); len(want) < generations; seq++ {
		last := len(want) - 1
		id := fmt.Sprint("s\x00", seq, strings.Repeat("x", rng.IntN(200)))
		e := entry{hashes[rng.IntN(50)/47](), seen{seq, rng.Uint64()}}
		if rng.IntN(100) == 0 {
			e.hash = hashes[2+rng.IntN(2)]()
		}
		if _, ok := x.find(e.hash, []byte(id), 0); ok {
			t.Fatalf("%q is known", id)
		}
		x.add(e.hash, []byte(id), e.s)
		want[last][id] = e
		order[last] = append(order[last], id)
		if g := x.freeze(seq, int64(seq)); g != nil {
			if g.count != perGeneration || g.last != seq {
				t.Fatalf("%+v", g)
			}
			want, order = append(want, map[string]entry{}), append(order, nil)
			x.drop(uint64(len(want)) - 2) // the one before the last stays: a run is being made of it
		}
	}
	for i, g := range x.generations {
		n := int(g.number)
		for id, e := range want[n] {
			if s, ok := g.find(e.hash, []byte(id)); !ok || s != e.s {
				t.Fatalf("generation %d: %q is %+v %v, want %+v", n, id, s, ok, e.s)
			}
		}
		k := 0
		g.entries(func(hash uint64, s seen, special bool) {
			if e := want[n][order[n][k]]; e.hash != hash || e.s != s || special {
				t.Fatalf("generation %d, entry %d: %x %+v, want %+v", n, k, hash, s, e)
			}
			k++
		})
		if k != len(order[n]) {
			t.Fatalf("generation %d lists %d entries of %d", i, k, len(order[n]))
		}
	}
	if len(x.generations) != 2 {
		t.Fatalf("%d generations are kept", len(x.generations))
	}
}

// TestReplayKeepsTheNewest enters an identity twice, as a replay does over what was forgotten.
func TestReplayKeepsTheNewest(t *testing.T) {
	g := newGeneration(0, 1, bucketsAtStart)
	for _, seq := range []uint64{3, 9, 5} {
		g.add(7, []byte("s\x00a"), seen{seq, 0})
	}
	if s, ok := g.find(7, []byte("s\x00a")); !ok || s.seq != 9 {
		t.Errorf("%+v %v", s, ok)
	}
	if _, ok := g.find(7, []byte("s\x00b")); ok {
		t.Error("another identity with the same hash")
	}
}

// TestMatch holds the look at a whole bucket against one by one.
func TestMatch(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for range 20_000 {
		b := identityBucket{}
		for k := range b.tags {
			b.tags[k] = uint8(rng.IntN(4) - 1)
		}
		tag, found := uint8(rng.IntN(4)-1), [bucketEntries]bool{}
		for m := b.match(tag); m != 0; m &= m - 1 {
			found[matchOf(bits.TrailingZeros64(m))] = true
		}
		for k, ok := range found {
			if b.tags[k] == tag && !ok {
				t.Fatalf("%v: entry %d has the tag %d", b.tags, k, tag)
			}
		}
	}
}
