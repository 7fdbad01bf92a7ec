// Package sha256x2 computes SHA-256 of two short messages at once.
//
// One SHA-256 on the processor's SHA instructions waits for itself: every pair of
// rounds needs the result of the pair before. Two independent messages in turn fill
// the waits, and fixed-size padded blocks spare the copying of a general hash. A Merkle
// tree has nothing but pairs of short independent messages to hash.
//
// Without the instructions (or on another architecture) crypto/sha256 does the work;
// results are the same bit for bit, which the tests prove against it.
package sha256x2
