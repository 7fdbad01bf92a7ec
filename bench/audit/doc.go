// Package audit checks sealed batches as a consumer of settlements would, from
// the contract alone: each line's equation, its amount, the chain of carried
// amounts over the windows, and the sums of each batch.
//
// Windows is the entry point; it returns what each account's lines sum to, for
// the caller to compare with what it knows it sent, and every fault found. The
// package is pure: it computes in shopspring/decimal and shares no code with
// what it checks.
package audit
