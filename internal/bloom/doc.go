// Package bloom sets and asks the bits of one block of a blocked Bloom filter: 512 bits, a cache line, of which each
// hash sets eight, one in each word (F. Putze, P. Sanders, J. Singler, "Cache-, hash- and space-efficient Bloom filters", 2007).
//
// One goroutine may set bits of a block while any number asks. Atomic operations alone would say that in Go, at eight locked
// instructions a hash, which is ten times what the work itself takes. On amd64 with AVX2 the eight words are set by two vector stores
// instead: the architecture writes each aligned word of them as a whole, so that whoever asks sees a word before or after, as with
// atomics, and nobody else writes whose bits could be lost. Elsewhere it is atomics.
package bloom
