// Package limit is the state of one spending limit and what may happen to it. It is
// pure: every time is an argument.
//
// Its few types:
//
//   - [Bound]: what a limit allows: an amount, a number of calls or both, in each
//     window of its [period.Kind].
//   - [Mode]: what becomes of a hold that does not fit. Only the caller acts on it.
//   - [Row]: a bound and what was counted against it in the present window,
//     fixed-size and pointer-free, so that millions of them live in a copy-on-write
//     table.
//
// What is counted is of one window, the one that begins at Row.Start. The caller
// rolls a row to the present before it asks or changes anything, and hands in the
// time at which a hold was reserved: what belongs to a window that is over is over
// with it. A row may only be asked to take back what it counted: one that begins
// while holds are open begins with them counted, or is not told of their end.
//
// A limit per call counts nothing, it looks at each amount for itself.
//
// Amounts are bounded by the ledger, whose totals bound every sum here: one beyond
// the range of an amount panics, as does any other state that cannot be.
//
// The package does not know the limit's name, its scope, whose it is or the tree of
// accounts, and it sends nothing. A row belongs to one goroutine.
package limit
