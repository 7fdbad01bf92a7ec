package export

import (
	"crypto/sha256"
	"encoding/binary"

	"farthing/journal"
)

// blockHash is the hash of a block as docs/export.md says it: SHA-256 of
//
//	version 1 (1) | 1 if its group ends with it (1) | 0 (2) | length of the body (4) | first (8) | last (8) | time (8) | previous hash (32) | body
//
// all numbers big-endian. It is written out here so that what journal stores is checked by something else than journal.
func blockHash(b *journal.Block) journal.Hash {
	header := make([]byte, 64, 64+len(b.Body))
	header[0] = 1
	if b.Final {
		header[1] = 1
	}
	binary.BigEndian.PutUint32(header[4:], uint32(len(b.Body)))
	binary.BigEndian.PutUint64(header[8:], b.First)
	binary.BigEndian.PutUint64(header[16:], b.Last)
	binary.BigEndian.PutUint64(header[24:], uint64(b.Time))
	copy(header[32:], b.Prev[:])
	return sha256.Sum256(append(header, b.Body...))
}
