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

// idByte says which bytes an id may hold: A-Z a-z 0-9 . _ : - / @
var idByte = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-/@") {
		t[c] = true
	}
	return t
}()

// ValidID reports whether b is an id of the contract: 1 to 128 of A-Z a-z 0-9 . _ : - / @
func ValidID(b []byte) bool {
	if len(b) == 0 || len(b) > MaxIDBytes {
		return false
	}
	for _, c := range b {
		if !idByte[c] {
			return false
		}
	}
	return true
}

// validName reports whether b is usable as a component name: an id of at most 64 bytes.
func validName(b []byte) bool { return len(b) <= MaxComponentBytes && ValidID(b) }
