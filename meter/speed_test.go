package meter

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"farthing/money"
)

// modelBook is a price list of so many models with four linear components each, as public
// lists have them; every tenth model has a second price for its batch tier.
func modelBook(models int) string {
	var prices []string
	for i := range models {
		components := fmt.Sprintf(`{"input":"0.00000%d","cached_input":"0.0000%d","output":{"unit":"%d","per":"1000000"},"reasoning":1.5e-%02d}`,
			i%97+1, i%31+1, i%53+1, i%3+5)
		prices = append(prices, simple(fmt.Sprintf(`{"model":"provider-%d/model-%d"}`, i%40, i), components))
		if i%10 == 0 {
			prices = append(prices, simple(fmt.Sprintf(`{"model":"provider-%d/model-%d","service_tier":"batch"}`, i%40, i), components))
		}
	}
	return version(prices...)
}

// eventModels is the models of random events, one text each and all of them in the order
// in which they come: a decoder hands an event over in memory that it has just written.
func eventModels(rng *rand.Rand, models int) (names []string) {
	var arena strings.Builder
	var ends []int
	for range 1 << 14 {
		i := rng.IntN(models)
		fmt.Fprintf(&arena, "provider-%d/model-%d", i%40, i)
		ends = append(ends, arena.Len())
	}
	start := 0
	for _, end := range ends {
		names = append(names, arena.String()[start:end])
		start = end
	}
	return names
}

// TestModelBook rates the benchmark's events: what is measured is what is meant.
func TestModelBook(t *testing.T) {
	v := mustParse(t, modelBook(50))
	s := Shape{Type: "m", Components: []string{"cached_input", "input", "output", "reasoning"}, Dimensions: []Dimension{{"model", ""}}}
	var plan Plan
	quantities := [MaxComponents]money.Quantity{1_000_000, 2_000_000, 3_000_000, 4_000_000}
	var before [MaxComponents]money.Quantity
	var amounts [MaxComponents]money.Amount
	for _, name := range eventModels(rand.New(rand.NewPCG(1, 2)), 50)[:200] {
		s.Dimensions[0].Value = name
		if no := v.PlanInto(&plan, &s, v.Prices[0].Currency); no != Planned || plan.Price.Match[0].Value != name || len(plan.Price.Match) != 1 {
			t.Fatalf("%s: %d, %v", name, no, plan.Price.Match)
		}
		want := money.Amount{}
		for i := range plan.Price.Components {
			for range i + 1 {
				want = want.MustAdd(plan.Price.Components[i].Unit)
			}
		}
		if total, refused := plan.Rate(&quantities, &before, &amounts); refused != nil || total != want {
			t.Fatalf("%s: %s %v, want %s", name, total, refused, want)
		}
	}
}

// BenchmarkRateEvent goes from a decoded shape to the rated total: the price is looked up
// among all prices, each component is resolved, the parts are added up. Nothing is cached
// between events, whose models are random.
func BenchmarkRateEvent(b *testing.B) {
	for _, models := range []int{20, 2_000, 20_000} {
		b.Run(fmt.Sprintf("models=%d", models), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			v := mustParse(b, modelBook(models))
			usd := v.Prices[0].Currency
			names := eventModels(rng, models)
			s, err := ParseShape((&Shape{Type: "m", Components: []string{"cached_input", "input", "output", "reasoning"},
				Dimensions: []Dimension{{"model", ""}, {"region", "eu"}}}).Append(nil))
			if err != nil {
				b.Fatal(err)
			}
			var quantities [64][MaxComponents]money.Quantity
			for i := range quantities {
				for k := range s.Components {
					quantities[i][k] = money.Quantity(rng.IntN(100_000)) * 1_000_000
				}
			}
			var plan Plan
			var before [MaxComponents]money.Quantity
			var amounts [MaxComponents]money.Amount
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				s.Dimensions[0].Value = names[i%len(names)]
				if no := v.PlanInto(&plan, &s, usd); no != Planned {
					b.Fatal(no)
				}
				if total, refused := plan.Rate(&quantities[i%64], &before, &amounts); refused != nil || total.Sign() < 0 {
					b.Fatal(total, refused)
				}
				i++
			}
		})
	}
}

// BenchmarkRatePlanned is Rate alone, the plan being at hand: what remains of an event
// whose shape the engine has seen.
func BenchmarkRatePlanned(b *testing.B) {
	graduated := `{"graduated":[{"up_to":"1000","unit":"0"},{"up_to":"1000000","unit":"0.0004"},{"unit":"0.0001"}]}`
	f := func(name, components string) {
		b.Run(name, func(b *testing.B) {
			v := mustParse(b, version(simple(`{}`, components)))
			plan, _ := v.Plan(&Shape{Type: "m", Components: []string{"a", "b", "c", "d"}}, v.Prices[0].Currency)
			var quantities, before [MaxComponents]money.Quantity
			var amounts [MaxComponents]money.Amount
			for i := range plan.Components {
				quantities[i], before[i] = money.Quantity(1000*i+7)*1_000_000, money.Quantity(100_000*i)*1_000_000
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, refused := plan.Rate(&quantities, &before, &amounts); refused != nil {
					b.Fatal(refused)
				}
			}
		})
	}
	f("linear", `{"a":"0.0000025","b":"0.00000125","c":"0.00001","d":"0.00001"}`)
	f("above", strings.ReplaceAll(`{"a":X,"b":X,"c":X,"d":X}`, "X", `{"unit":"0.0000025","above":[{"of":["a","b"],"quantity":"200000","unit":"0.000005"}]}`))
	f("graduated", strings.ReplaceAll(`{"a":X,"b":X,"c":X,"d":X}`, "X", graduated))
	f("package", strings.ReplaceAll(`{"a":X,"b":X,"c":X,"d":X}`, "X", `{"unit":"0.5","package":"1000"}`))
}

// BenchmarkParseVersion20000 reads a list of 20,000 prices.
func BenchmarkParseVersion20000(b *testing.B) {
	body := []byte(modelBook(18_182))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		v, refused := ParseVersion("v", body)
		if refused != nil || len(v.Prices) < 20_000 {
			b.Fatal(refused)
		}
	}
}
