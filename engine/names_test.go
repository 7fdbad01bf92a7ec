package engine

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"farthing/internal/soak"
	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
)

// TestNameIndex holds it against a map: ids of all lengths, many of whose hashes are the same or meet in one slot, over several
// chunks of the arena. What is not there is not found.
func TestNameIndex(t *testing.T) {
	seed := soak.Seed(t)
	rng := rand.New(rand.NewPCG(seed, 1))
	var x nameIndex
	if p, ok := x.find(1, []byte("nobody")); ok || x.warm([]meter.Event{{SubjectHash: 1}}) != 0 {
		t.Fatalf("%v is in an empty index", p)
	}
	want := map[string]payer{}
	hashes := map[string]uint64{}
	var people []*ledger.Participant
	hash := func() uint64 {
		if rng.IntN(2) == 0 {
			return rng.Uint64N(64) // shared
		}
		return rng.Uint64()
	}
	for n := range 4000 {
		id := fmt.Sprintf("%d-%s", n, strings.Repeat("x", rng.IntN(120)))
		p := &ledger.Participant{ID: id, Root: ledger.Ref(rng.Uint32()), Currency: money.CurrencyAt(rng.IntN(money.Currencies())),
			Kind: ledger.Kind(rng.IntN(3))}
		ref := ledger.Ref(n)
		want[id], hashes[id] = payer{ref, p.Root, p.Currency, p.Kind}, hash()
		x.add(hashes[id], ref, p)
		if p.ID != id {
			t.Fatalf("%s became %s", id, p.ID)
		}
		people = append(people, p)
	}
	for n, p := range people { // what came later is behind it
		if !strings.HasPrefix(p.ID, fmt.Sprintf("%d-", n)) || want[p.ID].root != p.Root {
			t.Fatalf("%s is the id of account %d", p.ID, n)
		}
	}
	if len(x.arena) < 3 {
		t.Errorf("%d chunks", len(x.arena))
	}
	var events []meter.Event
	for id, p := range want {
		if got, ok := x.find(hashes[id], []byte(id)); !ok || got != p {
			t.Fatalf("%s is %+v, want %+v", id, got, p)
		}
		if got, ok := x.find(hashes[id], []byte(id+"y")); ok {
			t.Fatalf("%sy is %+v", id, got)
		}
		if got, ok := x.find(hashes[id]+1<<63, []byte(id)); ok {
			t.Fatalf("%s is found as %+v under another hash", id, got)
		}
		events = append(events, meter.Event{SubjectHash: hashes[id]}, meter.Event{SubjectHash: rng.Uint64()})
	}
	x.warm(events)
}

// TestRecentSources finds sources whose ends meet in one place, in any order, each under its own number.
func TestRecentSources(t *testing.T) {
	a := newAloneSequencer(t, 1)
	numbers := map[string]uint32{}
	rng := rand.New(rand.NewPCG(soak.Seed(t), 2))
	for range 5000 {
		name := fmt.Sprintf("gateway-%c-%04d", 'a'+rune(rng.IntN(4)), rng.IntN(200)) // the first ones differ before their end
		n := a.sequencer.source([]byte(name))
		if had, ok := numbers[name]; ok && had != n {
			t.Fatalf("%s is %d, was %d", name, n, had)
		}
		numbers[name] = n
	}
	for name, n := range numbers {
		if string(a.state.sources[n]) != name {
			t.Errorf("%d is %s, want %s", n, a.state.sources[n], name)
		}
	}
	if len(numbers) < 4*recentSources/2 {
		t.Errorf("%d sources do not meet", len(numbers))
	}
	for _, name := range []string{"a", "ab", "abc", "a"} { // shorter than what is mixed
		if n := a.sequencer.source([]byte(name)); string(a.state.sources[n]) != name {
			t.Errorf("%s is %s", name, a.state.sources[n])
		}
	}
}

// TestUsageGuess finds rows, or says that it does not know; never does it keep an event from the row that is its.
func TestUsageGuess(t *testing.T) {
	rng := rand.New(rand.NewPCG(soak.Seed(t), 3))
	var u usageTable
	if row := u.guess(1, 2, 3); row != 0 {
		t.Fatalf("row %d of an empty table", row)
	}
	type key struct {
		account ledger.Ref
		shape   uint32
		day     int32
	}
	events, found := map[key]uint64{}, 0
	const n = 30_000
	for range n {
		k := key{ledger.Ref(rng.IntN(500)), rng.Uint32N(20), int32(rng.IntN(2))}
		e := eventRecord{account: k.account, shape: k.shape, time: int64(k.day) * nanosPerDay, components: 1 + 5*int(k.shape%2)}
		if e.usageRow = u.guess(k.account, k.shape, k.day); e.usageRow != 0 {
			found++
		}
		u.add(&e, &ratingAmounts{})
		events[k]++
	}
	if found < n/4 { // 20,000 keys: a third of the events are of a row that is there
		t.Errorf("%d of %d rows were known", found, n)
	}
	for k, n := range events {
		if at, ok := u.find(k.account, k.shape, k.day); !ok || u.rows.At(at).events != n {
			t.Fatalf("%+v has another row than its own", k)
		}
	}
}

// TestUsageGuessSlots: of rows that begin to be looked for in one slot as many are guessed as it has neighbours that are looked at.
func TestUsageGuessSlots(t *testing.T) {
	var u usageTable
	u.grow()
	home, shapes := uint64(17), []uint32{}
	for shape := uint32(0); len(shapes) <= guessSlots; shape++ {
		if usageHash(1, shape, 3)&uint64(len(u.index)-1) == home {
			shapes = append(shapes, shape)
			u.insert(1, shape, 3, 1)
		}
	}
	for i, shape := range shapes {
		at, ok := u.find(1, shape, 3)
		if !ok {
			t.Fatalf("row %d is not found", i)
		}
		want := at + 1
		if i == guessSlots {
			want = 0
		}
		if row := u.guess(1, shape, 3); row != want {
			t.Errorf("row %d of one slot is guessed to be %d, want %d", i, row, want)
		}
	}
}
