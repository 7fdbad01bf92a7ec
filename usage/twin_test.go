package usage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

// The dumb twin: it reads the object into a tree with encoding/json, adds up with
// math/big, and says what an accepted object must add up to and what must have held.

type tree map[string]any

// num returns the number at a path of keys; absent and null are 0.
func (t tree) num(path ...string) *big.Rat {
	at := any(map[string]any(t))
	for _, key := range path {
		object, _ := at.(map[string]any)
		at = object[key]
	}
	at = unwrapped(at)
	if text, ok := at.(string); ok && strings.HasPrefix(path[0], "gen_ai.") {
		at = json.Number(text)
	}
	n, ok := at.(json.Number)
	if !ok {
		return new(big.Rat)
	}
	r, ok := new(big.Rat).SetString(n.String())
	if !ok {
		return new(big.Rat) // a string of no number: refused, for that or for what is before it
	}
	return r
}

// first returns the first number that is there.
func (t tree) first(keys ...string) *big.Rat {
	for _, key := range keys {
		if t[key] != nil {
			return t.num(key)
		}
	}
	return new(big.Rat)
}

// listed adds up the elements of a list.
func (t tree) listed(list string) *big.Rat {
	sum := new(big.Rat)
	elements, _ := t[list].([]any)
	for _, e := range elements {
		object, _ := e.(map[string]any)
		sum.Add(sum, tree(object).first("tokenCount", "token_count", "inputTokens"))
	}
	return sum
}

// ofModality adds up those of one modality, TEXT being all that have no other; nil: there
// is none.
func (t tree) ofModality(list, modality string) (sum *big.Rat) {
	elements, _ := t[list].([]any)
	for _, e := range elements {
		element, _ := e.(map[string]any)
		object := tree(element)
		label, _ := object["modality"].(string)
		label = strings.TrimPrefix(strings.ToUpper(label), "MEDIAMODALITY.")
		if label != "AUDIO" && label != "IMAGE" && label != "VIDEO" {
			label = "TEXT"
		}
		if label == modality {
			if sum == nil {
				sum = new(big.Rat)
			}
			sum.Add(sum, object.first("tokenCount", "token_count"))
		}
	}
	return sum
}

// both claims that two names of one number agree, where both are given.
func (r *report) both(t tree, one, other string) {
	if t[one] != nil && t[other] != nil {
		r.equal(one+" and "+other, t.num(one), t.num(other))
	}
}

func sumOf(terms ...*big.Rat) *big.Rat {
	sum := new(big.Rat)
	for _, n := range terms {
		if n != nil {
			sum.Add(sum, n)
		}
	}
	return sum
}

// claim is something that holds of every accepted object: got is exactly, or at most, want.
type claim struct {
	what      string
	got, want *big.Rat
	atMost    bool
}

func (c claim) holds() bool {
	if c.atMost {
		return c.got.Cmp(c.want) <= 0
	}
	return c.got.Cmp(c.want) == 0
}

// report is what the twin makes of an object.
type report struct {
	input, output, cached, written, extra *big.Rat // what groups of components must sum to
	claims                                []claim  // what must hold of the object itself
}

func (r *report) equal(what string, got, want *big.Rat) {
	r.claims = append(r.claims, claim{what, got, want, false})
}

func (r *report) atMost(what string, want *big.Rat, parts ...*big.Rat) {
	r.claims = append(r.claims, claim{what, sumOf(parts...), want, true})
}

func twinOf(f Format, t tree) report {
	zero := new(big.Rat)
	r := report{input: zero, output: zero, cached: zero, written: zero, extra: zero}
	switch f {
	case OpenAI:
		r.openAI(t)
	case Anthropic:
		r.anthropic(t)
	case Gemini:
		r.gemini(t)
	case Bedrock:
		r.bedrock(t)
	case OTel:
		r.otel(t)
	}
	return r
}

func (r *report) openAI(t tree) {
	in, out := "prompt_tokens_details", "completion_tokens_details"
	r.input, r.output = t.first("prompt_tokens", "input_tokens"), t.first("completion_tokens", "output_tokens")
	if t["input_tokens_details"] != nil {
		in = "input_tokens_details"
	}
	if t["input_token_details"] != nil {
		in = "input_token_details"
	}
	if t["output_tokens_details"] != nil {
		out = "output_tokens_details"
	}
	if t["output_token_details"] != nil {
		out = "output_token_details"
	}
	r.both(t, "prompt_tokens", "input_tokens")
	r.both(t, "completion_tokens", "output_tokens")

	if beside := sumOf(r.input, r.output, t.num(out, "reasoning_tokens")); t["total_tokens"] != nil && t.num("total_tokens").Cmp(beside) == 0 {
		r.atMost("predictions", r.output, t.num(out, "accepted_prediction_tokens"), t.num(out, "rejected_prediction_tokens"))
		r.atMost("output", r.output, t.num(out, "text_tokens"), t.num(out, "audio_tokens"), t.num(out, "image_tokens"))
		r.output = sumOf(r.output, t.num(out, "reasoning_tokens"))
	} else if t["total_tokens"] != nil {
		r.equal("total", t.num("total_tokens"), sumOf(r.input, r.output))
	}
	r.cached, r.written, r.extra = t.num(in, "cached_tokens"), t.num(in, "cache_write_tokens"), t.num("seconds")
	r.atMost("cache", r.input, r.cached, r.written)
	r.atMost("reasoning", r.output, t.num(out, "reasoning_tokens"), t.num(out, "audio_tokens"), t.num(out, "image_tokens"))
	r.atMost("output", r.output, t.num(out, "text_tokens"), t.num(out, "audio_tokens"), t.num(out, "image_tokens"))
	r.atMost("predictions", r.output, t.num(out, "accepted_prediction_tokens"), t.num(out, "rejected_prediction_tokens"))
	unlisted := new(big.Rat) // modalities that only the cache has
	for _, m := range []string{"text_tokens", "audio_tokens", "image_tokens"} {
		if details, _ := t[in].(map[string]any); details[m] != nil {
			r.atMost("cached "+m, t.num(in, m), t.num(in, "cached_tokens_details", m))
		} else if m != "text_tokens" {
			unlisted.Add(unlisted, t.num(in, "cached_tokens_details", m))
		}
	}
	r.atMost("modalities", r.input, t.num(in, "text_tokens"), t.num(in, "audio_tokens"), t.num(in, "image_tokens"), unlisted)
	r.atMost("modalities and cached text", r.input, t.num(in, "cached_tokens_details", "text_tokens"), t.num(in, "audio_tokens"), t.num(in, "image_tokens"), unlisted)
	r.atMost("cached", r.cached, t.num(in, "cached_tokens_details", "text_tokens"), t.num(in, "cached_tokens_details", "audio_tokens"), t.num(in, "cached_tokens_details", "image_tokens"))
}

func (r *report) anthropic(t tree) {
	short, long := t.num("cache_creation", "ephemeral_5m_input_tokens"), t.num("cache_creation", "ephemeral_1h_input_tokens")
	r.cached, r.written = t.num("cache_read_input_tokens"), t.num("cache_creation_input_tokens")
	if sumOf(short, long).Sign() > 0 {
		if t["cache_creation_input_tokens"] == nil {
			r.written = sumOf(short, long)
		}
		r.equal("writes", r.written, sumOf(short, long))
	}
	input, output := t.num("input_tokens"), t.num("output_tokens")
	passes, _ := t["iterations"].([]any)
	replies, counted := map[string]*big.Rat{}, false
	cached, written := r.cached, r.written
	for _, p := range passes {
		object, _ := p.(map[string]any)
		pass := tree(object)
		writes, parts := pass.num("cache_creation_input_tokens"), sumOf(pass.num("cache_creation", "ephemeral_5m_input_tokens"), pass.num("cache_creation", "ephemeral_1h_input_tokens"))
		if parts.Sign() > 0 {
			if pass["cache_creation_input_tokens"] == nil {
				writes = parts
			}
			r.equal("writes of a pass", writes, parts)
		}
		switch pass["type"] {
		case "message":
			counted = true
			for _, key := range []string{"input_tokens", "output_tokens", "cache_read_input_tokens"} {
				if replies[key] == nil && (pass[key] != nil || strings.HasPrefix(key[2:], "put")) {
					replies[key] = new(big.Rat)
				}
				if pass[key] != nil {
					replies[key].Add(replies[key], pass.num(key))
				}
			}
			if pass["cache_creation_input_tokens"] != nil || parts.Sign() > 0 {
				replies["written"] = sumOf(replies["written"], writes)
			}
		case "compaction":
			counted = true
			input, output = sumOf(input, pass.num("input_tokens")), sumOf(output, pass.num("output_tokens"))
			cached, written = sumOf(cached, pass.num("cache_read_input_tokens")), sumOf(written, writes)
		}
	}
	if counted {
		r.equal("replies' input", t.num("input_tokens"), sumOf(replies["input_tokens"]))
		r.equal("replies' output", t.num("output_tokens"), sumOf(replies["output_tokens"]))
	}
	if replies["cache_read_input_tokens"] != nil {
		r.equal("replies' reads", r.cached, replies["cache_read_input_tokens"])
	}
	if replies["written"] != nil {
		r.equal("replies' writes", r.written, replies["written"])
	}
	r.atMost("thinking", t.num("output_tokens"), t.num("output_tokens_details", "thinking_tokens"))
	r.cached, r.written, r.output = cached, written, output
	r.input = sumOf(input, cached, written)
	r.extra = t.num("server_tool_use", "web_search_requests")
}

func (r *report) gemini(t tree) {
	r.cached = t.num("cachedContentTokenCount")
	tools, thoughts := t.num("toolUsePromptTokenCount"), t.num("thoughtsTokenCount")
	r.input, r.output = sumOf(t.num("promptTokenCount"), tools), sumOf(t.num("candidatesTokenCount"), thoughts)
	if t["totalTokenCount"] != nil {
		r.equal("total", t.num("totalTokenCount"), sumOf(r.input, r.output))
	}
	tier, _ := t["serviceTier"].(string)
	if traffic, _ := t["trafficType"].(string); Tier([]byte(tier)) != "" && trafficTier([]byte(traffic)) != "" && Tier([]byte(tier)) != trafficTier([]byte(traffic)) {
		r.equal("tiers", new(big.Rat), big.NewRat(1, 1))
	}
	unlisted, others := new(big.Rat), new(big.Rat) // modalities that only the cache has
	for _, m := range []string{"TEXT", "AUDIO", "IMAGE", "VIDEO"} {
		all, read := t.ofModality("promptTokensDetails", m), t.ofModality("cacheTokensDetails", m)
		if m != "TEXT" {
			others = sumOf(others, all)
		}
		switch {
		case all != nil && read != nil:
			r.atMost("cached "+m, all, read)
		case read != nil && m != "TEXT":
			unlisted.Add(unlisted, read)
		}
	}
	r.atMost("prompt", t.num("promptTokenCount"), t.listed("promptTokensDetails"), unlisted)
	r.atMost("prompt and cached text", t.num("promptTokenCount"), others, unlisted, sumOf(t.ofModality("cacheTokensDetails", "TEXT")))
	r.atMost("cache", r.cached, t.listed("cacheTokensDetails"))
	r.atMost("candidates", t.num("candidatesTokenCount"), t.listed("candidatesTokensDetails"))
	r.atMost("tools", tools, t.listed("toolUsePromptTokensDetails"))
	r.atMost("cached", t.num("promptTokenCount"), r.cached)
}

func (r *report) bedrock(t tree) {
	r.cached, r.written = t.num("cacheReadInputTokens"), t.num("cacheWriteInputTokens")
	if parts := t.listed("cacheDetails"); parts.Sign() > 0 {
		if t["cacheWriteInputTokens"] == nil {
			r.written = parts
		}
		r.equal("writes", r.written, parts)
	}
	r.input, r.output = sumOf(t.num("inputTokens"), r.cached, r.written), t.num("outputTokens")
	if t["totalTokens"] != nil {
		r.equal("total", t.num("totalTokens"), sumOf(r.input, r.output))
	}
}

func (r *report) otel(t tree) {
	u := func(name string) *big.Rat { return t.num("gen_ai.usage." + name) }
	r.input, r.output = t.first("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"), t.first("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
	r.cached, r.written = u("cache_read.input_tokens"), u("cache_creation.input_tokens")
	r.both(t, "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
	r.both(t, "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
	r.atMost("cache", r.input, r.cached, r.written)
	r.atMost("modalities", r.input, u("text.input_tokens"), u("audio.input_tokens"), u("image.input_tokens"), u("video.input_tokens"))
	r.atMost("reasoning", r.output, u("reasoning.output_tokens"), u("audio.output_tokens"))
	r.atMost("output", r.output, u("text.output_tokens"), u("audio.output_tokens"))
}

// groups says what each component counts towards.
var groups = map[string]string{"input": "input", "cached_input": "input cached", "cache_write": "input written", "cache_write_1h": "input written",
	"audio_input": "input", "cached_audio_input": "input cached", "image_input": "input", "cached_image_input": "input cached", "video_input": "input",
	"tool_input": "input", "output": "output", "reasoning": "output", "audio_output": "output", "image_output": "output", "web_search": "extra", "seconds": "extra"}

// sameTotals compares Normalise with its twin on one object.
func sameTotals(t *testing.T, f Format, raw []byte) (accepted bool) {
	t.Helper()
	parts, _, no := f.Normalise(raw, nil)
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var object tree
	if err := dec.Decode(&object); err != nil {
		if no == nil {
			t.Fatalf("%s %q: accepted, encoding/json says %v", f, raw, err)
		}
		return false
	}
	if no != nil && no.Reason != "usage_contradiction" {
		return false
	}
	r := twinOf(f, object)
	broken := ""
	for _, c := range r.claims {
		if !c.holds() {
			broken = fmt.Sprintf("%s: %s and %s", c.what, c.got.FloatString(0), c.want.FloatString(0))
		}
	}
	if mixed(f, object) {
		return no == nil
	}
	if no != nil {
		if broken == "" {
			t.Fatalf("%s %s: refused (%s), the twin sees no contradiction", f, raw, no.Detail)
		}
		return false
	}
	if broken != "" {
		t.Fatalf("%s %s: accepted, but %s", f, raw, broken)
	}
	sums := map[string]*big.Rat{"input": new(big.Rat), "output": new(big.Rat), "cached": new(big.Rat), "written": new(big.Rat), "extra": new(big.Rat)}
	for i, p := range parts {
		if p.Quantity == 0 || groups[p.Name] == "" {
			t.Fatalf("%s %s: component %+v", f, raw, p)
		}
		for _, other := range parts[:i] {
			if other.Name == p.Name {
				t.Fatalf("%s %s: %s is there twice", f, raw, p.Name)
			}
		}
		q, _ := new(big.Rat).SetString(p.Quantity.String())
		for _, g := range strings.Fields(groups[p.Name]) {
			sums[g].Add(sums[g], q)
		}
	}
	for g, want := range map[string]*big.Rat{"input": r.input, "output": r.output, "cached": r.cached, "written": r.written, "extra": r.extra} {
		if sums[g].Cmp(want) != 0 {
			t.Fatalf("%s %s: %s is %s, reported were %s: %v", f, raw, g, sums[g].FloatString(6), want.FloatString(6), parts)
		}
	}
	return true
}

// mixed reports whether an object has one thing under several names in a way that the
// twin does not follow: it must be accepted or refused without a fault, no more.
func mixed(f Format, t tree) bool {
	if text, err := json.Marshal(t); err != nil || f == Gemini && bytes.Contains(text, []byte("token_count")) {
		return true
	}
	inputs, outputs := 0, 0
	if details, _ := json.Marshal(t); f == OpenAI && bytes.Contains(details, []byte("cache_creation")) {
		return true
	}
	for key := range t {
		switch {
		case f == OpenAI && strings.HasPrefix(key, "cache_"), f == Bedrock && strings.HasSuffix(key, "TokenCount"), f == Anthropic && (key == "total_tokens" || key == "prompt_tokens" || key == "input_tokens_details"):
			return true
		case f == Gemini && (strings.Contains(key, "_") || strings.HasPrefix(key, "response")):
			return true
		case f == OpenAI && (key == "prompt_tokens_details" || strings.HasPrefix(key, "input_token") && strings.HasSuffix(key, "_details")):
			inputs++
		case f == OpenAI && strings.HasSuffix(key, "_details"):
			outputs++
		}
	}
	return inputs > 1 || outputs > 1
}

// random builds an object of the format f from its own keys, with numbers so small that
// many fit.
func random(rng *rand.Rand, f Format, g group, depth int) string {
	var parts []string
	shape := []string{"prompt completion", "input_tokens_ output_tokens_", "input_token_ output_token_"}[rng.IntN(3)]
	for _, m := range members[g] {
		if rng.IntN(3) == 0 || (g == openAIRoot && m.kind == object && !strings.Contains(shape, strings.TrimSuffix(strings.TrimSuffix(m.name, "details"), "_tokens_"))) {
			continue
		}
		if f == Gemini && (strings.Contains(m.name, "_") || strings.HasPrefix(m.name, "response")) && rng.IntN(40) != 0 {
			continue
		}
		if (m.kind == strange || m.field == fieldTopRead || m.field == fieldTopWrite || f == Bedrock && strings.HasSuffix(m.name, "TokenCount") || strings.HasPrefix(m.name, "cache_creation_tokens")) && rng.IntN(40) != 0 {
			continue
		}
		var v string
		switch m.kind {
		case object:
			v = random(rng, f, m.group, depth+1)
		case list:
			var elements []string
			most := 4
			if m.group == passCounts && rng.IntN(2) == 0 {
				most = 1 // none
			}
			for range rng.IntN(most) {
				elements = append(elements, random(rng, f, m.group, depth+1))
			}
			v = "[" + strings.Join(elements, ",") + "]"
		case word:
			if g == passCounts {
				v = `"` + map[field][]string{fieldLabel: {"message", "compaction", "message", "other"}, fieldModel: {"m", "m", "m", "n"}}[m.field][rng.IntN(4)] + `"`
				break
			}
			if m.field == fieldTraffic {
				v = []string{`"ON_DEMAND"`, `"ON_DEMAND_PRIORITY"`, "null"}[rng.IntN(3)]
				break
			}
			v = `"` + []string{"TEXT", "AUDIO", "IMAGE", "VIDEO", "5m", "1h", "priority", "audio", "MediaModality.IMAGE"}[rng.IntN(9)] + `"`
		default:
			most := 6 // small, so that equal sums are met
			if depth == 0 && (m.field == fieldInput || m.field == fieldOutput) && (f != Anthropic || rng.IntN(2) == 0) {
				most = 40
			}
			v = fmt.Sprint(rng.IntN(most))
			if m.field == fieldTotal && rng.IntN(2) == 0 {
				v = "null"
			}
			if f == OTel {
				v = fmt.Sprintf([]string{`%s`, `"%s"`, `{"intValue":"%s"}`, `{"intValue":%s}`}[rng.IntN(4)], v)
			}
		}
		parts = append(parts, fmt.Sprintf("%q:%s", m.name, v))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// TestRandomUsage holds Normalise against its twin on objects of the providers' own
// keys, and checks that enough of them are accepted to mean something.
func TestRandomUsage(t *testing.T) {
	const rounds = 5_000
	rng := rand.New(rand.NewPCG(3, 5))
	for f := OpenAI; f < formatEnd; f++ {
		accepted := 0
		for range rounds {
			if sameTotals(t, f, []byte(random(rng, f, roots[f], 0))) {
				accepted++
			}
		}
		t.Logf("%s: %d of %d accepted", f, accepted, rounds)
		if accepted < rounds/1000 {
			t.Errorf("%s: only %d of %d accepted", f, accepted, rounds)
		}
	}
}

func FuzzNormalise(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 2))
	for format := OpenAI; format < formatEnd; format++ {
		for range 20 {
			f.Add(byte(format), []byte(random(rng, format, roots[format], 0)))
		}
	}
	f.Add(byte(OpenAI), []byte(`{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,"prompt_tokens_details":{"cached_tokens":1920}}`))
	f.Add(byte(Bedrock), []byte(`{"inputTokens":13,"outputTokens":4,"totalTokens":7287,"cacheWriteInputTokens":7270,"cacheDetails":[{"inputTokens":7270,"ttl":"5m"}]}`))
	f.Fuzz(func(t *testing.T, format byte, raw []byte) {
		if format == 0 || Format(format) >= formatEnd {
			return
		}
		sameTotals(t, Format(format), raw)
	})
}
