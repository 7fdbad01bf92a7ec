package main

import (
	"math/rand/v2"

	"farthing/bench/client"
)

// demoEvent is an event with its exclusive components, as the demo itself
// divides what a provider reports. An event that carries components carries
// these.
type demoEvent struct {
	client.Event
	components map[string]uint64 // empty: one call
}

// demoReport is a provider's own usage object.
type demoReport interface{ components() map[string]uint64 }

// openAIReport is usage of Chat Completions: cached tokens are part of the
// prompt, reasoning is part of the completion.
type openAIReport struct {
	Prompt        uint64 `json:"prompt_tokens"`
	Completion    uint64 `json:"completion_tokens"`
	Total         uint64 `json:"total_tokens"`
	PromptDetails struct {
		Cached uint64 `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
	CompletionDetails struct {
		Reasoning uint64 `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
}

func (r *openAIReport) components() map[string]uint64 {
	cached, reasoning := r.PromptDetails.Cached, r.CompletionDetails.Reasoning
	return map[string]uint64{"input": r.Prompt - cached, "cached_input": cached, "output": r.Completion - reasoning, "reasoning": reasoning}
}

// anthropicReport is usage of Messages: its numbers stand beside each other.
type anthropicReport struct {
	Input  uint64 `json:"input_tokens"`
	Write  uint64 `json:"cache_creation_input_tokens"`
	Read   uint64 `json:"cache_read_input_tokens"`
	Output uint64 `json:"output_tokens"`
}

func (r *anthropicReport) components() map[string]uint64 {
	return map[string]uint64{"input": r.Input, "cache_write": r.Write, "cached_input": r.Read, "output": r.Output}
}

// drawUsage draws what a request to a model used, and tells it in the way of the
// model's provider.
func (e *demoEvent) drawUsage(m *demoModel, rng *rand.Rand) {
	e.Type, e.Model, e.UsageFormat = "llm.tokens", m.name, m.format
	var report demoReport
	switch m.format {
	case "openai":
		report = drawOpenAI(rng)
	case "anthropic":
		report = &anthropicReport{Input: 1 + rng.Uint64N(4000), Write: rng.Uint64N(2) * rng.Uint64N(2000), Read: rng.Uint64N(3000), Output: 1 + rng.Uint64N(900)}
	default:
		e.Usage = drawComponents(m, rng)
		e.components = e.Usage
		return
	}
	e.Reported, e.components = report, report.components()
}

func drawOpenAI(rng *rand.Rand) *openAIReport {
	r := &openAIReport{Prompt: 1 + rng.Uint64N(7000), Completion: 1 + rng.Uint64N(900)}
	r.Total = r.Prompt + r.Completion
	r.PromptDetails.Cached = rng.Uint64N(r.Prompt)
	r.CompletionDetails.Reasoning = rng.Uint64N(r.Completion)
	return r
}

// drawComponents draws exclusive components; now and then so much input that a
// model whose prices depend on it asks more.
func drawComponents(m *demoModel, rng *rand.Rand) map[string]uint64 {
	u := map[string]uint64{"input": 1 + rng.Uint64N(4000), "cached_input": rng.Uint64N(3000), "output": 1 + rng.Uint64N(900)}
	if m.reasons {
		u["reasoning"] = rng.Uint64N(600)
	}
	if rng.IntN(100) == 0 {
		u["input"] += 150_000 + rng.Uint64N(100_000)
	}
	return u
}
