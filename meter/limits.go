package meter

// Bounds of one event. Each is a refusal with code invalid when passed.
const (
	// MaxIDBytes bounds ids, sources, subjects and types (the contract's 1 to 128).
	MaxIDBytes = 128
	// MaxComponents bounds the components of one event.
	MaxComponents = 32
	// MaxComponentBytes bounds a component's name.
	MaxComponentBytes = 64
	// MaxDimensions bounds the dimensions of one event.
	MaxDimensions = 16
	// MaxDimensionKeyBytes and MaxDimensionBytes bound a dimension's key and value.
	MaxDimensionKeyBytes = 64
	MaxDimensionBytes    = 256
	// MaxRawUsageBytes bounds a provider's own usage object, without its white space.
	// The largest that a vendor documents has about 600 bytes.
	MaxRawUsageBytes = 4096
	// MaxBatchEvents is the contract's limit of events in one request.
	MaxBatchEvents = 10_000
)

// NoTime marks an event without a time of its own: arrival counts.
const NoTime int64 = -1 << 63
