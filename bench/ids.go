package bench

import (
	"crypto/rand"
	"encoding/binary"
	"time"
)

// An id has the 26 characters of a ULID: ten of time, five random, then a
// counter. The counter is split so that one request needs one number: eight
// digits of its block, three of the event's place in it.
const (
	idLen       = 26
	idPrefixLen = 15
	idBlockLen  = 8
	idIndexLen  = idLen - idPrefixLen - idBlockLen
)

// accountLen digits number the payers at the end of their names: a million.
const accountLen = 4

// alphabet is Crockford's base 32, as in ULIDs: ids sort as their numbers do.
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// runPrefix begins all ids of a run: its millisecond, then 25 random bits, so
// that two runs against one ledger do not share identities.
func runPrefix(now time.Time) string {
	var random [8]byte
	_, _ = rand.Read(random[:]) // documented never to fail
	b := make([]byte, idPrefixLen)
	base32(b[:10], uint64(now.UnixMilli()))
	base32(b[10:], binary.LittleEndian.Uint64(random[:]))
	return string(b)
}

// base32 writes the low 5*len(dst) bits of n.
func base32(dst []byte, n uint64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = alphabet[n&31]
		n >>= 5
	}
}

// blockWord is a block's eight digits as the word that a little-endian store
// writes: one store per event instead of eight.
func blockWord(block uint64) uint64 {
	var digits [idBlockLen]byte
	base32(digits[:], block)
	return binary.LittleEndian.Uint64(digits[:])
}

// accountWord is a payer's digits as the word that a little-endian store writes.
func accountWord(i int) uint32 {
	return uint32(alphabet[i>>15&31]) | uint32(alphabet[i>>10&31])<<8 | uint32(alphabet[i>>5&31])<<16 | uint32(alphabet[i&31])<<24
}
