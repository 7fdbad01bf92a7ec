package usage

import (
	"strings"
	"testing"
)

// compacted is what the vendor's page shows of a call that was compacted on the way:
// https://platform.claude.com/docs/en/build-with-claude/compaction#understanding-usage
const compacted = `{"input_tokens":23000,"output_tokens":1000,"iterations":[{"type":"compaction","input_tokens":180000,"output_tokens":3500},{"type":"message","input_tokens":23000,"output_tokens":1000}]}`

func TestPasses(t *testing.T) {
	f := func(raw, want string, lines ...string) {
		t.Helper()
		if got := textOf(Anthropic, raw); got != want {
			t.Errorf("%s:\n got %s\nwant %s", raw, got, want)
		}
		if got := linesOf(t, Anthropic, raw); lines != nil && got != strings.Join(lines, "\n") {
			t.Errorf("%s:\n%s\nwant\n%s", raw, got, strings.Join(lines, "\n"))
		}
	}
	f(compacted, "input=203000 output=4500",
		"input = input_tokens 23000 + iterations[compaction].input_tokens 180000 = 203000",
		"output = output_tokens 1000 + iterations[compaction].output_tokens 3500 = 4500")
	f(`{"input_tokens":5,"output_tokens":1,"iterations":[]}`, "input=5 output=1")
	f(`{"input_tokens":5,"output_tokens":1,"iterations":null}`, "input=5 output=1")
	// One pass, as every call of some clients has it.
	f(`{"input_tokens":5,"output_tokens":1,"cache_read_input_tokens":7,"iterations":[{"type":"message","model":"claude-opus-5","input_tokens":5,"output_tokens":1,"cache_read_input_tokens":7,"cache_creation_input_tokens":0,"cache_creation":null}]}`,
		"input=5 cached_input=7 output=1")
	// All numbers, the writes of the passes divided and not.
	f(`{"input_tokens":5,"output_tokens":3,"cache_read_input_tokens":7,"cache_creation_input_tokens":9,"cache_creation":{"ephemeral_5m_input_tokens":4,"ephemeral_1h_input_tokens":5},"iterations":[
		{"type":"message","input_tokens":2,"output_tokens":1,"cache_read_input_tokens":3,"cache_creation_input_tokens":9,"cache_creation":{"ephemeral_5m_input_tokens":4,"ephemeral_1h_input_tokens":5}},
		{"input_tokens":100,"output_tokens":200,"cache_read_input_tokens":300,"cache_creation_input_tokens":400,"cache_creation":{"ephemeral_5m_input_tokens":150,"ephemeral_1h_input_tokens":250},"type":"compaction"},
		{"input_tokens":1,"output_tokens":1,"cache_creation_input_tokens":6,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"type":"compaction"},
		{"type":"message","input_tokens":3,"output_tokens":2,"cache_read_input_tokens":4}]}`,
		"input=106 cached_input=307 cache_write=160 cache_write_1h=255 output=204",
		"cache_write = ephemeral_5m_input_tokens 4 + iterations[compaction].cache_creation_input_tokens 6 + iterations[compaction].ephemeral_5m_input_tokens 150 = 160",
		"cache_write_1h = ephemeral_1h_input_tokens 5 + iterations[compaction].ephemeral_1h_input_tokens 250 = 255",
		"cached_input = cache_read_input_tokens 7 + iterations[compaction].cache_read_input_tokens 300 = 307",
		"input = input_tokens 5 + iterations[compaction].input_tokens 101 = 106",
		"output = output_tokens 3 + iterations[compaction].output_tokens 201 = 204")
	// A call that stopped after it was compacted.
	f(`{"input_tokens":0,"output_tokens":0,"iterations":[{"type":"compaction","input_tokens":180000,"output_tokens":3500}]}`, "input=180000 output=3500")
	f(`{"input_tokens":9,"output_tokens":0,"iterations":[{"type":"compaction","input_tokens":180000,"output_tokens":3500}]}`,
		"usage_contradiction: input_tokens is 9, but iterations[message].input_tokens is 0")
	f(`{"input_tokens":203000,"output_tokens":1000,"iterations":[{"type":"compaction","input_tokens":180000,"output_tokens":3500},{"type":"message","input_tokens":23000,"output_tokens":1000}]}`,
		"usage_contradiction: input_tokens is 203000, but iterations[message].input_tokens is 23000")
	f(`{"input_tokens":9,"output_tokens":0,"cache_read_input_tokens":1,"iterations":[{"type":"message","input_tokens":9,"output_tokens":0,"cache_read_input_tokens":2}]}`,
		"usage_contradiction: cache_read_input_tokens is 1, but iterations[message].cache_read_input_tokens is 2")
	f(`{"input_tokens":9,"output_tokens":0,"iterations":[{"type":"compaction","cache_creation_input_tokens":3,"cache_creation":{"ephemeral_1h_input_tokens":2}},{"type":"message","input_tokens":9}]}`,
		"usage_contradiction: iterations[].cache_creation_input_tokens is 3, but iterations[].cache_creation.ephemeral_1h_input_tokens 2")
	// Of another model, and of a type that is not known.
	f(`{"input_tokens":412,"output_tokens":531,"iterations":[{"type":"message","input_tokens":412,"output_tokens":89},{"type":"advisor_message","model":"claude-opus-5","input_tokens":823,"output_tokens":1612}]}`,
		`usage_ambiguous: iterations has tokens of a pass of type "advisor_message": send it as an event of its own, with its model, and not in this one`)
	f(`{"input_tokens":4,"output_tokens":5,"iterations":[{"type":"message","model":"claude-fable-5","input_tokens":2,"output_tokens":1},{"type":"message","model":"claude-opus-5","input_tokens":2,"output_tokens":4}]}`,
		"usage_ambiguous: iterations has tokens of the models claude-fable-5 and claude-opus-5: send each model's as an event of its own")
	f(`{"input_tokens":4,"output_tokens":5,"iterations":[{"type":"message","model":"claude-fable-5","input_tokens":0},{"type":"message","model":"claude-opus-5","input_tokens":4,"output_tokens":5}]}`, "input=4 output=5")
	f(`{"input_tokens":4,"output_tokens":5,"iterations":[{"type":"advisor_message","input_tokens":0},{"type":"later"},{}]}`, "input=4 output=5")
	f(`{"input_tokens":4,"output_tokens":5,"iterations":[{"input_tokens":4,"output_tokens":5}]}`,
		`usage_ambiguous: iterations has tokens of a pass of type "": send it as an event of its own, with its model, and not in this one`)
	f(`{"input_tokens":4,"iterations":[7]}`, "invalid_usage: iterations must hold objects")
	f(`{"input_tokens":4,"iterations":[{"type":"compaction","input_tokens":"7"}]}`, "invalid_usage: iterations[].input_tokens must be a number")
	f(`{"input_tokens":1,"iterations":[{"type":"message","input_tokens":1},{"type":"compaction","input_tokens":9000000000000}]}`,
		"invalid_usage: input_tokens and iterations sum to more than 9000000000000")
	f(`{"input_tokens":1,"iterations":[{"type":"compaction","input_tokens":9000000000000},{"type":"compaction","input_tokens":1}]}`,
		"invalid_usage: iterations[compaction].input_tokens sum to more than 9000000000000")
}
