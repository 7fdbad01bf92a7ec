package usage

// field is a number that some provider reports. Names differ between providers, the
// meaning does not; whether one contains another does, see the finishing functions.
type field uint8

// The four fields of a block of modalities follow each other in the order of modality.
const (
	fieldInput field = iota
	fieldOutput
	fieldTotal

	fieldRead       // read from a cache
	fieldWrite      // written to a cache
	fieldWriteShort // of those: for the default time
	fieldWriteLong  // of those: for an hour
	fieldTopRead    // read from a cache, said at the top of an object that has details
	fieldTopWrite   // written to it, so too

	fieldText // input by modality
	fieldAudio
	fieldImage
	fieldVideo

	fieldReadText // cache reads by modality
	fieldReadAudio
	fieldReadImage
	fieldReadVideo

	fieldOutText // output by modality
	fieldOutAudio
	fieldOutImage
	fieldOutVideo

	fieldReasoning
	fieldThoughts // reasoning that is not in the output but beside it
	fieldAccepted // predictions that the output repeats
	fieldRejected // predictions that it does not
	fieldTool     // input that tools made during the call
	fieldToolParts
	fieldSearches

	fieldLabel // of an element of a list: its modality or time
	fieldCount // of an element of a list: its tokens
	fieldTier
	fieldTraffic // the tier as Vertex AI says it
	fieldSeconds

	// Of one pass of a call that is made of several: the pass that is being read.
	fieldPass
	fieldPassOutput
	fieldPassRead
	fieldPassWrite
	fieldPassShort
	fieldPassLong
	// The passes that the totals contain; in the order of the block above.
	fieldReply
	fieldReplyOutput
	fieldReplyRead
	fieldReplyWrite
	// The passes that they leave out; so, too, and its writes are those not divided.
	fieldCompaction
	fieldCompactionOutput
	fieldCompactionRead
	fieldCompactionWrite
	fieldCompactionShort
	fieldCompactionLong
	fieldModel // of a pass

	// What no object has: quantities on the way to the components.
	fieldPlain      // input of no other modality
	fieldPlainRead  // cache reads of no other modality, as far as it is known
	fieldPlainWrite // writes to a cache, of no other modality
	fieldSpill      // reads or writes for which there is no plain input
	fieldRoom       // of a modality, not read from a cache
	fieldEnd
)

// modality is the offset of a field in a block. What is neither of the other three
// (text, documents, what is not known yet) is priced like text.
type modality uint8

const (
	text modality = iota
	audio
	image
	video
	modalityEnd
)

var modalityNames = [modalityEnd]string{"TEXT", "AUDIO", "IMAGE", "VIDEO"}

// modalityPrefix is what a library writes before the name of a modality, the name of the
// type, in lower case.
const modalityPrefix = "mediamodality."

// modalityOf returns the modality that is called so, in any case.
func modalityOf(name []byte) modality {
	var room [wordUsual]byte
	switch string(lower(room[:0], name)) {
	case "audio":
		return audio
	case "image":
		return image
	case "video":
		return video
	}
	return text
}

// kind is what a member must hold, unless it is null.
type kind uint8

const (
	count   kind = iota // a whole number
	decimal             // a number
	word                // a string
	object              // members of a group
	list                // objects with the members of a group
	strange             // nothing but 0 in an object of this format; anything is read
)

// member is a key that a provider's object may have.
type member struct {
	name  string
	path  string // for messages
	field field  // of a list: the first of its block
	kind  kind
	group group
}

// group names the members that an object may have.
type group uint8

const (
	unknown group = iota // an object that nothing is read from
	openAIRoot
	promptDetails
	completionDetails
	inputDetails
	outputDetails
	tokenDetails
	cachedDetails
	outTokenDetails
	anthropicRoot
	strangeDetails
	cacheCreation
	thinkingDetails
	serverTools
	passCounts
	passCreation
	geminiRoot
	modalityCount
	bedrockRoot
	cacheDetail
	otelRoot
	groupEnd
)

var roots = [formatEnd]group{OpenAI: openAIRoot, Anthropic: anthropicRoot, Gemini: geminiRoot, Bedrock: bedrockRoot, OTel: otelRoot}

// members says what is read from where. A field with two names in one group is the
// same number under an old and a new name; both may be given if they are equal.
var members = [groupEnd][]member{
	openAIRoot: {
		{name: "prompt_tokens", field: fieldInput},
		{name: "completion_tokens", field: fieldOutput},
		{name: "input_tokens", field: fieldInput},
		{name: "output_tokens", field: fieldOutput},
		{name: "total_tokens", field: fieldTotal},
		{name: "seconds", field: fieldSeconds, kind: decimal},
		{name: "prompt_tokens_details", kind: object, group: promptDetails},
		{name: "completion_tokens_details", kind: object, group: completionDetails},
		{name: "input_tokens_details", kind: object, group: inputDetails},
		{name: "output_tokens_details", kind: object, group: outputDetails},
		{name: "input_token_details", kind: object, group: tokenDetails},
		{name: "output_token_details", kind: object, group: outTokenDetails},
		{name: "cache_read_input_tokens", field: fieldTopRead},
		{name: "cache_creation_input_tokens", field: fieldTopWrite},
	},
	promptDetails:     openAIInput("prompt_tokens_details"),
	inputDetails:      openAIInput("input_tokens_details"),
	tokenDetails:      append(openAIInput("input_token_details"), member{name: "cached_tokens_details", path: "input_token_details.cached_tokens_details", kind: object, group: cachedDetails}),
	completionDetails: openAIOutput("completion_tokens_details"),
	outputDetails:     openAIOutput("output_tokens_details"),
	outTokenDetails:   openAIOutput("output_token_details"),
	cachedDetails: {
		{name: "text_tokens", path: "cached_tokens_details.text_tokens", field: fieldReadText},
		{name: "audio_tokens", path: "cached_tokens_details.audio_tokens", field: fieldReadAudio},
		{name: "image_tokens", path: "cached_tokens_details.image_tokens", field: fieldReadImage},
	},
	anthropicRoot: {
		{name: "input_tokens", field: fieldInput},
		{name: "output_tokens", field: fieldOutput},
		{name: "cache_read_input_tokens", field: fieldRead},
		{name: "cache_creation_input_tokens", field: fieldWrite},
		{name: "cache_creation", kind: object, group: cacheCreation},
		{name: "output_tokens_details", kind: object, group: thinkingDetails},
		{name: "server_tool_use", kind: object, group: serverTools},
		{name: "iterations", kind: list, group: passCounts},
		{name: "service_tier", field: fieldTier, kind: word},
		{name: "prompt_tokens", kind: strange},
		{name: "input_tokens_details", kind: strange, group: strangeDetails},
		{name: "total_tokens", kind: strange},
	},
	strangeDetails: {
		{name: "cached_tokens", path: "input_tokens_details", kind: strange},
		{name: "cache_write_tokens", path: "input_tokens_details", kind: strange},
		{name: "audio_tokens", path: "input_tokens_details", kind: strange},
		{name: "image_tokens", path: "input_tokens_details", kind: strange},
	},
	cacheCreation: {
		{name: "ephemeral_5m_input_tokens", path: "cache_creation.ephemeral_5m_input_tokens", field: fieldWriteShort},
		{name: "ephemeral_1h_input_tokens", path: "cache_creation.ephemeral_1h_input_tokens", field: fieldWriteLong},
	},
	thinkingDetails: {{name: "thinking_tokens", path: "output_tokens_details.thinking_tokens", field: fieldReasoning}},
	serverTools:     {{name: "web_search_requests", path: "server_tool_use.web_search_requests", field: fieldSearches}},
	passCounts: {
		{name: "type", path: "iterations[].type", field: fieldLabel, kind: word},
		{name: "model", path: "iterations[].model", field: fieldModel, kind: word},
		{name: "input_tokens", path: "iterations[].input_tokens", field: fieldPass},
		{name: "output_tokens", path: "iterations[].output_tokens", field: fieldPassOutput},
		{name: "cache_read_input_tokens", path: "iterations[].cache_read_input_tokens", field: fieldPassRead},
		{name: "cache_creation_input_tokens", path: "iterations[].cache_creation_input_tokens", field: fieldPassWrite},
		{name: "cache_creation", path: "iterations[].cache_creation", kind: object, group: passCreation},
	},
	passCreation: {
		{name: "ephemeral_5m_input_tokens", path: "iterations[].cache_creation.ephemeral_5m_input_tokens", field: fieldPassShort},
		{name: "ephemeral_1h_input_tokens", path: "iterations[].cache_creation.ephemeral_1h_input_tokens", field: fieldPassLong},
	},
	geminiRoot: {
		{name: "promptTokenCount", field: fieldInput},
		{name: "candidatesTokenCount", field: fieldOutput},
		{name: "responseTokenCount", field: fieldOutput}, // what the Live API calls it
		{name: "totalTokenCount", field: fieldTotal},
		{name: "cachedContentTokenCount", field: fieldRead},
		{name: "thoughtsTokenCount", field: fieldThoughts},
		{name: "toolUsePromptTokenCount", field: fieldTool},
		{name: "promptTokensDetails", field: fieldText, kind: list, group: modalityCount},
		{name: "cacheTokensDetails", field: fieldReadText, kind: list, group: modalityCount},
		{name: "candidatesTokensDetails", field: fieldOutText, kind: list, group: modalityCount},
		{name: "responseTokensDetails", field: fieldOutText, kind: list, group: modalityCount},
		{name: "toolUsePromptTokensDetails", field: fieldToolParts, kind: list, group: modalityCount},
		{name: "serviceTier", field: fieldTier, kind: word},
		{name: "trafficType", field: fieldTraffic, kind: word},
		// The same as Google's library for Python writes it.
		{name: "prompt_token_count", field: fieldInput},
		{name: "candidates_token_count", field: fieldOutput},
		{name: "response_token_count", field: fieldOutput},
		{name: "total_token_count", field: fieldTotal},
		{name: "cached_content_token_count", field: fieldRead},
		{name: "thoughts_token_count", field: fieldThoughts},
		{name: "tool_use_prompt_token_count", field: fieldTool},
		{name: "prompt_tokens_details", field: fieldText, kind: list, group: modalityCount},
		{name: "cache_tokens_details", field: fieldReadText, kind: list, group: modalityCount},
		{name: "candidates_tokens_details", field: fieldOutText, kind: list, group: modalityCount},
		{name: "response_tokens_details", field: fieldOutText, kind: list, group: modalityCount},
		{name: "tool_use_prompt_tokens_details", field: fieldToolParts, kind: list, group: modalityCount},
		{name: "service_tier", field: fieldTier, kind: word},
		{name: "traffic_type", field: fieldTraffic, kind: word},
	},
	modalityCount: {
		{name: "modality", field: fieldLabel, kind: word},
		{name: "tokenCount", field: fieldCount},
		{name: "token_count", field: fieldCount},
	},
	bedrockRoot: {
		{name: "inputTokens", field: fieldInput},
		{name: "outputTokens", field: fieldOutput},
		{name: "totalTokens", field: fieldTotal},
		{name: "cacheReadInputTokens", field: fieldRead},
		{name: "cacheWriteInputTokens", field: fieldWrite},
		{name: "cacheReadInputTokenCount", field: fieldRead}, // InvokeModel, for Nova
		{name: "cacheWriteInputTokenCount", field: fieldWrite},
		{name: "cacheDetails", field: fieldWriteShort, kind: list, group: cacheDetail},
	},
	cacheDetail: {
		{name: "ttl", field: fieldLabel, kind: word},
		{name: "inputTokens", field: fieldCount},
	},
	otelRoot: {
		{name: "gen_ai.usage.input_tokens", field: fieldInput},
		{name: "gen_ai.usage.output_tokens", field: fieldOutput},
		{name: "gen_ai.usage.prompt_tokens", field: fieldInput},
		{name: "gen_ai.usage.completion_tokens", field: fieldOutput},
		{name: "gen_ai.usage.cache_read.input_tokens", field: fieldRead},
		{name: "gen_ai.usage.cache_creation.input_tokens", field: fieldWrite},
		{name: "gen_ai.usage.reasoning.output_tokens", field: fieldReasoning},
		{name: "gen_ai.usage.text.input_tokens", field: fieldText},
		{name: "gen_ai.usage.audio.input_tokens", field: fieldAudio},
		{name: "gen_ai.usage.image.input_tokens", field: fieldImage},
		{name: "gen_ai.usage.video.input_tokens", field: fieldVideo},
		{name: "gen_ai.usage.text.output_tokens", field: fieldOutText},
		{name: "gen_ai.usage.audio.output_tokens", field: fieldOutAudio},
	},
}

// openAIInput returns what OpenAI's APIs put into the details of their input.
func openAIInput(object string) []member {
	return []member{
		{name: "cached_tokens", path: object + ".cached_tokens", field: fieldRead},
		{name: "cache_write_tokens", path: object + ".cache_write_tokens", field: fieldWrite},
		{name: "text_tokens", path: object + ".text_tokens", field: fieldText},
		{name: "audio_tokens", path: object + ".audio_tokens", field: fieldAudio},
		{name: "image_tokens", path: object + ".image_tokens", field: fieldImage},
		{name: "cache_creation_tokens", path: object + ".cache_creation_tokens", field: fieldWrite},
	}
}

// openAIOutput returns what they put into the details of their output.
func openAIOutput(object string) []member {
	return []member{
		{name: "reasoning_tokens", path: object + ".reasoning_tokens", field: fieldReasoning},
		{name: "text_tokens", path: object + ".text_tokens", field: fieldOutText},
		{name: "audio_tokens", path: object + ".audio_tokens", field: fieldOutAudio},
		{name: "image_tokens", path: object + ".image_tokens", field: fieldOutImage},
		{name: "accepted_prediction_tokens", path: object + ".accepted_prediction_tokens", field: fieldAccepted},
		{name: "rejected_prediction_tokens", path: object + ".rejected_prediction_tokens", field: fieldRejected},
	}
}

// memberOf returns the member of a group with a name, or nil.
func memberOf(g group, name []byte) *member {
	list := members[g]
	for i := range list {
		if list[i].name == string(name) {
			return &list[i]
		}
	}
	return nil
}

// where returns how messages name the member.
func (m *member) where() string {
	if m.path != "" {
		return m.path
	}
	return m.name
}
