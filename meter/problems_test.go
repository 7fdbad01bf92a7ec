package meter

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

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
// order of the prices, and after them what prices contradict, although other prices cannot
// be read.
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
		"prices[1] must be an object",
		`prices[2]: fee must be a decimal fraction from "0" to "1"`,
		"prices[2]: payee must be an account id",
		`prices[2]: unknown currency "???"`,
		`prices[2]: unknown field "size"`,
		"prices[3].components.in: graduated[0].up_to leaves quantities above it without a price: the last tier must be open",
		"prices[5]: components must be 1 to 32",
		"prices[5]: match must be an object",
		"prices[5]: meter is given twice",
		"prices[6]: components.in is given twice",
		"prices[6]: match.a is given twice",
		"prices[7]: components must be an object",
		"prices[7]: meter must be an id",
		"prices[0] and prices[3] of meter m are ambiguous: they match on model and region and do not contradict (the first of 2 such pairs)",
		"prices[0] and prices[4] match the same events",
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

// TestFirstProblemsAreKept finds problems in random order: the first thousand by rank, price
// and text are listed, and the others are counted.
func TestFirstProblemsAreKept(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 3))
		var p problems
		var all []problem
		for range rng.IntN(7000) {
			price, text := rng.IntN(1500)-1, fmt.Sprint("text ", rng.IntN(5))
			rank := rank(rng.IntN(3))
			all = append(all, problem{rank, price, none, text})
			p.tell(rank, price, none, "%s", text)
		}
		slices.SortFunc(all, problem.compare)
		var want []string
		for i := range min(len(all), MaxProblems) {
			want = append(want, all[i].text)
		}
		if more := len(all) - MaxProblems; more > 0 {
			want = append(want, fmt.Sprintf("and %d more", more))
		}
		refused := p.refusal()
		switch {
		case len(all) == 0 && refused != nil, len(all) > 0 && refused == nil:
			t.Fatalf("seed %d: %+v", seed, refused)
		case refused != nil && !slices.Equal(refused.Problems, want):
			t.Fatalf("seed %d: %q\nwant %q", seed, refused.Problems, want)
		}
		if len(p.first) > 2*MaxProblems {
			t.Fatalf("%d problems are kept", len(p.first))
		}
	}
}

// TestManyAmbiguousPrices makes every price of one list of dimensions ambiguous with every
// one of another: that is one problem, and nothing else is left out for it.
func TestManyAmbiguousPrices(t *testing.T) {
	var prices []string
	for i := range 300 {
		prices = append(prices, simple(fmt.Sprintf(`{"k%d":"%d"}`, i%2, i), `{"a":"1"}`))
	}
	prices = append(prices, `{"meter":"m","currency":"USD","match":{"k0":"x","k1":"y"},"components":{"in":"-1","out":"NaN"},"payee":"p","fee":"7"}`)
	_, got := problemsOf(t, version(prices...))
	want := []string{
		"prices[300].components.in: a price must not be negative",
		`prices[300].components.out: price "NaN": money: not a decimal number`,
		`prices[300]: fee must be a decimal fraction from "0" to "1"`,
		"prices[0] and prices[1] of meter m are ambiguous: they match on k0 and k1 and do not contradict (the first of 22500 such pairs)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

// TestAmbiguityOfEachPairOfLists has the currencies and the lists of dimensions apart, and
// finds the first pair of each wherever it stands.
func TestAmbiguityOfEachPairOfLists(t *testing.T) {
	euro := func(match string) string { return strings.Replace(simple(match, `{"a":"1"}`), "USD", "EUR", 1) }
	_, got := problemsOf(t, version(simple(`{"k":"1","c":"9"}`, `{"a":"1"}`), simple(`{"k":"2","b":"1"}`, `{"a":"1"}`), simple(`{"k":"3","d":"1"}`, `{"a":"1"}`),
		simple(`{"k":"2","c":"2"}`, `{"a":"1"}`), simple(`{"k":"2","c":"1"}`, `{"a":"1"}`), simple(`{"k":"2","d":"1"}`, `{"a":"1"}`),
		euro(`{"k":"1"}`), euro(`{"l":"1"}`), euro(`{"l":"1"}`), euro(`{"l":"1"}`)))
	want := []string{
		"prices[1] and prices[3] of meter m are ambiguous: they match on b,k and c,k and do not contradict (the first of 2 such pairs)",
		"prices[1] and prices[5] of meter m are ambiguous: they match on b,k and d,k and do not contradict",
		"prices[3] and prices[5] of meter m are ambiguous: they match on c,k and d,k and do not contradict (the first of 2 such pairs)",
		"prices[6] and prices[7] of meter m are ambiguous: they match on k and l and do not contradict (the first of 3 such pairs)",
		"prices[7] and prices[8] match the same events",
		"prices[7] and prices[9] match the same events",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

// TestProblemsAreShort has names of the largest size in everything that is told.
func TestProblemsAreShort(t *testing.T) {
	keys := func(c string) string {
		var list []string
		for i := range MaxDimensions {
			list = append(list, fmt.Sprintf(`"%s%02d":"1"`, strings.Repeat(c, MaxDimensionKeyBytes-2), i))
		}
		return "{" + strings.Join(list, ",") + "}"
	}
	meter := strings.Repeat("m", MaxIDBytes)
	long := func(match string) string {
		return fmt.Sprintf(`{"meter":%q,"currency":"USD","match":%s,"components":{"a":"1"}}`, meter, match)
	}
	_, refused := ParseVersion("v", []byte(version(long(keys("x")), long(keys("y")), long(keys("x")), `{"`+strings.Repeat("z", 5000)+`":1}`)))
	last := refused.Problems[len(refused.Problems)-2]
	if !strings.HasSuffix(last, "… and do not contradict (the first of 2 such pairs)") {
		t.Errorf("%q", last)
	}
	for _, p := range refused.Problems {
		if len(p) > maxProblemBytes {
			t.Errorf("%d bytes: %s", len(p), p)
		}
	}
	var p problems
	p.problem(0, "%s", strings.Repeat("é", maxProblemBytes))
	if got := p.refusal().Problems[0]; len(got) > maxProblemBytes || len(got) < maxProblemBytes-1 || !utf8.ValidString(got) || !strings.HasSuffix(got, "é…") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}

// TestDetailIsShort has the first three problems, and how many more there are, listed or not.
func TestDetailIsShort(t *testing.T) {
	f := func(n int, want string) {
		t.Helper()
		var p problems
		for i := range n {
			p.problem(i, "fault %d", i)
		}
		if got := p.refusal(); got.Detail != want || len(got.Problems) != min(n, MaxProblems+1) {
			t.Errorf("%d: %q, %d problems", n, got.Detail, len(got.Problems))
		}
	}
	f(1, "fault 0")
	f(3, "fault 0; fault 1; fault 2")
	f(4, "fault 0; fault 1; fault 2; and 1 more")
	f(MaxProblems+24, "fault 0; fault 1; fault 2; and 1021 more")
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
		"prices[128]: the prices of meter m in USD match on more than 128 different lists of dimensions: 2 prices have further ones",
	}
	if got := f(MaxKeySets); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
