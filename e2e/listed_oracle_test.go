package e2e

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/shopspring/decimal"
)

// The oracle of list prices reads the public list with nothing but encoding/json and
// shopspring/decimal, by the list's own field names, and says what a request costs.

// listedField says where the list states the price of one component. What it does not state
// has the price of like; without like, the model does not have the component.
type listedField struct {
	component string
	names     []string // the first that the model has counts
	like      string
	// perCall: not tokens. A zero means that the list does not know.
	perCall bool
}

// listedFields come after those they are like. The test sends only these components.
var listedFields = []listedField{
	{component: "input", names: []string{"input_cost_per_token"}},
	{component: "output", names: []string{"output_cost_per_token"}},
	{component: "cached_input", names: []string{"cache_read_input_token_cost", "input_cost_per_token_cache_hit"}, like: "input"},
	{component: "cache_write", names: []string{"cache_creation_input_token_cost"}},
	{component: "reasoning", names: []string{"output_cost_per_reasoning_token"}, like: "output"},
	{component: "audio_input", names: []string{"input_cost_per_audio_token"}},
	{component: "audio_output", names: []string{"output_cost_per_audio_token"}},
	{component: "citation", names: []string{"citation_cost_per_token"}},
	{component: "web_search_medium", names: []string{"search_context_cost_per_query.search_context_size_medium"}, perCall: true},
}

// notByToken is for models whose text is priced in another unit.
var notByToken = []listedField{
	{component: "characters", names: []string{"input_cost_per_character"}, perCall: true},
	{component: "output_characters", names: []string{"output_cost_per_character"}, perCall: true},
	{component: "seconds", names: []string{"input_cost_per_second"}, perCall: true},
}

// promptSizes are the sizes of the prompt from which the list has other prices.
var promptSizes = []int{128_000, 200_000}

// inPrompt are the components of listedFields that the size of a prompt counts.
var inPrompt = []string{"input", "cached_input", "cache_write", "audio_input"}

// unitPrice is the price of one component.
type unitPrice struct {
	unit  decimal.Decimal
	above map[int]decimal.Decimal // by size of the prompt
	flat  decimal.Decimal         // once for each event that has the component
}

// listing is a model, or a model in its batch tier, with its prices by component.
type listing struct {
	name  string
	batch bool
	units map[string]unitPrice
}

// listings reads the chat models that have a price other than zero, sorted by name.
func listings(r io.Reader) ([]listing, error) {
	var list map[string]map[string]json.RawMessage
	if err := json.NewDecoder(r).Decode(&list); err != nil {
		return nil, err
	}
	var out []listing
	for name, entry := range list {
		if string(entry["mode"]) != `"chat"` {
			continue
		}
		numbers, err := costs(entry)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if !slices.ContainsFunc(numbers.all(), decimal.Decimal.IsPositive) {
			continue
		}
		out = append(out, listing{name, false, numbers.units("")})
		if _, ok := numbers["input_cost_per_token_batches"]; ok {
			out = append(out, listing{name, true, numbers.units("_batches")})
		}
	}
	slices.SortFunc(out, func(a, b listing) int {
		if c := strings.Compare(a.name, b.name); c != 0 || a.batch == b.batch {
			return c
		}
		return map[bool]int{false: -1, true: 1}[a.batch]
	})
	return out, nil
}

// fieldPrices are an entry's price fields as the decimals they spell, inner ones by their path.
type fieldPrices map[string]decimal.Decimal

// costs collects the fields with "cost" in their name. Databricks units are no dollars.
func costs(entry map[string]json.RawMessage) (fieldPrices, error) {
	out := fieldPrices{}
	for name, raw := range entry {
		if !strings.Contains(name, "cost") || strings.Contains(name, "_dbu_") || strings.Contains(name, "_db_") {
			continue
		}
		inner := map[string]json.RawMessage{}
		if raw[0] == '{' {
			if err := json.Unmarshal(raw, &inner); err != nil {
				return nil, err
			}
		}
		for key, value := range inner {
			number, err := decimal.NewFromString(string(value))
			if err != nil {
				return nil, fmt.Errorf("%s.%s: %w", name, key, err)
			}
			out[name+"."+key] = number
		}
		if raw[0] == '{' || string(raw) == "null" {
			continue
		}
		number, err := decimal.NewFromString(string(raw))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out[name] = number
	}
	return out, nil
}

func (p fieldPrices) all() (out []decimal.Decimal) {
	for _, d := range p {
		out = append(out, d)
	}
	return out
}

// units reads the components' prices with the given suffix; what has none with it costs what
// it costs without.
func (p fieldPrices) units(suffix string) map[string]unitPrice {
	out := map[string]unitPrice{}
	fields := listedFields
	if _, ok := p["input_cost_per_token"]; !ok {
		fields = notByToken
	}
	for _, f := range fields {
		if u, ok := p.unit(f, suffix); ok {
			out[f.component] = u
		} else if u, ok := out[f.like]; ok {
			u.flat = decimal.Zero
			out[f.component] = u
		}
		if f.component == "input" {
			u := out["input"]
			u.flat = p["input_cost_per_request"]
			out["input"] = u
		}
	}
	return out
}

// unit reads one component's price. A zero beside a price that is not says that the list
// does not know.
func (p fieldPrices) unit(f listedField, suffix string) (unitPrice, bool) {
	i := slices.IndexFunc(f.names, func(name string) bool { _, ok := p[name]; return ok })
	if i < 0 || f.perCall && p[f.names[i]].IsZero() {
		return unitPrice{}, false
	}
	name := f.names[i]
	u := unitPrice{unit: p[name], above: map[int]decimal.Decimal{}}
	if own, ok := p[name+suffix]; ok && !own.IsZero() {
		u.unit = own
	}
	for _, size := range promptSizes {
		own := p[name+"_above_"+strconv.Itoa(size/1000)+"k_tokens"]
		if !own.IsZero() {
			u.above[size] = own
		}
	}
	return u, true
}

// columns are a listing's prices in the order of a request's components.
type columns struct {
	prices   []unitPrice
	inPrompt []bool
}

func (l *listing) columns(components []string) columns {
	var c columns
	for _, name := range components {
		c.prices = append(c.prices, l.units[name])
		c.inPrompt = append(c.inPrompt, slices.Contains(inPrompt, name))
	}
	return c
}

// cost says what each component comes to, and the whole, and whether the size of the prompt
// changed a price. A quantity of zero is no usage.
func (c *columns) cost(quantities, parts []decimal.Decimal) (total decimal.Decimal, above bool) {
	prompt := decimal.Zero
	for i, q := range quantities {
		if c.inPrompt[i] {
			prompt = prompt.Add(q)
		}
	}
	for i, q := range quantities {
		parts[i] = decimal.Zero
		if q.IsZero() {
			continue
		}
		price := &c.prices[i]
		unit := price.unit
		for _, size := range promptSizes { // ascending: the last one passed counts
			if own, ok := price.above[size]; ok && prompt.GreaterThan(decimal.NewFromInt(int64(size))) {
				unit, above = own, true
			}
		}
		parts[i] = unit.Mul(q).Add(price.flat)
		total = total.Add(parts[i])
	}
	return total, above
}

// signature is equal for listings whose prices are equal.
func (l *listing) signature() string {
	var words []string
	for name, u := range l.units {
		words = append(words, fmt.Sprint(name, " ", u.unit, " ", u.flat, " ", u.above))
	}
	slices.Sort(words)
	return strings.Join(words, "; ")
}

// atScale18 returns d × 10^18 as the two words of a two's complement; false: it has more
// decimals, or does not fit.
func atScale18(d decimal.Decimal) (hi int64, lo uint64, ok bool) {
	n, zeros := d.Coefficient(), int(d.Exponent())+18
	if zeros < 0 || zeros >= len(powersOf10) || n.Sign() < 0 {
		return 0, 0, n.Sign() == 0
	}
	if n.Mul(n, powersOf10[zeros]); n.BitLen() > 127 {
		return 0, 0, false
	}
	var words [16]byte
	n.FillBytes(words[:])
	return int64(binary.BigEndian.Uint64(words[:8])), binary.BigEndian.Uint64(words[8:]), true
}

var powersOf10 = func() (out [37]*big.Int) {
	for i := range out {
		out[i] = new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(i)), nil)
	}
	return out
}()
