package usage

// Format names whose usage object it is. Zero is none.
type Format uint8

// The formats. Their numbers are stored with raw usage and never change.
const (
	OpenAI    Format = 1 + iota // Chat Completions, Responses, Embeddings, Images, Realtime, Transcription
	Anthropic                   // Messages
	Gemini                      // usageMetadata
	Bedrock                     // Converse
	OTel                        // gen_ai.usage.* attributes
	formatEnd
)

// Names lists the formats as a client spells them, for messages.
const Names = "openai, anthropic, gemini, bedrock, otel"

var formatNames = [formatEnd]string{OpenAI: "openai", Anthropic: "anthropic", Gemini: "gemini", Bedrock: "bedrock", OTel: "otel"}

// ParseFormat returns the format that is spelled so, or false.
func ParseFormat(name []byte) (Format, bool) {
	for f := OpenAI; f < formatEnd; f++ {
		if formatNames[f] == string(name) {
			return f, true
		}
	}
	return 0, false
}

// String returns the name of f; that of what is no format is empty.
func (f Format) String() string {
	if f >= formatEnd {
		return ""
	}
	return formatNames[f]
}
