package sha256x2

import "github.com/klauspost/cpuid/v2"

// accelerated says whether this processor has what sum uses.
var accelerated = cpuid.CPU.Supports(cpuid.SHA, cpuid.SSSE3, cpuid.SSE4)

// sum hashes so many blocks at a and b on the SHA instructions (block_amd64.s).
//
//go:noescape
func sum(a, b *byte, blocks int, x, y *[32]byte)
