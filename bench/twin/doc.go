// Package twin is the server's dumb twin: the part of the HTTP contract that
// the load generator, the demo and the end-to-end test use, kept in maps under
// one mutex and computed in shopspring/decimal, without durability. Their own
// tests run against it, so that they are tested where no server is at hand and
// so that a fault of theirs is not taken for the server's.
//
// Ledger is the only type. Its mutex guards all of it. It books usage events
// at flat prices, top-ups, windows, and holds in account trees that are
// captured with an event. Its limits count and refuse nothing. It has no
// voids, expiry, grants, tiers or line results, and it is not fast.
package twin
