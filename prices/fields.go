package prices

import (
	"regexp"
	"strings"
)

// fieldRule says what one price field of the list becomes. Components are
// exclusive: a gateway counts each token, image or second in one of them.
type fieldRule struct {
	field     string
	component string
	// other marks a unit other than a token. The list fills such fields with
	// zeros where a provider does not price them; imported, they would make
	// that usage free instead of unpriced.
	other bool
	// byToken names the component that prices the same usage by the token.
	// Only one of the two is imported, that which is not zero, the token's if
	// neither is: with both in the book, a gateway that reports both would
	// charge twice.
	byToken string
}

// fieldRules are in the order in which they apply: what byToken names, and the
// usual spelling where two fields mean one component, come first.
var fieldRules = []fieldRule{
	{field: "input_cost_per_token", component: "input"},
	{field: "output_cost_per_token", component: "output"},
	{field: "cache_read_input_token_cost", component: "cached_input"},
	{field: "input_cost_per_token_cache_hit", component: "cached_input"},
	{field: "cache_creation_input_token_cost", component: "cache_write"},
	{field: "output_cost_per_reasoning_token", component: "reasoning_output"},
	{field: "citation_cost_per_token", component: "citation"},
	{field: "input_cost_per_audio_token", component: "input_audio"},
	{field: "cache_read_input_audio_token_cost", component: "cached_input_audio"},
	{field: "cache_creation_input_audio_token_cost", component: "cache_write_audio"},
	{field: "output_cost_per_audio_token", component: "output_audio"},
	{field: "input_cost_per_token_batches", component: "batch_input"},
	{field: "input_cost_per_token_batch_requests", component: "batch_input"},
	{field: "output_cost_per_token_batches", component: "batch_output"},
	{field: "input_cost_per_character", component: "input_character", other: true, byToken: "input"},
	{field: "output_cost_per_character", component: "output_character", other: true, byToken: "output"},
	{field: "input_cost_per_second", component: "input_second", other: true, byToken: "input"},
	{field: "output_cost_per_second", component: "output_second", other: true, byToken: "output"},
	{field: "input_cost_per_image", component: "input_image", other: true},
	{field: "output_cost_per_image", component: "output_image", other: true},
	{field: "input_cost_per_pixel", component: "input_pixel", other: true},
	{field: "output_cost_per_pixel", component: "output_pixel", other: true},
	{field: "input_cost_per_video_per_second", component: "input_video_second", other: true},
	{field: "input_cost_per_audio_per_second", component: "input_audio_second", other: true},
	{field: "input_cost_per_query", component: "query", other: true},
	{field: "input_cost_per_request", component: "request", other: true},
	{field: "search_context_cost_per_query.search_context_size_low", component: "search_low", other: true},
	{field: "search_context_cost_per_query.search_context_size_medium", component: "search_medium", other: true},
	{field: "search_context_cost_per_query.search_context_size_high", component: "search_high", other: true},
}

var (
	// tierField is a price that holds above some size of the request only.
	tierField = regexp.MustCompile(`_above_[0-9]`)
	// unitField is a price in Databricks units; "db" is how the list misspells them.
	unitField = regexp.MustCompile(`_dbu?_cost_`)
)

// isPriceField says whether a field states a price. It is generous: a new kind
// of price must end up in the report, not in the silence.
func isPriceField(name string) bool {
	name = strings.ToLower(name)
	return strings.Contains(name, "cost") || strings.Contains(name, "price") || strings.Contains(name, "pricing")
}

// tokenField returns the field that a component read by the token comes from.
func tokenField(component string) string {
	for i := range fieldRules {
		if fieldRules[i].component == component {
			return fieldRules[i].field
		}
	}
	panic("BUG: no rule for component " + component)
}

func hasRule(field string) bool {
	for i := range fieldRules {
		if fieldRules[i].field == field {
			return true
		}
	}
	return false
}

// reasonWithoutRule says why a price field that no rule knows is left out.
func reasonWithoutRule(field string) Reason {
	switch {
	case tierField.MatchString(field):
		return ContextTier
	case unitField.MatchString(field):
		return OtherUnit
	}
	return UnknownField
}
