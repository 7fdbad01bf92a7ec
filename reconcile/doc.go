// Package reconcile holds the topic of settlements against the ledger: what was sealed, and what a consumer that follows the contract
// makes of the topic.
//
// # Types
//
//   - Run reads both sides once and returns a Report. Server does it for a broker and a running server in one call.
//   - Ledger is the side that is right: the batches with their manifests, and their lines. HTTP is that of a running server; the engine
//     has one for a data directory.
//   - Topic is the side that is checked. publish.TopicReader is one.
//   - Report has Differences, of a few Kinds; Report.Green says whether there is none.
//
// # What is compared
//
// The stream is derived from the ledger's manifests and lines anew: a batch's lines from its first_stream_seq on, then its manifest.
// The topic is read as the contract has it: what is not greater than the last applied stream_seq is a repeat, a greater one than the next
// is a gap, and what has no stream_seq is somebody's control record. Each record, applied or repeated, must be the ledger's byte for byte;
// the lines of a batch must add up to its manifest as they stand in the topic; the manifests must form a chain; and a batch must stand
// where the ledger says it does. After a gap a consumer stops; the comparison goes on behind it, so that one report names all.
//
// What was sealed when the reading began and is neither in the topic nor said to be published is pending. That is no difference, and not
// green either unless the caller says so.
//
// # Ownership
//
// Run works on its caller's goroutine. It keeps the manifests, and one page of lines at each of two places, however large the batches are.
//
// # What it does not do
//
// It changes nothing on either side, checks no signature (farthing proof check does) and does not verify the ledger itself: that is
// farthing verify.
package reconcile
