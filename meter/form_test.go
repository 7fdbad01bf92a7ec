package meter

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"farthing/money"
)

// TestFormedEventsAreTheSame adds random events by the setters and by a form, and compares all there is.
func TestFormedEventsAreTheSame(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var one, other Batch
	var form Form
	for round := range 300 {
		one.Reset(9)
		other.Reset(9)
		var components, keys [][]byte
		for _, i := range random.Perm(MaxComponents)[:random.IntN(MaxComponents+1)] {
			components = append(components, fmt.Appendf(nil, "c%d", i))
		}
		for _, i := range random.Perm(MaxDimensions)[:random.IntN(MaxDimensions+1)] {
			keys = append(keys, fmt.Appendf(nil, "d%d", i*i))
		}
		usage := len(components) > 0 || random.IntN(2) == 0
		form.Set(components, keys, usage)
		for index := range 5 {
			x := Formed{Index: index, Shape: -1, Source: []byte("gw"), ID: fmt.Appendf(nil, "e%d", random.Uint64()), Subject: []byte("acme"), Type: []byte("t"), Time: int64(index)}
			one.Begin(index)
			one.SetSource(x.Source)
			one.SetID(x.ID)
			one.SetSubject(x.Subject)
			one.SetType(x.Type)
			one.SetTime(x.Time)
			if usage {
				one.Usage()
			}
			for _, name := range components {
				q := money.Quantity(random.IntN(3))
				one.Component(name, q)
				x.Quantities = append(x.Quantities, q)
			}
			for _, key := range keys {
				value := fmt.Appendf(nil, "%0*d", 1+random.IntN(200), random.IntN(2))
				one.Dimension(key, value)
				x.Values = append(x.Values, value)
			}
			one.End()
			if x.Shape = other.AddFormed(&form, &x); random.IntN(2) == 0 {
				x.Index, x.Quantities = index+100, slices.Clone(x.Quantities)
				for i, q := range x.Quantities {
					x.Quantities[i] = q * 5 // zero if it was
				}
				want := other.Shapes[x.Shape]
				if n := other.AddFormed(&form, &x); n != x.Shape || *other.ShapeOf(&other.Events[len(other.Events)-1]) != want {
					t.Fatalf("round %d: shape %d, want %d", round, n, x.Shape)
				}
				other.Events = other.Events[:len(other.Events)-1]
				other.arena = other.arena[:len(one.arena)]
			}
		}
		if len(one.Events) != 5 || len(other.Events) != 5 || string(one.arena) != string(other.arena) {
			t.Fatalf("round %d: %d and %d events, %v", round, len(one.Events), len(other.Events), one.Rejects)
		}
		for i := range one.Events {
			if one.Events[i] != other.Events[i] || *one.ShapeOf(&one.Events[i]) != *other.ShapeOf(&other.Events[i]) {
				t.Fatalf("round %d: %+v, by form %+v", round, one.Events[i], other.Events[i])
			}
		}
	}
}

func TestIDEnd(t *testing.T) {
	f := func(text string) {
		t.Helper()
		end := 1
		for end < len(text) && idByte[text[end]] {
			end++
		}
		if end == len(text) || !ValidID([]byte(text[1:end])) {
			end = -1
		}
		if got := IDEnd([]byte(text), 1); got != end {
			t.Errorf("%q: %d, want %d", text, got, end)
		}
	}
	id := "abcdefghijklmnopqrstuvwxyz0123456789.:_-/@ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	id += id + id
	for n := range len(id) {
		f(` ` + id[:n])
		for c := range 256 {
			f(` ` + id[:n] + string([]byte{byte(c)}))
			if n < 20 || n > 110 {
				f(` ` + id[:n] + string([]byte{byte(c)}) + id[:8])
			}
		}
	}
}
