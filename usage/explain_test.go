package usage

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"farthing/money"
)

// linesOf writes the result of Explain.
func linesOf(t *testing.T, f Format, raw string) string {
	t.Helper()
	steps, no := f.Explain([]byte(raw))
	if no != nil {
		return no.Reason + ": " + no.Detail
	}
	checkSteps(t, f, []byte(raw))
	var lines []string
	for _, s := range steps {
		lines = append(lines, s.Text)
	}
	return strings.Join(lines, "\n")
}

// TestExplainVendorsExamples has the lines of each example of TestVendorsExamples.
func TestExplainVendorsExamples(t *testing.T) {
	want := map[string]string{
		"chat completion":      "input = prompt_tokens = 19\noutput = completion_tokens = 10",
		"chat, cached":         "cached_input = cached_tokens = 1920\ninput = prompt_tokens 2006 − cached_tokens 1920 = 86\noutput = completion_tokens = 300",
		"responses":            "input = input_tokens = 36\noutput = output_tokens = 87",
		"responses, reasoning": "input = input_tokens = 75\noutput = output_tokens 1186 − reasoning_tokens 1024 = 162\nreasoning = reasoning_tokens = 1024",
		"responses, cache write": "cache_write = cache_write_tokens = 400\ncached_input = cached_tokens = 2000\n" +
			"input = input_tokens 2600 − cached_tokens 2000 − cache_write_tokens 400 = 200\noutput = output_tokens = 300",
		"embeddings": "input = prompt_tokens = 8",
		"images":     "image_input = image_tokens = 40\nimage_output = output_tokens = 50\ninput = input_tokens 50 − image_tokens 40 = 10",
		"realtime": "audio_input = input_token_details.audio_tokens = 13\naudio_output = output_token_details.audio_tokens = 91\ncached_input = cached_tokens = 64\n" +
			"input = input_tokens 132 − cached_tokens 64 − input_token_details.audio_tokens 13 = 55\noutput = output_tokens 121 − output_token_details.audio_tokens 91 = 30",
		"transcription": "audio_input = audio_tokens = 14\noutput = output_tokens = 45",
		"messages, one hour": "cache_write = ephemeral_5m_input_tokens = 148\ncache_write_1h = ephemeral_1h_input_tokens = 100\n" +
			"cached_input = cache_read_input_tokens = 1800\ninput = input_tokens = 2048\noutput = output_tokens = 503",
		"messages, one hour, as it was": "usage_contradiction: cache_creation_input_tokens is 248, but cache_creation.ephemeral_5m_input_tokens 456 + cache_creation.ephemeral_1h_input_tokens 100 = 556",
		"web search": "cache_write = cache_creation_input_tokens = 7345\ncached_input = cache_read_input_tokens = 7123\ninput = input_tokens = 105\n" +
			"output = output_tokens = 6039\nweb_search = web_search_requests = 1",
		"priority": "input = input_tokens = 410\noutput = output_tokens = 585",
		"cached content": "cached_input = cached_content_token_count = 696190\n" +
			"input = prompt_token_count 696219 − cached_content_token_count 696190 = 29\noutput = candidates_token_count = 214",
		"Converse": "input = inputTokens = 30\noutput = outputTokens = 628",
		"attributes": "cache_write = gen_ai.usage.cache_creation.input_tokens = 25\ncached_input = gen_ai.usage.cache_read.input_tokens = 50\n" +
			"input = gen_ai.usage.input_tokens 100 − gen_ai.usage.cache_read.input_tokens 50 − gen_ai.usage.cache_creation.input_tokens 25 = 25\n" +
			"output = gen_ai.usage.output_tokens 180 − gen_ai.usage.reasoning.output_tokens 50 = 130\nreasoning = gen_ai.usage.reasoning.output_tokens = 50",
	}
	for _, c := range vendorsExamples() {
		f, _ := ParseFormat([]byte(c.format))
		if got := linesOf(t, f, c.raw); got != want[c.name] {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, want[c.name])
		}
	}
}

// TestExplainSplitting has the paths that the vendors' examples do not take.
func TestExplainSplitting(t *testing.T) {
	f := func(format Format, raw string, want ...string) {
		t.Helper()
		if got := linesOf(t, format, raw); got != strings.Join(want, "\n") {
			t.Errorf("%s %s:\n%s\nwant\n%s", format, raw, got, strings.Join(want, "\n"))
		}
	}
	f(OpenAI, `{"prompt_tokens":100,"completion_tokens":60,"completion_tokens_details":{"reasoning_tokens":10,"audio_tokens":20,"rejected_prediction_tokens":7}}`,
		"audio_output = audio_tokens = 20", "input = prompt_tokens = 100", "output = completion_tokens 60 − audio_tokens 20 − reasoning_tokens 10 = 30", "reasoning = reasoning_tokens = 10")
	// Cache reads for which there is no text.
	f(OpenAI, `{"prompt_tokens":100,"completion_tokens":0,"prompt_tokens_details":{"cached_tokens":70,"audio_tokens":50}}`,
		"audio_input = prompt_tokens 100 − cached_tokens 70 = 30", "cached_audio_input = cached_tokens 70 + audio_tokens 50 − prompt_tokens 100 = 20", "cached_input = prompt_tokens 100 − audio_tokens 50 = 50")
	f(OpenAI, `{"input_tokens":100,"output_tokens":0,"input_token_details":{"cached_tokens":60,"audio_tokens":40,"image_tokens":20,"cached_tokens_details":{"text_tokens":30,"audio_tokens":20,"image_tokens":10}}}`,
		"audio_input = input_token_details.audio_tokens 40 − cached_tokens_details.audio_tokens 20 = 20",
		"cached_audio_input = cached_tokens_details.audio_tokens = 20",
		"cached_image_input = cached_tokens_details.image_tokens = 10",
		"cached_input = cached_tokens 60 − cached_tokens_details.audio_tokens 20 − cached_tokens_details.image_tokens 10 = 30",
		"image_input = input_token_details.image_tokens 20 − cached_tokens_details.image_tokens 10 = 10",
		"input = input_tokens 100 − cached_tokens 60 − input_token_details.audio_tokens 40 − input_token_details.image_tokens 20 + cached_tokens_details.audio_tokens 20 + cached_tokens_details.image_tokens 10 = 10")
	f(OpenAI, `{"type":"duration","seconds":9.250}`, "seconds = seconds = 9.25")
	f(OpenAI, `{"prompt_tokens":0,"completion_tokens":0}`)
	f(OpenAI, `{"prompt_tokens":5,"input_tokens":5e0}`, "input = prompt_tokens = 5")
	f(OpenAI, `{"input_tokens":5,"prompt_tokens":5e0}`, "input = prompt_tokens = 5")
	f(Anthropic, `{"input_tokens":1,"output_tokens":9,"output_tokens_details":{"thinking_tokens":4},"cache_creation":{"ephemeral_1h_input_tokens":3}}`,
		"cache_write_1h = ephemeral_1h_input_tokens = 3", "input = input_tokens = 1", "output = output_tokens = 9")
	f(Gemini, `{"promptTokenCount":300,"candidatesTokenCount":40,"thoughtsTokenCount":60,"toolUsePromptTokenCount":10,"totalTokenCount":410,"cachedContentTokenCount":100,
		"promptTokensDetails":[{"modality":"TEXT","tokenCount":50},{"modality":"IMAGE","tokenCount":100},{"modality":"VIDEO","tokenCount":80},{"modality":"AUDIO","tokenCount":70}],
		"cacheTokensDetails":[{"modality":"TEXT","tokenCount":20},{"modality":"VIDEO","tokenCount":30},{"modality":"AUDIO","tokenCount":50}],
		"candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":30}]}`,
		"audio_input = promptTokensDetails[AUDIO] 70 − cacheTokensDetails[AUDIO] 50 = 20",
		"cached_audio_input = cacheTokensDetails[AUDIO] = 50",
		"cached_input = cachedContentTokenCount 100 − cacheTokensDetails[AUDIO] 50 = 50",
		"image_input = promptTokensDetails[IMAGE] = 100",
		"image_output = candidatesTokensDetails[IMAGE] = 30",
		"input = promptTokenCount 300 − cachedContentTokenCount 100 − promptTokensDetails[AUDIO] 70 − promptTokensDetails[IMAGE] 100 − promptTokensDetails[VIDEO] 80 + cacheTokensDetails[AUDIO] 50 + cacheTokensDetails[VIDEO] 30 = 30",
		"output = candidatesTokenCount 40 − candidatesTokensDetails[IMAGE] 30 = 10",
		"reasoning = thoughtsTokenCount = 60",
		"tool_input = toolUsePromptTokenCount = 10",
		"video_input = promptTokensDetails[VIDEO] 80 − cacheTokensDetails[VIDEO] 30 = 50")
	f(Gemini, `{"promptTokenCount":9,"cachedContentTokenCount":5,"totalTokenCount":9,"cacheTokensDetails":[{"modality":"AUDIO","tokenCount":5}]}`,
		"cached_audio_input = cacheTokensDetails[AUDIO] = 5", "input = promptTokenCount 9 − cachedContentTokenCount 5 = 4")
	f(Bedrock, `{"inputTokens":13,"outputTokens":4,"cacheReadInputTokens":0,"cacheDetails":[{"inputTokens":7200,"ttl":"5m"},{"inputTokens":70,"ttl":"1h"},{"inputTokens":5,"ttl":"2h"}]}`,
		"cache_write = cacheDetails[5m,2h] = 7205", "cache_write_1h = cacheDetails[1h] = 70", "input = inputTokens = 13", "output = outputTokens = 4")
	f(Bedrock, `{"inputTokens":13,"cacheDetails":[{"inputTokens":0,"ttl":"2h"},{"inputTokens":8,"ttl":"5m"}]}`, "cache_write = cacheDetails[5m] = 8", "input = inputTokens = 13")
	// What is no word of few letters, or too much of it, is not repeated.
	for _, details := range []string{`{"inputTokens":2},{"inputTokens":1,"ttl":"5m"}`, `{"inputTokens":3,"ttl":"5 = 3"}`, `{"inputTokens":3,"ttl":"` + strings.Repeat("m", 17) + `"}`,
		`{"inputTokens":1,"ttl":"1m"},{"inputTokens":1,"ttl":"2m"},{"inputTokens":1,"ttl":"3m"},{"inputTokens":0,"ttl":"4m"},{"inputTokens":0,"ttl":"5 m"}` +
			`,{"inputTokens":0,"ttl":""},{"inputTokens":0},{"inputTokens":1,"ttl":"6m"},{"inputTokens":1,"ttl":"7m"},{"inputTokens":-0,"ttl":"8m"}`} {
		got := linesOf(t, Bedrock, `{"inputTokens":13,"cacheDetails":[`+details+`]}`)
		if !strings.HasPrefix(got, "cache_write = cacheDetails = ") {
			t.Errorf("%s: %s", details, got)
		}
	}
	f(OTel, `{"gen_ai.usage.prompt_tokens":3,"gen_ai.usage.completion_tokens":4,"gen_ai.usage.audio.output_tokens":1}`,
		"audio_output = gen_ai.usage.audio.output_tokens = 1", "input = gen_ai.usage.prompt_tokens = 3", "output = gen_ai.usage.completion_tokens 4 − gen_ai.usage.audio.output_tokens 1 = 3")
}

// checkSteps holds Explain against Normalise and against the object itself: each line
// comes to the component's quantity, and each of its numbers is there under its name.
func checkSteps(t *testing.T, f Format, raw []byte) (accepted bool) {
	t.Helper()
	parts, _, no := f.Normalise(raw, nil)
	steps, other := f.Explain(raw)
	if !reflect.DeepEqual(no, other) || len(steps) != len(parts) {
		t.Fatalf("%s %s: %v and %v; explained: %v and %v", f, raw, parts, no, steps, other)
	}
	if no != nil {
		return false
	}
	slices.SortFunc(parts, func(a, b Component) int { return strings.Compare(a.Name, b.Name) })
	var object any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&object); err != nil {
		t.Fatal(err)
	}
	for i, s := range steps {
		name, line, _ := strings.Cut(s.Text, " = ")
		line, result, ok := strings.Cut(line, " = ")
		if !ok || name != parts[i].Name || s.Component != name || result != parts[i].Quantity.String() {
			t.Fatalf("%s %s: %v explains %v", f, raw, s, parts[i])
		}
		words := strings.Split(line, " ")
		if len(words) == 1 {
			words = append(words, result)
		}
		if sum := sumLine(t, object, words); sum != parts[i].Quantity {
			t.Fatalf("%s %s: %q comes to %s", f, raw, s.Text, sum)
		}
	}
	return true
}

// sumLine adds up a line of the words name, number, sign, name, number …
func sumLine(t *testing.T, object any, words []string) (sum money.Quantity) {
	t.Helper()
	words = append([]string{"+"}, words...)
	for ; len(words) > 0; words = words[3:] {
		n, err := money.ParseQuantity([]byte(words[2]))
		if err != nil || n == 0 {
			t.Fatalf("%v: %s (%v)", words, words[2], err)
		}
		if !slices.Contains(numbersOf(object, words[1]), n) {
			t.Fatalf("%v: no %s is %s", object, words[1], n)
		}
		switch words[0] {
		case "+":
			sum += n
		case "−":
			sum -= n
		default:
			t.Fatalf("%v: sign %q", words, words[0])
		}
	}
	return sum
}

// numbersOf returns what name may mean in a tree: the numbers under it, or the sums of
// the elements of lists.
func numbersOf(at any, name string) (found []money.Quantity) {
	switch at := at.(type) {
	case []any:
		for _, v := range at {
			found = append(found, numbersOf(v, name)...)
		}
	case map[string]any:
		if of, key, ok := strings.Cut(strings.TrimPrefix(name, "iterations["), "]."); ok && at["iterations"] != nil {
			return []money.Quantity{sumOfPasses(at["iterations"].([]any), of, key)}
		}
		list, labels, labelled := strings.Cut(strings.TrimSuffix(name, "]"), "[")
		for key, v := range at {
			found = append(found, numbersOf(v, name)...)
			if text, ok := unwrapped(v).(string); ok && strings.HasPrefix(name, "gen_ai.") {
				v = json.Number(text)
			} else {
				v = unwrapped(v)
			}
			if n, ok := v.(json.Number); ok && key == name {
				q, _ := money.ParseQuantity([]byte(n))
				found = append(found, q)
			}
			if elements, ok := v.([]any); ok && key == list {
				found = append(found, sumOfLabels(elements, labelled, strings.Split(labels, ",")))
			}
			if rest, ok := strings.CutPrefix(name, key+"."); ok {
				found = append(found, numbersOf(v, rest)...)
			}
		}
	}
	return found
}

// unwrapped returns what {"intValue": …} holds, and anything else as it is.
func unwrapped(v any) any {
	if object, ok := v.(map[string]any); ok && object["intValue"] != nil {
		return object["intValue"]
	}
	return v
}

// sumOfLabels adds up the elements that have one of the labels; without labels those
// that are not for an hour, the one kind that always has a label.
func sumOfLabels(elements []any, labelled bool, labels []string) (sum money.Quantity) {
	for _, e := range elements {
		object, _ := e.(map[string]any)
		label, _ := object["modality"].(string)
		if strings.HasPrefix(strings.ToUpper(label), "MEDIAMODALITY.") {
			label = label[len("MediaModality."):]
		}
		if ttl, ok := object["ttl"].(string); ok {
			label = ttl
		}
		if labelled && !slices.Contains(labels, label) || !labelled && label == "1h" {
			continue
		}
		for _, key := range []string{"tokenCount", "token_count", "inputTokens"} {
			if n, ok := object[key].(json.Number); ok {
				q, _ := money.ParseQuantity([]byte(n))
				sum += q
				break
			}
		}
	}
	return sum
}

// sumOfPasses adds up a number of the passes of a type. Writes that are divided by time
// are counted as divided.
func sumOfPasses(passes []any, of, key string) (sum money.Quantity) {
	for _, p := range passes {
		pass := p.(map[string]any)
		if pass["type"] != of {
			continue
		}
		number := func(object map[string]any, key string) money.Quantity {
			n, _ := object[key].(json.Number)
			q, _ := money.ParseQuantity([]byte(n))
			return q
		}
		creation, _ := pass["cache_creation"].(map[string]any)
		divided := number(creation, "ephemeral_5m_input_tokens")+number(creation, "ephemeral_1h_input_tokens") > 0
		if key != "cache_creation_input_tokens" || !divided {
			sum += number(pass, key) + number(creation, key)
		}
	}
	return sum
}

func TestRandomExplain(t *testing.T) {
	const rounds = 3_000
	rng := rand.New(rand.NewPCG(7, 11))
	for f := OpenAI; f < formatEnd; f++ {
		accepted := 0
		for range rounds {
			if checkSteps(t, f, []byte(random(rng, f, roots[f], 0))) {
				accepted++
			}
		}
		if accepted < rounds/1000 {
			t.Errorf("%s: only %d of %d accepted", f, accepted, rounds)
		}
	}
}

func FuzzExplain(f *testing.F) {
	rng := rand.New(rand.NewPCG(2, 3))
	for format := OpenAI; format < formatEnd; format++ {
		f.Add(byte(format), []byte(usual[format]))
		for range 20 {
			f.Add(byte(format), []byte(random(rng, format, roots[format], 0)))
		}
	}
	f.Fuzz(func(t *testing.T, format byte, raw []byte) {
		if format == 0 || Format(format) >= formatEnd {
			return
		}
		checkSteps(t, Format(format), raw)
	})
}
