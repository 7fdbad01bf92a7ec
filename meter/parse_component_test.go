package meter

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// TestModels is the table of what a component may state and its canonical form.
func TestModels(t *testing.T) {
	f := func(text, canonical string) {
		t.Helper()
		v := mustParse(t, oneComponent(text))
		want := `{"effective_from":"2026-01-01T00:00:00Z","prices":[{"meter":"m","currency":"USD","match":{},"components":{"input":` + canonical + `}}]}`
		if string(v.Canonical) != want {
			t.Errorf("%s:\n%s\n%s", text, v.Canonical, want)
		}
		checkCanonical(t, v)
	}
	f(`{"unit":"2.50","per":"1e6"}`, `"0.0000025"`)
	f(`{"quantity_decimals":3,"unit":0.50}`, `{"unit":"0.5","quantity_decimals":3}`)
	f(`{"unit":"1","flat":"0.0050"}`, `{"unit":"1","flat":"0.005"}`)
	f(`{"flat":"0.005"}`, `{"flat":"0.005"}`)
	f(`{"unit":0,"flat":"0.005"}`, `{"flat":"0.005"}`)
	f(`{"unit":"3","flat":"0","minimum":0}`, `"3"`)
	f(`{"flat":"0"}`, `"0"`)
	f(`{"minimum":"0.001","unit":"0"}`, `{"unit":"0","minimum":"0.001"}`)
	f(`{"above":[{"of":["input"],"quantity":2e5,"unit":"5","per":"1000"},{"unit":"1","quantity":"200001","of":["input"]}],"unit":"1"}`,
		`{"unit":"1","above":[{"of":["input"],"quantity":"200000","unit":"0.005"},{"of":["input"],"quantity":"200001","unit":"1"}]}`)
	f(`{"unit":"1","above":[{"of":["input"],"quantity":"0.5","unit":"0"}]}`, `{"unit":"1","above":[{"of":["input"],"quantity":"0.5","unit":"0"}]}`)
	f(`{"package":1000,"unit":"0.50","period":"month"}`, `{"unit":"0.5","package":"1000"}`)
	f(`{"package":"10","flat":"2"}`, `{"package":"10","flat":"2"}`)
	f(`{"unit":"9","per":"3","included":"1000","period":"window","flat":"1"}`, `{"unit":"3","included":"1000","flat":"1","period":"window"}`)
	f(`{"graduated":[{"up_to":"1000","unit":"0"},{"unit":"4","per":"10000"}]}`, `{"graduated":[{"up_to":"1000","unit":"0"},{"unit":"0.0004"}]}`)
	f(`{"volume":[{"up_to":1.5,"flat":1},{"unit":"0","flat":"0"}],"quantity_decimals":1,"period":"window","flat":"3"}`,
		`{"volume":[{"up_to":"1.5","flat":"1"},{"unit":"0"}],"flat":"3","period":"window","quantity_decimals":1}`)
	f(`{"graduated":[{"unit":"1"}]}`, `{"graduated":[{"unit":"1"}]}`)
}

// refusedFor parses a component that is wrong and compares all its problems, which come in
// the order of their text.
func refusedFor(t *testing.T, text string, problems ...string) {
	t.Helper()
	v, refused := ParseVersion("v", []byte(oneComponent(text)))
	if refused == nil {
		t.Errorf("%s: taken as %s", text, v.Canonical)
		return
	}
	for i := range problems {
		problems[i] = "prices[0].components.input: " + problems[i]
	}
	if !slices.Equal(refused.Problems, problems) {
		t.Errorf("%s:\n%q\nwant\n%q", text, refused.Problems, problems)
	}
	if v == nil || len(v.Prices) != 1 || len(v.Prices[0].Components) != 0 {
		t.Errorf("%s: %+v", text, v)
	}
}

// TestBadModels is the table of what a component is refused for.
func TestBadModels(t *testing.T) {
	f := func(text string, problems ...string) {
		t.Helper()
		refusedFor(t, text, problems...)
	}
	f(`{"unit":"1","package":"10","graduated":[{"unit":"1"}]}`, "package and graduated cannot be combined")
	f(`{"included":"0","unit":"1","volume":[],"graduated":1}`, "graduated and volume and included cannot be combined",
		"graduated must be a list of 1 to 100 objects", "unit goes into the tiers")
	f(`{"unit":"1","per":"3","period":"month","flat":"-1","minimum":"x","colour":1,"quantity_decimals":7}`,
		"flat: a price must not be negative", `minimum: price "x": money: not a decimal number`,
		"period is only for package, graduated, volume and included", "quantity_decimals must be 0 to 6",
		"unit: unit / per is not exact at 18 decimals", `unknown field "colour"`)
	f(`{"flat":"1","per":"3"}`, "unit is missing: a price must be a decimal string")
	f(`{"flat":null}`, "flat: a price must be a decimal string")
	f(`{"flat":"1000000000000.1"}`, "flat: a price must be at most 1000000000000")
	f(`{"unit":"1","minimum":1000000000001}`, "minimum: a price must be at most 1000000000000")
	f(`{}`, "unit is missing: a price must be a decimal string")
	f(`{"unit":"1","unit":"2"}`, "unit is given twice")
	f(`{"unit":"1","quantity_decimals":null}`, "quantity_decimals must be 0 to 6")
	f(`{"unit":"1","quantity_decimals":"3"}`, "quantity_decimals must be 0 to 6")

	f(`{"unit":"1","package":"0"}`, "package must be above 0")
	f(`{"unit":"1","package":"x"}`, `package: "x": money: not a decimal number`)
	f(`{"unit":"1","package":[]}`, "package: must be a decimal string")
	f(`{"unit":"1","package":-5}`, `package: "-5": money: negative quantity`)
	f(`{"unit":"1","package":9000000000001}`, `package: "9000000000001": money: number out of range`)
	f(`{"unit":"1","package":"1.5"}`, "package has more decimals than quantity_decimals (0) allows")
	f(`{"package":"10"}`, "unit is missing: a price must be a decimal string")
	f(`{"unit":"1","included":"0"}`, "included must be above 0")
	f(`{"unit":"1","included":"1.25","quantity_decimals":1}`, "included has more decimals than quantity_decimals (1) allows")
	f(`{"unit":"1","included":"5","minimum":"2","above":[]}`, "above is only for linear prices", "minimum is only for linear prices")
	f(`{"unit":"1","included":"5","period":"year"}`, `period must be "month" or "window"`)
	f(`{"unit":"1","included":"5","period":1}`, `period must be "month" or "window"`)
}

// TestBadLists is the same for tiers and alternatives.
func TestBadLists(t *testing.T) {
	f := func(text string, problems ...string) {
		t.Helper()
		refusedFor(t, text, problems...)
	}
	const tooFine = "price decimals (13) and quantity_decimals (6) must add up to at most 18"
	f(`{"graduated":[]}`, "graduated must be a list of 1 to 100 objects")
	f(`{"graduated":null}`, "graduated must be a list of 1 to 100 objects")
	f(`{"volume":[1]}`, "volume must be a list of 1 to 100 objects")
	f(`{"volume":[`+strings.Repeat(`{"unit":"1"},`, 100)+`{"unit":"1"}]}`, "volume must be a list of 1 to 100 objects")
	f(`{"graduated":[{"up_to":"10","unit":"1"}]}`, "graduated[0].up_to leaves quantities above it without a price: the last tier must be open")
	f(`{"graduated":[{"unit":"1"},{"unit":"2"}]}`, "graduated[0].up_to is missing: only the last tier is open")
	f(`{"graduated":[{"up_to":"0","unit":"1"},{"unit":"2"}]}`, "graduated[0].up_to must be above 0")
	f(`{"volume":[{"up_to":"5","unit":"1"},{"up_to":"5","unit":"1"},{"up_to":"4","unit":"1"},{"unit":"2"}]}`,
		"volume[1].up_to must be above 5", "volume[2].up_to must be above 5")
	f(`{"volume":[{"up_to":"1.5","unit":"1"},{"unit":"2"}]}`, "volume[0].up_to has more decimals than quantity_decimals (0) allows")
	f(`{"graduated":[{"up_to":"1","units":"1"},{"unit":"-2","flat":"-3","per":"2"}],"per":"1"}`, "graduated[0].unit is missing: a price must be a decimal string",
		`graduated[0].unknown field "units"`, "graduated[1].flat: a price must not be negative", "graduated[1].unit: a price must not be negative", "per goes into the tiers")
	f(`{"graduated":[{"up_to":"1","unit":"0.0000000000001"},{"unit":"1"}],"quantity_decimals":6}`, "graduated[0].unit: "+tooFine)

	f(`{"unit":"1","above":{}}`, "above must be a list of 1 to 100 objects")
	f(`{"unit":"1","above":[{}]}`, "above[0].of must name 1 to 32 components", "above[0].quantity: must be a decimal string", "above[0].unit is missing: a price must be a decimal string")
	f(`{"unit":"1","above":[{"of":["input","b","input"],"quantity":"1","unit":"1","flat":"1"}]}`, "above[0].of names b, which the price does not price",
		"above[0].of names input twice", `above[0].unknown field "flat"`)
	f(`{"unit":"1","above":[{"of":["a b",1],"quantity":"1","unit":"1"}]}`, `above[0].of: "" is not a component name`, `above[0].of: "a b" is not a component name`)
	f(`{"unit":"1","above":[{"of":["input"],"quantity":"5","unit":"1"},{"of":["input","b"],"quantity":"5","unit":"1"}]}`,
		"above[1].of must be the same as in above[0]", "above[1].quantity must be above 5")
	f(`{"unit":"1","above":[{"of":["input"],"quantity":"5","unit":"0.0000000000001"}],"quantity_decimals":6}`, "above[0].unit: "+tooFine)
	f(`{"above":[{"of":["input"],"quantity":"5","unit":"1"}]}`, "unit is missing: a price must be a decimal string")
}

// TestThresholdsOfWhatIsPriced has thresholds on components that the price lacks: an event
// with one is unpriced, so the threshold could not be passed by it.
func TestThresholdsOfWhatIsPriced(t *testing.T) {
	const above = `{"unit":"1","above":[{"of":["cached_input","cached_imput","input"],"quantity":"5","unit":"2"},{"of":["cached_input","cached_imput","input"],"quantity":"9","unit":"3"}]}`
	text := version(simple(`{}`, `{"input":`+above+`,"output":`+above+`,"cached_input":"-1"}`))
	_, got := problemsOf(t, text)
	want := []string{
		"prices[0].components.cached_input: a price must not be negative",
		"prices[0].components.input: above[0].of names cached_imput, which the price does not price",
		"prices[0].components.output: above[0].of names cached_imput, which the price does not price",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	text = strings.Replace(text, `"-1"`, `"1"`, 1)
	if _, refused := ParseVersion("v", []byte(text)); refused == nil || len(refused.Problems) != 2 {
		t.Errorf("%+v", refused)
	}
	v, refused := ReadVersion("v", []byte(text))
	if refused != nil {
		t.Fatal(refused) // a ledger that took it before goes on with it
	}
	if again, refused := ReadVersion("v", v.Canonical); refused != nil || !bytes.Equal(again.Canonical, v.Canonical) {
		t.Errorf("%v %s", refused, again.Canonical)
	}
}

// TestDocumentIsReadLikeJSON gives documents with white space, escapes and bytes that are
// no UTF-8 in every place.
func TestDocumentIsReadLikeJSON(t *testing.T) {
	plain := mustParse(t, version(`{"meter":"m","currency":"USD","match":{"k<":"é\u2028\ufffd"},"components":{"in":{"graduated":[{"up_to":"5","unit":"1"},{"unit":"2"}]},"out":"3"},"payee":"p"}`))
	f := func(text string) {
		t.Helper()
		if v := mustParse(t, text); !bytes.Equal(v.Canonical, plain.Canonical) {
			t.Errorf("%s\n%s\n%s", text, v.Canonical, plain.Canonical)
		}
	}
	f(" {\n\"effective_from\" : \"2026-01-01T00:00:00Z\" ,\t\"prices\" : [ {\"meter\"\r:\"m\", \"currency\":\"USD\",\"match\": {\"k\\u003c\" : \"\u00e9\\u2028\xff\"} ," +
		" \"components\" :{ \"in\" :{\"graduated\": [ {\"up_to\" :5 ,\"unit\":1} , {\"unit\":\"2\" } ] } , \"o\\u0075t\": 3.0 }, \"\\u0070ayee\" : \"\\u0070\" } ] } \n")
	f(`{"prices":[{"components":{"out":3e0,"in":{"graduated":[{"unit":"1.0","up_to":"5"},{"unit":2}]}},"payee":"p","match":{"k<":"é\u2028\ufffd"},"currency":"USD","meter":"m","fee":0}],"effective_from":"2026-01-01T00:00:00Z"}`)
}
