// Package client speaks the server's HTTP contract for the programs that
// exercise it: the load generator's setup and check, the demo and the
// end-to-end test.
//
// Client sends one request and decodes one answer; Account, Book, Line and
// the other wire types spell the contract's JSON. Money reads amounts
// strictly: a JSON number where the contract says decimal string is an error.
// A refusal is a *Problem, with its code, its finer reason and, where funds
// were insufficient, the Shortfall.
//
// A Client is immutable after New and safe for concurrent use. It never
// retries by itself; Retry does, for callers whose requests are idempotent by
// id. It knows nothing of the engine's own packages, so that what it reads is
// an independent reading of the contract, and it is not for the hot path of a
// measurement (net/http costs more than the server's share of the work).
package client
