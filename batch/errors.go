package batch

import "errors"

// Netting and sealing. Each of them means that the books handed in are wrong,
// so nothing may be published from them.
var (
	// ErrPosition says that a position is not well formed.
	ErrPosition = errors.New("batch: bad position")
	// ErrEquation says that an account's numbers do not agree with each other.
	ErrEquation = errors.New("batch: line does not add up")
	// ErrUnbalanced says that the sums over the batch do not agree.
	ErrUnbalanced = errors.New("batch: sums do not agree")
	// ErrOverflow says that a sum is out of the range of an amount.
	ErrOverflow = errors.New("batch: amount out of range")
	// ErrRange says that a count or identity is outside what a record can hold.
	ErrRange = errors.New("batch: value out of range")
)

// Reading batches back.
var (
	// ErrFormat says that bytes are not the canonical form of a record.
	ErrFormat = errors.New("batch: not a canonical record")
	// ErrMismatch says that a record is well formed but contradicts its batch.
	ErrMismatch = errors.New("batch: record does not belong to its batch")
)
