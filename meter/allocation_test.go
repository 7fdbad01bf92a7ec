package meter

import (
	"fmt"
	"strings"
	"testing"
	"unsafe"

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

// TestMatchWithAllDimensions does not allocate for the longest values there may be either.
func TestMatchWithAllDimensions(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	var match []string
	s := Shape{Type: "m"}
	for i := range MaxDimensions {
		d := Dimension{fmt.Sprintf("k%02d", i), strings.Repeat("v", MaxDimensionBytes)}
		match = append(match, fmt.Sprintf("%q:%q", d.Key, d.Value))
		s.Dimensions = append(s.Dimensions, d)
	}
	v := mustParse(t, version(simple("{"+strings.Join(match, ",")+"}", `{"in":"1"}`)))
	usd := v.Prices[0].Currency
	if n := testing.AllocsPerRun(100, func() {
		if i, ok := v.Match(&s, usd); i != 0 || !ok {
			t.Fatal("no hit")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestRatingDoesNotAllocate plans and rates events of each model and takes them back.
func TestRatingDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	v := mustParse(t, version(simple(`{}`, `{"a":"1","b":{"graduated":[{"up_to":"5","unit":"1"},{"unit":"2"}]},"c":{"volume":[{"unit":"1"}]},
		"d":{"unit":"1","package":"7"},"e":{"unit":"1","included":"7"},"f":{"unit":"1","flat":"1","minimum":"5","above":[{"of":["a","f"],"quantity":"1","unit":"2"}]}}`)))
	usd := v.Prices[0].Currency
	s := Shape{Type: "m", Components: []string{"a", "b", "c", "d", "e", "f"}}
	var plan Plan
	var quantities, before [MaxComponents]money.Quantity
	var amounts [MaxComponents]money.Amount
	for i := range s.Components {
		quantities[i], before[i] = 7_000_000, 9_000_000
	}
	if n := testing.AllocsPerRun(100, func() {
		if no := v.PlanInto(&plan, &s, usd); no != Planned {
			t.Fatal(no)
		}
		if _, refused := plan.Rate(&quantities, &before, &amounts); refused != nil {
			t.Fatal(refused)
		}
		if _, refused := plan.Reverse(&quantities, &before, &amounts); refused != nil {
			t.Fatal(refused)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestRowIsACacheLine holds the layout to its word.
func TestRowIsACacheLine(t *testing.T) {
	if size := unsafe.Sizeof(row{}); size != 64 {
		t.Errorf("%d bytes", size)
	}
}
