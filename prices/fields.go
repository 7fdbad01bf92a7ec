package prices

import (
	"regexp"
	"strconv"
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
	// prompt marks the tokens that make up the size of the prompt, which the
	// prices above some size ask for.
	prompt bool
	// per is the number of units that the field prices; 0 stands for 1.
	per uint64
	// decimals is how many decimals a quantity may have: durations are not whole.
	decimals int
}

// fieldRules are in the order in which they apply: what byToken names, and the
// usual spelling where two fields mean one component, come first. The list
// states the duration and the pixels of one call in two fields, of which
// LiteLLM charges one; both therefore mean the same component.
var fieldRules = []fieldRule{
	{field: "input_cost_per_token", component: "input", prompt: true},
	{field: "output_cost_per_token", component: "output"},
	{field: "cache_read_input_token_cost", component: "cached_input", prompt: true},
	{field: "input_cost_per_token_cache_hit", component: "cached_input", prompt: true},
	{field: "cache_creation_input_token_cost", component: "cache_write", prompt: true},
	{field: "cache_creation_input_token_cost_above_1hr", component: "cache_write_1h", prompt: true},
	{field: "output_cost_per_reasoning_token", component: "reasoning"},
	{field: "citation_cost_per_token", component: "citation"},
	{field: "input_cost_per_audio_token", component: "audio_input", prompt: true},
	{field: "cache_read_input_audio_token_cost", component: "cached_audio_input", prompt: true},
	{field: "cache_read_input_token_cost_per_audio_token", component: "cached_audio_input", prompt: true},
	{field: "cache_creation_input_audio_token_cost", component: "cache_write_audio", prompt: true},
	{field: "output_cost_per_audio_token", component: "audio_output"},
	{field: "input_cost_per_image_token", component: "image_input", prompt: true},
	{field: "cache_read_input_image_token_cost", component: "cached_image_input", prompt: true},
	{field: "output_cost_per_image_token", component: "image_output"},
	{field: "input_cost_per_video_token", component: "video_input", prompt: true},
	{field: "computer_use_input_cost_per_1k_tokens", component: "computer_use_input", other: true, per: 1000},
	{field: "computer_use_output_cost_per_1k_tokens", component: "computer_use_output", other: true, per: 1000},
	{field: "input_cost_per_character", component: "characters", other: true, byToken: "input"},
	{field: "output_cost_per_character", component: "output_characters", other: true, byToken: "output"},
	{field: "input_cost_per_second", component: "seconds", other: true, byToken: "input", decimals: 3},
	{field: "output_cost_per_second", component: "seconds", other: true, byToken: "output", decimals: 3},
	{field: "input_cost_per_image", component: "input_images", other: true, byToken: "image_input"},
	{field: "output_cost_per_image", component: "images", other: true, byToken: "image_output"},
	{field: "input_cost_per_pixel", component: "pixels", other: true},
	{field: "output_cost_per_pixel", component: "pixels", other: true},
	{field: "input_cost_per_video_per_second", component: "video_seconds", other: true, byToken: "video_input", decimals: 3},
	{field: "output_cost_per_video_per_second", component: "output_video_seconds", other: true, decimals: 3},
	{field: "input_cost_per_audio_per_second", component: "audio_seconds", other: true, byToken: "audio_input", decimals: 3},
	{field: "output_cost_per_audio_per_second", component: "output_audio_seconds", other: true, byToken: "audio_output", decimals: 3},
	{field: "ocr_cost_per_page", component: "pages", other: true},
	{field: "ocr_cost_per_credit", component: "ocr_credits", other: true},
	{field: "annotation_cost_per_page", component: "annotation_pages", other: true},
	{field: "input_cost_per_query", component: "queries", other: true},
	{field: "input_cost_per_request", component: call, other: true},
	{field: "search_context_cost_per_query.search_context_size_low", component: "web_search_low", other: true},
	{field: "search_context_cost_per_query.search_context_size_medium", component: "web_search_medium", other: true},
	{field: "search_context_cost_per_query.search_context_size_high", component: "web_search_high", other: true},
	{field: "file_search_cost_per_1k_calls", component: "file_search", other: true, per: 1000},
	{field: "file_search_cost_per_gb_per_day", component: "file_search_gb_days", other: true, decimals: 3},
	{field: "vector_store_cost_per_gb_per_day", component: "vector_store_gb_days", other: true, decimals: 3},
	{field: "code_interpreter_cost_per_session", component: "code_interpreter", other: true},
}

// call is the component of a fee per request. Where there is an input price the
// fee is that component's flat one: no provider's usage object counts requests.
const call = "call"

// suffixes turn a field into one for a service tier, or above some size of the prompt.
var (
	tierSuffix  = regexp.MustCompile(`_(batches|batch_requests|priority|flex)$`)
	aboveSuffix = regexp.MustCompile(`_above_([0-9]{1,9})(k?)_tokens$`)
	// intervalField is a price that depends on how a video is cut.
	intervalField = regexp.MustCompile(`_above_[0-9]+s_interval$`)
	// unitField is a price in Databricks units; "db" is how the list misspells them.
	unitField = regexp.MustCompile(`_dbu?_cost_`)
	// tieredField is a price in an array of ranges of the prompt's size.
	tieredField = regexp.MustCompile(`^tiered_pricing\.([0-9]+)\.(.+)$`)
)

// serviceTiers are the values of TierDimension by their suffix.
var serviceTiers = map[string]string{
	"batches": "batch", "batch_requests": "batch", "priority": "priority", "flex": "flex",
}

// meaning is what the name of a price field says.
type meaning struct {
	rule  int    // index in fieldRules
	tier  string // value of TierDimension; empty: the standard price
	above uint64 // tokens of the prompt that are passed; 0: from the first on
}

// readField takes a field's name apart, without the prefix of its range. The
// suffixes come in any order, each kind once.
func readField(name string) (m meaning, reason Reason) {
	base := name
	for {
		if found := tierSuffix.FindStringSubmatch(base); found != nil && m.tier == "" {
			m.tier = serviceTiers[found[1]]
			base = strings.TrimSuffix(base, found[0])
			continue
		}
		found := aboveSuffix.FindStringSubmatch(base)
		if found == nil || m.above > 0 {
			break
		}
		n, err := strconv.ParseUint(found[1], 10, 64)
		if err != nil {
			panic("BUG: nine digits are no number: " + err.Error())
		}
		if found[2] != "" {
			n *= 1000
		}
		if n == 0 {
			break
		}
		m.above = n
		base = strings.TrimSuffix(base, found[0])
	}
	for i := range fieldRules {
		if fieldRules[i].field == base {
			m.rule = i
			return m, ""
		}
	}
	return m, reasonWithoutRule(name)
}

// isPriceField says whether a field states a price. It is generous: a new kind
// of price must end up in the report, not in the silence.
func isPriceField(name string) bool {
	name = strings.ToLower(name)
	return strings.Contains(name, "cost") || strings.Contains(name, "price") || strings.Contains(name, "pricing")
}

// reasonWithoutRule says why a price field that no rule knows is left out.
func reasonWithoutRule(field string) Reason {
	switch {
	case strings.HasPrefix(field, "metadata."):
		return Provenance
	case intervalField.MatchString(field):
		return VideoInterval
	case unitField.MatchString(field):
		return OtherUnit
	}
	return UnknownField
}
