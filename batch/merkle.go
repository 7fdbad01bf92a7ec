package batch

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
)

// Prefixes of RFC 6962, section 2.1: a leaf can never pass for a node.
const (
	leafPrefix = 0x00
	nodePrefix = 0x01
)

// Tree is an append-only Merkle tree with the hashing of RFC 6962, kept as a
// compact range: only the roots of its perfect subtrees, one per bit of its
// size, at most 2 KiB. The zero value is the empty tree.
//
// It belongs to one goroutine. A copy is an independent tree as long as only
// one of the two appends data with Append, because copies share the scratch
// buffer; AppendBinary and UnmarshalBinary make a clean one.
type Tree struct {
	size    uint64       // leaves so far; its bits say which peaks are in use
	peaks   [64][32]byte // peaks[l] is the root of a perfect subtree of 2^l leaves
	scratch []byte       // prefix and data of the leaf at hand
}

// LeafHash returns the RFC 6962 hash of a leaf: SHA-256(0x00 || data).
func LeafHash(data []byte) [32]byte {
	var buf [512]byte // keeps the usual leaf off the heap
	buf[0] = leafPrefix
	return sha256.Sum256(append(buf[:1], data...))
}

// Append adds a leaf with the given data, of which it keeps nothing. It
// allocates only when data is longer than any before it.
func (t *Tree) Append(data []byte) {
	t.scratch = append(append(t.scratch[:0], leafPrefix), data...)
	t.AppendLeafHash(sha256.Sum256(t.scratch))
}

// AppendLeafHash adds a leaf by its LeafHash.
func (t *Tree) AppendLeafHash(h [32]byte) {
	level := 0
	for ; t.size>>level&1 == 1; level++ {
		h = nodeHash(&t.peaks[level], &h)
	}
	t.peaks[level] = h
	t.size++
}

// Size returns the number of leaves.
func (t *Tree) Size() uint64 { return t.size }

// Root returns the RFC 6962 tree hash; that of the empty tree is SHA-256 of
// nothing. It costs one hash per peak and changes nothing.
func (t *Tree) Root() [32]byte {
	if t.size == 0 {
		return sha256.Sum256(nil)
	}
	level := bits.TrailingZeros64(t.size)
	root := t.peaks[level]
	for level++; level < 64; level++ {
		if t.size>>level&1 == 1 {
			root = nodeHash(&t.peaks[level], &root)
		}
	}
	return root
}

// Reset makes t the empty tree again and keeps its buffer.
func (t *Tree) Reset() { t.size = 0 }

// AppendBinary appends the state of the tree: its size in 8 big-endian bytes,
// then its peaks from the largest subtree to the smallest. The error is always
// nil; it is there for encoding.BinaryAppender.
func (t *Tree) AppendBinary(dst []byte) ([]byte, error) {
	dst = binary.BigEndian.AppendUint64(dst, t.size)
	for level := 63; level >= 0; level-- {
		if t.size>>level&1 == 1 {
			dst = append(dst, t.peaks[level][:]...)
		}
	}
	return dst, nil
}

// MarshalBinary is AppendBinary to a new slice.
func (t *Tree) MarshalBinary() ([]byte, error) { return t.AppendBinary(nil) }

// UnmarshalBinary sets t to a state that AppendBinary wrote. Bytes of another
// length than the size asks for are ErrFormat, and t is unchanged.
func (t *Tree) UnmarshalBinary(src []byte) error {
	if len(src) < 8 {
		return fmt.Errorf("%w: tree state of %d bytes", ErrFormat, len(src))
	}
	size := binary.BigEndian.Uint64(src)
	src = src[8:]
	if len(src) != 32*bits.OnesCount64(size) {
		return fmt.Errorf("%w: tree of %d leaves with %d bytes of peaks", ErrFormat, size, len(src))
	}
	t.size = size
	for level := 63; level >= 0; level-- {
		if size>>level&1 == 1 {
			copy(t.peaks[level][:], src)
			src = src[32:]
		}
	}
	return nil
}

func nodeHash(left, right *[32]byte) [32]byte {
	var buf [65]byte
	buf[0] = nodePrefix
	copy(buf[1:], left[:])
	copy(buf[33:], right[:])
	return sha256.Sum256(buf[:])
}
