package sha256x2

import (
	"crypto/sha256"
	"encoding/binary"
)

// Bytes of one block of SHA-256, and of the padding's mark and length.
const (
	blockBytes   = 64
	paddingBytes = 1 + 8
)

// BlocksMax is how many blocks of SHA-256 a Block has at most.
const BlocksMax = 3

// MessageMax is the longest message a Block holds, in bytes.
const MessageMax = BlocksMax*blockBytes - paddingBytes

// Block is a short message with its padding, one to three blocks of SHA-256 long. Write
// the message to Bytes, then say its length with Set.
type Block struct {
	bytes  [BlocksMax * blockBytes]byte
	blocks int
}

// Bytes is where the message is written to.
func (b *Block) Bytes() *[MessageMax]byte { return (*[MessageMax]byte)(b.bytes[:]) }

// Set pads the message of n bytes, 0 to MessageMax.
func (b *Block) Set(n int) {
	if n < 0 || n > MessageMax {
		panic("BUG: sha256x2: the message is too long")
	}
	b.blocks = (n + paddingBytes + blockBytes - 1) / blockBytes
	end := b.blocks * blockBytes
	b.bytes[n] = 0x80
	clear(b.bytes[n+1 : end-8])
	binary.BigEndian.PutUint64(b.bytes[end-8:end], uint64(n)*8)
}

// Message is the message without its padding.
func (b *Block) Message() []byte {
	end := b.blocks * blockBytes
	return b.bytes[:binary.BigEndian.Uint64(b.bytes[end-8:end])/8]
}

// Blocks is how many blocks of SHA-256 the message takes, 1 to BlocksMax.
func (b *Block) Blocks() int { return b.blocks }

// One sets x to the SHA-256 of the message in a, which was Set.
func One(a *Block, x *[32]byte) {
	if accelerated {
		var same [32]byte
		sum(&a.bytes[0], &a.bytes[0], a.blocks, x, &same) // takes as long as one
		return
	}
	*x = sha256.Sum256(a.Message())
}

// Sum sets x and y to the SHA-256 of the messages in a and b, which were Set. The two go
// together if they take equally many blocks.
func Sum(a, b *Block, x, y *[32]byte) {
	if accelerated && a.blocks == b.blocks {
		sum(&a.bytes[0], &b.bytes[0], a.blocks, x, y)
		return
	}
	*x = sha256.Sum256(a.Message())
	*y = sha256.Sum256(b.Message())
}
