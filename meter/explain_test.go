package meter

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/shopspring/decimal"

	"farthing/money"
)

// TestExplainAddsUp works every line of every explanation out again with decimals, as a reader
// with a pocket calculator would, and compares the last result with the amount.
func TestExplainAddsUp(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	v, refused := ParseVersion("v", []byte(`{"effective_from":"2026-01-01T00:00:00Z","prices":[{"meter":"m","currency":"USD","match":{},"components":{
		"a":"0.0000025","b":{"unit":"2.5","per":"1000","flat":"0.01"},"c":{"unit":"0.001","minimum":"0.5"},
		"d":{"unit":"1","above":[{"of":["a","d"],"quantity":"100","unit":"2"},{"of":["a","d"],"quantity":"1000","unit":"3.5"}]},
		"e":{"unit":"0.5","package":"10","flat":"0.25"},"f":{"graduated":[{"up_to":"10","unit":"0","flat":"1"},{"up_to":"100","unit":"0.1"},{"unit":"0.03","flat":"7"}]},
		"g":{"volume":[{"up_to":"50","unit":"0.2"},{"unit":"0.1","flat":"3"}],"period":"window"},"h":{"unit":"0.7","included":"100","quantity_decimals":2}}}]}`))
	if refused != nil {
		t.Fatal(refused)
	}
	s := Shape{Type: "m", Components: []string{"a", "b", "c", "d", "e", "f", "g", "h"}}
	usd, _ := money.Lookup("USD")
	plan, none := v.Plan(&s, usd)
	if none != Planned {
		t.Fatal(none)
	}
	for round := range 500 {
		var quantities, before [MaxComponents]money.Quantity
		for i := range s.Components {
			quantities[i], _ = money.WholeQuantity(1 + rng.Uint64N(200))
			before[i], _ = money.WholeQuantity(rng.Uint64N(200))
			if round%2 == 1 {
				before[i] += quantities[i] // what is taken back was counted
			}
		}
		quantities[7] += money.Quantity(10_000 * rng.Uint64N(100))
		before[7] += quantities[7]
		explained, amounts, refused := plan.Explain(&quantities, &before, round%2 == 1)
		if refused != nil {
			t.Fatal(refused)
		}
		for i, name := range s.Components {
			if got := workOut(t, explained[i].Steps); !got.Equal(amounts[i].Decimal()) {
				t.Fatalf("seed %d, round %d, %s: the steps come to %s, the amount is %s:\n%s", seed, round, name, got, amounts[i],
					strings.Join(explained[i].Steps, "\n"))
			}
		}
	}
}

// TestExplainedSteps is the table of how prices read.
func TestExplainedSteps(t *testing.T) {
	f := func(components string, usage string, want ...string) {
		t.Helper()
		r := planOf(t, components, strings.Split(usage, ", ")...)
		explained, _, refused := r.plan.Explain(&r.quantities, &r.before, false)
		if refused != nil {
			t.Fatal(refused)
		}
		if got := explained[0].Steps; !slices.Equal(got, want) {
			t.Errorf("%s of %s:\n%s\nwant\n%s", usage, components, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		workOut(t, explained[0].Steps)
	}
	const packages = `{"a":{"unit":"2","package":"10"}}`
	f(packages, "a 3 +8", "T(11) = 2 packages of 10 × 2 = 4", "T(8) = 1 package of 10 × 2 = 2", "T(11) − T(8) = 2")
	f(packages, "a 3", "T(3) = 1 package of 10 × 2 = 2", "T(0) = 0", "T(3) − T(0) = 2")
	const included = `{"a":{"unit":"0.5","included":"15"}}`
	f(included, "a 10", "T(10) = (10 − 10 of 15 included) × 0.5 = 0", "T(0) = 0", "T(10) − T(0) = 0")
	f(included, "a 10 +10", "T(20) = (20 − 15 included) × 0.5 = 2.5", "T(10) = (10 − 10 of 15 included) × 0.5 = 0", "T(20) − T(10) = 2.5")
	f(included, "a 5 +10", "T(15) = (15 − 15 included) × 0.5 = 0", "T(10) = (10 − 10 of 15 included) × 0.5 = 0", "T(15) − T(10) = 0")
	const above = `{"a":{"unit":"1","above":[{"of":["b","c","d","z"],"quantity":"5","unit":"2"},{"of":["b","c","d","z"],"quantity":"9","unit":"3"}]},"b":"0","c":"0","d":"0","z":"0"}`
	f(above, "a 1, c 2, z 4", "c + z = 6, above 5: the unit is 2", "c + z = 6, not above 9: the unit is 2", "1 × 2 = 2")
	f(above, "a 1, b 5", "b = 5, not above 5: the unit is 1", "1 × 1 = 1")
	f(above, "a 1", "b + c + d + z = 0, not above 5: the unit is 1", "1 × 1 = 1")
}

var words = regexp.MustCompile(`packages? of (\S+) |(of \S+ )?included`)

// workOut checks each "left = middle = result" and returns the last result.
func workOut(t *testing.T, steps []string) (last decimal.Decimal) {
	t.Helper()
	known := map[string]decimal.Decimal{}
	for _, step := range steps {
		if text, ok := strings.CutPrefix(step, "less than the minimum: "); ok {
			minimum := decimal.RequireFromString(text)
			if !last.LessThan(minimum) {
				t.Fatalf("%s is not below %s", last, minimum)
			}
			last = minimum
			continue
		}
		if text, ok := strings.CutPrefix(step, "taken back: "); ok {
			if last = decimal.RequireFromString(text); last.IsPositive() {
				t.Fatalf("%s gives nothing back", step)
			}
			continue
		}
		if strings.Contains(step, "the unit is") {
			continue // a threshold: the unit stands in the next line
		}
		parts := strings.Split(step, " = ")
		last = evaluate(t, parts[len(parts)-1], known)
		for _, part := range parts[:len(parts)-1] {
			if _, ahead := known[part]; strings.HasPrefix(part, "T") && !strings.Contains(part, "−") && !ahead {
				known[part] = last
				continue
			}
			if got := evaluate(t, part, known); !got.Equal(last) {
				t.Fatalf("%q: %s is %s", step, part, got)
			}
		}
	}
	return last
}

// evaluate works out sums of products; T(…) stands for what an earlier line says.
func evaluate(t *testing.T, text string, known map[string]decimal.Decimal) decimal.Decimal {
	t.Helper()
	text = strings.TrimSpace(words.ReplaceAllString(text, ""))
	if inner, rest, ok := strings.Cut(strings.TrimPrefix(text, "("), ")"); ok && strings.HasPrefix(text, "(") {
		return evaluate(t, inner, known).Mul(evaluate(t, strings.TrimPrefix(strings.TrimSpace(rest), "× "), known))
	}
	sum, sign := decimal.Zero, decimal.NewFromInt(1)
	for _, term := range strings.Fields(strings.ReplaceAll(text, " × ", "×")) {
		switch term {
		case "+":
			sign = decimal.NewFromInt(1)
			continue
		case "−":
			sign = decimal.NewFromInt(-1)
			continue
		}
		value := decimal.NewFromInt(1)
		for factor := range strings.SplitSeq(term, "×") {
			if total, ok := known[factor]; ok {
				value = value.Mul(total)
				continue
			}
			d, err := decimal.NewFromString(factor)
			if err != nil {
				t.Fatal(fmt.Errorf("%q in %q: %w", factor, text, err))
			}
			value = value.Mul(d)
		}
		sum = sum.Add(value.Mul(sign))
	}
	return sum
}
