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
	Parent         string // empty: a root
	Owner          string // who owns it, or empty
	Metadata       []byte // canonical JSON object, or empty
}

// Account is a participant as GET /v1/accounts/{id} shows it.
type Account struct {
	Spec      AccountSpec
	Posted    money.Amount
	Held      money.Amount
	Available *money.Amount // nil: unlimited
	Root      string        // the account that holds the money; empty: itself
	State     string        // open, frozen, closed
	Overdraft *money.Amount // the overdraft_limit in force; nil: unlimited, or no customer
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
	Grant    string       // the grant that it was taken from or given to
	Amount   money.Amount // + is credit to the account asked for
	Reason   string       // usage, fee, void, void_fee, rerate, rerate_fee, topup, collection, payout, failed, returned
	Source   string       // of the event, when an event is the reason
	Event    string
	Batch    string // hex batch id, when the reason is a closing transfer or a result of a line
	ID       string // of the top-up, grant, refund, move, hold, subscription …
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
	KeyID     string       // of the key that signed the manifest; empty: none
	Signature []byte       // Ed25519, over the manifest's bytes
}

// PriceVersion is a version with its place in the ledger's history.
type PriceVersion struct {
	Version  *meter.Version
	Sequence uint64
	Time     time.Time

	payees []ledger.Ref // by price; undefined where the operator earns
	terms  [][]uint32   // by price and component: what the counted ones count; nil: none does
}

// Event is everything known about one usage event: what was reported, what it was rated
// with, what it moved, where that was settled and published, and what corrected it since.
type Event struct {
	Source, ID, Type, Subject string
	Time                      time.Time // of the event
	Recorded                  time.Time // group time
	Sequence                  uint64
	State                     string // rated, unpriced, voided
	Currency                  money.Currency
	Dimensions                []meter.Dimension
	UsageFormat               string   // of Reported; empty: the event's usage was given in components
	Reported                  []byte   // the provider's own usage object, JSON
	Normalised                []string // how its parts became the components, a line each
	Usage                     []EventComponent
	Reason                    string       // why it is, or was at first, unpriced
	Rating                    *Rating      // its first; nil: none yet
	Corrections               []Correction // in order
	Net                       money.Amount // what the payer is charged for it after all of them
}

// EventComponent is one component of a normalised usage.
type EventComponent struct {
	Component string
	Quantity  money.Quantity
}

// Rating is how an event was priced, or how such a pricing was taken back: then its amounts
// are those that the taking back moved.
type Rating struct {
	Sequence   uint64 // of the command that posted it: the event's own, or later when it was rated late
	Time       time.Time
	Version    string            // price version
	Price      int               // index of the price in the version
	Match      []meter.Dimension // of the price
	Why        string            // why that price and no other
	Others     []PriceMatch      // prices that match as well, less specific, most specific first
	Components []RatedComponent
	Amount     money.Amount // of the payer's currency; negative: given back
	FeeRate    money.Amount // the operator's share, 0 to 1
	Fee        money.Amount // that share of Amount, cut at 18 decimals
	Transfers  []EventTransfer
	Settlement EventSettlement
}

// PriceMatch names a price of a version.
type PriceMatch struct {
	Price int
	Match []meter.Dimension
}

// RatedComponent is one component: how its quantity makes its amount, step by step.
type RatedComponent struct {
	Component string
	Quantity  money.Quantity
	Model     string          // linear, package, graduated, volume, included
	Price     *money.Amount   // per unit, where one price holds for the whole quantity
	Period    string          // "2026-11" or "window 7" where quantities of a period count, else empty
	Before    *money.Quantity // what the period had counted before
	Amount    money.Amount
	Steps     []string // arithmetic to check with a pocket calculator
	Note      string   // what the steps mean, where quantities of a period count
}

// EventSettlement says where a rating was settled; Batch is empty until it is.
type EventSettlement struct {
	Window    uint64
	Batch     string // hex batch id
	Line      uint32 // the payer's
	Published *LinePublication
}

// LinePublication is where a line stands in Kafka.
type LinePublication struct {
	Topic     string
	Partition int32
	Offset    int64
}

// Correction is what changed an event after its first rating.
type Correction struct {
	Kind       string // void or rerate
	ID, Reason string // of the void; ID of the rerate
	Sequence   uint64
	Time       time.Time
	Back       *Rating // the rating that was taken back; nil: it was unpriced
	New        *Rating // the rating that stands from here on; nil: none
}

// VoidSpec asks to take an event back.
type VoidSpec struct {
	Source, Event string // the event's identity
	ID            string // the void's
	Reason        string // at most 500 bytes
}

// Void is a void as it was booked.
type Void struct {
	ID, Reason    string
	Source, Event string
	Sequence      uint64
	Time          time.Time
	Account       string // the payer
	Currency      money.Currency
	Priced        bool         // false: the event was unpriced and nothing moved
	Amount        money.Amount // given back to the payer; negative: charged
	Transfers     []EventTransfer
}

// RepriceOptions asks what events would come to under a version.
type RepriceOptions struct {
	Version  string
	From, To time.Time // event times, To exclusive; zero: open
	// Progress is told how many of how many sequences are done; an error (ErrAborted) stops. May be nil.
	Progress func(done, total uint64) error
}

// Repricing is what they would come to.
type Repricing struct {
	Version  string
	From, To time.Time
	Sequence uint64 // of the state it is about
	Events   uint64 // that would be rated anew
	Unpriced uint64 // that the version does not price: they are in no row
	Totals   []RepricedTotal
	Rows     []RepricedRow // by currency, account, model, component
}

// RepricedTotal is the sums of one currency.
type RepricedTotal struct {
	Currency   money.Currency
	Was, Would money.Amount
}

// RepricedRow is the sums of one customer, model (the dimension of that name) and component.
type RepricedRow struct {
	Currency                  money.Currency
	Account, Model, Component string
	Events                    uint64
	Was, Would                money.Amount
}

// RerateSpec asks to post the difference that a version makes for past events.
type RerateSpec struct {
	ID, Version string
	From, To    time.Time // event times, To exclusive; zero: open
}

// Rerate is a rerate and how far it is.
type Rerate struct {
	ID, Version string
	From, To    time.Time
	State       string // running, done
	Sequence    uint64 // of its beginning
	Time        time.Time
	Done        time.Time
	Events      uint64 // rated anew so far
	Totals      []RerateTotal
}

// RerateTotal is what a rerate moved in one currency.
type RerateTotal struct {
	Currency          money.Currency
	Returned, Charged money.Amount // what it cost the payers is Charged − Returned
}

// EventTransfer is one transfer of an event or of its corrections.
type EventTransfer struct {
	Debit, Credit           string // accounts
	DebitClass, CreditClass string
	Amount                  money.Amount
	Reason                  string // usage, fee, void, void_fee, rerate, rerate_fee
	Grant                   string // that it was taken from or given to

	id, batch     string // the top-up or batch it belongs to, when it is no event's
	source, event string // the event it corrects
}

// UnpricedEvent is an entry of the unpriced list.
type UnpricedEvent struct {
	Source, ID, Type, Subject string
	Time                      time.Time
	Sequence                  uint64
	Reason                    string // as it arrived
	Now                       string // why the book as it is now does not price it either; empty: it is about to be rated
	Dimensions                []meter.Dimension
	Usage                     []EventComponent
}

// UnpricedCount counts the events that wait for the same price.
type UnpricedCount struct {
	Reason     string
	Type       string // meter; empty: of those that no longer fit into the counts
	Currency   money.Currency
	Dimensions []meter.Dimension
	Components []string
	Events     uint64
}

// UnpricedSummary is all that waits for prices.
type UnpricedSummary struct {
	Events   uint64
	Counts   []UnpricedCount
	Sequence uint64
}

// Page is a part of a list; Next is the cursor of the following part, empty at the end.
type Page[T any] struct {
	Items []T
	Next  string
}
