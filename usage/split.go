package usage

import (
	"strconv"
	"strings"

	"farthing/money"
)

// All arithmetic between what is reported and the components is done by join, take and
// emit, which tell the recorder what they did, so that Explain cannot say otherwise.

// join makes a field the sum of parts, of which it may be one.
func (r *reader) join(to field, parts ...field) {
	r.value[to] = r.sum(parts...)
	if r.rec != nil {
		r.rec.join(to, parts)
	}
}

// take makes a field what is left of the whole, which it may be, without parts that are
// not more.
func (r *reader) take(to, whole field, parts ...field) {
	r.value[to] = r.value[whole] - r.sum(parts...)
	if r.rec != nil {
		r.rec.take(to, whole, parts)
	}
}

// emit appends as a component what is left of the whole without parts.
func (r *reader) emit(name string, whole field, parts ...field) {
	n := r.value[whole] - r.sum(parts...)
	if n == 0 {
		return
	}
	q, ok := money.WholeQuantity(n)
	if !ok {
		panic("BUG: a part is larger than what is read")
	}
	r.dst = append(r.dst, Component{name, q})
	if r.rec != nil {
		r.rec.emit(name, q, whole, parts)
	}
}

// emitSeconds appends the one component that need not be whole.
func (r *reader) emitSeconds() {
	if r.seconds == 0 {
		return
	}
	r.dst = append(r.dst, Component{"seconds", r.seconds})
	if r.rec != nil {
		r.rec.emit("seconds", r.seconds, fieldSeconds, nil)
	}
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
// to be of text as far as there is text, and only the rest of other modalities.
func (r *reader) input() bool {
	for m := audio; m < modalityEnd; m++ {
		if f, read := fieldText+field(m), fieldReadText+field(m); !r.has(f) && r.has(read) {
			r.copy(f, read) // at least those
		}
	}
	if !r.within(fieldInput, fieldText, fieldAudio, fieldImage, fieldVideo) ||
		!r.within(fieldInput, fieldReadText, fieldAudio, fieldImage, fieldVideo) ||
		!r.within(fieldInput, fieldRead, fieldWrite) ||
		!r.within(fieldRead, fieldReadText, fieldReadAudio, fieldReadImage, fieldReadVideo) {
		return false
	}
	for m := text; m < modalityEnd; m++ {
		if f := fieldText + field(m); r.has(f) && !r.within(f, fieldReadText+field(m)) {
			return false
		}
	}
	r.take(fieldPlain, fieldInput, fieldAudio, fieldImage, fieldVideo)
	r.take(fieldPlainRead, fieldRead, fieldReadAudio, fieldReadImage, fieldReadVideo)
	r.join(fieldPlainWrite, fieldWrite)
	r.spill()
	r.emit("input", fieldPlain, fieldPlainRead, fieldPlainWrite)
	// No price list has cached video of its own: it is read at the price of text.
	r.join(fieldPlainRead, fieldPlainRead, fieldReadVideo)
	r.emit("cached_input", fieldPlainRead)
	r.emit("cache_write", fieldWrite)
	r.emit("audio_input", fieldAudio, fieldReadAudio)
	r.emit("cached_audio_input", fieldReadAudio)
	r.emit("image_input", fieldImage, fieldReadImage)
	r.emit("cached_image_input", fieldReadImage)
	r.emit("video_input", fieldVideo, fieldReadVideo)
	return true
}

// same takes a field from where it is said once more, if it is more than 0 there.
func (r *reader) same(f, again field) bool {
	switch {
	case r.value[again] == 0 || r.has(f) && r.value[f] == r.value[again]:
		return true
	case r.has(f):
		return r.refuse("usage_contradiction", "%s is %d, but %s is %d", r.name[f], r.value[f], r.name[again], r.value[again])
	}
	r.copy(f, again)
	return true
}

// copy makes a field say what another does.
func (r *reader) copy(to, from field) {
	r.join(to, from)
	r.name[to] = r.name[from]
	r.seen |= 1 << to
	r.listed |= r.listed >> from & 1 << to
}

// spill counts the cache reads for which there is no text to the other modalities, in
// their order, and then the writes, which are taken off what is left of them. There is
// room for all: reads and writes are not more than the input.
func (r *reader) spill() {
	if r.value[fieldPlainRead] > r.value[fieldPlain] {
		r.take(fieldSpill, fieldPlainRead, fieldPlain)
		r.take(fieldPlainRead, fieldPlainRead, fieldSpill)
		r.pour(func(m modality, part field) {
			r.join(fieldReadText+field(m), fieldReadText+field(m), part)
		})
	}
	if r.sum(fieldPlainRead, fieldPlainWrite) > r.value[fieldPlain] {
		r.join(fieldSpill, fieldPlainRead, fieldPlainWrite)
		r.take(fieldSpill, fieldSpill, fieldPlain)
		r.take(fieldPlainWrite, fieldPlainWrite, fieldSpill)
		r.pour(func(m modality, part field) {
			r.take(fieldText+field(m), fieldText+field(m), part)
		})
	}
}

// pour divides what has no text between the modalities, each up to what of it was not
// read from a cache.
func (r *reader) pour(into func(m modality, part field)) {
	for m := audio; m < modalityEnd && r.value[fieldSpill] > 0; m++ {
		r.take(fieldRoom, fieldText+field(m), fieldReadText+field(m))
		part := fieldRoom
		if r.value[fieldSpill] <= r.value[fieldRoom] {
			part = fieldSpill
		}
		into(m, part)
		r.take(fieldSpill, fieldSpill, part)
	}
	if r.value[fieldSpill] > 0 {
		panic("BUG: a cache is larger than the input")
	}
}

// output splits an output that includes reasoning and all modalities.
func (r *reader) output() bool {
	if !r.within(fieldOutput, fieldReasoning, fieldOutAudio, fieldOutImage) ||
		!r.within(fieldOutput, fieldOutText, fieldOutAudio, fieldOutImage, fieldOutVideo) {
		return false
	}
	r.emit("output", fieldOutput, fieldReasoning, fieldOutAudio, fieldOutImage)
	r.emit("reasoning", fieldReasoning)
	r.emit("audio_output", fieldOutAudio)
	r.emit("image_output", fieldOutImage)
	return true
}

// openAI: cached, written, audio and image tokens are inside the input, reasoning,
// audio and image tokens inside the output. So are predicted tokens, which are billed
// as output, the rejected ones too. A total that has the reasoning once more says that
// it stands beside the output.
func (r *reader) openAI() bool {
	if !r.same(fieldRead, fieldTopRead) || !r.same(fieldWrite, fieldTopWrite) {
		return false
	}
	beside := r.has(fieldTotal) && r.value[fieldReasoning] > 0 && r.sum(fieldInput, fieldOutput, fieldReasoning) == r.value[fieldTotal]
	if !beside && !r.exactly(fieldTotal, fieldInput, fieldOutput) || !r.within(fieldOutput, fieldAccepted, fieldRejected) {
		return false
	}
	if beside { // as xAI counts it
		if !r.within(fieldOutput, fieldOutText, fieldOutAudio, fieldOutImage) {
			return false
		}
		r.join(fieldOutput, fieldOutput, fieldReasoning)
	}
	// The Images API states what its input was, and that its output is image tokens.
	imagesAPI := r.name[fieldImage] == "input_tokens_details.image_tokens"
	if imagesAPI && r.sum(fieldReasoning, fieldOutAudio) == 0 && !r.has(fieldOutText) && !r.has(fieldOutImage) && !r.has(fieldReasoning) {
		r.join(fieldOutImage, fieldOutput)
	}
	if !r.input() || !r.output() {
		return false
	}
	r.emitSeconds()
	return true
}

// anthropic: cache reads and writes stand beside the input. Thinking is inside the
// output, which is billed as one.
func (r *reader) anthropic() bool {
	if !r.within(fieldOutput, fieldReasoning) || !r.divided() || !r.passesAdd() {
		return false
	}
	r.exclusive()
	r.emit("web_search", fieldSearches)
	return true
}

// bedrock: as Anthropic's, with a total of everything.
func (r *reader) bedrock() bool {
	if !r.divided() || !r.exactly(fieldTotal, fieldInput, fieldRead, fieldWrite, fieldOutput) {
		return false
	}
	r.exclusive()
	return true
}

// divided takes the writes from their division by the time that they are kept, which
// must add up. Parts that are all 0 divide nothing.
func (r *reader) divided() bool {
	if r.sum(fieldWriteShort, fieldWriteLong) == 0 {
		return true
	}
	if !r.exactly(fieldWrite, fieldWriteShort, fieldWriteLong) {
		return false
	}
	r.join(fieldWrite, fieldWriteShort, fieldWriteLong)
	return true
}

// exclusive emits an input beside which cache reads and writes stand, and the output.
func (r *reader) exclusive() {
	r.emit("input", fieldInput)
	r.emit("cached_input", fieldRead)
	r.emit("cache_write", fieldWrite, fieldWriteLong)
	r.emit("cache_write_1h", fieldWriteLong)
	r.emit("output", fieldOutput)
}

// gemini: cached tokens and modalities are inside the prompt; thoughts and the prompts
// that tools made stand beside prompt and candidates. The total has all four.
func (r *reader) gemini() bool {
	if !r.exactly(fieldTotal, fieldInput, fieldOutput, fieldTool, fieldThoughts) || !r.within(fieldTool, fieldToolParts) || !r.input() || !r.output() {
		return false
	}
	r.emit("reasoning", fieldThoughts)
	r.emit("tool_input", fieldTool)
	return true
}

// otel: everything is inside the input or the output.
func (r *reader) otel() bool { return r.input() && r.output() }
