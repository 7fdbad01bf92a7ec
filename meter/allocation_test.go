package meter

import (
	"fmt"
	"testing"

	"farthing/money"
)

// TestFillDoesNotAllocate fills a batch that was used before, refused events and all kinds
// of names included: the decoder's hot path.
func TestFillDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	var b Batch
	var ids [200][]byte
	for i := range ids {
		ids[i] = fmt.Appendf(nil, "event-%d", i)
	}
	source, subject, kind := []byte("gateway-1"), []byte("customer-7"), []byte("llm.tokens")
	names := [][]byte{[]byte("output"), []byte("input"), []byte("cached_input"), []byte("none")}
	key, value := []byte("model"), []byte("gpt-4o")
	trace := []byte("trace")
	fill := func() {
		b.Reset(7)
		for i, id := range ids {
			b.Begin(i)
			b.SetSource(source)
			b.SetID(id)
			b.SetSubject(subject)
			b.SetType(kind)
			b.SetTime(int64(i))
			for k, name := range names {
				b.Component(name, money.Quantity(k*i))
			}
			b.Dimension(trace, id)
			b.Dimension(key, value)
			b.End()
		}
	}
	fill()
	if n := testing.AllocsPerRun(20, fill); n != 0 {
		t.Errorf("%v allocations to fill a batch of %d events", n, len(ids))
	}
	if len(b.Events) != len(ids) {
		t.Errorf("%d events", len(b.Events))
	}
}

// TestMatchDoesNotAllocate looks prices up, hits and misses.
func TestMatchDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	v := mustParse(t, version(simple(`{"model":"a"}`, `{"in":"1"}`), simple(`{"model":"a","region":"x"}`, `{"in":"2"}`), simple(`{}`, `{"in":"3"}`)))
	usd := v.Prices[0].Currency
	hit := Shape{Type: "m", Dimensions: []Dimension{{"model", "a"}, {"region", "x"}}}
	miss := Shape{Type: "n", Dimensions: hit.Dimensions}
	if n := testing.AllocsPerRun(100, func() {
		if i, ok := v.Match(&hit, usd); i != 1 || !ok {
			t.Fatal("no hit")
		}
		if _, ok := v.Match(&miss, usd); ok {
			t.Fatal("a hit")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
