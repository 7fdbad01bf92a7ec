package usage

import (
	"github.com/go-faster/jx"

	"farthing/money"
	"farthing/refusal"
)

// Component is a quantity of a component. Its name is a constant of this package.
type Component struct {
	Name     string
	Quantity money.Quantity
}

// Normalise appends to dst what raw, a usage object as the provider f sends it, says as
// exclusive components: no token is in two, none is zero, and together they are what
// was reported. tier is the service tier that the object itself states, see Tier;
// empty: none. Nothing is kept of raw. It allocates only to refuse, for strings with
// escapes, tiers of other names, many keys, and for dst to grow.
//
// A refusal has the code Invalid and one of these reasons: invalid_usage (not such an
// object, or a number that is not whole, negative or above 9 * 10^12), duplicate_key,
// wrong_usage_format (an object of another format), usage_contradiction (numbers that
// cannot all be true), usage_ambiguous (tokens whose price is another model's).
func (f Format) Normalise(raw []byte, dst []Component) (components []Component, tier string, no *refusal.Refusal) {
	r := reader{format: f, dst: dst}
	if !r.normalise(raw) {
		return dst, "", r.no
	}
	return r.dst, r.tier, nil
}

// normalise reads raw and splits it into r.dst.
func (r *reader) normalise(raw []byte) bool {
	if r.format == 0 || r.format >= formatEnd {
		panic("BUG: normalising usage of no format")
	}
	r.d = jx.GetDecoder()
	defer jx.PutDecoder(r.d)
	if !r.read(raw) || !r.familiar() || !r.complete() {
		return false
	}
	if r.rec != nil {
		r.rec.begin(r)
	}
	switch r.format {
	case OpenAI:
		return r.openAI()
	case Anthropic:
		return r.anthropic()
	case Gemini:
		return r.gemini()
	case Bedrock:
		return r.bedrock()
	}
	return r.otel()
}

// familiar refuses an object that is of another format, as far as it can be told: read
// as this one its cache would be charged twice, or not as a cache.
func (r *reader) familiar() bool {
	keys, other := r.strange, OpenAI
	if r.format == OpenAI && r.name[fieldInput] == "input_tokens" {
		for _, f := range []field{fieldTopRead, fieldTopWrite} {
			if r.value[f] > 0 && keys == "" {
				keys, other = "input_tokens and "+r.name[f], Anthropic
			}
		}
	}
	return keys == "" || r.refuse("wrong_usage_format", "usage has %s, as the format %s has, not %s", keys, other, r.format)
}

// complete refuses an object without any of the totals: it is most likely another
// provider's, and would be free of charge.
func (r *reader) complete() bool {
	if r.has(fieldInput) || r.has(fieldOutput) || r.has(fieldSeconds) {
		return true
	}
	return r.refuse("invalid_usage", "usage has neither %s nor %s, so it is not of the format %s",
		r.nameOf(fieldInput), r.nameOf(fieldOutput), r.format)
}

// nameOf returns the name that a field was given under, or the first it could have been.
func (r *reader) nameOf(f field) string {
	if r.listed>>f&1 != 0 && f >= fieldText && f <= fieldOutVideo {
		return r.name[f] + "[" + modalityNames[(f-fieldText)%field(modalityEnd)] + "]"
	}
	if r.has(f) {
		return r.name[f]
	}
	for _, m := range members[roots[r.format]] {
		if m.field == f && m.kind == count {
			return m.name
		}
	}
	return "what is reported"
}
