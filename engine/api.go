package engine

import (
	"time"

	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
)

// The values that cross the engine's border. They are plain copies: nothing in
// them is shared with live state, and everything they show is durable.

// IngestResult is the answer to a request of usage events.
type IngestResult struct {
	Accepted   int            // new events, unpriced ones among them
	Duplicates int            // events booked before with the same content
	Unpriced   int            // accepted events whose price is not known yet
	Rejected   []meter.Reject // sorted by index; decoding's refusals included; valid until Release
	Sequence   uint64         // the last sequence the answer depends on; durable
}

// AccountSpec is what POST /v1/accounts asks for.
type AccountSpec struct {
	ID             string
	Currency       money.Currency
	Kind           string        // "customer" or "provider"
	Billing        string        // "prepaid" or "postpaid"; customers only
	OverdraftLimit *money.Amount // nil: the kind's default
	Unlimited      bool          // overdraft_limit was given as null
	MinimumPayout  money.Amount
	Parent         string
	Metadata       []byte // canonical JSON object, or empty
}

// Account is a participant as GET /v1/accounts/{id} shows it.
type Account struct {
	Spec      AccountSpec
	Posted    money.Amount
	Held      money.Amount
	Available *money.Amount // nil: unlimited
	Created   time.Time
	Sequence  uint64 // of the state shown
	// Items is set for the operator alone: one entry per currency it has moved.
	Items []OperatorItem
}

// OperatorItem is the operator's position in one currency.
type OperatorItem struct {
	Currency money.Currency
	Posted   money.Amount
}

// Transfer is one line of a statement.
type Transfer struct {
	Sequence uint64
	Time     time.Time
	Account  string       // the other account
	Class    string       // the other side's class: revenue, payable, receivable …
	Amount   money.Amount // + is credit to the account asked for
	Reason   string       // usage, fee, topup, collection, payout
	Source   string       // of the event, when the reason is usage or fee
	Event    string
	Batch    string // hex batch id, when the reason is a closing transfer
	ID       string // of the top-up
	Balance  *money.Amount
}

// UsageRow is quantities and amounts of one account, meter, set of dimensions and day.
type UsageRow struct {
	Day        time.Time // midnight UTC of the event's day
	Meter      string
	Currency   money.Currency
	Dimensions []meter.Dimension
	Events     uint64
	Components []UsageComponent
}

// UsageComponent is one component of a UsageRow.
type UsageComponent struct {
	Name     string
	Quantity string // decimal
	Amount   money.Amount
}

// TrialBalance is the ledger's totals in one currency.
type TrialBalance struct {
	Currency        money.Currency
	Debits, Credits money.Amount
	Classes         []ClassTotal // sorted by class
}

// ClassTotal is the totals of all accounts of one class.
type ClassTotal struct {
	Class           string
	Debits, Credits money.Amount
}

// TopUp is the request of POST /v1/accounts/{id}/topups.
type TopUp struct {
	ID, Account string
	Amount      money.Amount
	Reference   string
}

// TopUpAnswer is its answer.
type TopUpAnswer struct {
	TopUp    TopUp
	Posted   money.Amount // right after it
	Sequence uint64
	Time     time.Time
}

// Settlement is the answer of closing a window.
type Settlement struct {
	ID       string // of the request; empty when the timer closed it
	Window   uint64
	Cut      uint64 // the sequence the window closes at
	Time     time.Time
	Batches  []SettlementBatch
	Sequence uint64
}

// SettlementBatch names one batch of a closed window.
type SettlementBatch struct {
	BatchID         string
	Currency        money.Currency
	Lines           uint32
	Paid, Collected money.Amount
}

// Publication says where a batch stands in Kafka.
type Publication struct {
	Topic                   string
	Partition               int32
	FirstOffset, LastOffset int64
}

// Batch is a sealed batch: the canonical manifest bytes and where they went.
type Batch struct {
	BatchID   string
	Manifest  []byte       // canonical JSON
	Published *Publication // nil: not yet
}

// PriceVersion is a version with its place in the ledger's history.
type PriceVersion struct {
	Version  *meter.Version
	Sequence uint64
	Time     time.Time

	payees []ledger.Ref // by price; undefined where the operator earns
}

// Event is everything known about one usage event.
type Event struct {
	Source, ID, Type, Subject string
	Time                      time.Time // of the event
	Recorded                  time.Time // group time
	Sequence                  uint64
	Dimensions                []meter.Dimension
	Usage                     []EventComponent
	Priced                    bool
	Reason                    string // why it is unpriced
	Version                   string // the price version it was rated with
	Meter                     string
	Match                     []meter.Dimension // of the price
	Currency                  money.Currency
	Amount                    money.Amount
	Transfers                 []EventTransfer
	Window                    uint64 // the settlement window it posted in
	Batch                     string // hex batch id once settled
	Line                      uint32 // the payer's line in it
}

// EventComponent is one component: quantity × price = amount.
type EventComponent struct {
	Component string
	Quantity  money.Quantity
	Price     *money.Amount // nil when unpriced
	Amount    *money.Amount
}

// EventTransfer is one transfer an event posted.
type EventTransfer struct {
	Debit, Credit           string // accounts
	DebitClass, CreditClass string
	Amount                  money.Amount
	Reason                  string

	id, batch string // the top-up or batch it belongs to, when it is no event's
}

// UnpricedEvent is an entry of the unpriced list.
type UnpricedEvent struct {
	Source, ID, Type, Subject string
	Time                      time.Time
	Sequence                  uint64
	Reason                    string
	Dimensions                []meter.Dimension
	Usage                     []EventComponent
}

// Page is a part of a list; Next is the cursor of the following part, empty at the end.
type Page[T any] struct {
	Items []T
	Next  string
}
