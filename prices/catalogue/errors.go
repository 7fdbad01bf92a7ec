package catalogue

import "errors"

// ErrData marks a vendor's file that is not a valid one. It is wrapped with
// what is wrong and where.
var ErrData = errors.New("invalid catalogue")
