package bloom

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"
)

// Words of a block.
const Words = 8

// BlockBytes is the size of a block: a cache line.
const BlockBytes = 8 * Words

// Block is 512 bits. In a slice of its own it begins on a cache line's boundary and costs one miss.
type Block [Words]atomic.Uint64

// Add sets the eight bits of spread: in word i that which its bits 6i to 6i+5 name. Safe beside any number of calls of Maybe and
// Append, but not beside itself on the same block: bits would be lost.
func (b *Block) Add(spread uint64) { set(b, spread) }

// add is Add in Go: what other processors than amd64 do, and what the tests hold the assembly against.
func (b *Block) add(spread uint64) {
	for i := range b {
		if word, bit := b[i].Load(), uint64(1)<<(spread>>(6*i)&63); word&bit == 0 {
			b[i].Store(word | bit)
		}
	}
}

// Maybe reports whether all eight bits are set. They are looked at without a branch in between: each alone would be a coin toss to the
// branch predictor, and they lie in one cache line.
func (b *Block) Maybe(spread uint64) bool {
	all := b[0].Load() >> (spread & 63) & (b[1].Load() >> (spread >> 6 & 63)) & (b[2].Load() >> (spread >> 12 & 63)) & (b[3].Load() >> (spread >> 18 & 63)) &
		(b[4].Load() >> (spread >> 24 & 63)) & (b[5].Load() >> (spread >> 30 & 63)) & (b[6].Load() >> (spread >> 36 & 63)) & (b[7].Load() >> (spread >> 42 & 63))
	return all&1 != 0
}

// Append appends the block's words in little-endian order, 64 bytes.
func (b *Block) Append(dst []byte) []byte {
	for i := range b {
		dst = binary.LittleEndian.AppendUint64(dst, b[i].Load())
	}
	return dst
}

// Fill sets the block to what Append wrote, the first 64 bytes of data. Nobody else may know the block yet: filters of hundreds of
// megabytes are read at a start, and plain stores take a fraction of the time of atomic ones.
func (b *Block) Fill(data []byte) {
	words := (*[Words]uint64)(unsafe.Pointer(b))
	for i := range words {
		words[i] = binary.LittleEndian.Uint64(data[8*i:])
	}
}
