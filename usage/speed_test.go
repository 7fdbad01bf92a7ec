package usage

import "testing"

var usual = map[Format]string{
	OpenAI: `{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,"prompt_tokens_details":{"cached_tokens":1920,"audio_tokens":0},` +
		`"completion_tokens_details":{"reasoning_tokens":128,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`,
	Anthropic: `{"input_tokens":2048,"cache_read_input_tokens":1800,"cache_creation_input_tokens":248,"output_tokens":503,` +
		`"cache_creation":{"ephemeral_5m_input_tokens":148,"ephemeral_1h_input_tokens":100},"service_tier":"priority"}`,
	Gemini: `{"promptTokenCount":300,"candidatesTokenCount":40,"thoughtsTokenCount":60,"totalTokenCount":400,"cachedContentTokenCount":20,` +
		`"promptTokensDetails":[{"modality":"TEXT","tokenCount":50},{"modality":"IMAGE","tokenCount":250}],"cacheTokensDetails":[{"modality":"TEXT","tokenCount":20}]}`,
	Bedrock: `{"inputTokens":13,"outputTokens":4,"totalTokens":7287,"cacheReadInputTokens":0,"cacheWriteInputTokens":7270,"cacheDetails":[{"inputTokens":7270,"ttl":"5m"}]}`,
	OTel: `{"gen_ai.usage.input_tokens":100,"gen_ai.usage.output_tokens":180,"gen_ai.usage.cache_read.input_tokens":50,` +
		`"gen_ai.usage.cache_creation.input_tokens":25,"gen_ai.usage.reasoning.output_tokens":50}`,
}

// TestNormaliseDoesNotAllocate holds for each provider's usual object.
func TestNormaliseDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools forget, which allocates")
	}
	dst := make([]Component, 0, 16)
	check := func(f Format, raw string) {
		t.Helper()
		in := []byte(raw)
		if n := testing.AllocsPerRun(200, func() {
			if _, _, no := f.Normalise(in, dst); no != nil {
				t.Fatal(no)
			}
		}); n != 0 {
			t.Errorf("%s %s: %v allocations", f, raw, n)
		}
	}
	for f, raw := range usual {
		check(f, raw)
	}
	check(Anthropic, compacted)
	check(OpenAI, `{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,"completion_tokens_details":{"reasoning_tokens":94}}`)
	check(OpenAI, `{"prompt_tokens":1000,"prompt_tokens_details":{"image_tokens":900,"cached_tokens":300,"cache_write_tokens":650}}`)
	check(Gemini, `{"promptTokenCount":9,"promptTokensDetails":[{"modality":"MediaModality.AUDIO","tokenCount":2}],"trafficType":"ON_DEMAND_PRIORITY"}`)
	check(OTel, `{"gen_ai.usage.input_tokens":"100","gen_ai.usage.output_tokens":{"intValue":"1"}}`)
}

func BenchmarkNormalise(b *testing.B) {
	for f := OpenAI; f < formatEnd; f++ {
		b.Run(f.String(), func(b *testing.B) {
			in, dst := []byte(usual[f]), make([]Component, 0, 16)
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, no := f.Normalise(in, dst); no != nil {
					b.Fatal(no)
				}
			}
		})
	}
}
