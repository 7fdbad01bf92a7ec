package usage

import (
	"strings"
	"testing"
)

// both checks what Normalise makes of raw, and how Explain says so.
func both(t *testing.T, format Format, raw, want string, lines ...string) {
	t.Helper()
	if got := textOf(format, raw); got != want {
		t.Errorf("%s %s:\n got %s\nwant %s", format, raw, got, want)
	}
	if got := linesOf(t, format, raw); lines != nil && got != strings.Join(lines, "\n") {
		t.Errorf("%s %s:\n%s\nwant\n%s", format, raw, got, strings.Join(lines, "\n"))
	}
}

// TestReasoningBeside has objects of xAI, which imitates OpenAI's but counts reasoning
// beside the completion. The first is its documentation's, the second a gateway's report.
func TestReasoningBeside(t *testing.T) {
	both(t, OpenAI, `{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,"prompt_tokens_details":{"text_tokens":32,"audio_tokens":0,"image_tokens":0,"cached_tokens":6},
		"completion_tokens_details":{"reasoning_tokens":94,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0},"num_sources_used":0}`,
		"input=26 cached_input=6 output=9 reasoning=94",
		"cached_input = cached_tokens = 6", "input = prompt_tokens 32 − cached_tokens 6 = 26", "output = completion_tokens = 9", "reasoning = reasoning_tokens = 94")
	both(t, OpenAI, `{"prompt_tokens":10120,"completion_tokens":1499,"total_tokens":14428,"prompt_tokens_details":{"cached_tokens":128},"completion_tokens_details":{"reasoning_tokens":2809}}`,
		"input=9992 cached_input=128 output=1499 reasoning=2809")
	// Less reasoning than completion: only the total tells.
	both(t, OpenAI, `{"prompt_tokens":10,"completion_tokens":100,"total_tokens":150,"completion_tokens_details":{"reasoning_tokens":40}}`, "input=10 output=100 reasoning=40")
	both(t, OpenAI, `{"prompt_tokens":10,"completion_tokens":100,"total_tokens":110,"completion_tokens_details":{"reasoning_tokens":40}}`, "input=10 output=60 reasoning=40")
	both(t, OpenAI, `{"prompt_tokens":10,"completion_tokens":100,"completion_tokens_details":{"reasoning_tokens":40}}`, "input=10 output=60 reasoning=40")
	both(t, OpenAI, `{"prompt_tokens":10,"completion_tokens":100,"total_tokens":160,"completion_tokens_details":{"reasoning_tokens":50,"audio_tokens":100}}`,
		"input=10 reasoning=50 audio_output=100")
	both(t, OpenAI, `{"prompt_tokens":10,"completion_tokens":100,"total_tokens":160,"completion_tokens_details":{"reasoning_tokens":50,"audio_tokens":101}}`,
		"usage_contradiction: completion_tokens is 100, but completion_tokens_details.audio_tokens 101")
	both(t, OpenAI, `{"prompt_tokens":10,"completion_tokens":100,"total_tokens":151,"completion_tokens_details":{"reasoning_tokens":40}}`,
		"usage_contradiction: total_tokens is 151, but prompt_tokens 10 + completion_tokens 100 = 110")
	both(t, OpenAI, `{"prompt_tokens":32,"completion_tokens":9,"completion_tokens_details":{"reasoning_tokens":94}}`,
		"usage_contradiction: completion_tokens is 9, but completion_tokens_details.reasoning_tokens 94")
}

// TestTraffic has what Vertex AI says about the quota of a call.
func TestTraffic(t *testing.T) {
	f := func(members, want string) {
		t.Helper()
		both(t, Gemini, `{"promptTokenCount":9,"totalTokenCount":9`+members+`}`, want)
	}
	f(`,"trafficType":"ON_DEMAND"`, "input=9 tier:standard")
	f(`,"traffic_type":"ON_DEMAND_PRIORITY"`, "input=9 tier:priority")
	f(`,"trafficType":"ON_DEMAND_FLEX"`, "input=9 tier:flex")
	f(`,"trafficType":"PROVISIONED_THROUGHPUT"`, "input=9 tier:provisioned")
	f(`,"trafficType":"TrafficType.ON_DEMAND_FLEX"`, "input=9 tier:flex")
	f(`,"trafficType":"TRAFFIC_TYPE_UNSPECIFIED"`, "input=9")
	f(`,"trafficType":null`, "input=9")
	f(`,"trafficType":"LATER"`, "input=9 tier:LATER")
	f(`,"trafficType":"ON_DEMAND_FLEX","serviceTier":"flex"`, "input=9 tier:flex")
	f(`,"serviceTier":"SERVICE_TIER_UNSPECIFIED","trafficType":"ON_DEMAND_FLEX"`, "input=9 tier:flex")
	f(`,"trafficType":"ON_DEMAND","serviceTier":"standard"`, "input=9 tier:standard")
	f(`,"trafficType":"ON_DEMAND","serviceTier":"priority"`, "usage_contradiction: usage has the service tiers standard and priority")
	f(`,"service_tier":"flex","trafficType":"PROVISIONED_THROUGHPUT"`, "usage_contradiction: usage has the service tiers flex and provisioned")
	f(`,"trafficType":1`, "invalid_usage: trafficType must be a string")
}

// TestWrongFormat has objects of one format that another would charge wrongly.
func TestWrongFormat(t *testing.T) {
	// Anthropic's cache stands beside input_tokens, OpenAI's is inside.
	both(t, OpenAI, `{"input_tokens":105,"output_tokens":6,"cache_read_input_tokens":71,"cache_creation_input_tokens":0}`,
		"wrong_usage_format: usage has input_tokens and cache_read_input_tokens, as the format anthropic has, not openai")
	both(t, OpenAI, `{"cache_creation_input_tokens":1,"input_tokens":105,"output_tokens":6}`,
		"wrong_usage_format: usage has input_tokens and cache_creation_input_tokens, as the format anthropic has, not openai")
	both(t, OpenAI, `{"input_tokens":105,"output_tokens":6,"cache_read_input_tokens":0,"cache_creation_input_tokens":null}`, "input=105 output=6")
	both(t, Anthropic, `{"input_tokens":36,"input_tokens_details":{"cached_tokens":0},"output_tokens":87,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":123}`,
		"wrong_usage_format: usage has total_tokens, as the format openai has, not anthropic")
	both(t, Anthropic, `{"input_tokens":36,"input_tokens_details":{"cached_tokens":6},"output_tokens":87}`,
		"wrong_usage_format: usage has input_tokens_details, as the format openai has, not anthropic")
	both(t, Anthropic, `{"prompt_tokens":36,"completion_tokens":87}`, "wrong_usage_format: usage has prompt_tokens, as the format openai has, not anthropic")
	both(t, Anthropic, `{"input_tokens":36,"output_tokens":87,"total_tokens":0,"prompt_tokens":null,"input_tokens_details":{"cached_tokens":0,"x":"y"}}`, "input=36 output=87")
	both(t, Anthropic, `{"input_tokens":36,"input_tokens_details":"none","output_tokens":87,"total_tokens":"many","prompt_tokens":[1]}`, "input=36 output=87")
}

// TestCacheAtTheTop has LiteLLM's objects, which say what the cache did twice.
func TestCacheAtTheTop(t *testing.T) {
	both(t, OpenAI, `{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,"prompt_tokens_details":{"cached_tokens":1920},"completion_tokens_details":{"reasoning_tokens":0},"cache_creation_input_tokens":0}`,
		"input=86 cached_input=1920 output=300")
	both(t, OpenAI, `{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,"prompt_tokens_details":{"cached_tokens":1900,"cache_creation_tokens":50},"cache_creation_input_tokens":50,"cache_read_input_tokens":1900}`,
		"input=56 cached_input=1900 cache_write=50 output=300",
		"cache_write = cache_creation_tokens = 50", "cached_input = cached_tokens = 1900", "input = prompt_tokens 2006 − cached_tokens 1900 − cache_creation_tokens 50 = 56", "output = completion_tokens = 300")
	both(t, OpenAI, `{"prompt_tokens":2006,"cache_creation_input_tokens":50,"cache_read_input_tokens":1900}`,
		"input=56 cached_input=1900 cache_write=50",
		"cache_write = cache_creation_input_tokens = 50", "cached_input = cache_read_input_tokens = 1900",
		"input = prompt_tokens 2006 − cache_read_input_tokens 1900 − cache_creation_input_tokens 50 = 56")
	both(t, OpenAI, `{"input_tokens":2006,"prompt_tokens":2006,"cache_read_input_tokens":1900}`, "input=106 cached_input=1900")
	both(t, OpenAI, `{"prompt_tokens":2006,"prompt_tokens_details":{"cached_tokens":1901},"cache_read_input_tokens":1900}`,
		"usage_contradiction: prompt_tokens_details.cached_tokens is 1901, but cache_read_input_tokens is 1900")
	both(t, OpenAI, `{"prompt_tokens":194,"completion_tokens":7,"total_tokens":201,"cache_creation_input_tokens":9474,"cache_read_input_tokens":0}`,
		"usage_contradiction: prompt_tokens is 194, but cache_creation_input_tokens 9474")
}

// TestAttributeValues has numbers as exporters of OpenTelemetry write them: OTLP in JSON
// writes 64-bit integers as strings, and wraps each value.
func TestAttributeValues(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		both(t, OTel, `{"gen_ai.usage.output_tokens":0,"gen_ai.usage.input_tokens":`+in+`}`, want)
	}
	f(`"100"`, "input=100")
	f(`{"intValue":"100"}`, "input=100")
	f(`{"intValue":100}`, "input=100")
	f(` { "intValue" : "0" } `, "")
	f(`"0"`, "")
	f(`"1\u0030"`, "input=10")
	f(`"9000000000000"`, "input=9000000000000")
	for _, in := range []string{`"9000000000001"`, `"99999999999999999999"`, `{"intValue":9000000000001}`} {
		f(in, "invalid_usage: gen_ai.usage.input_tokens must be a whole number from 0 to 9000000000000, not "+strings.Trim(in, `{"intValue:}`))
	}
	for _, in := range []string{`""`, `"-1"`, `"+1"`, `"1e2"`, `"1.0"`, `" 1"`, `"0x1"`, `"007"`} {
		f(in, "invalid_usage: gen_ai.usage.input_tokens must be a whole number from 0 to 9000000000000, not "+strings.Trim(in, `"`))
	}
	for _, in := range []string{`{}`, `{"doubleValue":1}`, `{"stringValue":"1"}`, `{"intValue":1,"x":2}`, `{"intValue":{"intValue":1}}`, `{"intValue":null}`, `{"intValue":[1]}`, `[1]`, `true`} {
		f(in, "invalid_usage: gen_ai.usage.input_tokens must be a number")
	}
	f(`{"intValue":1,"intValue":1}`, "duplicate_key: usage gives gen_ai.usage.input_tokens twice")
	both(t, OTel, `{"gen_ai.usage.input_tokens":"100","gen_ai.usage.cache_read.input_tokens":{"intValue":"60"}}`, "input=40 cached_input=60",
		"cached_input = gen_ai.usage.cache_read.input_tokens = 60", "input = gen_ai.usage.input_tokens 100 − gen_ai.usage.cache_read.input_tokens 60 = 40")
	both(t, OpenAI, `{"prompt_tokens":{"intValue":"1"}}`, "invalid_usage: prompt_tokens must be a number")
	both(t, Anthropic, `{"input_tokens":"1"}`, "invalid_usage: input_tokens must be a number")
}

// TestUndividedWrites has divisions of cache writes that divide nothing: the example of
// https://platform.claude.com/docs/en/api/messages has parts of 0 beside a total.
func TestUndividedWrites(t *testing.T) {
	both(t, Anthropic, `{"cache_creation":{"ephemeral_1h_input_tokens":0,"ephemeral_5m_input_tokens":0},"cache_creation_input_tokens":2051,"cache_read_input_tokens":2051,"input_tokens":2095,"output_tokens":503,
		"server_tool_use":{"web_search_requests":0},"service_tier":"standard"}`,
		"input=2095 cached_input=2051 cache_write=2051 output=503 tier:standard",
		"cache_write = cache_creation_input_tokens = 2051", "cached_input = cache_read_input_tokens = 2051", "input = input_tokens = 2095", "output = output_tokens = 503")
	both(t, Anthropic, `{"input_tokens":1,"cache_creation_input_tokens":9,"cache_creation":{"ephemeral_1h_input_tokens":0}}`, "input=1 cache_write=9")
	both(t, Anthropic, `{"input_tokens":1,"cache_creation_input_tokens":9,"cache_creation":{"ephemeral_1h_input_tokens":1}}`,
		"usage_contradiction: cache_creation_input_tokens is 9, but cache_creation.ephemeral_1h_input_tokens 1")
	both(t, Bedrock, `{"inputTokens":1,"cacheWriteInputTokens":9,"totalTokens":10,"cacheDetails":[{"ttl":"5m","inputTokens":0}]}`, "input=1 cache_write=9")
}

// TestNovaNames has what Bedrock's InvokeModel calls the cache.
func TestNovaNames(t *testing.T) {
	both(t, Bedrock, `{"inputTokens":26,"outputTokens":259,"totalTokens":285,"cacheReadInputTokenCount":0,"cacheWriteInputTokenCount":0}`, "input=26 output=259")
	both(t, Bedrock, `{"inputTokens":26,"outputTokens":2,"totalTokens":35,"cacheReadInputTokenCount":3,"cacheWriteInputTokenCount":4,"cacheReadInputTokens":3}`,
		"input=26 cached_input=3 cache_write=4 output=2", "cache_write = cacheWriteInputTokenCount = 4", "cached_input = cacheReadInputTokens = 3", "input = inputTokens = 26", "output = outputTokens = 2")
	both(t, Bedrock, `{"inputTokens":26,"cacheReadInputTokens":3,"cacheReadInputTokenCount":4}`,
		"usage_contradiction: cacheReadInputTokens is 3, but cacheReadInputTokenCount is 4")
}

// TestModalityNames has modalities as libraries write them.
func TestModalityNames(t *testing.T) {
	both(t, Gemini, `{"promptTokenCount":10,"promptTokensDetails":[{"modality":"audio","tokenCount":2},{"modality":"MediaModality.AUDIO","tokenCount":1},{"modality":"mediamodality.Image","tokenCount":4},{"modality":"text","tokenCount":3}]}`,
		"input=3 audio_input=3 image_input=4",
		"audio_input = promptTokensDetails[audio,AUDIO] = 3", "image_input = promptTokensDetails[Image] = 4",
		"input = promptTokenCount 10 − promptTokensDetails[audio,AUDIO] 3 − promptTokensDetails[Image] 4 = 3")
	both(t, Gemini, `{"promptTokenCount":3,"promptTokensDetails":[{"modality":"Video","tokenCount":2},{"modality":"MediaModality.","tokenCount":1}]}`, "input=1 video_input=2")
}

// TestCacheOrder has caches for which there is too little text, whose modalities are not
// reported: text, audio, image, video is the order in which they are counted, reads first.
func TestCacheOrder(t *testing.T) {
	both(t, OpenAI, `{"prompt_tokens":1000,"prompt_tokens_details":{"image_tokens":900,"cache_write_tokens":950}}`, "cache_write=950 image_input=50",
		"cache_write = cache_write_tokens = 950", "image_input = prompt_tokens 1000 − cache_write_tokens 950 = 50")
	both(t, OpenAI, `{"prompt_tokens":1000,"prompt_tokens_details":{"image_tokens":900,"cached_tokens":50,"cache_write_tokens":950}}`, "cached_input=50 cache_write=950")
	both(t, OpenAI, `{"prompt_tokens":1000,"prompt_tokens_details":{"image_tokens":900,"cached_tokens":300,"cache_write_tokens":650}}`, "cached_input=100 cache_write=650 image_input=50 cached_image_input=200",
		"cache_write = cache_write_tokens = 650", "cached_image_input = cached_tokens 300 + image_tokens 900 − prompt_tokens 1000 = 200", "cached_input = prompt_tokens 1000 − image_tokens 900 = 100",
		"image_input = prompt_tokens 1000 − cached_tokens 300 − cache_write_tokens 650 = 50")
	both(t, OpenAI, `{"prompt_tokens":100,"prompt_tokens_details":{"cached_tokens":70,"audio_tokens":30,"image_tokens":20}}`, "cached_input=50 audio_input=10 cached_audio_input=20 image_input=20")
	both(t, OpenAI, `{"prompt_tokens":100,"prompt_tokens_details":{"cached_tokens":90,"audio_tokens":30,"image_tokens":20}}`, "cached_input=50 cached_audio_input=30 image_input=10 cached_image_input=10",
		"cached_audio_input = audio_tokens = 30", "cached_image_input = cached_tokens 90 + image_tokens 20 − prompt_tokens 100 = 10",
		"cached_input = prompt_tokens 100 − audio_tokens 30 − image_tokens 20 = 50", "image_input = prompt_tokens 100 − cached_tokens 90 = 10")
	both(t, OpenAI, `{"prompt_tokens":100,"prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":35,"audio_tokens":30,"image_tokens":20}}`, "cached_input=50 cache_write=35 cached_audio_input=10 image_input=5",
		"cache_write = cache_write_tokens = 35", "cached_audio_input = cached_tokens 60 + audio_tokens 30 + image_tokens 20 − prompt_tokens 100 = 10",
		"cached_input = prompt_tokens 100 − audio_tokens 30 − image_tokens 20 = 50", "image_input = prompt_tokens 100 − cached_tokens 60 − cache_write_tokens 35 = 5")
	both(t, OpenAI, `{"prompt_tokens":100,"prompt_tokens_details":{"cached_tokens":40,"cache_write_tokens":60,"audio_tokens":30,"image_tokens":20}}`, "cached_input=40 cache_write=60")
	// What is known of the reads stays.
	both(t, OpenAI, `{"input_tokens":100,"input_token_details":{"cached_tokens":50,"cache_write_tokens":40,"audio_tokens":40,"image_tokens":20,"cached_tokens_details":{"text_tokens":30,"audio_tokens":5,"image_tokens":15}}}`,
		"cached_input=30 cache_write=40 audio_input=5 cached_audio_input=5 image_input=5 cached_image_input=15")
	both(t, OpenAI, `{"input_tokens":100,"input_token_details":{"cached_tokens":50,"audio_tokens":60,"cached_tokens_details":{"text_tokens":50}}}`,
		"usage_contradiction: input_tokens is 100, but cached_tokens_details.text_tokens 50 + input_token_details.audio_tokens 60 = 110")
	both(t, Gemini, `{"promptTokenCount":100,"cachedContentTokenCount":100,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":30},{"modality":"VIDEO","tokenCount":70}]}`, "cached_input=70 cached_audio_input=30")
	both(t, OTel, `{"gen_ai.usage.input_tokens":100,"gen_ai.usage.audio.input_tokens":30,"gen_ai.usage.video.input_tokens":60,"gen_ai.usage.cache_read.input_tokens":45,"gen_ai.usage.cache_creation.input_tokens":40}`,
		"cached_input=15 cache_write=40 cached_audio_input=30 video_input=15")
}
