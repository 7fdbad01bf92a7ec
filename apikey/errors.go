package apikey

import (
	"errors"

	"farthing/internal/private"
)

// Errors of Load and New. Load joins every problem that it finds; errors.Is
// recognises each of them in the joined error.
var (
	// ErrPermissions: someone other than the owner has a permission on the file.
	ErrPermissions = private.ErrOpen
	// ErrFile: the file is no YAML list of entries, or is empty. A list without entries is
	// one: nobody is let in.
	ErrFile = errors.New("the key file is malformed")
	// ErrEntry: a field of an entry is missing, unknown or not well formed.
	ErrEntry = errors.New("invalid entry")
	// ErrDuplicate: two entries have the same id or the same hash.
	ErrDuplicate = errors.New("duplicate entry")
	// ErrUnknown: there is no key of this id.
	ErrUnknown = errors.New("no such key")
)
