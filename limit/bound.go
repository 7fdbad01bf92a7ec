package limit

import (
	"errors"

	"farthing/money"
	"farthing/period"
)

// Mode is what becomes of a hold that does not fit.
type Mode uint8

// The modes. The zero value is none of them.
const (
	Hard   Mode = 1 + iota // it is refused
	Soft                   // it is held, and somebody is told
	Shadow                 // it is held, and the limit counts that it would have refused it
)

var modeWords = [...]string{Hard: "hard", Soft: "soft", Shadow: "shadow"}

// String returns the contract's word.
func (m Mode) String() string {
	if m < Hard || m > Shadow {
		return "unknown"
	}
	return modeWords[m]
}

// ParseMode reads the contract's word.
func ParseMode(word string) (Mode, bool) {
	for m := Hard; m <= Shadow; m++ {
		if modeWords[m] == word {
			return m, true
		}
	}
	return 0, false
}

// Bound is what a limit allows in each window.
type Bound struct {
	Per                 period.Kind
	Mode                Mode
	HasAmount, HasCount bool
	Allotment           bool         // it is a part of the parent's limit
	Amount              money.Amount // zero unless HasAmount
	Count               uint64       // calls; zero unless HasCount
}

// What is wrong with a bound.
var (
	ErrPer       = errors.New("a limit is per call, minute, hour, day, month or total")
	ErrMode      = errors.New("a limit is hard, soft or shadow")
	ErrUnbounded = errors.New("a limit has an amount or a count")
	ErrAmount    = errors.New("the amount of a limit is not below zero")
	ErrPerCall   = errors.New("a limit per call has an amount only")
	ErrAllotment = errors.New("an allotment is a hard limit with an amount")
	// ErrUnset is of bounds that no request makes.
	ErrUnset = errors.New("a limit has a figure that it says it has not")
)

// Valid says what is wrong with the bound. A decoded row has a valid one, so a row
// whose bound is not must never be kept.
func (b *Bound) Valid() error {
	switch {
	case b.Per < period.Call || b.Per > period.Total:
		return ErrPer
	case b.Mode < Hard || b.Mode > Shadow:
		return ErrMode
	case !b.HasAmount && !b.HasCount:
		return ErrUnbounded
	case !b.HasAmount && !b.Amount.IsZero(), !b.HasCount && b.Count != 0:
		return ErrUnset
	case b.Amount.Sign() < 0:
		return ErrAmount
	case b.Per == period.Call && b.HasCount:
		return ErrPerCall
	case b.Allotment && (b.Mode != Hard || !b.HasAmount):
		return ErrAllotment
	}
	return nil
}
