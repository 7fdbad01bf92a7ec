package money

import (
	"encoding/binary"
	"math/bits"
)

// The binary form of an amount: one header byte, then the magnitude in as few
// big-endian bytes as it needs. Bit 7 of the header is the sign, the low bits
// are the number of magnitude bytes, 0 to 16. Zero is the single byte 0x00.
const (
	binaryNegative = 0x80
	binaryBytesMax = 16

	// BinaryMax is the longest binary form of an Amount in bytes.
	BinaryMax = 1 + binaryBytesMax
)

// AppendBinary appends the canonical binary form of a, 1 to BinaryMax bytes.
// Equal amounts have equal bytes.
func (a Amount) AppendBinary(dst []byte) []byte {
	hi, lo := a.magnitude()
	n := (bits.Len64(lo) + 7) / 8
	if hi != 0 {
		n = 8 + (bits.Len64(hi)+7)/8
	}
	header := byte(n)
	if a.hi < 0 {
		header |= binaryNegative
	}
	dst = append(dst, header)
	if n > 8 {
		dst = appendTop(dst, hi, n-8)
		return binary.BigEndian.AppendUint64(dst, lo)
	}
	return appendTop(dst, lo, n)
}

// appendTop appends the low n bytes of w, 0 to 8: all eight in one store, of which the rest is cut off again.
func appendTop(dst []byte, w uint64, n int) []byte {
	dst = binary.BigEndian.AppendUint64(dst, w<<(64-8*n))
	return dst[:len(dst)-8+n]
}

// DecodeBinary reads the amount at the start of src and returns it with the
// number of bytes it took. Only what AppendBinary writes is accepted: a
// truncated form, a leading zero byte, a negative zero or a magnitude out of
// range is ErrEncoding. It keeps nothing of src and does not allocate.
func DecodeBinary(src []byte) (a Amount, n int, err error) {
	if len(src) == 0 {
		return Amount{}, 0, ErrEncoding
	}
	negative := src[0]&binaryNegative != 0
	size := int(src[0] &^ binaryNegative)
	if size > binaryBytesMax || len(src) < 1+size {
		return Amount{}, 0, ErrEncoding
	}
	if size == 0 && negative || size > 0 && src[1] == 0 {
		return Amount{}, 0, ErrEncoding
	}
	var hi, lo uint64
	if size <= 8 && len(src) > 8 { // nearly always
		lo = binary.BigEndian.Uint64(src[1:]) >> (64 - 8*size)
		a, ok := fromMagnitude(negative, 0, lo)
		if !ok {
			return Amount{}, 0, ErrEncoding
		}
		return a, 1 + size, nil
	}
	for _, b := range src[1 : 1+size] {
		hi = hi<<8 | lo>>56
		lo = lo<<8 | uint64(b)
	}
	a, ok := fromMagnitude(negative, hi, lo)
	if !ok {
		return Amount{}, 0, ErrEncoding
	}
	return a, 1 + size, nil
}
