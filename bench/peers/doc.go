// Package peers has other engines do the same work as the server, durably, so that
// a figure is also a ratio: take a usage event once, move its price from the payer to the payee, keep both balances, and answer when
// that is on disk.
//
// A Peer is one engine behind a small interface. PostgreSQL and Redis are started here, from the system's packages, on the disk that is
// measured; TigerBeetle from a binary that is given, in builds with its client (tag tigerbeetle, which needs cgo). What each does less or
// more than the server is said in its notes, which stand beside every figure.
//
// Run drives a peer as the load generator drives the server: connections in a closed loop, each with a batch of new events, and a
// check at the end that the balances equal what was sent.
package peers
