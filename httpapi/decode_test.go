package httpapi

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"farthing/meter"
	"farthing/refusal"
)

// with returns a good event with some of its fields replaced or added; "" takes
// a field out.
func with(fields ...string) string {
	keys := []string{"id", "source", "type", "subject", "time", "data"}
	values := map[string]string{"id": `"a"`, "source": `"s"`, "type": `"llm.tokens"`, "subject": `"acme"`,
		"time": `"2026-11-23T10:00:00Z"`, "data": `{"model":"m","usage":{"input":3}}`}
	for i := 0; i < len(fields); i += 2 {
		if _, known := values[fields[i]]; !known {
			keys = append(keys, fields[i])
		}
		values[fields[i]] = fields[i+1]
	}
	var parts []string
	for _, key := range keys {
		if values[key] != "" {
			parts = append(parts, fmt.Sprintf("%q:%s", key, values[key]))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func usageEvent(quantity string) string { return with("data", `{"usage":{"input":`+quantity+`}}`) }

// badEvents are events that are refused alone, with the reason.
var badEvents = []struct{ name, body, reason string }{
	{"number for an event", `7`, "wrong_type"},
	{"array for an event", `[1]`, "wrong_type"},
	{"null for an event", `null`, "wrong_type"},
	{"no id", with("id", ""), "missing_field"},
	{"null id", with("id", "null"), "missing_field"},
	{"no source", with("source", ""), "missing_field"},
	{"no type", with("type", ""), "missing_field"},
	{"no subject", with("subject", ""), "missing_field"},
	{"id of a wrong type", with("id", "7"), "wrong_type"},
	{"subject of a wrong type", with("subject", `{"a":1}`), "wrong_type"},
	{"empty id", with("id", `""`), "invalid_id"},
	{"too long an id", with("id", `"`+strings.Repeat("x", meter.MaxIDBytes+1)+`"`), "invalid_id"},
	{"id with a space", with("id", `"a b"`), "invalid_id"},
	{"id with an umlaut", with("id", `"ä"`), "invalid_id"},
	{"time of a wrong type", with("time", "1700000000"), "wrong_type"},
	{"no time", with("time", `"yesterday"`), "invalid_time"},
	{"time without offset", with("time", `"2026-11-23T10:00:00"`), "invalid_time"},
	{"time before 1970", with("time", `"1969-12-31T23:59:59Z"`), "invalid_time"},
	{"time after 2200", with("time", `"2201-01-01T00:00:00Z"`), "invalid_time"},
	{"data of a wrong type", with("data", `"text"`), "wrong_type"},
	{"data as an array", with("data", `[]`), "wrong_type"},
	{"binary data", with("data", "", "data_base64", `"AAAA"`), "unsupported_data"},
	{"other data", with("datacontenttype", `"application/xml"`), "unsupported_data"},
	{"other CloudEvents", with("specversion", `"0.3"`), "invalid_specversion"},
	{"usage of a wrong type", with("data", `{"usage":7}`), "wrong_type"},
	{"usage as an array", with("data", `{"usage":[]}`), "wrong_type"},
	{"quantity as a string", usageEvent(`"3"`), "wrong_type"},
	{"quantity null", usageEvent(`null`), "wrong_type"},
	{"quantity as an object", usageEvent(`{}`), "wrong_type"},
	{"negative quantity", usageEvent(`-1`), "negative_quantity"},
	{"negative fraction", usageEvent(`-0.000001`), "negative_quantity"},
	{"seven decimals", usageEvent(`0.0000001`), "fractional_quantity"},
	{"tiny", usageEvent(`1e-99999999`), "fractional_quantity"},
	{"overflow", usageEvent(`9000000000001`), "quantity_overflow"},
	{"huge", usageEvent(`1e99999999`), "quantity_overflow"},
	{"component without a name", with("data", `{"usage":{"":1}}`), "invalid_component"},
	{"component twice", with("data", `{"usage":{"a":1,"a":1}}`), "duplicate_key"},
	{"component twice, escaped", with("data", `{"usage":{"a":1,"\u0061":1}}`), "duplicate_key"},
	{"dimension twice", with("data", `{"model":"a","model":"b"}`), "duplicate_key"},
	{"dimension twice, once null", with("data", `{"model":null,"model":"b"}`), "duplicate_key"},
	{"usage twice", with("data", `{"usage":{"a":1},"usage":null}`), "duplicate_key"},
	{"id twice", `{"id":"a","source":"s","type":"t","subject":"p","id":"a"}`, "duplicate_key"},
	{"data twice", `{"data":{},"id":"a","source":"s","type":"t","subject":"p","data":{}}`, "duplicate_key"},
	{"extension twice", `{"id":"a","source":"s","type":"t","subject":"p","ext":1,"ext":1}`, "duplicate_key"},
	{"specversion twice", `{"id":"a","source":"s","type":"t","subject":"p","specversion":null,"specversion":"1.0"}`, "duplicate_key"},
	{"key twice deep inside an extension", with("ext", `[{"a":{"b":1,"b":2}}]`), "duplicate_key"},
	{"key twice deep inside data", with("data", `{"extra":{"a":[{"b":1,"b":2}]}}`), "duplicate_key"},
	{"half a surrogate pair", with("data", `{"model":"\ud800"}`), "invalid_string"},
	{"the wrong half", with("ext", `"\udc00\ud800"`), "invalid_string"},
	{"dimension without a name", with("data", `{"":1}`), "invalid_dimension"},
	{"long dimension", with("data", `{"model":"`+strings.Repeat("x", meter.MaxDimensionBytes+1)+`"}`), "invalid_dimension"},
	{"too many dimensions", with("data", manyFields(meter.MaxDimensions+1)), "too_many_dimensions"},
	{"too many components", with("data", `{"usage":`+manyFields(meter.MaxComponents+1)+`}`), "too_many_components"},
	{"unknown usage format", with("data", `{"usage_format":"azure","usage":{"input":1}}`), "unknown_usage_format"},
	{"unknown usage format, late", with("data", `{"usage":{"input":[]},"usage_format":"azure"}`), "unknown_usage_format"},
	{"unknown usage format above", with("data", `{"usage":{"input":[]}}`, "usage_format", `"OpenAI"`), "unknown_usage_format"},
	{"unknown usage format, then a known one", with("data", `{"usage":{"prompt_tokens":1},"usage_format":""}`, "usage_format", `"openai"`), "unknown_usage_format"},
	{"usage format of a wrong type", with("data", `{"usage":{"input":[]},"usage_format":1}`), "wrong_type"},
	{"usage format of a wrong type above", with("usage_format", `{"a":1}`), "wrong_type"},
	{"usage format without usage", with("data", `{"model":"m","usage_format":"openai"}`), "missing_field"},
	{"usage format with null", with("data", `{"usage":null}`, "usage_format", `"openai"`), "missing_field"},
	{"usage format without data", with("data", "", "usage_format", `"openai"`), "missing_field"},
	{"two usage formats", with("data", `{"usage_format":"openai","usage":{"prompt_tokens":1}}`, "usage_format", `"otel"`), "usage_format_contradiction"},
	{"usage format twice", with("data", `{"usage_format":"openai","usage":{"prompt_tokens":1},"usage_format":"openai"}`), "duplicate_key"},
	{"usage format twice above", with("usage_format", `"openai","usage_format":"openai"`), "duplicate_key"},
	{"contradiction", with("data", `{"usage_format":"openai","usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":3}}`), "usage_contradiction"},
	{"contradiction, late", with("data", `{"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":3},"usage_format":"openai"}`), "usage_contradiction"},
	{"another provider's", with("data", `{"usage":{"prompt_tokens":1}}`, "usage_format", `"gemini"`), "invalid_usage"},
	{"provider's usage as an array", with("data", `{"usage_format":"openai","usage":[]}`), "invalid_usage"},
	{"provider's key twice", with("data", `{"usage_format":"openai","usage":{"prompt_tokens":1,"x":{"y":1,"y":2}}}`), "duplicate_key"},
	{"provider's key twice, late", with("data", `{"usage":{"prompt_tokens":1,"x":{"y":1,"y":2}},"usage_format":"openai"}`), "duplicate_key"},
	{"large provider's usage", with("data", `{"usage_format":"openai","usage":{"prompt_tokens":1,"x":"`+strings.Repeat("x", meter.MaxRawUsageBytes)+`"}}`), "usage_too_large"},
	{"another service tier", with("data", `{"service_tier":"batch","usage_format":"anthropic","usage":{"input_tokens":1,"service_tier":"priority"}}`), "usage_contradiction"},
	{"another service tier, standard", with("data", `{"usage_format":"anthropic","usage":{"input_tokens":1,"service_tier":"standard"},"service_tier":"batch"}`), "usage_contradiction"},
	{"a service tier twice", with("data", `{"service_tier":"batch","service_tier":"batch","usage":{"input":1}}`), "duplicate_key"},
	{"a service tier twice, with a format", with("data", `{"service_tier":"batch","usage_format":"anthropic","usage":{"input_tokens":1},"service_tier":null}`), "duplicate_key"},
	{"a long service tier", with("data", `{"service_tier":"`+strings.Repeat("x", 300)+`"}`), "invalid_dimension"},
	{"another format's usage", with("data", `{"usage_format":"openai","usage":{"input_tokens":1,"cache_read_input_tokens":1}}`), "wrong_usage_format"},
	{"a service tier that is no dimension", with("data", `{"usage_format":"anthropic","usage":{"input_tokens":1,"service_tier":"`+strings.Repeat("x", 300)+`"}}`), "invalid_dimension"},
}

func manyFields(n int) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = fmt.Sprintf(`"k%d":%d`, i, i+1)
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// goodEvents are events and what is read from them.
var goodEvents = []struct{ body, want string }{
	{with(), `0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=3 "model":"m"`},
	{with("time", ""), `0 "s\x00a" acme - llm.tokens input=3 "model":"m"`},
	{with("time", "null"), `0 "s\x00a" acme - llm.tokens input=3 "model":"m"`},
	{with("time", `"2026-11-23T10:00:00.25+01:30"`), `0 "s\x00a" acme 2026-11-23T08:30:00.25Z llm.tokens input=3 "model":"m"`},
	{with("data", ""), `0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens call=1`},
	{with("data", "null"), `0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens call=1`},
	{with("data", `{"model":"m"}`), `0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens call=1 "model":"m"`},
	{with("data", `{"usage":null}`), `0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens call=1`},
	{with("data", `{"usage":{}}`), `0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens`},
	{usageEvent("0"), `0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens`},
	{usageEvent("-0.0e5"), `0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens`},
	{usageEvent("1.50"), `0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=1.5`},
	{usageEvent("12e2"), `0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=1200`},
	{usageEvent("0.000001"), `0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=0.000001`},
	{usageEvent("999999999999"), `0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=999999999999`},
	{usageEvent("9000000000000"), `0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=9000000000000`},
	{with("data", `{"n":1.50e3,"yes":true,"no":false,"none":null,"deep":{"a":[1]},"list":[],"text":"a\n\"\\\/\u00e4\ud83d\ude00"}`),
		`0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens call=1 "n":"1.50e3" "no":"false" "text":"a\n\"\\/ä😀" "yes":"true"`},
	{` {"\u0069d" : "a" , "source":"s","type":"t","subject":"p","extension":{"x":[1,2,{"y":null}]}, "data":{ "usage" : { "z" : 2 , "a" : 1 } } } `,
		`0 "s\x00a" p - t a=1 z=2`},
	{with("specversion", `"1.0"`, "datacontenttype", `"application/json; charset=utf-8"`, "dataschema", `"x"`), `0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=3 "model":"m"`},
	{with("specversion", `"1.0"`, "datacontenttype", `"Application/Vnd.x+JSON"`), `0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=3 "model":"m"`},
	{with("data", `{"model":"m","usage_format":"openai","usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":5}}}`),
		`0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens cached_input=5 input=4 output=4 "model":"m" raw 1{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":5}}`},
	{with("data", `{"usage": { "input_tokens" : 9, "x y": " " } ,"model":"m","usage_format":"anthropic"}`),
		`0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=9 "model":"m" raw 2{"input_tokens":9,"x y":" "}`},
	{with("data", `{"usage":{"inputTokens":9,"outputTokens":0},"model":"m"}`, "usage_format", `"bedrock"`),
		`0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=9 "model":"m" raw 4{"inputTokens":9,"outputTokens":0}`},
	{`{"usage_format":"otel","data":{"usage":{"gen_ai.usage.input_tokens":9},"usage_format":"otel"},"id":"a","source":"s","type":"t","subject":"p"}`,
		`0 "s\x00a" p - t input=9 raw 5{"gen_ai.usage.input_tokens":9}`},
	{with("data", `{"usage":{"promptTokenCount":0,"totalTokenCount":0},"usage_format":"gemini"}`), `0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens raw 3{"promptTokenCount":0,"totalTokenCount":0}`},
	{with("data", `{"usage_format":null,"usage":{"input":9}}`, "usage_format", "null"), `0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=9`},
	{with("data", `{"usage_format":"anthropic","usage":{"input_tokens":1,"service_tier":"batch"}}`),
		`0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=1 "service_tier":"batch" raw 2{"input_tokens":1,"service_tier":"batch"}`},
	{with("data", `{"usage":{"input_tokens":1,"service_tier":"batch"},"service_tier":"batch","usage_format":"anthropic"}`),
		`0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=1 "service_tier":"batch" raw 2{"input_tokens":1,"service_tier":"batch"}`},
	{with("data", `{"usage_format":"anthropic","usage":{"input_tokens":1,"service_tier":"standard"}}`),
		`0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=1 raw 2{"input_tokens":1,"service_tier":"standard"}`},
	{with("data", `{"service_tier":"batch","usage_format":"anthropic","usage":{"input_tokens":1}}`),
		`0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=1 "service_tier":"batch" raw 2{"input_tokens":1}`},
	// With a usage_format the event's own tier is read as the provider's would be.
	{with("data", `{"service_tier":"BATCH","usage_format":"anthropic","usage":{"input_tokens":1}}`),
		`0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=1 "service_tier":"batch" raw 2{"input_tokens":1}`},
	{with("data", `{"usage":{"input_tokens":1,"service_tier":"batch"},"service_tier":"Batch","usage_format":"anthropic"}`),
		`0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=1 "service_tier":"batch" raw 2{"input_tokens":1,"service_tier":"batch"}`},
	{with("data", `{"usage":{"input_tokens":1,"service_tier":"standard"},"service_tier":"default","usage_format":"anthropic"}`),
		`0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=1 raw 2{"input_tokens":1,"service_tier":"standard"}`},
	{with("data", `{"usage":{"input_tokens":1,"service_tier":"priority"},"service_tier":"auto","usage_format":"anthropic"}`),
		`0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=1 "service_tier":"priority" raw 2{"input_tokens":1,"service_tier":"priority"}`},
	{with("data", `{"service_tier":"Standard","usage":{"prompt_tokens":1},"model":"m"}`, "usage_format", `"openai"`),
		`0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=1 "model":"m" raw 1{"prompt_tokens":1}`},
	{with("data", `{"service_tier":"Own Tier","usage":{"prompt_tokens":1},"z":1}`, "usage_format", `"openai"`),
		`0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=1 "service_tier":"Own Tier" "z":"1" raw 1{"prompt_tokens":1}`},
	{with("data", `{"service_tier":null,"usage":{"prompt_tokens":1}}`, "usage_format", `"openai"`), `0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=1 raw 1{"prompt_tokens":1}`},
	// Without one, dimensions are what the client makes of them.
	{with("data", `{"z":1,"service_tier":"Standard","usage":{"input":1},"model":"m"}`), `0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=1 "model":"m" "service_tier":"Standard" "z":"1"`},
	{with("data", `{"service_tier":true,"usage":{"input":1}}`), `0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=1 "service_tier":"true"`},
	{with("id", `"\u0061.b:c/d@e_f-1"`), `0 "s\x00a.b:c/d@e_f-1" acme 2026-11-23T10:00:00Z llm.tokens input=3 "model":"m"`},
}

// brokenTexts are not JSON at all.
var brokenTexts = []string{
	`{`, `{"id"`, `{"id":`, `{"id":"a"`, `{"id":"a",`, `{"id":"a",}`, `{"id" "a"}`, `{id:"a"}`, `{'id':'a'}`, `{"id":"a"]`, `{,}`,
	with() + "x", with() + with(), with("id", `"a`), with("id", `"\x"`), with("id", `"\u12"`), with("id", `"\u12g4"`), with("id", `"a`+"\x01"+`"`), with("id", "\"a\tb\""),
	usageEvent(`01`), usageEvent(`1.`), usageEvent(`.5`), usageEvent(`+1`), usageEvent(`1e`), usageEvent(`1e+`), usageEvent(`--1`), usageEvent(`-`), usageEvent(`0x10`), usageEvent(`NaN`), usageEvent(`1_0`), usageEvent(`1,2`),
	with("ext", `tru`), with("ext", `nul`), with("ext", `falsey`), with("ext", `[1,]`), with("ext", `[1 2]`), with("ext", `{"a":1,}`), with("ext", `[`), with("ext", `undefined`),
	with("ext", strings.Repeat("[", depthMax)+strings.Repeat("]", depthMax)),
	with("id", "\"\xff\""), with("ext", "\"\xed\xa0\x80\""), "\xef\xbb\xbf" + with(), with() + "\x00",
}

// seedBodies is the corpus that fuzzing starts from.
func seedBodies() []string {
	out := append([]string{"", " ", "[]", "[ ]", "[[]]", "\n\n", "{}", "null", `"x"`, with("ext", strings.Repeat("[", depthMax-1)+strings.Repeat("]", depthMax-1)),
		"[" + with() + "," + with("id", "7") + "]", with() + "\n{\n" + with() + "\r\n \n", string(llmArray(2)), string(llmLines(3)),
		with("specversion", `"1.0"`), "[" + with("specversion", `"1.0"`, "id", `"b"`) + "]"}, brokenTexts...)
	for _, e := range badEvents {
		out = append(out, e.body)
	}
	for _, e := range goodEvents {
		out = append(out, e.body)
	}
	return out
}

func TestGoodEvents(t *testing.T) {
	for _, e := range goodEvents {
		for f, body := range map[format]string{formatJSON: e.body, formatNDJSON: e.body + "\n"} {
			var batch meter.Batch
			batch.Reset(1)
			if no := decodeEvents(f, []byte(body), meter.MaxBatchEvents, &batch); no != nil || len(batch.Rejects) != 0 || len(batch.Events) != 1 {
				t.Fatalf("%s: %v %v", body, no, batch.Rejects)
			}
			if got := eventText(&batch, 0); got != e.want {
				t.Errorf("%s\n got %s\nwant %s", body, got, e.want)
			}
		}
	}
}

// TestBadEvents puts each bad event between two good ones, in an array and as
// lines: it is refused with its reason, and they are not touched.
func TestBadEvents(t *testing.T) {
	for _, e := range badEvents {
		first, last := with("id", `"first"`), with("id", `"last"`)
		for f, body := range map[format]string{
			formatJSON:   "[" + first + "," + e.body + "," + last + "]",
			formatNDJSON: first + "\n" + e.body + "\n" + last,
		} {
			var batch meter.Batch
			batch.Reset(1)
			if no := decodeEvents(f, []byte(body), meter.MaxBatchEvents, &batch); no != nil {
				t.Fatalf("%s: %v", e.name, no)
			}
			if len(batch.Events) != 2 || batch.Events[0].Index != 0 || batch.Events[1].Index != 2 {
				t.Fatalf("%s: the neighbours: %v", e.name, batch.Events)
			}
			if len(batch.Rejects) != 1 || batch.Rejects[0].Index != 1 {
				t.Fatalf("%s: %v", e.name, batch.Rejects)
			}
			if r := batch.Rejects[0].Refusal; r.Code != refusal.Invalid || r.Reason != e.reason {
				t.Errorf("%s: %s %s (%s), want %s", e.name, r.Code, r.Reason, r.Detail, e.reason)
			}
		}
	}
}

func TestBrokenTextRefusesArrayButOnlyItsLine(t *testing.T) {
	for _, text := range brokenTexts {
		for f, body := range map[format]string{formatJSON: text, formatCloudEventsBatch: "[" + with() + "," + text + "]"} {
			var batch meter.Batch
			batch.Reset(1)
			if no := decodeEvents(f, []byte(body), meter.MaxBatchEvents, &batch); no == nil || no.Code != refusal.Malformed {
				t.Errorf("%q: %v, want malformed", body, no)
			}
		}
		if strings.Contains(text, "\n") {
			continue
		}
		var batch meter.Batch
		batch.Reset(1)
		no := decodeEvents(formatNDJSON, []byte(with()+"\n\n"+text+"\n"+with()), meter.MaxBatchEvents, &batch)
		if no != nil || len(batch.Events) != 2 || len(batch.Rejects) != 1 {
			t.Fatalf("%q: %v, %d events, %v", text, no, len(batch.Events), batch.Rejects)
		}
		if r := batch.Rejects[0]; r.Index != 1 || r.Refusal.Code != refusal.Malformed {
			t.Errorf("%q: %+v, want line 1 malformed", text, r)
		}
	}
}

func TestBrokenLineKeepsItsID(t *testing.T) {
	var batch meter.Batch
	batch.Reset(1)
	if no := decodeEvents(formatNDJSON, []byte(`{"id":"req-7","source":`), meter.MaxBatchEvents, &batch); no != nil {
		t.Fatal(no)
	}
	if len(batch.Rejects) != 1 || batch.Rejects[0].ID != "req-7" {
		t.Errorf("%+v", batch.Rejects)
	}
}

func TestTopLevelAndLimits(t *testing.T) {
	f := func(format format, body string, code refusal.Code, events int) {
		t.Helper()
		var batch meter.Batch
		batch.Reset(1)
		no := decodeEvents(format, []byte(body), meter.MaxBatchEvents, &batch)
		var got refusal.Code
		if no != nil {
			got = no.Code
		}
		if got != code || (code == "" && len(batch.Events) != events) {
			t.Errorf("format %d, %.40q: %q, %d events (%v); want %q, %d", format, body, got, len(batch.Events), batch.Rejects, code, events)
		}
	}
	full := strings.Repeat(with()+",", meter.MaxBatchEvents-1) + with()
	lines := strings.Repeat(with()+"\n", meter.MaxBatchEvents)
	versioned := with("specversion", `"1.0"`)

	f(formatJSON, "", refusal.Malformed, 0)
	f(formatJSON, "7", refusal.Malformed, 0)
	f(formatJSON, "null", refusal.Malformed, 0)
	f(formatJSON, `"x"`, refusal.Malformed, 0)
	f(formatJSON, "[]", "", 0)
	f(formatJSON, " [ ] ", "", 0)
	f(formatJSON, "[] x", refusal.Malformed, 0)
	f(formatNDJSON, "", "", 0)
	f(formatNDJSON, "\n \r\n", "", 0)
	f(formatCloudEvents, versioned, "", 1)
	f(formatCloudEvents, "["+versioned+"]", refusal.Malformed, 0)
	f(formatCloudEventsBatch, "["+versioned+","+versioned+"]", "", 2)
	f(formatCloudEventsBatch, versioned, refusal.Malformed, 0)
	f(formatCloudEvents, with(), "", 0) // without specversion: refused alone
	f(formatJSON, "["+full+"]", "", meter.MaxBatchEvents)
	f(formatJSON, "["+full+","+with()+"]", refusal.TooLarge, 0)
	f(formatNDJSON, lines, "", meter.MaxBatchEvents)
	f(formatNDJSON, lines+with(), refusal.TooLarge, 0)
}

func TestDecoderAgreesWithTwin(t *testing.T) {
	for _, f := range []format{formatJSON, formatNDJSON, formatCloudEvents, formatCloudEventsBatch} {
		for _, body := range seedBodies() {
			sameDecoding(t, f, []byte(body))
			sameDecoding(t, f, []byte("["+body+"]"))
		}
	}
}

// TestDecoderAgreesWithTwinOnDamage changes, drops and doubles bytes of good
// bodies.
func TestDecoderAgreesWithTwinOnDamage(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	seeds := seedBodies()
	for range 20_000 {
		body := []byte(seeds[random.IntN(len(seeds))])
		if len(body) == 0 || len(body) > 4000 {
			continue
		}
		body = damaged(random, body, seeds)
		for _, f := range []format{formatJSON, formatNDJSON, formatCloudEvents, formatCloudEventsBatch} {
			sameDecoding(t, f, body)
		}
	}
}

// damaged changes, drops or inserts something in one to three places.
func damaged(random *rand.Rand, body []byte, seeds []string) []byte {
	for range 1 + random.IntN(3) {
		i := random.IntN(len(body))
		switch random.IntN(4) {
		case 0:
			body[i] = `{}[]",:\u0 -.eE1`[random.IntN(16)]
		case 1:
			body[i] = byte(random.UintN(256))
		case 2:
			body = append(body[:i:i], body[min(i+1+random.IntN(8), len(body)):]...)
		case 3:
			body = append(body[:i:i], append([]byte(seeds[random.IntN(len(seeds))]), body[i:]...)...)
		}
		if len(body) == 0 {
			break
		}
	}
	return body
}

func TestManyKeysAreNotQuadratic(t *testing.T) {
	var b strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&b, `"k%d":0,`, i)
	}
	body := with("ext", "{"+b.String()+`"last":0}`)
	var batch meter.Batch
	batch.Reset(1)
	if no := decodeEvents(formatJSON, []byte(body), meter.MaxBatchEvents, &batch); no != nil || len(batch.Events) != 1 {
		t.Fatal(no, batch.Rejects)
	}
	batch.Reset(1)
	body = with("ext", "{"+b.String()+`"k77":0}`)
	if no := decodeEvents(formatJSON, []byte(body), meter.MaxBatchEvents, &batch); no != nil || len(batch.Rejects) != 1 {
		t.Fatal(no, batch.Rejects)
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool drop what it is given")
	}
	escaped := strings.ReplaceAll(string(llmArray(50)), "eu-west", `eu\u002dwest`)
	for f, body := range map[format][]byte{formatJSON: llmArray(50), formatNDJSON: llmLines(50), formatCloudEventsBatch: []byte(strings.ReplaceAll(escaped, `{"id"`, `{"specversion":"1.0","datacontenttype":"application/json","id"`))} {
		var batch meter.Batch
		n := testing.AllocsPerRun(200, func() {
			batch.Reset(1)
			if no := decodeEvents(f, body, meter.MaxBatchEvents, &batch); no != nil || len(batch.Events) != 50 {
				t.Fatal(no, batch.Rejects)
			}
		})
		if n != 0 {
			t.Errorf("format %d: %v allocations for 50 events", f, n)
		}
	}
}

// TestProviderUsageDoesNotAllocate holds for a format that comes before the usage, and for
// a late one if all is numbers: the first reading refuses what else there is.
func TestProviderUsageDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool drop what it is given")
	}
	raw := `"usage":{"input_tokens":2048,"cache_read_input_tokens":1800,"output_tokens":503,"service_tier":"batch"}`
	for _, event := range []string{
		with("data", `{"model":"m","usage_format":"anthropic",`+raw+`}`),
		`{"usage_format":"anthropic",` + with("data", `{"model":"m",`+raw+`}`)[1:],
		with("data", `{"model":"m","usage":{"input_tokens":2048,"output_tokens":503},"usage_format":"anthropic"}`),
	} {
		var batch meter.Batch
		body := []byte("[" + event + "," + event + "]")
		if n := testing.AllocsPerRun(200, func() {
			batch.Reset(1)
			if no := decodeEvents(formatJSON, body, meter.MaxBatchEvents, &batch); no != nil || len(batch.Events) != 2 {
				t.Fatal(no, batch.Rejects)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", event, n)
		}
	}
}
