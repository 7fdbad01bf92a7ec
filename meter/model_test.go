package meter

import (
	"strings"
	"testing"

	"farthing/money"
)

// quantity reads a quantity of a test table.
func quantity(t testing.TB, text string) money.Quantity {
	t.Helper()
	q, err := money.ParseQuantity([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return q
}

// TestPeriodPrices is T(Q) of each counted model, worked out by hand.
func TestPeriodPrices(t *testing.T) {
	f := func(price string, table ...string) {
		t.Helper()
		c := &mustParse(t, oneComponent(price)).Prices[0].Components[0]
		for _, row := range table {
			q, want, _ := strings.Cut(row, " ")
			if got, ok := c.PeriodPrice(quantity(t, q)); !ok || got.String() != want {
				t.Errorf("%s: T(%s) = %s %v, want %s", price, q, got, ok, want)
			}
		}
	}
	f(`{"unit":"0.50","package":"1000"}`, "0 0", "1 0.5", "999 0.5", "1000 0.5", "1001 1", "2000 1", "2001 1.5", "9000000000000 4500000000")
	f(`{"unit":"3","package":"0.5","quantity_decimals":1}`, "0 0", "0.1 3", "0.5 3", "0.6 6", "1 6", "1.1 9")
	f(`{"unit":"5","per":"10","package":7}`, "7 0.5", "8 1", "15 1.5")

	free := `{"graduated":[{"up_to":"1000","unit":"0"},{"unit":"0.0004"}]}`
	f(free, "0 0", "1 0", "1000 0", "1001 0.0004", "2000 0.4", "1001000 400")
	steps := `{"graduated":[{"up_to":"10","unit":"2"},{"up_to":"30","unit":"1","flat":"5"},{"unit":"50","per":"100","flat":"100"}]}`
	f(steps, "0 0", "1 2", "10 20", "11 26", "30 45", "31 145.5", "40 150")
	f(`{"graduated":[{"unit":"1","flat":"7"}]}`, "0 0", "1 8", "2 9")
	f(`{"graduated":[{"up_to":"5","flat":"1"},{"flat":"2"}]}`, "0 0", "1 1", "5 1", "6 3", "700 3")
	f(`{"graduated":[{"up_to":"0.5","unit":"1"},{"unit":"2"}],"quantity_decimals":2}`, "0.25 0.25", "0.5 0.5", "0.51 0.52", "1 1.5")

	f(`{"volume":[{"up_to":"1000","unit":"0.01"},{"unit":"0.005"}]}`, "0 0", "1 0.01", "1000 10", "1001 5.005", "2000 10")
	f(`{"volume":[{"up_to":"10","unit":"0","flat":"1"},{"up_to":"20","flat":"3"},{"unit":"1","flat":"2"}]}`, "0 0", "1 1", "10 1", "11 3", "20 3", "21 23")
	f(`{"volume":[{"unit":"2"}]}`, "0 0", "3 6")

	f(`{"unit":"0.25","included":"1000"}`, "0 0", "1000 0", "1001 0.25", "1004 1")
	f(`{"unit":"0.25","included":"0.1","quantity_decimals":1}`, "0.1 0", "0.3 0.05")

	// What another version counted in more decimals than this one allows is cut.
	f(`{"unit":"1","included":"1"}`, "1.999999 0", "2.5 1")
	f(`{"unit":"1","package":"10"}`, "10.5 1", "11 2")
}

// TestPeriodPriceOverflow shows that a price too large is told, not wrapped.
func TestPeriodPriceOverflow(t *testing.T) {
	f := func(price, q string) {
		t.Helper()
		c := &mustParse(t, oneComponent(price)).Prices[0].Components[0]
		if got, ok := c.PeriodPrice(quantity(t, q)); ok {
			t.Errorf("%s: T(%s) = %s", price, q, got)
		}
	}
	const top = `"1000000000000"`
	f(`{"unit":`+top+`,"package":"1"}`, "9000000000000")
	f(`{"graduated":[{"up_to":"1","unit":"0"},{"unit":`+top+`}]}`, "9000000000000")
	f(`{"graduated":[{"up_to":"170000000","unit":`+top+`},{"unit":`+top+`}]}`, "180000000")
	f(`{"volume":[{"unit":`+top+`}]}`, "9000000000000")
	f(`{"unit":`+top+`,"included":"1"}`, "9000000000000")
}

// TestPeriodPriceOfWhatIsNotCounted is a bug of the caller.
func TestPeriodPriceOfWhatIsNotCounted(t *testing.T) {
	defer func() {
		if text, _ := recover().(string); !strings.HasPrefix(text, "BUG:") {
			t.Errorf("%q", text)
		}
	}()
	(&ComponentPrice{Name: "a"}).PeriodPrice(1)
}

// TestCounted shows which prices count, over what.
func TestCounted(t *testing.T) {
	f := func(price string, model Model, period Period) {
		t.Helper()
		c := &mustParse(t, oneComponent(price)).Prices[0].Components[0]
		if c.Model != model || c.Period != period || c.Counted() != (period != NoPeriod) {
			t.Errorf("%s: model %d, period %d, counted %v", price, c.Model, c.Period, c.Counted())
		}
	}
	f(`"1"`, Linear, NoPeriod)
	f(`{"unit":"1","flat":"1","minimum":"3"}`, Linear, NoPeriod)
	f(`{"unit":"1","package":"10"}`, Package, Month)
	f(`{"unit":"1","package":"10","period":"month"}`, Package, Month)
	f(`{"graduated":[{"unit":"1"}],"period":"window"}`, Graduated, Window)
	f(`{"volume":[{"unit":"1"}],"period":"window"}`, Volume, Window)
	f(`{"unit":"1","included":"10","period":"window"}`, Included, Window)
}

// TestSeries shows what counts together: the same in every version, apart from any other
// meter, currency, match, component or kind of period.
func TestSeries(t *testing.T) {
	const counted = `{"a":{"unit":"1","package":"10"},"b":{"unit":"1","package":"10","period":"window"}}`
	base := mustParse(t, version(simple(`{"model":"x"}`, counted))).Prices[0]
	again := mustParse(t, version(simple(`{}`, `{"z":"1"}`), simple(`{"model":"x"}`,
		`{"0":"1","a":{"graduated":[{"unit":"7"}],"quantity_decimals":3},"b":{"unit":"1","package":"3","period":"window"}}`))).Prices[1]
	if base.Series(0) != again.Series(1) || base.Series(1) != again.Series(2) {
		t.Error("another version counts anew")
	}
	seen := map[string]string{}
	for _, price := range []string{
		simple(`{"model":"x"}`, counted), simple(`{}`, counted), simple(`{"model":"y"}`, counted), simple(`{"mode":"lx"}`, counted),
		simple(`{"model":"x","region":"eu"}`, counted), simple(`{"model":"x"}`, strings.Replace(counted, `,"period":"window"`, ``, 1)),
		strings.Replace(simple(`{"model":"x"}`, counted), `"USD"`, `"EUR"`, 1), strings.Replace(simple(`{"model":"x"}`, counted), `"m"`, `"n"`, 1),
	} {
		p := mustParse(t, version(price)).Prices[0]
		for k := range p.Components {
			what := strings.Join([]string{p.Meter, p.Currency.Code(), p.Components[k].Name, string('0' + rune(p.Components[k].Period))}, " ")
			for _, d := range p.Match {
				what += " " + d.Key + "=" + d.Value
			}
			if other, taken := seen[p.Series(k)]; taken && other != what {
				t.Errorf("%s and %s count together", other, what)
			}
			seen[p.Series(k)] = what
		}
	}
	if len(seen) != 15 { // two of each price; the one without a window shares its month
		t.Errorf("%d series", len(seen))
	}
}

// TestSeriesBeginsAnew shows which changes of a version begin a new count: another earner,
// another fee, another volume price.
func TestSeriesBeginsAnew(t *testing.T) {
	parse := func(component, more string) *Price {
		t.Helper()
		price := strings.TrimSuffix(simple(`{}`, `{"a":`+component+`}`), "}") + more + "}"
		return &mustParse(t, version(price)).Prices[0]
	}
	f := func(a, b *Price, series, terms bool) {
		t.Helper()
		if got := a.Series(0) == b.Series(0); got != series {
			t.Errorf("the same series: %v", got)
		}
		if got := a.Terms(0) == b.Terms(0); got != terms {
			t.Errorf("the same terms: %v", got)
		}
	}
	const included, volume = `{"unit":"1","included":"10"}`, `{"volume":[{"up_to":"10","unit":"1"},{"unit":"0.5"}]}`
	f(parse(included, ""), parse(`{"included":"10","unit":"2","per":"2"}`, ""), true, true)
	f(parse(included, ""), parse(`{"unit":"1","included":"11"}`, ""), true, false)
	f(parse(included, ""), parse(included, `,"payee":"p"`), false, false)
	f(parse(included, `,"payee":"p"`), parse(included, `,"payee":"p","fee":"0.1"`), false, false)
	f(parse(volume, ""), parse(volume, ""), true, true)
	f(parse(volume, ""), parse(strings.Replace(volume, "0.5", "0.4", 1), ""), false, false)
}
