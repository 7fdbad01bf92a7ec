package meter

import (
	"slices"
	"strings"
	"testing"

	"farthing/money"
	"farthing/refusal"
)

// rated is a plan of one price for a shape, with the arguments of Rate by component.
type rated struct {
	plan               Plan
	quantities, before [MaxComponents]money.Quantity
	amounts            [MaxComponents]money.Amount
}

// planOf plans for usage like "input 1200" or "input 1200 +5000", the latter being what
// the period counted before.
func planOf(t testing.TB, components string, usage ...string) *rated {
	t.Helper()
	v := mustParse(t, version(simple(`{}`, components)))
	r, s := &rated{}, Shape{Type: "m"}
	slices.Sort(usage)
	for i, u := range usage {
		words := strings.Fields(u)
		s.Components = append(s.Components, words[0])
		r.quantities[i] = quantity(t, words[1])
		if len(words) > 2 {
			r.before[i] = quantity(t, strings.TrimPrefix(words[2], "+"))
		}
	}
	var no NoPlan
	if r.plan, no = v.Plan(&s, v.Prices[0].Currency); no != Planned {
		t.Fatalf("%s %v: no plan: %d", components, usage, no)
	}
	return r
}

// TestRate is what events cost under each model, by hand, and what taking them back moves.
func TestRate(t *testing.T) {
	f := func(components, want string, usage ...string) {
		t.Helper()
		r := planOf(t, components, usage...)
		total, refused := r.plan.Rate(&r.quantities, &r.before, &r.amounts)
		if refused != nil || total.String() != want {
			t.Errorf("%s %v: %s %v, want %s", components, usage, total, refused, want)
			return
		}
		sum := money.Amount{}
		for i := range r.plan.Components {
			sum = sum.MustAdd(r.amounts[i])
			if r.plan.Components[i].Counted() {
				r.before[i] += r.quantities[i]
			}
		}
		back, refused := r.plan.Reverse(&r.quantities, &r.before, &r.amounts)
		if refused != nil || sum != total || back != total.Neg() {
			t.Errorf("%s %v: parts %s, total %s, back %s %v", components, usage, sum, total, back, refused)
		}
	}
	f(`{"a":"0.5"}`, "3.5", "a 7")
	f(`{"a":"0.5","b":"2","c":"100"}`, "9.5", "a 7", "b 3")
	f(`{"a":{"unit":"0.5","quantity_decimals":2}}`, "0.625", "a 1.25")
	f(`{"a":{"unit":"0.5","flat":"0.005"}}`, "3.505", "a 7")
	f(`{"a":{"flat":"0.005"}}`, "0.005", "a 7")
	f(`{"a":{"flat":"0.005"},"b":"1"}`, "2", "b 2")
	f(`{"a":{"unit":"0.001","minimum":"0.01"}}`, "0.01", "a 9")
	f(`{"a":{"unit":"0.001","minimum":"0.01"}}`, "0.011", "a 11")
	f(`{"a":{"unit":"0.001","flat":"0.005","minimum":"0.01"}}`, "0.012", "a 7")
	f(`{"a":{"unit":"0.001","flat":"0.005","minimum":"0.01"}}`, "0.01", "a 3")

	above := `{"a":{"unit":"1","above":[{"of":["a","b"],"quantity":"10","unit":"2"},{"of":["b","a"],"quantity":"20","unit":"30","per":"10"}]},"b":"0","c":"0"}`
	f(above, "5", "a 5")
	f(above, "10", "a 10")
	f(above, "22", "a 11")
	f(above, "5", "a 5", "b 5", "c 100")
	f(above, "10", "a 5", "b 6")
	f(above, "40", "a 20")
	f(above, "63", "a 21")
	f(above, "3", "a 1", "b 9000000000000")
	f(`{"a":{"unit":"1","above":[{"of":["z"],"quantity":"0","unit":"2"}]},"z":"1"}`, "4", "a 4")
	f(`{"a":{"unit":"1","above":[{"of":["z"],"quantity":"0","unit":"2"}]},"z":"1"}`, "9", "a 4", "z 1")
	most := `{"a":{"unit":"1","above":[{"of":["a","b"],"quantity":"9000000000000","unit":"2"}]},"b":"0"}`
	f(most, "1", "a 1", "b 8999999999999")
	f(most, "2", "a 1", "b 9000000000000")
	f(`{"a":{"unit":"1","flat":"7","minimum":"12","above":[{"of":["a"],"quantity":"2","unit":"2"}]}}`, "12", "a 2")
	f(`{"a":{"unit":"1","flat":"7","minimum":"12","above":[{"of":["a"],"quantity":"2","unit":"2"}]}}`, "13", "a 3")

	f(`{"a":{"unit":"0.5","package":"1000"}}`, "0.5", "a 1")
	f(`{"a":{"unit":"0.5","package":"1000"}}`, "0", "a 999 +1")
	f(`{"a":{"unit":"0.5","package":"1000"}}`, "0.5", "a 1000 +1")
	f(`{"a":{"unit":"0.5","package":"1000","flat":"0.1"}}`, "0.1", "a 999 +1")
	f(`{"a":{"graduated":[{"up_to":"1000","unit":"0"},{"unit":"0.0004"}]}}`, "0.0008", "a 4 +998")
	f(`{"a":{"graduated":[{"up_to":"10","unit":"2"},{"unit":"1","flat":"5"}],"flat":"0.5"}}`, "8.5", "a 2 +9")
	f(`{"a":{"unit":"0.25","included":"1000"}}`, "0.5", "a 3 +999")
	volume := `{"a":{"volume":[{"up_to":"1000","unit":"0.01"},{"unit":"0.005"}]}}`
	f(volume, "-4.995", "a 1 +1000")
	f(volume, "0.005", "a 1 +1001")
	f(strings.Replace(volume, `}}`, `},"b":"0.1"}`, 1), "-4.795", "a 1 +1000", "b 2")
}

// TestRateRefusals is the table of what is not rated, and why.
func TestRateRefusals(t *testing.T) {
	f := func(components, reason, detail string, usage ...string) {
		t.Helper()
		r := planOf(t, components, usage...)
		_, refused := r.plan.Rate(&r.quantities, &r.before, &r.amounts)
		if refused == nil || refused.Code != refusal.Invalid || refused.Reason != reason || refused.Detail != detail {
			t.Errorf("%s %v: %+v", components, usage, refused)
		}
	}
	const top, overflow = `"1000000000000"`, "the amount is larger than this ledger can hold"
	f(`{"a":"1"}`, "fractional_quantity", "a: the price allows quantities with at most 0 decimals", "a 1.5")
	f(`{"a":"1","b":{"unit":"1","quantity_decimals":2}}`, "fractional_quantity", "b: the price allows quantities with at most 2 decimals", "a 1", "b 1.005")
	f(`{"a":{"unit":"1","package":"5"}}`, "fractional_quantity", "a: the price allows quantities with at most 0 decimals", "a 0.5 +0.5")
	f(`{"a":{"unit":"1","package":"5"}}`, "quantity_overflow", "a: the period would count more than 9000000000000", "a 1 +9000000000000")
	f(`{"a":{"unit":"1","package":"5"}}`, "quantity_overflow", "a: the period would count more than 9000000000000", "a 9000000000000 +1")
	f(`{"a":`+top+`}`, "amount_overflow", overflow, "a 9000000000000")
	f(`{"a":{"unit":`+top+`,"quantity_decimals":1}}`, "amount_overflow", overflow, "a 900000000000.5")
	f(`{"a":{"unit":`+top+`,"flat":`+top+`}}`, "amount_overflow", overflow, "a 170141183")
	f(`{"a":`+top+`,"b":`+top+`}`, "amount_overflow", overflow, "a 100000000", "b 100000000")
	f(`{"a":{"graduated":[{"unit":`+top+`}]}}`, "amount_overflow", overflow, "a 1 +9000000000")
	f(`{"a":{"graduated":[{"up_to":"5","unit":"0"},{"unit":`+top+`}]}}`, "amount_overflow", overflow, "a 9000000000")

	r := planOf(t, `{"a":{"unit":"1","package":"5"}}`, "a 1 +8999999999999")
	if _, refused := r.plan.Rate(&r.quantities, &r.before, &r.amounts); refused != nil {
		t.Errorf("the largest count: %v", refused)
	}
}

// TestReverseRefusals shows that taking back too much is told too.
func TestReverseRefusals(t *testing.T) {
	r := planOf(t, `{"a":"1000000000000","b":"1000000000000"}`, "a 100000000", "b 100000000")
	if _, refused := r.plan.Reverse(&r.quantities, &r.before, &r.amounts); refused == nil || refused.Reason != "amount_overflow" {
		t.Errorf("%+v", refused)
	}
	r = planOf(t, `{"a":{"volume":[{"unit":"1000000000000"}]}}`, "a 1 +9000000000")
	if _, refused := r.plan.Reverse(&r.quantities, &r.before, &r.amounts); refused == nil || refused.Reason != "amount_overflow" {
		t.Errorf("%+v", refused)
	}
}

// TestReverseOfMoreThanWasCounted is a bug of the caller.
func TestReverseOfMoreThanWasCounted(t *testing.T) {
	r := planOf(t, `{"a":{"unit":"1","package":"5"}}`, "a 3 +2")
	defer func() {
		if text, _ := recover().(string); !strings.HasPrefix(text, "BUG: 3 of a ") {
			t.Errorf("%q", text)
		}
	}()
	_, _ = r.plan.Reverse(&r.quantities, &r.before, &r.amounts)
}

// TestPlan shows which price rates a shape and what the plan says about it.
func TestPlan(t *testing.T) {
	v := mustParse(t, version(
		simple(`{}`, `{"a":"1","b":"1","c":"1"}`),
		simple(`{"model":"x"}`, `{"a":{"unit":"2","above":[{"of":["c","z"],"quantity":"1","unit":"3"}]},"b":{"unit":"1","included":"9"},"c":{"unit":"1","package":"3","period":"window"},"d":"1","z":"1"}`)))
	usd := v.Prices[0].Currency
	f := func(want NoPlan, index int, counted uint32, components string, dims ...Dimension) Plan {
		t.Helper()
		s := Shape{Type: "m", Components: strings.Fields(components), Dimensions: dims}
		p, no := v.Plan(&s, usd)
		if no != want || (no == Planned && (p.Index != index || p.Price != &v.Prices[index] || p.Counted != counted || len(p.Components) != len(s.Components))) {
			t.Errorf("%s %v: %d, price %d, counted %b", components, dims, no, p.Index, p.Counted)
		}
		for i, c := range p.Components {
			if no == Planned && (c.Name != s.Components[i] || &p.Price.Components[c.Number] != c.ComponentPrice) {
				t.Errorf("%s: component %d is %s", components, i, c.Name)
			}
		}
		return p
	}
	x := Dimension{"model", "x"}
	f(Planned, 0, 0, "a b c")
	f(Planned, 0, 0, "b", Dimension{"model", "y"})
	f(ComponentMissing, 0, 0, "a d")
	p := f(Planned, 1, 0b0110, "a b c d", x)
	if of := p.Components[0].Of; of != 0b100 {
		t.Errorf("looks at %b", of)
	}
	p = f(Planned, 1, 0b01, "c d", x)
	f(ComponentMissing, 1, 0, "a e", x)
	f(ComponentMissing, 1, 0, "0", x)
	if p.Components[0].Number != 2 || p.Components[1].Number != 3 {
		t.Errorf("numbers %d, %d", p.Components[0].Number, p.Components[1].Number)
	}
	if _, no := v.Plan(&Shape{Type: "n", Components: []string{"a"}}, usd); no != NoPrice {
		t.Errorf("another meter: %d", no)
	}
	if got := v.Candidates(&Shape{Type: "m", Dimensions: []Dimension{x}}, usd); !slices.Equal(got, []int{1, 0}) {
		t.Errorf("candidates %v", got)
	}
	if got := v.Candidates(&Shape{Type: "n"}, usd); got != nil {
		t.Errorf("candidates %v", got)
	}
}
