// Package limits measures what a machine can do at most, so that a figure of the
// server is also a ratio: the answer of an empty HTTP handler, a scan of JSON that
// keeps nothing, writes that are synced one after the other, and a copy of memory.
//
// Each is one number, made by one goroutine in a second or so, and nothing more than
// a bound: what does the work and this can only be slower. The package knows nothing of
// the server; who compares says what with.
package limits
