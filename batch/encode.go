package batch

import (
	"encoding/hex"
	"fmt"
	"strconv"

	"farthing/money"
)

// The parts of canonical JSON (RFC 8785) that records are made of: strings
// that need no escapes, integers below 2^53, and objects whose keys stand in
// order because the encoders write them so.

// appendID writes an id. An id of the wrong form would break the JSON; it is
// checked where it comes in, so here it is a bug.
func appendID(dst []byte, id string) []byte {
	if !validID(id) {
		panic(fmt.Sprintf("BUG: batch: encoding the id %q", id))
	}
	return appendString(dst, id)
}

// appendString writes a string that needs no escapes.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

func appendAmount(dst []byte, a money.Amount) []byte {
	dst = a.AppendText(append(dst, '"'))
	return append(dst, '"')
}

func appendHash(dst []byte, h *[32]byte) []byte {
	dst = hex.AppendEncode(append(dst, '"'), h[:])
	return append(dst, '"')
}

func appendUint(dst []byte, n uint64) []byte {
	if n > numberMax {
		panic(fmt.Sprintf("BUG: batch: encoding the number %d", n))
	}
	return strconv.AppendUint(dst, n, 10)
}
