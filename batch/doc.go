// Package batch turns the net positions of one window, partition and currency
// into a settlement batch: it decides the lines, proves that they add up, and
// gives the batch its identity and its canonical bytes.
//
// The way through it:
//
//   - the caller describes the [Cut] and hands in one [Position] per
//     participant, taken from a snapshot at the cut;
//   - [Order] sorts their accounts; a [Netter] takes them one by one, decides who
//     is paid and who is collected, computes each [Line] and checks the equations
//     per line and over the batch. It keeps nothing, so a batch may have millions
//     of lines;
//   - [Line.AppendJSON] writes each line's canonical record, [LinesHash] sums
//     them up, and [NewManifest] closes the batch with a [Manifest];
//   - [ParseLine], [ParseManifest] and [VerifyLines] go the other way: they
//     accept only bytes that this package would write, and prove them again.
//
// A [Tree] is the RFC 6962 Merkle tree over the usage events of a window, kept
// as a compact range that grows leaf by leaf.
//
// The package is pure: it opens nothing, starts nothing, reads no clock and no
// random source, and the same input gives the same bytes. Nothing here is
// shared: a value belongs to the goroutine that holds it. It does not know how
// positions are collected, where lines are stored or how they are published.
package batch
