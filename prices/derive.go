package prices

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"farthing/money"
)

// fromStandard is what a service tier's price is derived from where the tier
// does not state it.
const fromStandard = "the standard price"

// complete gives every service tier the components that it does not state, and
// makes a fee per request part of the input's price.
//
// A tier's fields name what the vendor prices differently in it; the rest costs
// what it costs anywhere. So do prices above some size: a discount is never
// assumed, and the price above a size never falls away with the tier.
func (b *builder) complete() {
	standard := b.tiers[""]
	for _, tier := range slices.Sorted(maps.Keys(b.tiers)) {
		if tier != "" {
			for _, name := range slices.Sorted(maps.Keys(standard)) {
				b.inherit(tier, name, standard[name])
			}
		}
	}
	for _, own := range b.tiers {
		if fee := own[call]; fee != nil && own["input"] != nil {
			own["input"].flat = fee.unit
			delete(own, call)
		}
	}
}

func (b *builder) inherit(tier, name string, std *rate) {
	own := b.tiers[tier][name]
	if own == nil {
		own = &rate{above: map[uint64]money.Amount{}, rule: std.rule}
		b.tiers[tier][name] = own
	}
	taken := !own.stated
	if taken {
		own.unit = std.unit
	}
	for tokens, unit := range std.above {
		if _, ok := own.above[tokens]; !ok {
			own.above[tokens] = unit
			taken = true
		}
	}
	if taken {
		b.derived = append(b.derived, Derived{b.e.model, tier, name, fromStandard})
	}
}

// derive adds to a tier what vendors bill although the list has no field for it:
// reasoning tokens are output tokens, and where there is no discount for tokens
// from the cache they are input tokens. Images, audio and video that a model
// takes or makes are tokens like any other unless they have a price of their
// own, in whatever unit.
func (b *builder) derive(tier string, own rates) {
	like := func(name, from string) {
		if own[name] != nil || own[from] == nil {
			return
		}
		r := *own[from]
		r.flat = money.Amount{} // once per event
		r.copiedOf = from
		own[name] = &r
		b.derived = append(b.derived, Derived{b.e.model, tier, name, from})
	}
	like("web_search", "web_search_medium") // what vendors do when the request does not say
	if !b.e.talks() {
		return
	}
	like("cached_input", "input")
	like("reasoning", "output")
	for _, kind := range []string{"image", "audio", "video"} {
		if b.e.takes[kind] && own[kind+"_seconds"] == nil && own["input_"+kind+"s"] == nil {
			like(kind+"_input", "input")
		}
		if b.e.makes[kind] && own[kind+"s"] == nil && own["output_"+kind+"_seconds"] == nil {
			like(kind+"_output", "output")
		}
	}
	for _, kind := range []string{"image", "audio"} {
		switch r := own[kind+"_input"]; {
		case r != nil && r.copiedOf == "input":
			like("cached_"+kind+"_input", "cached_input")
		case own["cached_input"] != nil && own["cached_input"].copiedOf == "input":
			like("cached_"+kind+"_input", kind+"_input")
		}
	}
	if b.e.google() {
		like("tool_input", "input")
	}
}

// talks says whether the model answers: others report no reasoning and no cache.
// Entries that do not say what they are for are taken for models that do.
func (e *entry) talks() bool {
	return slices.Contains([]string{"", "chat", "completion", "responses"}, e.mode)
}

// google says whether the usage comes as Google counts it, which is the only
// one that counts the tokens of tools apart.
func (e *entry) google() bool {
	return e.provider == "gemini" || len(e.provider) >= 9 && e.provider[:9] == "vertex_ai"
}

// promptComponents are the components that make up the size of a prompt.
var promptComponents = func() map[string]bool {
	out := map[string]bool{"tool_input": true}
	for i := range fieldRules {
		if fieldRules[i].prompt {
			out[fieldRules[i].component] = true
		}
	}
	return out
}()

// prompt returns the components of a tier that make up the size of a prompt, sorted.
func (b *builder) prompt(tier string) []string {
	var out []string
	for name := range b.tiers[tier] {
		if promptComponents[name] {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// price makes a tier's price.
func (b *builder) price(tier string, own rates) Price {
	price := Price{Meter: Meter, Currency: Currency, Match: []Dimension{{"model", b.e.model}}}
	if tier != "" {
		price.Match = append(price.Match, Dimension{TierDimension, tier})
	}
	of := b.prompt(tier)
	for name, r := range own {
		price.Components = append(price.Components, r.component(name, of))
	}
	slices.SortFunc(price.Components, func(a, b Component) int { return cmp.Compare(a.Name, b.Name) })
	return price
}

func (r *rate) component(name string, of []string) Component {
	c := Component{Name: name, Rate: Rate{Unit: r.unit, Flat: r.flat}, QuantityDecimals: r.rule.decimals}
	decimals := r.unit.Decimals()
	for _, tokens := range slices.Sorted(maps.Keys(r.above)) {
		unit := r.above[tokens]
		decimals = max(decimals, unit.Decimals())
		c.Above = append(c.Above, Step{strconv.FormatUint(tokens, 10), Rate{Unit: unit}})
	}
	if len(c.Above) > 0 {
		c.Of = of
	}
	if decimals+c.QuantityDecimals > money.Scale {
		c.QuantityDecimals = 0
	}
	return c
}
