package meter

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"farthing/money"
)

// naiveMatch looks at every price: all its dimensions must be the event's; the one with
// the most wins. Two of them with equally many would be a fault of the version's check.
func naiveMatch(t *testing.T, v *Version, s *Shape, c money.Currency) (best int, ok bool) {
	t.Helper()
	most := -1
	for i := range v.Prices {
		p := &v.Prices[i]
		if p.Meter != s.Type || p.Currency != c {
			continue
		}
		hits := 0
		for _, m := range p.Match {
			for _, d := range s.Dimensions {
				if d == m {
					hits++
				}
			}
		}
		if hits < len(p.Match) {
			continue
		}
		if hits == most {
			t.Fatalf("prices %d and %d both match %v by %d dimensions", best, i, s.Dimensions, hits)
		}
		if hits > most {
			best, most, ok = i, hits, true
		}
	}
	return best, ok
}

// randomBook makes a version of random prices over few keys and values, leaving out what
// is refused beside what is there, and checks these refusals against plain pairs.
func randomBook(t *testing.T, rng *rand.Rand) *Version {
	t.Helper()
	var kept []string
	var v *Version
	for range 30 {
		var match []string
		for _, k := range rng.Perm(4)[:rng.IntN(4)] {
			match = append(match, fmt.Sprintf(`"k%d":"%d"`, k, rng.IntN(3)))
		}
		p := fmt.Sprintf(`{"meter":"m%d","currency":"%s","match":{%s},"components":{"a":"1"}}`,
			rng.IntN(2), []string{"USD", "JPY"}[rng.IntN(2)], strings.Join(match, ","))
		next, refused := ParseVersion("v", []byte(version(append(kept, p)...)))
		if contradicted := v == nil || free(t, v, p); contradicted != (refused == nil) {
			t.Fatalf("beside %s\n%s\nrefusal %v, pairs say %v", v.Canonical, p, refused, contradicted)
		}
		if refused == nil {
			kept, v = append(kept, p), next
		}
	}
	return v
}

// free says whether a price may stand in v: every other of its meter, currency and number
// of dimensions contradicts it in a shared one.
func free(t *testing.T, v *Version, price string) bool {
	t.Helper()
	p := &mustParse(t, version(price)).Prices[0]
	for i := range v.Prices {
		q := &v.Prices[i]
		if q.Meter != p.Meter || q.Currency != p.Currency || len(q.Match) != len(p.Match) {
			continue
		}
		contradict := false
		for _, a := range p.Match {
			for _, b := range q.Match {
				contradict = contradict || (a.Key == b.Key && a.Value != b.Value)
			}
		}
		if !contradict {
			return false
		}
	}
	return true
}

// TestMatchAgainstNaive compares the index with looking at every price.
func TestMatchAgainstNaive(t *testing.T) {
	hits := 0
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 5))
		v := randomBook(t, rng)
		for range 300 {
			s := Shape{Type: fmt.Sprint("m", rng.IntN(3))}
			for k := range 5 {
				if rng.IntN(3) > 0 {
					s.Dimensions = append(s.Dimensions, Dimension{fmt.Sprint("k", k), fmt.Sprint(rng.IntN(3))})
				}
			}
			c, _ := money.Lookup([]string{"USD", "JPY", "EUR"}[rng.IntN(3)])
			got, ok := v.Match(&s, c)
			want, wantOK := naiveMatch(t, v, &s, c)
			if ok != wantOK || (ok && got != want) {
				t.Fatalf("seed %d: %v in %s: price %d %v, want %d %v", seed, s, c, got, ok, want, wantOK)
			}
			if ok {
				hits++
			}
			checkCandidates(t, v, &s, c)
		}
		checkMatchKeys(t, v)
	}
	if hits < 1000 {
		t.Fatalf("only %d hits", hits)
	}
}

// checkCandidates compares with all prices whose dimensions the shape has.
func checkCandidates(t *testing.T, v *Version, s *Shape, c money.Currency) {
	t.Helper()
	got := v.Candidates(s, c)
	for i := range v.Prices {
		p := &v.Prices[i]
		matches := p.Meter == s.Type && p.Currency == c && !slices.ContainsFunc(p.Match, func(d Dimension) bool { return !slices.Contains(s.Dimensions, d) })
		if matches != slices.Contains(got, i) {
			t.Fatalf("%v: candidates %v, price %d matches: %v", s.Dimensions, got, i, matches)
		}
	}
	for i := 1; i < len(got); i++ {
		if len(v.Prices[got[i-1]].Match) <= len(v.Prices[got[i]].Match) {
			t.Fatalf("%v: candidates %v are not in order", s.Dimensions, got)
		}
	}
}

// TestMatchByLongValues looks for values that fit a row just so, or not, and for such that
// run into each other.
func TestMatchByLongValues(t *testing.T) {
	var dims [][]Dimension
	var prices []string
	room := len(row{}.values) - 1
	add := func(values ...string) {
		var match []string
		var list []Dimension
		for i, value := range values {
			list = append(list, Dimension{fmt.Sprint("k", i), value})
			match = append(match, fmt.Sprintf(`"k%d":%q`, i, value))
		}
		dims, prices = append(dims, list), append(prices, simple("{"+strings.Join(match, ",")+"}", `{"a":"1"}`))
	}
	for _, n := range []int{0, 1, room - 1, room, room + 1, 127, 128, 129, MaxDimensionBytes} {
		add(strings.Repeat("v", n))
	}
	for _, n := range []int{1, room/2 - 1, room / 2, room - 2, room - 1, room, 200} {
		add(strings.Repeat("v", n), strings.Repeat("v", room-min(n, room)))
		add(strings.Repeat("v", n), strings.Repeat("w", room-min(n, room)+1))
	}
	add("1", "23")
	add("12", "3")
	add("", "123")
	v := mustParse(t, version(prices...))
	for i := range dims {
		s := Shape{Type: "m", Dimensions: append(slices.Clone(dims[i]), Dimension{"z", "beside"})}
		if got, ok := v.Match(&s, v.Prices[0].Currency); !ok || got != i {
			t.Errorf("%v: price %d %v, want %d", dims[i], got, ok, i)
		}
		s.Dimensions[0].Value += "x"
		if got, ok := v.Match(&s, v.Prices[0].Currency); ok {
			t.Errorf("%v: price %d", s.Dimensions, got)
		}
	}
}

func checkMatchKeys(t *testing.T, v *Version) {
	t.Helper()
	got, want := map[[2]string]bool{}, map[[2]string]bool{}
	v.MatchKeys(func(meter, key string) { got[[2]string{meter, key}] = true })
	for i := range v.Prices {
		for _, d := range v.Prices[i].Match {
			want[[2]string{v.Prices[i].Meter, d.Key}] = true
		}
	}
	if len(got) != len(want) {
		t.Fatalf("keys %v, want %v", got, want)
	}
	for k := range want {
		if !got[k] {
			t.Fatalf("key %v is missing", k)
		}
	}
}

// TestPriceComponent finds components by name.
func TestPriceComponent(t *testing.T) {
	p := &mustParse(t, version(simple(`{}`, `{"b":"2","a":"1","d":"4"}`))).Prices[0]
	for name, want := range map[string]int{"a": 0, "b": 1, "c": -1, "d": 2, "": -1, "e": -1, "aa": -1} {
		if got := p.Component(name); got != want {
			t.Errorf("%q: %d, want %d", name, got, want)
		}
	}
}

// TestBookInForce puts versions in random order and asks at, between and beside them.
func TestBookInForce(t *testing.T) {
	var empty Book
	if empty.InForce(1<<62) != nil {
		t.Error("an empty book has nothing in force")
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		var b Book
		twin := map[int64]*Version{}
		for range 20 {
			v := &Version{EffectiveFrom: int64(rng.IntN(30))}
			_, taken := twin[v.EffectiveFrom]
			if b.Add(v) == taken {
				t.Fatalf("%d: taken %v", v.EffectiveFrom, taken)
			}
			if !taken {
				twin[v.EffectiveFrom] = v
			}
		}
		for at := int64(-2); at < 33; at++ {
			var want *Version
			for from := at; from >= 0 && want == nil; from-- {
				want = twin[from]
			}
			if got := b.InForce(at); got != want {
				t.Fatalf("at %d: %+v, want %+v", at, got, want)
			}
		}
	}
}
