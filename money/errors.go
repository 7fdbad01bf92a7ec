package money

import "errors"

// Reading numbers from text.
var (
	// ErrSyntax says that the text is not a number in the wanted form.
	ErrSyntax = errors.New("money: not a decimal number")
	// ErrPrecision says that the number needs more decimal places than the
	// type has: 18 for an Amount, 6 for a Quantity.
	ErrPrecision = errors.New("money: too many decimal places")
	// ErrOverflow says that the number is outside the range of the type.
	ErrOverflow = errors.New("money: number out of range")
	// ErrNegative says that a quantity is below zero.
	ErrNegative = errors.New("money: negative quantity")
)

// ErrEncoding says that bytes are not the canonical binary form of an Amount.
var ErrEncoding = errors.New("money: not a canonical binary amount")
