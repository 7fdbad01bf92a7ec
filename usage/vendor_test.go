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
