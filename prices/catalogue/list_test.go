package catalogue

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"go.yaml.in/yaml/v3"
)

// publicList is the list that the LiteLLM community keeps, which lies beside
// the checkout where there is one.
const publicList = "../../../shared/data/model_prices.json"

// listKeys says under which prefix the list has a vendor's models, and for
// which of its providers.
var listKeys = map[string]struct {
	prefix    string
	providers []string
}{
	"OpenAI":       {"", []string{"openai"}},
	"Anthropic":    {"", []string{"anthropic"}},
	"Google":       {"gemini/", []string{"gemini"}},
	"Mistral AI":   {"mistral/", []string{"mistral"}},
	"DeepSeek":     {"deepseek/", []string{"deepseek"}},
	"xAI":          {"xai/", []string{"xai"}},
	"Groq":         {"groq/", []string{"groq"}},
	"Cohere":       {"", []string{"cohere", "cohere_chat"}},
	"Moonshot AI":  {"moonshot/", []string{"moonshot"}},
	"Perplexity":   {"", []string{"perplexity"}},
	"Amazon":       {"", []string{"bedrock", "bedrock_converse"}},
	"Together AI":  {"together_ai/", []string{"together_ai"}},
	"Fireworks AI": {"fireworks_ai/", []string{"fireworks_ai"}},
}

// listFields says which price a field of the list is.
var listFields = map[string]struct{ tier, component, above string }{
	"input_cost_per_token":                              {"", "input", ""},
	"output_cost_per_token":                             {"", "output", ""},
	"output_cost_per_reasoning_token":                   {"", "reasoning", ""},
	"cache_read_input_token_cost":                       {"", "cached_input", ""},
	"cache_creation_input_token_cost":                   {"", "cache_write", ""},
	"input_cost_per_audio_token":                        {"", "audio_input", ""},
	"output_cost_per_audio_token":                       {"", "audio_output", ""},
	"input_cost_per_token_batches":                      {"batch", "input", ""},
	"output_cost_per_token_batches":                     {"batch", "output", ""},
	"input_cost_per_token_above_128k_tokens":            {"", "input", "128000"},
	"output_cost_per_token_above_128k_tokens":           {"", "output", "128000"},
	"input_cost_per_token_above_200k_tokens":            {"", "input", "200000"},
	"output_cost_per_token_above_200k_tokens":           {"", "output", "200000"},
	"cache_read_input_token_cost_above_200k_tokens":     {"", "cached_input", "200000"},
	"cache_creation_input_token_cost_above_200k_tokens": {"", "cache_write", "200000"},
}

// difference is one price of the list that the catalogue does not agree with.
type difference struct {
	Model string `yaml:"model"`
	Field string `yaml:"field"`
	List  string `yaml:"list"` // what the list says, per million tokens
	Here  string `yaml:"here"` // what the catalogue says; empty: nothing
	Why   string `yaml:"why"`
}

// TestPublicList compares every price that the public list has, too. Each
// disagreement has to be listed with its reason, and nothing else may be.
func TestPublicList(t *testing.T) {
	text, err := os.ReadFile(publicList)
	if err != nil {
		t.Skipf("the catalogue is not compared with the public list: %v", err)
	}
	var list map[string]map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	if err := decoder.Decode(&list); err != nil {
		t.Fatal(err)
	}
	want := readDifferences(t)
	compared := 0
	for _, m := range Open().Models() {
		for _, name := range m.Names {
			entry := listEntry(list, &m, name)
			for _, field := range slices.Sorted(maps.Keys(entry)) {
				d, ok := compare(t, &m, name, field, entry[field])
				if !ok {
					continue
				}
				compared++
				if d.List == d.Here {
					continue
				}
				at := slices.IndexFunc(want, func(w difference) bool { return w.Model == d.Model && w.Field == d.Field })
				if at < 0 || want[at].List != d.List || want[at].Here != d.Here {
					t.Errorf("- {model: %s, field: %s, list: %q, here: %q, why: }", d.Model, d.Field, d.List, d.Here)
					continue
				}
				want = slices.Delete(want, at, at+1)
			}
		}
	}
	for _, d := range want {
		t.Errorf("%s %s is listed as a difference and is none", d.Model, d.Field)
	}
	if compared < 150 {
		t.Errorf("only %d prices were compared", compared)
	}
}

func readDifferences(t *testing.T) []difference {
	t.Helper()
	text, err := os.ReadFile("testdata/differs.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all []difference
	if err := yaml.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		if d.Why == "" {
			t.Errorf("%s %s differs without a reason", d.Model, d.Field)
		}
	}
	return all
}

func listEntry(list map[string]map[string]any, m *Model, name string) map[string]any {
	keys, ok := listKeys[m.Vendor]
	entry := list[keys.prefix+name]
	provider, _ := entry["litellm_provider"].(string)
	if !ok || !slices.Contains(keys.providers, provider) {
		return nil
	}
	return entry
}

// compare returns the two prices; false: the field is no price to compare, or
// a zero that stands for none.
func compare(t *testing.T, m *Model, name, field string, value any) (difference, bool) {
	t.Helper()
	place, ok := listFields[field]
	number, isNumber := value.(json.Number)
	if !ok || !isNumber {
		return difference{}, false
	}
	perToken, err := decimal.NewFromString(number.String())
	if err != nil {
		t.Fatal(err)
	}
	if perToken.IsZero() {
		return difference{}, false
	}
	d := difference{Model: name, Field: field, List: perToken.Shift(6).String()}
	for _, set := range m.Sets(time.Time{}) {
		for _, c := range set.Components {
			switch {
			case set.Tier != place.tier || c.Name != place.component:
			case place.above == "":
				d.Here = c.Unit
			case place.above == c.AboveTokens:
				d.Here = c.AboveUnit
			}
		}
	}
	return d, true
}
