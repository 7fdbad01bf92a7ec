package meter

import (
	"encoding/binary"
	"math/bits"
)

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
	if len(b) < 8 {
		for _, c := range b {
			if !idByte[c] {
				return false
			}
		}
		return true
	}
	ok := idWord(binary.LittleEndian.Uint64(b[len(b)-8:])) // the last eight, whatever is left over of the rest
	for ; len(b) > 8; b = b[8:] {
		ok &= idWord(binary.LittleEndian.Uint64(b))
	}
	return ok == topBits
}

// IDPrefix returns how many bytes that ids may hold b begins with. It looks no further than tells that they are too
// many for an id.
func IDPrefix(b []byte) int {
	n := 0
	for ; n+8 <= len(b) && n <= MaxIDBytes; n += 8 {
		if other := ^idWord(binary.LittleEndian.Uint64(b[n:])) & topBits; other != 0 {
			return n + bits.TrailingZeros64(other)>>3
		}
	}
	for n < len(b) && idByte[b[n]] && n <= MaxIDBytes {
		n++
	}
	return n
}

const (
	eachByte = 0x0101010101010101
	topBits  = 0x80 * eachByte
)

// idWord sets the top bit of each byte of w that an id may hold. In ASCII these are four runs: - to :, @ to Z, _
// alone, and a to z. Adding to a byte below 0x80 sets its top bit if it is large enough, and never carries.
func idWord(w uint64) uint64 {
	low := w &^ topBits
	in := (low + (0x80-'-')*eachByte) &^ (low + (0x7f-':')*eachByte)
	in |= (low + (0x80-'@')*eachByte) &^ (low + (0x7f-'Z')*eachByte)
	in |= (low + (0x80-'_')*eachByte) &^ (low + (0x7f-'_')*eachByte)
	in |= (low + (0x80-'a')*eachByte) &^ (low + (0x7f-'z')*eachByte)
	return in &^ w & topBits
}

// validName reports whether b is usable as a component name: an id of at most 64 bytes.
func validName(b []byte) bool { return len(b) <= MaxComponentBytes && ValidID(b) }
