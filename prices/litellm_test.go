package prices

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"farthing/meter"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files; read the diff")

func importText(t *testing.T, text []byte, opts Options) (*Document, *Report) {
	t.Helper()
	doc, report, err := ImportLiteLLM(text, opts)
	if err != nil {
		t.Fatal(err)
	}
	if priced := models(doc); priced+len(report.Listed) != report.Entries {
		t.Errorf("%d models and %d listed do not make %d entries", priced, len(report.Listed), report.Entries)
	}
	return doc, report
}

// models counts the models that have a price.
func models(doc *Document) int {
	seen := map[string]bool{}
	for i := range doc.Prices {
		seen[doc.Prices[i].Match[0].Value] = true
	}
	return len(seen)
}

// accept fails the test unless the server's own parser takes the document.
func accept(t *testing.T, body []byte) *meter.Version {
	t.Helper()
	version, refused := meter.ParseVersion("v1", body)
	if refused != nil {
		t.Fatalf("the document is refused: %v", refused)
	}
	return version
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; got:\n%s", path, got)
	}
}

// TestSample shows every kind of field and every reason once.
func TestSample(t *testing.T) {
	text, err := os.ReadFile("testdata/sample.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, report := importText(t, text, Options{})
	body := doc.AppendJSON(nil)
	accept(t, body)
	golden(t, "sample.book.json", body)
	var out bytes.Buffer
	if err := report.Write(&out, true); err != nil {
		t.Fatal(err)
	}
	golden(t, "sample.report.txt", out.Bytes())
	for _, reason := range []Reason{
		NotAnObject, BadModel, ModelTwice, FieldTwice, NoPrice, NothingUsable, EverythingFree, TooManyComponents,
		EntryListed, OtherUnit, SecondUnit, ZeroFiller, Disagreement, UnknownField, Provenance, VideoInterval, NoBase, NoPrompt, BadRange, NotANumber, NegativePrice, BadNumber,
	} {
		if !strings.Contains(out.String(), string(reason)) {
			t.Errorf("the sample has no case of %q", reason)
		}
	}
}

func TestOptions(t *testing.T) {
	text, err := os.ReadFile("testdata/sample.json")
	if err != nil {
		t.Fatal(err)
	}
	from := time.Date(2026, 11, 1, 1, 0, 0, 0, time.FixedZone("", 3600))
	doc, report := importText(t, text, Options{EffectiveFrom: from, PayeeByProvider: true, IncludeFree: true})
	body := doc.AppendJSON(nil)
	version := accept(t, body)
	if version.EffectiveFrom != from.UnixNano() {
		t.Errorf("effective from %d, want %d", version.EffectiveFrom, from.UnixNano())
	}
	payees := map[string]string{}
	for _, price := range version.Prices {
		payees[price.Match[0].Value] = price.Payee
	}
	for model, want := range map[string]string{
		"zeta/chat": "zeta", "zeta/tiers": "zeta", "alpha \"quoted\" ü": "alpha_ai", "by/character": "c", "free/local": "local", "media/everything": "",
	} {
		if got := payees[model]; got != want {
			t.Errorf("%s pays %q, want %q", model, got, want)
		}
	}
	found := false
	for _, n := range report.Listed {
		found = found || n == Note{Model: "media/everything", Reason: BadProvider}
	}
	if !found {
		t.Errorf("a provider that is no account id is not listed: %v", report.Listed)
	}
}

// TestOrderOfInputDoesNotMatter: equal lists give equal bytes.
func TestOrderOfInputDoesNotMatter(t *testing.T) {
	a, _ := importText(t, []byte(`{"a":{"input_cost_per_token":1e-6,"output_cost_per_token":2E-06},"b":{"input_cost_per_token":3}}`), Options{})
	b, _ := importText(t, []byte(`{"b":{"input_cost_per_token":3.0},"a":{"output_cost_per_token":0.0000020,"input_cost_per_token":0.000001}}`), Options{})
	if x, y := a.AppendJSON(nil), b.AppendJSON(nil); !bytes.Equal(x, y) {
		t.Errorf("differ:\n%s\n%s", x, y)
	}
}

func TestModelNameLimit(t *testing.T) {
	f := func(name string, priced int) {
		t.Helper()
		doc, _ := importText(t, []byte(`{"`+name+`":{"input_cost_per_token":1}}`), Options{})
		if len(doc.Prices) != priced {
			t.Errorf("a name of %d bytes: %d prices, want %d", len(name), len(doc.Prices), priced)
		}
		if priced > 0 {
			accept(t, doc.AppendJSON(nil))
		}
	}
	f(strings.Repeat("x", 256), 1)
	f(strings.Repeat("x", 257), 0)
	f(strings.Repeat("ü", 128), 1)
	f(strings.Repeat("ü", 129), 0)
}

func TestNotAList(t *testing.T) {
	f := func(text string) {
		t.Helper()
		if doc, _, err := ImportLiteLLM([]byte(text), Options{}); !errors.Is(err, ErrList) || doc != nil {
			t.Errorf("ImportLiteLLM(%q): document %v, error %v; want ErrList", text, doc, err)
		}
	}
	f("")
	f("[]")
	f("null")
	f(`{"a":{}`)
	f(`{"a":{}} {}`)
	f(`{"a":{}}}`)
	f(`{"a":{"input_cost_per_token":01}}`)
	f(`{"a":{"input_cost_per_token":1e}}`)
	f("{\"\xff\":{}}")
	f(`{"a":` + strings.Repeat(`{"cost":`, 500) + "1" + strings.Repeat("}", 501))
}

// FuzzImport: whatever is accepted adds up, and the server takes the result.
func FuzzImport(f *testing.F) {
	sample, err := os.ReadFile("testdata/sample.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sample, true)
	f.Add([]byte(`{"a":{"input_cost_per_token":1e-6}}`), false)
	f.Fuzz(func(t *testing.T, text []byte, on bool) {
		doc, report, err := ImportLiteLLM(text, Options{PayeeByProvider: on, IncludeFree: on})
		if err != nil {
			return
		}
		if models(doc)+len(report.Listed) != report.Entries || len(report.Used)+len(report.LeftOut) != report.Fields {
			t.Fatal("entries or fields are unaccounted for")
		}
		if len(doc.Prices) > 0 && len(doc.Prices) < meter.MaxPrices {
			accept(t, doc.AppendJSON(nil))
		}
	})
}
