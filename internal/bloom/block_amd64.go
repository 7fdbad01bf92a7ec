package bloom

import "github.com/klauspost/cpuid/v2"

// accelerated says whether this processor has what set uses.
var accelerated = cpuid.CPU.Supports(cpuid.AVX2)

// set is Add with vector instructions (block_amd64.s).
//
//go:noescape
func set(b *Block, spread uint64)
