package catalogue

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/shopspring/decimal"

	"farthing/meter"
)

// TestSize checks what the catalogue promises: at least 60 models of at least
// eight vendors, each with the page, the day and what was read.
func TestSize(t *testing.T) {
	models, sold := Open().Models(), map[string]int{}
	for _, m := range models {
		sold[m.Vendor]++
		if m.Page == "" || m.Read == "" || m.From == "" {
			t.Errorf("%s: page %q, read %q from %q", m.Names[0], m.Page, m.Read, m.From)
		}
	}
	if len(models) < 60 || len(sold) < 8 {
		t.Errorf("%d models of %d vendors", len(models), len(sold))
	}
	t.Logf("%d models: %v", len(models), sold)
}

func TestDocumentIsAccepted(t *testing.T) {
	c := Open()
	for _, at := range []time.Time{{}, time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC)} {
		if at.IsZero() {
			at = time.Unix(0, 0)
		}
		body := c.Document(at)
		if !bytes.Equal(body, Document(at)) {
			t.Error("two documents of one moment differ")
		}
		version, refused := meter.ParseVersion("catalogue", body)
		if refused != nil {
			t.Fatal(refused)
		}
		if version.EffectiveFrom != at.UnixNano() {
			t.Errorf("in force from %d, want %d", version.EffectiveFrom, at.UnixNano())
		}
		compareVersion(t, c.prices(at), version)
	}
}

// compareVersion checks every unit of the version against the decimal that the
// catalogue spells.
func compareVersion(t *testing.T, want []price, version *meter.Version) {
	t.Helper()
	byMatch := map[string]*meter.Price{}
	for i := range version.Prices {
		byMatch[matchKey(&version.Prices[i])] = &version.Prices[i]
	}
	if len(byMatch) != len(want) {
		t.Fatalf("the version has %d prices, the catalogue %d", len(byMatch), len(want))
	}
	for i := range want {
		w := &want[i]
		p := byMatch[w.model+" "+w.set.Tier]
		if p == nil || len(p.Components) != len(w.set.Components) || p.Currency.Code() != w.currency {
			t.Fatalf("%s %s: %v", w.model, w.set.Tier, p)
		}
		for k := range w.set.Components {
			compareComponent(t, w.model, &w.set.Components[k], &p.Components[k])
		}
	}
}

func matchKey(p *meter.Price) string {
	var model, tier string
	for _, d := range p.Match {
		if d.Key == "model" {
			model = d.Value
		} else {
			tier = d.Value
		}
	}
	return model + " " + tier
}

func compareComponent(t *testing.T, model string, want *Component, got *meter.ComponentPrice) {
	t.Helper()
	one := func(unit, per string) string { // per is a power of ten
		return decimal.RequireFromString(unit).Shift(1 - int32(len(per))).String()
	}
	if got.Name != want.Name || got.Unit.String() != one(want.Unit, want.Per) {
		t.Errorf("%s: %s %s, want %s per %s", model, got.Name, got.Unit, want.Unit, want.Per)
	}
	if (want.AboveTokens != "") != (len(got.Above) == 1) {
		t.Fatalf("%s %s: above %v, want %s", model, want.Name, got.Above, want.AboveTokens)
	}
	if want.AboveTokens == "" {
		return
	}
	above := got.Above[0]
	if above.Quantity.String() != want.AboveTokens || above.Unit.String() != one(want.AboveUnit, want.Per) {
		t.Errorf("%s: %s above %s %s, want above %s %s", model, got.Name, above.Quantity, above.Unit, want.AboveTokens, want.AboveUnit)
	}
	if !slices.Contains(got.Of, "input") || !slices.Contains(got.Of, "cached_input") || slices.Contains(got.Of, "output") {
		t.Errorf("%s: above looks at %v", model, got.Of)
	}
}

// TestSense looks for slips of the pen: a cache read dearer than input, a batch
// dearer than the standard tier, a priority cheaper, a threshold that lowers.
func TestSense(t *testing.T) {
	for _, m := range Open().Models() {
		standard := map[string]decimal.Decimal{}
		for _, set := range m.Sets(time.Time{}) {
			here := map[string]decimal.Decimal{}
			for _, c := range set.Components {
				here[c.Name] = decimal.RequireFromString(c.Unit)
				if c.AboveUnit != "" && decimal.RequireFromString(c.AboveUnit).LessThan(here[c.Name]) {
					t.Errorf("%s %s: %s is cheaper above %s", m.Names[0], set.Tier, c.Name, c.AboveTokens)
				}
				was, ok := standard[c.Name]
				switch d := here[c.Name].Cmp(was); {
				case !ok || set.Tier == "":
				case set.Tier == "priority" && d < 0, set.Tier != "priority" && d > 0:
					t.Errorf("%s %s: %s costs %s instead of %s", m.Names[0], set.Tier, c.Name, c.Unit, was)
				}
			}
			if here["cached_input"].GreaterThan(here["input"]) && set.Tier == "" {
				t.Errorf("%s: cached_input %s, input %s", m.Names[0], here["cached_input"], here["input"])
			}
			if set.Tier == "" {
				standard = here
			}
		}
	}
}

// TestOrdinaryUsage checks that what chat models usually report is priced.
func TestOrdinaryUsage(t *testing.T) {
	for _, m := range Open().Models() {
		for _, set := range m.Sets(time.Time{}) {
			has := func(name string) bool {
				return slices.ContainsFunc(set.Components, func(c Component) bool { return c.Name == name })
			}
			if !has("input") || !has("cached_input") || !has("cache_write") || has("output") != has("reasoning") {
				t.Errorf("%s %s lacks a price: %v", m.Names[0], set.Tier, set.Components)
			}
		}
	}
}

const sample = `
vendor: V
page: https://v.example/pricing
currency: USD
read: 2026-11-24
from: vendor-page
same_as: {image_input: cached_input}
models:
  - names: [m, m-1]
    standard: {input: "2", output: "8", web_search: "10", above: {tokens: "100", input: "4"}}
    batch: {output: "4"}
    changes:
      - from: 2026-12-01
        standard: {input: "3", output: "9"}
`

func sampleCatalogue(t *testing.T, text string) *Catalogue {
	t.Helper()
	c, err := read(fstest.MapFS{"vendors/v.yaml": {Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDocument(t *testing.T) {
	c := sampleCatalogue(t, sample)
	f := func(at, want string) {
		t.Helper()
		moment, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(c.Document(moment)); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", at, got, want)
		}
	}
	const above = `{"unit":"2","per":"1000000","above":[{"of":["cache_write","cached_input","image_input","input"],"quantity":"100","unit":"4","per":"1000000"}]}`
	line := func(match, input, output string) string {
		return `{"meter":"llm.tokens","currency":"USD","match":{` + match + `},"components":{` +
			`"cache_write":` + input + `,"cached_input":` + input + `,"image_input":` + input + `,"input":` + input +
			`,"output":{"unit":"` + output + `","per":"1000000"},"reasoning":{"unit":"` + output + `","per":"1000000"}`
	}
	const search = `,"web_search":{"unit":"10","per":"1000"}}}`
	before := line(`"model":"m"`, above, "8") + search + ",\n" + line(`"model":"m","service_tier":"batch"`, above, "4") + search + ",\n" +
		line(`"model":"m-1"`, above, "8") + search + ",\n" + line(`"model":"m-1","service_tier":"batch"`, above, "4") + search
	f("2026-11-30T23:59:59Z", `{"effective_from":"2026-11-30T23:59:59Z","prices":[`+"\n"+before+"\n]}\n")
	const three = `{"unit":"3","per":"1000000"}`
	f("2026-12-01T01:00:00+01:00", `{"effective_from":"2026-12-01T00:00:00Z","prices":[`+"\n"+
		line(`"model":"m"`, three, "9")+"}},\n"+line(`"model":"m-1"`, three, "9")+"}}\n]}\n")
}

func TestChanges(t *testing.T) {
	got := sampleCatalogue(t, sample).Changes()
	want := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	if len(got) != 1 || !got[0].At.Equal(want) || !slices.Equal(got[0].Models, []string{"m"}) {
		t.Errorf("%v", got)
	}
	changes := Open().Changes()
	if !slices.IsSortedFunc(changes, func(a, b Change) int { return a.At.Compare(b.At) }) {
		t.Errorf("not ascending: %v", changes)
	}
}

func TestStated(t *testing.T) {
	m := sampleCatalogue(t, sample).Models()[0]
	for _, set := range m.Sets(time.Time{}) {
		var stated []string
		for _, c := range set.Components {
			if c.Stated {
				stated = append(stated, c.Name)
			}
		}
		want := "input output web_search"
		if set.Tier == "batch" {
			want = "output"
		}
		if got := strings.Join(stated, " "); got != want {
			t.Errorf("%q states %s, want %s", set.Tier, got, want)
		}
	}
}

func TestInvalidFiles(t *testing.T) {
	f := func(old, changed string) {
		t.Helper()
		text := strings.Replace(sample, old, changed, 1)
		if text == sample {
			t.Fatalf("%q is not in the sample", old)
		}
		if _, err := read(fstest.MapFS{"vendors/v.yaml": {Data: []byte(text)}}); !errors.Is(err, ErrData) {
			t.Errorf("%q: %v", changed, err)
		}
	}
	f("vendor: V", "vendor: ''")
	f("vendor: V", "vender: V")
	f("https://v.example", "v.example")
	f("USD", "XBT")
	f("2026-11-24", "2026-11-31")
	f("vendor-page", "hearsay")
	f("vendor-page", "witness")
	f("image_input: cached_input", "image_input: web_search")
	f("image_input: cached_input", "pictures: input")
	f("[m, m-1]", "[]")
	f("[m, m-1]", "[m, '']")
	f("[m, m-1]", "[m, m]")
	f("[m, m-1]", "[m]\n    checked: 2026-11-25")
	f("[m, m-1]", "[m]\n    witness: https://w.example")
	f("[m, m-1]", "[m]\n    copies: [w.example]")
	f(`input: "2"`, `input: "-2"`)
	f(`input: "2"`, `input: "2e0"`)
	f(`input: "2"`, `input: "0.0000000000001"`)
	f(`input: "2"`, `tokens_in: "2"`)
	f(`tokens: "100"`, `tokens: "0"`)
	f(`tokens: "100", input: "4"`, `tokens: "100", reasoning: "4"`)
	f(`tokens: "100", input: "4"`, `tokens: "100", web_search: "4"`)
	f(`{output: "4"}`, `{reasoning: "4"}`)
	f("batch:", "overnight:")
	f("from: 2026-12-01", "from: 0000-12-01")
	f("from: 2026-12-01", "from: soon")
	f(`standard: {input: "3", output: "9"}`, `batch: {output: "4"}`)
	f("currency: USD\n", "currency: USD\n---\n")
}
