// Package meter knows what a usage event is, which identity and content it has,
// and what it costs. It is pure: no clock, no I/O, no goroutine.
//
// Its few types:
//
//   - Batch: the events of one request as fixed-size records whose bytes lie in
//     one arena. A decoder fills it, the sequencer reads it; it is reused, so
//     nothing is kept from it after the request was answered.
//   - Event: one record. Identity is (source, id); content is subject, type,
//     non-zero usage and dimensions. Time is neither.
//   - Shape: the canonical bytes of everything about an event that rating can
//     depend on, quantities excepted: type, component names, dimensions.
//   - Version, Book: immutable price versions and which one is in force when.
//
// It does not know accounts, transfers or sequences: those are the ledger's and
// the engine's.
package meter
