package meter

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"farthing/money"
)

func problemsOf(t *testing.T, body string) (*Version, []string) {
	t.Helper()
	v, refused := ParseVersion("v", []byte(body))
	if refused == nil {
		t.Fatalf("taken as %s", v.Canonical)
	}
	return v, refused.Problems
}

// TestAllKindsOfProblems puts faults of every kind into one version: they are told in the
// order of the prices, ambiguous ones too although other prices cannot be read.
func TestAllKindsOfProblems(t *testing.T) {
	v, got := problemsOf(t, `{"effective_from":"soon","colour":1,"prices":[
		{"meter":"m","currency":"USD","match":{"model":"a"},"components":{"in":"-1"}},
		7,
		{"meter":"m","currency":"???","match":{"model":"a"},"components":{"in":"1"},"size":3,"payee":5,"fee":"2"},
		{"meter":"m","currency":"USD","match":{"region":"x"},"components":{"in":{"graduated":[{"up_to":"5","unit":"1"}]},"out":"2"},"payee":"p"},
		{"meter":"m","currency":"USD","match":{"model":"a"},"components":{"out":"3"}},
		{"meter":"m","meter":"m","currency":"USD","match":[],"components":null},
		{"meter":"m","currency":"USD","match":{"a":"1","a":"1"},"components":{"in":"1","in":"2"}},
		{"currency":"USD","components":[]}]}`)
	want := []string{
		"effective_from must be an RFC 3339 time",
		`unknown field "colour"`,
		"prices[0].components.in: a price must not be negative",
		"prices[0] and prices[3] of meter m are ambiguous: they match on model and region and do not contradict",
		"prices[0] and prices[4] match the same events",
		"prices[1] must be an object",
		`prices[2]: fee must be a decimal fraction from "0" to "1"`,
		"prices[2]: payee must be an account id",
		`prices[2]: unknown currency "???"`,
		`prices[2]: unknown field "size"`,
		"prices[3].components.in: graduated[0].up_to leaves quantities above it without a price: the last tier must be open",
		"prices[3] and prices[4] of meter m are ambiguous: they match on model and region and do not contradict",
		"prices[5]: components must be 1 to 32",
		"prices[5]: match must be an object",
		"prices[5]: meter is given twice",
		"prices[6]: components.in is given twice",
		"prices[6]: match.a is given twice",
		"prices[7]: components must be an object",
		"prices[7]: meter must be an id",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
	if len(v.Prices) != 8 || v.Prices[3].Payee != "p" || len(v.Prices[3].Components) != 1 || v.Prices[4].Components[0].Unit.String() != "3" ||
		v.Prices[2].Payee != "" || !v.Prices[2].Currency.IsZero() || v.Prices[1].Meter != "" || v.Canonical != nil {
		t.Errorf("%+v", v.Prices)
	}
	usd, _ := money.Lookup("USD")
	if got := v.Candidates(&Shape{Type: "m", Dimensions: []Dimension{{"model", "a"}}}, usd); !slices.Equal(got, []int{0}) {
		t.Errorf("candidates %v", got)
	}
}

// TestNoDocument has nothing to return beside the refusal.
func TestNoDocument(t *testing.T) {
	for _, body := range []string{``, `{`, `[]`, `null`, `3`, `{} {}`, `{"prices":[}`, "{\"a\":\"\x01\"}"} {
		v, refused := ParseVersion("v", []byte(body))
		if v != nil || refused == nil || len(refused.Problems) != 1 || refused.Problems[0] != refused.Detail {
			t.Errorf("%q: %v %+v", body, v, refused)
		}
	}
	for _, body := range []string{`{}`, `{"prices":null}`, `{"prices":7}`} {
		if v, refused := ParseVersion("v", []byte(body)); v == nil || refused == nil || len(v.Prices) != 0 {
			t.Errorf("%q: %v %+v", body, v, refused)
		}
	}
}

// TestFirstProblemsAreKept finds problems in random order: the first hundred by price and
// text are listed, and the others are counted.
func TestFirstProblemsAreKept(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 3))
		var p problems
		var all []problem
		for range rng.IntN(700) {
			price, text := rng.IntN(150)-1, fmt.Sprint("text ", rng.IntN(5))
			all = append(all, problem{price, none, text})
			p.problem(price, "%s", text)
		}
		slices.SortFunc(all, problem.compare)
		var want []string
		for i := range min(len(all), maxProblems) {
			want = append(want, all[i].text)
		}
		if more := len(all) - maxProblems; more > 0 {
			want = append(want, fmt.Sprintf("and %d more", more))
		}
		refused := p.refusal()
		switch {
		case len(all) == 0 && refused != nil, len(all) > 0 && refused == nil:
			t.Fatalf("seed %d: %+v", seed, refused)
		case refused != nil && !slices.Equal(refused.Problems, want):
			t.Fatalf("seed %d: %q\nwant %q", seed, refused.Problems, want)
		}
		if len(p.first) > 2*maxProblems {
			t.Fatalf("%d problems are kept", len(p.first))
		}
	}
}

// TestManyAmbiguousPrices makes every price of one list of dimensions ambiguous with every
// one of another.
func TestManyAmbiguousPrices(t *testing.T) {
	var prices []string
	for i := range 300 {
		prices = append(prices, simple(fmt.Sprintf(`{"k%d":"%d"}`, i%2, i), `{"a":"1"}`))
	}
	_, got := problemsOf(t, version(prices...))
	if len(got) != maxProblems+1 || got[maxProblems] != fmt.Sprintf("and %d more", 150*150-maxProblems) ||
		!strings.HasPrefix(got[0], "prices[0] and prices[1] of meter m are ambiguous") {
		t.Errorf("%q … %q", got[0], got[len(got)-1])
	}
}

// TestKeySetsAreBounded gives each price a dimension of its own.
func TestKeySetsAreBounded(t *testing.T) {
	f := func(n int) []string {
		var prices []string
		for i := range n {
			prices = append(prices, simple(fmt.Sprintf(`{"model":"m%d","own%d":"x"}`, i, i), `{"a":"1"}`))
		}
		prices = append(prices, simple(`{"model":"z"}`, `{"a":"1"}`), simple(`{}`, `{"a":"1"}`))
		_, refused := ParseVersion("v", []byte(version(prices...)))
		if refused == nil {
			return nil
		}
		return refused.Problems
	}
	if got := f(MaxKeySets - 2); got != nil {
		t.Errorf("%q", got)
	}
	want := []string{
		"prices[128]: the prices of meter m in USD match on more than 128 different lists of dimensions",
		"prices[129]: the prices of meter m in USD match on more than 128 different lists of dimensions",
	}
	if got := f(MaxKeySets); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
