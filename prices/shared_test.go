package prices

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/shopspring/decimal"

	"farthing/meter"
)

// sharedList is a real list of some 1,700 models that lies beside the checkout.
const sharedList = "../../shared/data/model_prices.json"

// TestSharedList imports the real list and compares every component with what
// encoding/json and shopspring/decimal read from the same field.
func TestSharedList(t *testing.T) {
	text, err := os.ReadFile(sharedList)
	if err != nil {
		t.Skipf("the real price list is not tested: %v", err)
	}
	doc, report := importText(t, text, Options{})
	var list map[string]map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	if err := decoder.Decode(&list); err != nil {
		t.Fatal(err)
	}
	if report.Entries != len(list) {
		t.Errorf("%d entries, want %d", report.Entries, len(list))
	}
	version := accept(t, doc.AppendJSON(nil))
	if len(version.Prices) != len(doc.Prices) {
		t.Errorf("the book has %d prices, the document %d", len(version.Prices), len(doc.Prices))
	}
	compared := 0
	for i := range version.Prices {
		compared += compareWithList(t, &version.Prices[i], list[version.Prices[i].Match[0].Value])
	}
	if fields := priceFields(list) - fieldsOfListed(report, list); compared+leftOutOfPriced(report) != fields {
		t.Errorf("%d fields imported and %d left out of the priced entries, which have %d", compared, leftOutOfPriced(report), fields)
	}
}

// compareWithList checks the components of one price and returns the number of
// fields of the list that they stand for.
func compareWithList(t *testing.T, price *meter.Price, entry map[string]any) int {
	t.Helper()
	fields := 0
	for _, rule := range fieldRules {
		spelled, ok := lookup(entry, rule.field)
		at := price.Component(rule.component)
		if !ok || at < 0 {
			continue
		}
		want, err := decimal.NewFromString(spelled)
		if err != nil {
			t.Fatal(err)
		}
		got := price.Components[at].Unit.String()
		switch {
		case got == want.String():
			fields++
		case rule.field != "input_cost_per_token_cache_hit": // the second spelling may disagree
			t.Errorf("%v %s: %s, want %s", price.Match, rule.component, got, want)
		}
	}
	return fields
}

func lookup(entry map[string]any, field string) (string, bool) {
	outer, inner, nested := strings.Cut(field, ".")
	value := entry[outer]
	if nested {
		object, _ := value.(map[string]any)
		value = object[inner]
	}
	number, ok := value.(json.Number)
	return number.String(), ok
}

func countFields(entry map[string]any) int {
	n := 0
	for name, value := range entry {
		object, nested := value.(map[string]any)
		switch {
		case !isPriceField(name):
		case nested:
			n += len(object)
		default:
			n++
		}
	}
	return n
}

func priceFields(list map[string]map[string]any) int {
	n := 0
	for _, entry := range list {
		n += countFields(entry)
	}
	return n
}

func fieldsOfListed(report *Report, list map[string]map[string]any) int {
	n := 0
	for _, note := range report.Listed {
		n += countFields(list[note.Model])
	}
	return n
}

func leftOutOfPriced(report *Report) int {
	listed := map[string]bool{}
	for _, note := range report.Listed {
		listed[note.Model] = true
	}
	n := 0
	for _, note := range report.LeftOut {
		if !listed[note.Model] {
			n++
		}
	}
	return n
}
