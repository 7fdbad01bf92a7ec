// Package bloom sets and asks the bits of one block of a blocked Bloom filter: 512 bits, a cache line, of which each
// hash sets eight, one in each word (F. Putze, P. Sanders, J. Singler, "Cache-, hash- and space-efficient Bloom filters", 2007).
//
// One goroutine sets bits of a block while any number asks. In Go that takes atomic stores, each of which is a locked instruction on
// amd64, eight a hash. The processor needs none of them: a plain store of an aligned word is written as a whole, stores are seen in
// their order, and there is nobody else whose bits could be lost. So on amd64 the words are set by plain loads and stores in assembly
// (block_amd64.s), and elsewhere by atomic ones.
package bloom
