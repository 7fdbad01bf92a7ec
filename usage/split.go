package usage

import (
	"strconv"
	"strings"

	"farthing/money"
)

// emit appends a component.
func (r *reader) emit(name string, n uint64) {
	if n == 0 {
		return
	}
	q, ok := money.WholeQuantity(n)
	if !ok {
		panic("BUG: a part is larger than what is read")
	}
	r.dst = append(r.dst, Component{name, q})
}

// sum adds up fields; those that are absent are zero.
func (r *reader) sum(parts ...field) (n uint64) {
	for _, f := range parts {
		n += r.value[f]
	}
	return n
}

// within checks that parts, which do not overlap, are not more than the whole.
func (r *reader) within(whole field, parts ...field) bool {
	if r.sum(parts...) <= r.value[whole] {
		return true
	}
	return r.refuse("usage_contradiction", "%s is %d, but %s", r.nameOf(whole), r.value[whole], r.spelled(parts))
}

// exactly checks that the whole, if it is given, is the sum of its parts.
func (r *reader) exactly(whole field, parts ...field) bool {
	if !r.has(whole) || r.sum(parts...) == r.value[whole] {
		return true
	}
	return r.refuse("usage_contradiction", "%s is %d, but %s", r.nameOf(whole), r.value[whole], r.spelled(parts))
}

// spelled writes an addition.
func (r *reader) spelled(parts []field) string {
	var terms []string
	for _, f := range parts {
		if r.has(f) {
			terms = append(terms, r.nameOf(f)+" "+strconv.FormatUint(r.value[f], 10))
		}
	}
	switch len(terms) {
	case 0:
		return "nothing else is reported"
	case 1:
		return terms[0]
	}
	return strings.Join(terms, " + ") + " = " + strconv.FormatUint(r.sum(parts...), 10)
}

// input splits an input that includes cache reads, cache writes and all modalities.
//
// Providers report cache reads and modalities as two divisions of the same input. How
// they overlap is known if the reads have modalities of their own. Else reads are taken
// to be of text as far as there is text, and only the rest of another modality.
func (r *reader) input() bool {
	for m := audio; m < modalityEnd; m++ {
		if f, read := fieldText+field(m), fieldReadText+field(m); !r.has(f) && r.has(read) {
			r.copy(f, read) // at least those
		}
	}
	if !r.within(fieldInput, fieldText, fieldAudio, fieldImage, fieldVideo) ||
		!r.within(fieldInput, fieldRead, fieldWrite) ||
		!r.within(fieldRead, fieldReadText, fieldReadAudio, fieldReadImage, fieldReadVideo) {
		return false
	}
	for m := text; m < modalityEnd; m++ {
		if f := fieldText + field(m); r.has(f) && !r.within(f, fieldReadText+field(m)) {
			return false
		}
	}
	plain := r.value[fieldInput] - r.sum(fieldAudio, fieldImage, fieldVideo)
	reads := r.value[fieldRead] - r.sum(fieldReadAudio, fieldReadImage, fieldReadVideo) // of text, as far as it is known
	if used := reads + r.value[fieldWrite]; used > plain {
		if !r.spill(used-plain, reads-r.value[fieldReadText]) {
			return false
		}
		reads -= used - plain
	}
	r.emit("input", plain-reads-r.value[fieldWrite])
	// No price list has cached video of its own: it is read at the price of text.
	r.emit("cached_input", reads+r.value[fieldReadVideo])
	r.emit("cache_write", r.value[fieldWrite])
	r.emit("audio_input", r.value[fieldAudio]-r.value[fieldReadAudio])
	r.emit("cached_audio_input", r.value[fieldReadAudio])
	r.emit("image_input", r.value[fieldImage]-r.value[fieldReadImage])
	r.emit("cached_image_input", r.value[fieldReadImage])
	r.emit("video_input", r.value[fieldVideo]-r.value[fieldReadVideo])
	return true
}

// copy makes a field say what another does.
func (r *reader) copy(to, from field) {
	r.value[to], r.name[to] = r.value[from], r.name[from]
	r.seen |= 1 << to
	r.listed |= r.listed >> from & 1 << to
}

// spill counts n cache reads, for which there is no text, to the one modality that they
// can be of. open is how many reads have no modality yet.
func (r *reader) spill(n, open uint64) bool {
	to, choices := text, 0
	for m := audio; m < modalityEnd; m++ {
		if r.value[fieldText+field(m)] > r.value[fieldReadText+field(m)] {
			to, choices = m, choices+1
		}
	}
	if choices != 1 || n > open {
		return r.refuse("usage_ambiguous", "%d tokens of %s cannot be text, and of which modality they are is not reported",
			n, r.spelled([]field{fieldRead, fieldWrite}))
	}
	r.value[fieldReadText+field(to)] += n
	return true
}

// output splits an output that includes reasoning and all modalities.
func (r *reader) output() bool {
	if !r.within(fieldOutput, fieldReasoning, fieldOutAudio, fieldOutImage) ||
		!r.within(fieldOutput, fieldOutText, fieldOutAudio, fieldOutImage, fieldOutVideo) {
		return false
	}
	r.emit("output", r.value[fieldOutput]-r.sum(fieldReasoning, fieldOutAudio, fieldOutImage))
	r.emit("reasoning", r.value[fieldReasoning])
	r.emit("audio_output", r.value[fieldOutAudio])
	r.emit("image_output", r.value[fieldOutImage])
	return true
}

// openAI: cached, written, audio and image tokens are inside the input, reasoning,
// audio and image tokens inside the output. So are predicted tokens, which are billed
// as output, the rejected ones too.
func (r *reader) openAI() bool {
	if !r.exactly(fieldTotal, fieldInput, fieldOutput) || !r.within(fieldOutput, fieldAccepted, fieldRejected) {
		return false
	}
	// The Images API states what its input was, and that its output is image tokens.
	imagesAPI := r.name[fieldImage] == "input_tokens_details.image_tokens"
	if imagesAPI && r.sum(fieldReasoning, fieldOutAudio) == 0 && !r.has(fieldOutText) && !r.has(fieldOutImage) && !r.has(fieldReasoning) {
		r.value[fieldOutImage] = r.value[fieldOutput]
	}
	if !r.input() || !r.output() {
		return false
	}
	if r.seconds != 0 {
		r.dst = append(r.dst, Component{"seconds", r.seconds})
	}
	return true
}

// anthropic: cache reads and writes stand beside the input. Thinking is inside the
// output, which is billed as one.
func (r *reader) anthropic() bool {
	if !r.within(fieldOutput, fieldReasoning) || !r.exclusive() {
		return false
	}
	r.emit("web_search", r.value[fieldSearches])
	return true
}

// bedrock: as Anthropic's, with a total of everything.
func (r *reader) bedrock() bool {
	if !r.exclusive() {
		return false
	}
	return r.exactly(fieldTotal, fieldInput, fieldRead, fieldWrite, fieldOutput)
}

// exclusive emits an input beside which cache reads and writes stand, and the output.
// Writes that are divided by the time that they are kept must add up.
func (r *reader) exclusive() bool {
	if r.has(fieldWriteShort) || r.has(fieldWriteLong) {
		if !r.exactly(fieldWrite, fieldWriteShort, fieldWriteLong) {
			return false
		}
		r.value[fieldWrite] = r.sum(fieldWriteShort, fieldWriteLong)
	}
	r.emit("input", r.value[fieldInput])
	r.emit("cached_input", r.value[fieldRead])
	r.emit("cache_write", r.value[fieldWrite]-r.value[fieldWriteLong])
	r.emit("cache_write_1h", r.value[fieldWriteLong])
	r.emit("output", r.value[fieldOutput])
	return true
}

// gemini: cached tokens and modalities are inside the prompt; thoughts and the prompts
// that tools made stand beside prompt and candidates. The total has all four.
func (r *reader) gemini() bool {
	if !r.exactly(fieldTotal, fieldInput, fieldOutput, fieldTool, fieldReasoning) || !r.within(fieldTool, fieldToolParts) || !r.input() {
		return false
	}
	thoughts := r.value[fieldReasoning]
	r.value[fieldReasoning] = 0
	if !r.output() {
		return false
	}
	r.emit("reasoning", thoughts)
	r.emit("tool_input", r.value[fieldTool])
	return true
}

// otel: everything is inside the input or the output.
func (r *reader) otel() bool { return r.input() && r.output() }
