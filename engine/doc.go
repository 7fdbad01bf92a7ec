// Package engine is the sequencer and what surrounds it: admission, group commit,
// snapshots, settlement, the outbox, replay and verification. It knows neither
// HTTP nor Kafka nor Pebble.
//
// One request goes through the files in this order:
//
//	admit.go     a budget of events and bytes, then the ring (ring.go)
//	sequence.go  ONE goroutine: identity → rate → post → append to the group
//	commit.go    one goroutine: the group becomes durable, its waiters are answered
//	index.go     one goroutine behind durable: evidence trees, statement index, runs
//	snapshot.go  checkpoints; settle.go: cut → netting → closing slices → seal
//	relay.go     the outbox as the publisher sees it
//
// Its few types:
//
//   - Engine: what callers hold; every method may be called from any goroutine.
//   - Request: one caller's work and answer, reused.
//   - state: everything that is a pure function of the journal. It belongs to the
//     sequencer; replay.go and verify.go build it anew from the journal.
//   - group: what one fsync commits, and who waits for it.
//
// Nothing outside the sequencer reads live state: reads ride the ring as requests
// that journal nothing, or read what is immutable (durable blocks, runs, sealed
// batches, append-only tables as of the last durable group).
package engine
