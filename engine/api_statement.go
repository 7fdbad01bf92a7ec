package engine

import (
	"time"

	"farthing/money"
)

// StatementOptions asks for an account's statement of a settled window.
type StatementOptions struct {
	Account string
	Window  uint64
	// Currency is the one of the operator's statement; the zero value: that of the only line.
	Currency *money.Currency
	// Progress is asked every thousand or so movements; an error (ErrAborted) stops. May be nil.
	Progress func() error
}

// WindowStatement is what a window did to an account, and how that makes its line. All amounts
// are in the account's favour, taken from it when below zero:
//
//	Opening + all items = Closing
//
// where the payment is one of the items.
type WindowStatement struct {
	Account, Kind      string
	Currency           money.Currency
	Window             uint64
	From, To           time.Time // of the cuts; From is zero when the ledger begins with the window
	FirstSequence, Cut uint64
	State              LineState // of the line, as it is now
	Direction          string    // pay, collect or none
	Amount             money.Amount
	Opening, Closing   money.Amount
	GrossDebits        money.Amount
	GrossCredits       money.Amount
	Events             uint64 // that the account paid for

	Usage       []StatementUsage // by meter, model and component
	Fees        []StatementItem  // the operator's share of a provider's earnings
	Losses      []StatementItem  // what the operator bore in a customer's stead
	Credits     []StatementItem  // what else was given: top-ups, grants, moves, plan credits
	Charges     []StatementItem  // what else was taken: captures by amount, refunds, expiries, plans
	Corrections []StatementUsage // voids, rerates, late ratings
	Returned    []StatementItem  // what came back of the lines of windows before
	Payments    []StatementItem  // the closing transfer: collection or payout
}

// StatementUsage is what was used of one component: charged, or earned.
type StatementUsage struct {
	Kind      string // usage; of a correction late, void or rerate
	Meter     string
	Model     *string // the dimension of that name; nil: the events have none
	Component string
	// Rest sums up the kinds of usage above the most that a statement lists: then there is no
	// meter, model, component or quantity.
	Rest     bool
	Events   uint64
	Quantity string // decimal; below zero: taken back
	Amount   money.Amount
}

// StatementItem sums up transfers of one reason.
type StatementItem struct {
	Reason string
	Count  uint64
	Amount money.Amount
}

// StatementLine is an account's line of a settled window.
type StatementLine struct {
	Window           uint64
	Time             time.Time // of the cut
	Currency         money.Currency
	Opening, Closing money.Amount
	Direction        string
	Amount           money.Amount
	Events           uint64
	State            LineState
}
