package prices

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/shopspring/decimal"

	"farthing/meter"
)

// sharedList is a real list of some 1,700 models that lies beside the checkout.
const sharedList = "../../shared/data/model_prices.json"

func readShared(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(sharedList)
	if err != nil {
		t.Skipf("the real price list is not tested: %v", err)
	}
	return text
}

// place is one number of the list: a model and the path to it.
type place struct{ model, field string }

// noPrices are the numbers of the list that are no prices. A number that is
// neither one of them nor accounted for in the report fails the test.
var noPrices = regexp.MustCompile(`^(max_.*|rpm|tpm|rpd|output_vector_size|tool_use_system_prompt_tokens)$`)

// numbers walks the list on its own, with encoding/json.
func numbers(t *testing.T, text []byte) (entries int, out map[place]string) {
	t.Helper()
	var list map[string]map[string]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&list); err != nil {
		t.Fatal(err)
	}
	out = map[place]string{}
	var walk func(model, path string, value any)
	walk = func(model, path string, value any) {
		switch value := value.(type) {
		case json.Number:
			out[place{model, path}] = value.String()
		case map[string]any:
			for key, inner := range value {
				walk(model, strings.TrimPrefix(path+"."+key, "."), inner)
			}
		case []any:
			for i, inner := range value {
				walk(model, fmt.Sprintf("%s.%d", path, i), inner)
			}
		}
	}
	for model, entry := range list {
		walk(model, "", entry)
	}
	return len(list), out
}

// TestSharedList imports the real list: no number in it is unaccounted for, and
// each that is used is in the book as shopspring/decimal reads it.
func TestSharedList(t *testing.T) {
	text := readShared(t)
	doc, report := importText(t, text, Options{})
	entries, all := numbers(t, text)
	if report.Entries != entries {
		t.Errorf("%d entries, want %d", report.Entries, entries)
	}
	version := accept(t, doc.AppendJSON(nil))
	if len(version.Prices) != len(doc.Prices) || report.Prices != len(doc.Prices) {
		t.Errorf("the book has %d prices, the document %d, the report %d", len(version.Prices), len(doc.Prices), report.Prices)
	}
	byMatch := map[string]*meter.Price{}
	for i := range version.Prices {
		byMatch[fmt.Sprint(version.Prices[i].Match)] = &version.Prices[i]
	}
	fates := map[place]int{}
	for _, use := range report.Used {
		at := place{use.Model, use.Field}
		fates[at]++
		match := []meter.Dimension{{Key: "model", Value: use.Model}}
		if use.Tier != "" {
			match = append(match, meter.Dimension{Key: "service_tier", Value: use.Tier})
		}
		checkUse(t, use, all[at], byMatch[fmt.Sprint(match)])
	}
	for _, note := range report.LeftOut {
		if fates[place{note.Model, note.Field}]++; note.Reason == "" {
			t.Errorf("%v: left out without a reason", note)
		}
	}
	for at := range all {
		if got := fates[at]; got != 1 && !noPrices.MatchString(at.field) || got > 1 {
			t.Errorf("%v has %d fates, want 1", at, got)
		}
	}
	if got := len(report.Used) + len(report.LeftOut); got != report.Fields || len(fates) != got {
		t.Errorf("%d fields have a fate, %d of them different, of %d", got, len(fates), report.Fields)
	}
	var out strings.Builder
	if err := report.Write(&out, false); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + out.String())
}

var aboveTokens = regexp.MustCompile(`_above_([0-9]+)k_tokens`)

// checkUse compares one number of the list with its place in the book.
func checkUse(t *testing.T, use Use, spelled string, price *meter.Price) {
	t.Helper()
	want, err := decimal.NewFromString(spelled)
	if err != nil || price == nil {
		t.Errorf("%+v: %v, price %v", use, err, price)
		return
	}
	name := use.Component
	at := price.Component(name)
	if at < 0 && name == call {
		at = price.Component("input")
	}
	if at < 0 {
		t.Errorf("%+v: the price has no such component", use)
		return
	}
	c := &price.Components[at]
	got := c.Unit
	switch above := aboveTokens.FindStringSubmatch(use.Field); {
	case name == call && c.Name != call:
		got = c.Flat
	case above != nil && len(c.Above) == 1 && c.Above[0].Quantity.String() == above[1]+"000":
		got = c.Above[0].Unit
	case above != nil:
		t.Errorf("%+v: alternatives %v", use, c.Above)
	}
	if got.String() != want.String() {
		t.Errorf("%+v: %s, want %s", use, got, want)
	}
}

// TestSharedListEveryTierHasEveryComponent: an event that the standard price
// covers is covered in each tier, and every price above a size asks for all
// tokens that go in.
func TestSharedListEveryTierHasEveryComponent(t *testing.T) {
	doc, _ := importText(t, readShared(t), Options{})
	standard := map[string]*Price{}
	tiers, above := 0, 0
	for i := range doc.Prices {
		p := &doc.Prices[i]
		if len(p.Match) == 1 {
			standard[p.Match[0].Value] = p
			continue
		}
		tiers++
		if got, want := names(p), names(standard[p.Match[0].Value]); got != want {
			t.Errorf("%v: components %s, those of the standard price are %s", p.Match, got, want)
		}
	}
	for i := range doc.Prices {
		for _, c := range doc.Prices[i].Components {
			if len(c.Above) == 0 {
				continue
			}
			above++
			for _, input := range doc.Prices[i].Components {
				if strings.HasSuffix(input.Name, "input") != strings.Contains(strings.Join(c.Of, " ")+" ", input.Name+" ") && !strings.HasPrefix(input.Name, "cache_write") {
					t.Errorf("%v: %s is above %v, which is right about %s?", doc.Prices[i].Match, c.Name, c.Of, input.Name)
				}
			}
		}
	}
	if tiers == 0 || above == 0 {
		t.Errorf("%d prices of tiers, %d above some size", tiers, above)
	}
}

func names(p *Price) string {
	var out []string
	for _, c := range p.Components {
		out = append(out, c.Name)
	}
	return strings.Join(out, " ")
}

// TestSharedListTwice: the same list gives the same bytes, also with its
// entries and fields in another order and its numbers spelled otherwise.
func TestSharedListTwice(t *testing.T) {
	text := readShared(t)
	doc, report := importText(t, text, Options{})
	again, reportAgain := importText(t, text, Options{})
	shuffled, reportShuffled := importText(t, sortKeys(t, text), Options{})
	want, wantReport := doc.AppendJSON(nil), report.AppendJSON(nil)
	for _, other := range []*Document{again, shuffled} {
		if !bytes.Equal(other.AppendJSON(nil), want) {
			t.Error("the document differs")
		}
	}
	for _, other := range []*Report{reportAgain, reportShuffled} {
		if !bytes.Equal(other.AppendJSON(nil), wantReport) {
			t.Error("the report differs")
		}
	}
	a, b := accept(t, want), accept(t, shuffled.AppendJSON(nil))
	if !bytes.Equal(a.Canonical, b.Canonical) {
		t.Error("the versions differ")
	}
}

// sortKeys writes the list with its keys in the order of encoding/json.
func sortKeys(t *testing.T, text []byte) []byte {
	t.Helper()
	var list any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&list); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(out, text) {
		t.Fatal("the list is in that order already")
	}
	return out
}
