package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// Hash is a SHA-256 of the chain.
type Hash [32]byte

// BlockBytes is the size that whoever packs commands into blocks should aim at, in bytes. Values above it make later point reads dear
// (one block of an SST holds one value), below it the fixed cost of a row grows.
const BlockBytes = 64 << 10

// BodyBytesMax bounds one block's body, in bytes: room for a single large command. A larger body is a bug of the caller.
const BodyBytesMax = 16 << 20

// Block is the unit of the hash chain: packed commands of one group.
type Block struct {
	First, Last uint64 // sequence numbers of the first and the last command; First >= 1, Last >= First
	Time        int64  // the group's time, nanoseconds since the Unix epoch
	Final       bool   // last block of its group
	Prev, Hash  Hash   // Prev is the hash of the block that ends at First-1, zero for the first block; Hash = SHA-256(header || body)
	Body        []byte // opaque here
}

// BlockInput is a block to be committed.
type BlockInput struct {
	First, Last uint64 // as in Block
	Body        []byte // at most BodyBytesMax; not kept after Commit
	Hash        Hash   // set by Commit
}

// A block is stored as
//
//	 0  version (1)      1  flags      2  reserved, zero (2)   4  body length (4)
//	 8  first (8)       16  last (8)  24  time (8)            32  previous hash (32)
//	64  body
//	..  hash (32) of all bytes before it
//
// all numbers big-endian. The hash comes last so that header and body are hashed in one pass where they lie.
const (
	blockVersion     = 1
	flagFinal        = 1
	blockHeaderBytes = 64
	blockExtraBytes  = blockHeaderBytes + sha256.Size
)

var (
	errBlockShort   = errors.New("block is truncated")
	errBlockVersion = errors.New("block has an unknown version or flag")
	errBlockLength  = errors.New("block length differs from its header")
	errBlockRange   = errors.New("block has an impossible sequence range")
	errBlockHash    = errors.New("block hash differs from its content")
)

// encodeBlock writes the block into dst, whose length must be blockExtraBytes+len(in.Body), and returns its hash. It copies the body once.
func encodeBlock(dst []byte, in *BlockInput, time int64, final bool, prev *Hash) Hash {
	n := blockHeaderBytes + len(in.Body)
	if len(dst) != n+sha256.Size {
		panic("BUG: journal: block buffer of the wrong size")
	}
	dst[0], dst[1], dst[2], dst[3] = blockVersion, 0, 0, 0
	if final {
		dst[1] = flagFinal
	}
	binary.BigEndian.PutUint32(dst[4:], uint32(len(in.Body)))
	binary.BigEndian.PutUint64(dst[8:], in.First)
	binary.BigEndian.PutUint64(dst[16:], in.Last)
	binary.BigEndian.PutUint64(dst[24:], uint64(time))
	copy(dst[32:], prev[:])
	copy(dst[blockHeaderBytes:], in.Body)
	hash := Hash(sha256.Sum256(dst[:n]))
	copy(dst[n:], hash[:])
	return hash
}

// decodeBlock reads a stored block into b and checks its hash. b.Body points into data.
func decodeBlock(b *Block, data []byte) error {
	if len(data) < blockExtraBytes {
		return errBlockShort
	}
	if data[0] != blockVersion || data[1]&^flagFinal != 0 || data[2] != 0 || data[3] != 0 {
		return errBlockVersion
	}
	n := len(data) - sha256.Size
	body := data[blockHeaderBytes:n]
	if binary.BigEndian.Uint32(data[4:]) != uint32(len(body)) || len(body) > BodyBytesMax {
		return errBlockLength
	}
	b.First = binary.BigEndian.Uint64(data[8:])
	b.Last = binary.BigEndian.Uint64(data[16:])
	if b.First == 0 || b.Last < b.First {
		return errBlockRange
	}
	b.Time = int64(binary.BigEndian.Uint64(data[24:]))
	b.Final = data[1]&flagFinal != 0
	copy(b.Prev[:], data[32:])
	copy(b.Hash[:], data[n:])
	b.Body = body
	if sha256.Sum256(data[:n]) != b.Hash {
		return errBlockHash
	}
	return nil
}
