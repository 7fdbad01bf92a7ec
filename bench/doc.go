// Package bench measures the server from outside: named workloads, a load
// generator and the report of a run.
//
// Run opens accounts and puts prices over HTTP, drives one Workload in a closed
// loop for a while, then checks the result: the balances that the server shows
// must equal, to the last digit, what was sent times its price, nothing may be
// held, and the limits must have counted the same. A run that does not add up is
// an error, not a figure.
//
// A workload sends usage events, or holds and then, when these are answered, what
// captures them. A pair of a hold and its capture counts as one: it books one event.
//
// The generator shares the machine with the server, so it is built to cost
// little: every connection owns a few pre-rendered requests, and sending one
// again means writing a new block number over eight bytes of each id, and with
// holds another payer over four bytes of each name.
// No JSON is built, no allocation is made and no HTTP library runs while the
// clock runs. Ids are unique within a run and across runs.
//
// Events carry no time, so the server stamps them on arrival: that is the
// common case of a gateway that reports what it has just served, and a fixed
// time would go stale in a long run.
//
// Ownership: each connection's goroutine owns its turns and their requests, its socket and its
// histogram until Run has waited for it; counters read while it runs are
// atomic. The package starts no server (package child does), prints nothing
// unless asked, and is not a comparison of machines: package limits measures what
// a figure is to be read against, package report writes it.
package bench
