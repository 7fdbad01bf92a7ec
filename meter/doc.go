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
//   - Price, ComponentPrice: what a version says about the components of a meter.
//   - Plan: how the events of one shape are rated under one version. Rate and
//     Reverse are all there is to rating.
//
// A component's price is linear in the event's own quantity, or counted: then T(Q) is
// what the quantity Q of a month or a settlement window costs, and an event of q costs
// T(Q+q) - T(Q). Whatever the order of events, and whatever is taken back between them,
// what was charged sums up to T of what was counted. The counts are not kept here: their
// owner names them by Price.Series and hands them in.
//
// Everything is exact: ParseVersion refuses a price of which some product would need more
// than 18 decimals.
//
// It does not know accounts, transfers or sequences: those are the ledger's and
// the engine's.
package meter
