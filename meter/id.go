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

// IDEnd returns the offset of the first byte from p on that ids may not hold, if what is before it is an id of the
// contract; else, or if b ends with it, -1.
func IDEnd(b []byte, p int) int {
	start := p
	for ; p+8 <= len(b); p += 8 {
		if other := ^idWord(binary.LittleEndian.Uint64(b[p:])) & topBits; other != 0 {
			p += bits.TrailingZeros64(other) >> 3
			if uint(p-start-1) < MaxIDBytes {
				return p
			}
			return -1
		}
		if p-start > MaxIDBytes {
			return -1
		}
	}
	for p < len(b) && idByte[b[p]] {
		p++
	}
	if p < len(b) && uint(p-start-1) < MaxIDBytes {
		return p
	}
	return -1
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
