package meter

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"farthing/refusal"
)

// price wraps prices into a version document.
func version(prices ...string) string {
	return `{"effective_from":"2026-01-01T00:00:00Z","prices":[` + strings.Join(prices, ",") + `]}`
}

// simple is a price with the given match and components.
func simple(match, components string) string {
	return `{"meter":"m","currency":"USD","match":` + match + `,"components":` + components + `}`
}

// component is a version of one price with one component.
func oneComponent(price string) string { return version(simple(`{}`, `{"input":`+price+`}`)) }

func mustParse(t testing.TB, body string) *Version {
	t.Helper()
	v, refused := ParseVersion("v", []byte(body))
	if refused != nil {
		t.Fatalf("%s: %v", body, refused)
	}
	return v
}

// TestUnitPrices is the table of how a component may be priced and what is made of it.
func TestUnitPrices(t *testing.T) {
	f := func(text, unit string, decimals int) {
		t.Helper()
		v := mustParse(t, oneComponent(text))
		if c := v.Prices[0].Components[0]; c.Name != "input" || c.Unit.String() != unit || c.QuantityDecimals != decimals {
			t.Errorf("%s: %s, %d", text, c.Unit, c.QuantityDecimals)
		}
	}
	f(`"0.0000025"`, "0.0000025", 0)
	f(`1.25e-06`, "0.00000125", 0)
	f(`0`, "0", 0)
	f(`"0"`, "0", 0)
	f(`3`, "3", 0)
	f(`"2.50"`, "2.5", 0)
	f(`"0.000000000000000001"`, "0.000000000000000001", 0)
	f(`1e-18`, "0.000000000000000001", 0)
	f(`"1000000000000"`, "1000000000000", 0)
	f(`{"unit":"2.5","per":"1000000"}`, "0.0000025", 0)
	f(`{"unit":"2.5","per":1000000}`, "0.0000025", 0)
	f(`{"unit":"10","per":"4"}`, "2.5", 0)
	f(`{"unit":"9","per":"3"}`, "3", 0)
	f(`{"unit":"0","per":"7"}`, "0", 0)
	f(`{"unit":0.5}`, "0.5", 0)
	f(`{"unit":"0.5","quantity_decimals":6}`, "0.5", 6)
	f(`{"unit":"0.000000000001","quantity_decimals":6}`, "0.000000000001", 6)
	f(`{"unit":"0.000000000000000001","quantity_decimals":0}`, "0.000000000000000001", 0)
	f(`{"unit":"1","per":"1000","quantity_decimals":2}`, "0.001", 2)
}

// TestBadVersions is the table of what a version is refused for; each row names words of
// every problem it has.
func TestBadVersions(t *testing.T) {
	f := func(body string, words ...string) {
		t.Helper()
		v, refused := ParseVersion("v", []byte(body))
		if refused == nil {
			t.Errorf("%s: taken as %s", body, v.Canonical)
			return
		}
		if refused.Code != refusal.Invalid || refused.Reason != "invalid_version" || !strings.HasPrefix(refused.Detail, refused.Problems[0]) {
			t.Errorf("%.200s: %+v", body, refused)
		}
		for _, w := range words {
			if !strings.Contains(strings.Join(refused.Problems, "; "), w) {
				t.Errorf("%s:\n%s\ndoes not say %q", body, refused.Problems, w)
			}
		}
	}
	f(``, "unexpected end")
	f(`[]`)
	f(`{"effective_from":"2026-01-01T00:00:00Z"}`, "prices is empty")
	f(`{"prices":[]}`, "effective_from", "prices is empty")
	f(`{"effective_from":"yesterday","prices":[]}`, "RFC 3339", "prices is empty")
	f(`{"effective_from":"1969-12-31T23:59:59Z","prices":[]}`, "between 1970 and 2200")
	f(`{"effective_from":"2201-01-01T00:00:00Z","prices":[]}`, "between 1970 and 2200")
	f(`{"effective_from":"2026-01-01T00:00:00Z","prices":[],"note":1}`, `unknown field "note"`)
	f(version(`{"meter":"m","currency":"USD","match":{},"components":{"a":"1"},"colour":"red"}`), `unknown field "colour"`)
	f(version(`{"meter":"m m","currency":"USD","match":{},"components":{"a":"1"}}`), "prices[0]: meter must be an id")
	f(version(`{"meter":"m","currency":"usd","match":{},"components":{"a":"1"}}`), `unknown currency "usd"`)
	f(version(`{"meter":"m","match":{},"components":{"a":"1"}}`), `unknown currency ""`)
	f(version(`{"meter":"m","currency":"USD","match":{},"components":{}}`), "components must be 1 to 32")
	f(version(`{"meter":"m","currency":"USD","match":{}}`), "components must be 1 to 32")
	f(version(simple(`{}`, manyComponents(33))), "components must be 1 to 32")
	f(version(simple(`{}`, `{"in put":"1"}`)), "prices[0].components.in put: not a component name")
	f(version(simple(`{"usage":"x"}`, `{"a":"1"}`)), `"usage" is no dimension`)
	f(version(simple(`{"":"x"}`, `{"a":"1"}`)), `"" is no dimension`)
	f(version(simple(`{"`+strings.Repeat("k", 65)+`":"x"}`, `{"a":"1"}`)), "is no dimension")
	f(version(simple(`{"k":"`+strings.Repeat("v", 257)+`"}`, `{"a":"1"}`)), "match.k is longer than 256 bytes")
	f(version(simple(`{"k":null}`, `{"a":"1"}`)), "match.k must be a string, number or boolean")
	f(version(simple(`{"k":["x"]}`, `{"a":"1"}`)), "match.k must be")
	f(version(simple(`{"k":{}}`, `{"a":"1"}`)), "match.k must be")
	f(version(simple(manyDimensions(17), `{"a":"1"}`)), "more than 16 dimensions")
	for _, payee := range []string{"a b", strings.Repeat("p", 129)} {
		f(version(`{"meter":"m","currency":"USD","match":{},"components":{"a":"1"},"payee":"`+payee+`"}`), "payee must be an account id")
	}
	for _, fee := range []string{`"-0.1"`, `"1.000000000000000001"`, `2`, `"x"`, `true`, `null`, `[]`} {
		f(version(`{"meter":"m","currency":"USD","match":{},"components":{"a":"1"},"fee":`+fee+`}`), "fee must be a decimal fraction")
	}
	for price, words := range badPrices() {
		f(oneComponent(price), "prices[0].components.input", words)
	}
	f(`{"effective_from":"2026-01-01T00:00:00Z","prices":[`+strings.Repeat(`{},`, MaxPrices)+`{}]}`, "at most 50000 prices")
}

func badPrices() map[string]string {
	return map[string]string{
		`"-1"`:                               "must not be negative",
		`-1e-3`:                              "must not be negative",
		`"0.0000000000000000001"`:            "too many decimal places",
		`1e-19`:                              "too many decimal places",
		`"1e-6"`:                             "price",
		`"+1"`:                               "price",
		`""`:                                 "price",
		`true`:                               "price",
		`null`:                               "must be a decimal string",
		`[]`:                                 "must be a decimal string",
		`"1000000000000.000000000000000001"`: "at most 1000000000000",
		`"999999999999999999999"`:            "price",
		`{"per":"10"}`:                       "must be a decimal string",
		`{"unit":"1","per":"0"}`:             "per must be a whole number above 0",
		`{"unit":"1","per":"0.5"}`:           "per must be a whole number above 0",
		`{"unit":"1","per":"-1"}`:            "per must be a whole number above 0",
		`{"unit":"1","per":null}`:            "per must be a whole number above 0",
		`{"unit":"1","per":"3"}`:             "not exact at 18 decimals",
		`{"unit":"0.000000000000000001","per":"10"}`:       "not exact at 18 decimals",
		`{"unit":"1","quantity_decimals":7}`:               "quantity_decimals must be 0 to 6",
		`{"unit":"1","quantity_decimals":-1}`:              "quantity_decimals must be 0 to 6",
		`{"unit":"1","quantity_decimals":1.5}`:             "quantity_decimals must be 0 to 6",
		`{"unit":"0.0000000000001","quantity_decimals":6}`: "(13) and quantity_decimals (6) must add up to at most 18",
		`{"unit":"1","Per":"10"}`:                          `unknown field "Per"`,
	}
}

func manyComponents(n int) string {
	var parts []string
	for i := range n {
		parts = append(parts, fmt.Sprintf(`"c%d":"1"`, i))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func manyDimensions(n int) string {
	var parts []string
	for i := range n {
		parts = append(parts, fmt.Sprintf(`"d%d":"1"`, i))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// TestFeeNeedsPayee refuses a share of what nobody but the operator earns, unless that is said.
func TestFeeNeedsPayee(t *testing.T) {
	f := func(earnings, want string) {
		t.Helper()
		text := version(`{"meter":"m","currency":"USD","match":{},"components":{"a":"1"},` + earnings + `}`)
		v, refused := ParseVersion("v", []byte(text))
		switch {
		case refused == nil:
			checkCanonical(t, v)
		case v.Unlisted > 0 || len(refused.Problems) != 1:
			t.Errorf("%s: %q", earnings, refused.Problems)
		}
		if refused != nil {
			if got := refused.Problems[0]; got != want {
				t.Errorf("%s: %s", earnings, got)
			}
		} else if want != "" {
			t.Errorf("%s: taken as %s", earnings, v.Canonical)
		}
		if _, refused := ReadVersion("v", []byte(text)); (refused == nil) != (want == "" || want == forgotten) {
			t.Errorf("%s: read %v", earnings, refused)
		}
	}
	f(`"fee":"0.1"`, forgotten)
	f(`"fee":"1","payee":""`, forgotten)
	f(`"fee":0`, "")
	f(`"fee":"0.0","payee":""`, "")
	f(`"fee":"0.1","payee":"p"`, "")
	f(`"fee":"0.1","payee":"operator"`, "")
	f(`"fee":"0.1","payee":"a b"`, "prices[0]: payee must be an account id")
	f(`"fee":"0.1","payee":null`, "prices[0]: payee must be an account id")
	f(`"fee":"7"`, `prices[0]: fee must be a decimal fraction from "0" to "1"`)
}

const forgotten = `prices[0]: fee is a share of what a payee earns, and payee is missing`

// TestEveryProblemIsListed puts many faults into one version; a thousand are told, with a
// word that there are more.
func TestEveryProblemIsListed(t *testing.T) {
	_, refused := ParseVersion("v", []byte(`{"effective_from":"never","prices":[
		{"meter":"","currency":"EURO","match":{"usage":1},"components":{"a":"-1","b":"x"},"fee":"7"},
		{"meter":"m","currency":"USD","components":{"c":{"unit":"1","per":"3"}}}]}`))
	if refused == nil {
		t.Fatal("taken")
	}
	if len(refused.Problems) != 8 {
		t.Errorf("%d problems: %q", len(refused.Problems), refused.Problems)
	}
	v, refused := ParseVersion("v", []byte(version(strings.Repeat(`{},`, 500)+`{}`)))
	list := refused.Problems
	if len(list) != MaxProblems+1 || list[MaxProblems] != "and 503 more" || v.Unlisted != 503 {
		t.Errorf("%d problems, the last is %q, %d are not listed", len(list), list[len(list)-1], v.Unlisted)
	}
}

// TestAmbiguity is the table of which prices may stand beside each other.
func TestAmbiguity(t *testing.T) {
	f := func(want string, matches ...string) {
		t.Helper()
		var prices []string
		for _, m := range matches {
			prices = append(prices, simple(m, `{"a":"1"}`))
		}
		v, refused := ParseVersion("v", []byte(version(prices...)))
		switch {
		case want == "" && refused != nil:
			t.Errorf("%q: %v", matches, refused)
		case want != "" && refused == nil:
			t.Errorf("%q: taken as %s", matches, v.Canonical)
		case want != "" && !strings.Contains(refused.Detail, want):
			t.Errorf("%q: %q does not say %q", matches, refused.Detail, want)
		}
	}
	f("", `{}`)
	f("", `{}`, `{"model":"a"}`)
	f("", `{"model":"a"}`, `{"model":"b"}`)
	f("", `{"model":"a","region":"x"}`, `{"model":"a"}`, `{}`)
	f("", `{"model":"a","region":"x"}`, `{"model":"b","tier":"y"}`)
	f("", `{"k":1}`, `{"k":2}`, `{"k":true}`)
	f("prices[0] and prices[1] match the same events", `{}`, `{}`)
	f("prices[0] and prices[2] match the same events", `{"m":"a"}`, `{}`, `{"m":"a"}`)
	f("match the same events", `{"a":"1","b":"2"}`, `{"b":"2","a":"1"}`)
	f("match the same events", `{"k":"1"}`, `{"k":1}`) // dimensions are text
	f("prices[0] and prices[1] of meter m are ambiguous", `{"model":"a"}`, `{"region":"x"}`)
	f("ambiguous", `{"model":"a","region":"x"}`, `{"model":"a","tier":"y"}`)
	f("prices[1] and prices[2]", `{}`, `{"a":"1","b":"1","c":"1"}`, `{"b":"1","c":"1","d":"1"}`)
	// The joined values of two prices must not run into each other.
	f("", `{"a":"1","b":"23"}`, `{"a":"12","b":"3"}`)

	other := strings.Replace(simple(`{}`, `{"a":"1"}`), `"USD"`, `"EUR"`, 1)
	meter := strings.Replace(simple(`{}`, `{"a":"1"}`), `"m"`, `"n"`, 1)
	mustParse(t, version(simple(`{}`, `{"a":"1"}`), other, meter))
}

// TestCanonical shows what is the same content, and that the canonical document is a
// document: parsed again it gives itself, so that what the journal keeps can be read.
func TestCanonical(t *testing.T) {
	f := func(a string, same bool, b string) {
		t.Helper()
		x, y := mustParse(t, a), mustParse(t, b)
		if bytes.Equal(x.Canonical, y.Canonical) != same {
			t.Errorf("%s\n%s", x.Canonical, y.Canonical)
		}
		for _, v := range []*Version{x, y} {
			checkCanonical(t, v)
		}
	}
	base := version(`{"meter":"m","currency":"USD","match":{"a":"1","b":"x"},"components":{"in":"0.5","out":"2"}}`)
	f(base, true, version(`{"components":{"out":2,"in":"0.50"},"match":{"b":"x","a":1},"currency":"USD","meter":"m","payee":"operator","fee":"0.0"}`))
	f(base, true, version(`{"meter":"m","currency":"USD","match":{"a":"1","b":"x"},"components":{"in":{"unit":"5","per":"10"},"out":{"unit":2,"quantity_decimals":0}}}`))
	f(base, false, version(`{"meter":"m","currency":"USD","match":{"a":"1","b":"x"},"components":{"in":{"unit":"0.5","quantity_decimals":1},"out":"2"}}`))
	f(base, false, version(`{"meter":"m","currency":"USD","match":{"a":"1","b":"x"},"components":{"in":"0.5","out":"2"},"payee":"p"}`))
	f(base, false, version(`{"meter":"m","currency":"USD","match":{"a":"1","b":"x"},"components":{"in":"0.5","out":"2"},"payee":"operator","fee":"0.01"}`))
	f(base, true, strings.Replace(base, "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", 1))
	f(base, false, strings.Replace(base, "00:00:00Z", "00:00:00.000000001Z", 1))
	f(version(simple(`{}`, `{"a":"1"}`)), true, version(`{"meter":"m","currency":"USD","components":{"a":"1"}}`))
	f(version(simple(`{"k":"<&>\u2028\"\\é"}`, `{"a":"1"}`)), false, version(simple(`{"k":""}`, `{"a":"1"}`)))
	f(version(simple(`{"k":false}`, `{"a":"1"}`)), true, version(simple(`{"k":"false"}`, `{"a":"1"}`)))
}

func checkCanonical(t testing.TB, v *Version) {
	t.Helper()
	again, refused := ParseVersion(v.ID, v.Canonical)
	if refused != nil {
		t.Errorf("the canonical form is refused: %v\n%s", refused, v.Canonical)
		return
	}
	if !bytes.Equal(again.Canonical, v.Canonical) || again.EffectiveFrom != v.EffectiveFrom || len(again.Prices) != len(v.Prices) {
		t.Errorf("parsed again:\n%s\n%s", v.Canonical, again.Canonical)
	}
}

// TestEffectiveFromIsAMomentNotItsSpelling puts versions at the edges of the years that
// are allowed, told in another zone: whatever is taken must be readable from the journal.
func TestEffectiveFromIsAMomentNotItsSpelling(t *testing.T) {
	f := func(text string, ok bool) {
		t.Helper()
		v, refused := ParseVersion("v", []byte(strings.Replace(oneComponent(`"1"`), "2026-01-01T00:00:00Z", text, 1)))
		if ok != (refused == nil) {
			t.Errorf("%s: %v", text, refused)
		}
		if refused == nil {
			checkCanonical(t, v)
		}
	}
	f("1970-01-01T00:00:00Z", true)
	f("1970-01-01T00:30:00+01:00", false)
	f("1969-12-31T23:30:00-01:00", true)
	f("2200-12-31T23:59:59.999999999Z", true)
	f("2200-12-31T23:30:00-01:00", false)
	f("2201-01-01T00:30:00+01:00", true)
}

// TestParsedTimes shows the moment that is kept.
func TestParsedTimes(t *testing.T) {
	v := mustParse(t, strings.Replace(oneComponent(`"1"`), "2026-01-01T00:00:00Z", "2026-01-01T02:03:04.5+02:00", 1))
	if want := time.Date(2026, 1, 1, 0, 3, 4, 5e8, time.UTC).UnixNano(); v.EffectiveFrom != want {
		t.Errorf("%d, want %d", v.EffectiveFrom, want)
	}
}

// FuzzParseVersion feeds documents: what is taken must have a canonical form that is a
// fixed point, and what is refused must be fit for looking at.
func FuzzParseVersion(f *testing.F) {
	f.Add([]byte(version(simple(`{"a":"1"}`, `{"in":{"unit":"1","per":"8","quantity_decimals":2}}`))))
	f.Add([]byte(version(`{"meter":"m","currency":"JPY","match":{"a":1e3},"components":{"x":1e-7},"payee":"p","fee":"0.25"}`)))
	f.Add([]byte(`{"effective_from":"1970-01-01T00:30:00+01:00","prices":[]}`))
	f.Add([]byte(version(simple(`{"a":"1"}`, `{"in":{"graduated":[{"up_to":"5","unit":"1"},{"unit":"2","flat":"3"}],"period":"window"}}`), simple(`{"b":"1"}`, `{"in":{"volume":[{"unit":1}]}}`))))
	f.Add([]byte(version(simple(`{}`, `{"in":{"unit":"1","minimum":"3","above":[{"of":["in"],"quantity":"1","unit":"2"}]},"out":{"unit":1,"included":"7"},"x":{"unit":1,"package":"7"}}`))))
	f.Fuzz(func(t *testing.T, body []byte) {
		v, refused := ParseVersion("v", body)
		if refused == nil {
			checkCanonical(t, v)
		}
		for i := 0; v != nil && i < len(v.Prices); i++ {
			p := &v.Prices[i]
			s := Shape{Type: p.Meter, Dimensions: p.Match}
			if _, ok := v.Match(&s, p.Currency); !ok && refused == nil {
				t.Errorf("price %d is not found", i)
			}
			v.Candidates(&s, p.Currency)
		}
	})
}
