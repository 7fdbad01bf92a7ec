package client

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/shopspring/decimal"
)

// Money is an amount as the contract spells it: a JSON string.
type Money struct{ decimal.Decimal }

// UnmarshalJSON refuses a number: an amount never passes through a float.
func (m *Money) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	if len(b) < 2 || b[0] != '"' {
		return ErrFloatMoney
	}
	return m.Decimal.UnmarshalJSON(b)
}

// MarshalJSON writes the string form.
func (m Money) MarshalJSON() ([]byte, error) { return json.Marshal(m.String()) }

// M is the amount that s spells. It panics when s spells none: it is for
// constants and for what a decimal printed.
func M(s string) Money { return Money{decimal.RequireFromString(s)} }

// Account opens an account. Overdraft nil leaves the kind's default. A child of Parent may
// leave Billing out: it is the root's.
type Account struct {
	ID            string  `json:"id"`
	Currency      string  `json:"currency"`
	Kind          string  `json:"kind"`
	Billing       string  `json:"billing,omitempty"`
	Overdraft     *string `json:"overdraft_limit,omitempty"`
	MinimumPayout string  `json:"minimum_payout,omitempty"`
	Parent        string  `json:"parent,omitempty"`
	Owner         string  `json:"owner,omitempty"`
}

// Balance is what GET of an account answers. Available is nil when unlimited.
type Balance struct {
	ID        string `json:"id"`
	Kind      string `json:"kind"`
	Currency  string `json:"currency"`
	Billing   string `json:"billing"`
	Posted    Money  `json:"posted"`
	Held      Money  `json:"held"`
	Available *Money `json:"available"`
	Overdraft *Money `json:"overdraft_limit"` // nil: unlimited, or not a root
	Parent    string `json:"parent"`          // "": a root
	Owner     string `json:"owner"`           // "": none
	Root      string `json:"root"`            // that holds the money
	State     string `json:"state"`           // open, frozen, closed
	Sequence  uint64 `json:"sequence"`
}

// Book is a version of the price book.
type Book struct {
	EffectiveFrom time.Time `json:"effective_from"`
	Prices        []Price   `json:"prices"`
}

// Price of a meter. A component is a decimal string or one of the contract's
// price objects, so it stays raw.
type Price struct {
	Meter      string                     `json:"meter"`
	Currency   string                     `json:"currency"`
	Match      map[string]string          `json:"match"`
	Components map[string]json.RawMessage `json:"components"`
	Payee      string                     `json:"payee,omitempty"`
	Fee        string                     `json:"fee,omitempty"` // the operator's share, a fraction
}

// Event is one usage event. Usage is empty for one "call"; Dimensions and
// usage share the data object.
type Event struct {
	ID      string
	Source  string
	Type    string
	Subject string
	Time    time.Time // zero: absent, the arrival
	Model   string    // "": absent
	Usage   map[string]uint64
	// Reported is a provider's own usage object, of the format UsageFormat. It
	// takes the place of Usage.
	UsageFormat string
	Reported    any
}

type eventData struct {
	Model  string `json:"model,omitempty"`
	Format string `json:"usage_format,omitempty"`
	Usage  any    `json:"usage,omitempty"`
}

func (e *Event) data() eventData {
	d := eventData{Model: e.Model, Format: e.UsageFormat, Usage: e.Reported}
	if d.Usage == nil && len(e.Usage) > 0 {
		d.Usage = e.Usage
	}
	return d
}

// MarshalJSON spells the event as the contract has it.
func (e Event) MarshalJSON() ([]byte, error) {
	wire := struct {
		ID      string     `json:"id"`
		Source  string     `json:"source"`
		Type    string     `json:"type"`
		Subject string     `json:"subject"`
		Time    *time.Time `json:"time,omitempty"`
		Data    eventData  `json:"data"`
	}{e.ID, e.Source, e.Type, e.Subject, nil, e.data()}
	if !e.Time.IsZero() {
		utc := e.Time.UTC()
		wire.Time = &utc
	}
	return json.Marshal(wire)
}

// Accepted is the answer to posted events.
type Accepted struct {
	Accepted   int        `json:"accepted"`
	Duplicates int        `json:"duplicates"`
	Unpriced   int        `json:"unpriced"`
	Rejected   []Rejected `json:"rejected"`
	Sequence   uint64     `json:"sequence"`
}

// Rejected is one refused event or operation of a request.
type Rejected struct {
	Index  int    `json:"index"`
	ID     string `json:"id"`
	Code   string `json:"code"`
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

// Closed is the answer to closing a window.
type Closed struct {
	Window  uint64        `json:"window"`
	Cut     uint64        `json:"cut"`
	Batches []ClosedBatch `json:"batches"`
}

// ClosedBatch is one batch of a closed window.
type ClosedBatch struct {
	BatchID   string `json:"batch_id"`
	Currency  string `json:"currency"`
	Lines     int    `json:"lines"`
	Paid      Money  `json:"paid"`
	Collected Money  `json:"collected"`
}

// Manifest describes one settlement batch.
type Manifest struct {
	BatchID       string          `json:"batch_id"`
	Partition     uint32          `json:"partition"`
	Window        uint64          `json:"window"`
	Currency      string          `json:"currency"`
	FirstSequence uint64          `json:"first_sequence"`
	LastSequence  uint64          `json:"last_sequence"`
	Events        uint64          `json:"events"`
	MerkleRoot    string          `json:"merkle_root"`
	Previous      json.RawMessage `json:"previous"`
	Published     *Published      `json:"published"`
}

// Published says where the batch stands on Kafka.
type Published struct {
	Topic       string `json:"topic"`
	Partition   int32  `json:"partition"`
	FirstOffset int64  `json:"first_offset"`
	LastOffset  int64  `json:"last_offset"`
}

// Line is one participant's line of a batch.
type Line struct {
	Line         int    `json:"line"`
	Account      string `json:"account"`
	Direction    string `json:"direction"`
	Amount       Money  `json:"amount"`
	GrossDebits  Money  `json:"gross_debits"`
	GrossCredits Money  `json:"gross_credits"`
	Returned     Money  `json:"returned"`
	CarriedIn    Money  `json:"carried_in"`
	CarriedOut   Money  `json:"carried_out"`
	Events       uint64 `json:"events"`
}

// Signed is the amount with its sign: pay is positive, collect negative.
func (l Line) Signed() decimal.Decimal {
	if l.Direction == "collect" {
		return l.Amount.Neg()
	}
	return l.Amount.Decimal
}

// Trial is one currency's row of the trial balance.
type Trial struct {
	Currency string          `json:"currency"`
	Debits   Money           `json:"debits"`
	Credits  Money           `json:"credits"`
	Accounts json.RawMessage `json:"accounts"`
}

// Usage is one row of an account's usage, grouped by model, component and day.
type Usage struct {
	Dimensions map[string]string `json:"dimensions"` // the model, "" for none
	Component  string            `json:"component"`
	Day        string            `json:"day"`
	Quantity   Money             `json:"quantity"` // a decimal string like an amount
	Amount     Money             `json:"amount"`
}

// Booked is an event as the server keeps it.
type Booked struct {
	Type        string            `json:"type"`
	Subject     string            `json:"subject"`
	State       string            `json:"state"` // rated, unpriced, voided …
	UsageFormat string            `json:"usage_format"`
	Reported    json.RawMessage   `json:"reported"` // by the provider, as it came; nil: nothing
	Dimensions  map[string]string `json:"dimensions"`
	Priced      bool              `json:"priced"`
	Currency    string            `json:"currency"`
	Amount      Money             `json:"amount"`
	Components  []BookedComponent `json:"components"`
	Price       *BookedPrice      `json:"price"` // nil: none
	Transfers   []BookedTransfer  `json:"transfers"`
	// Window, BatchID and Line of the payer are empty and 0 until settled.
	Window  uint64 `json:"window"`
	BatchID string `json:"batch_id"`
	Line    int    `json:"line"`
}

// BookedComponent is one component of an event: quantity × price = amount.
type BookedComponent struct {
	Component string   `json:"component"`
	Quantity  Money    `json:"quantity"`
	Price     Money    `json:"price"`
	Steps     []string `json:"steps"` // the arithmetic, line by line
	Amount    Money    `json:"amount"`
}

// BookedPrice is the price that rated an event, and why that one.
type BookedPrice struct {
	Version string            `json:"version"`
	Match   map[string]string `json:"match"`
	Why     string            `json:"why"`
}

// BookedTransfer is one transfer of an event, from debit to credit.
type BookedTransfer struct {
	Debit       string `json:"debit"`
	DebitClass  string `json:"debit_class"`
	Credit      string `json:"credit"`
	CreditClass string `json:"credit_class"`
	Amount      Money  `json:"amount"`
}

// Voided is an event that was taken back.
type Voided struct {
	ID        string           `json:"id"`
	Sequence  uint64           `json:"sequence"`
	Account   string           `json:"account"`
	Currency  string           `json:"currency"`
	Amount    Money            `json:"amount"` // that went back to the payer
	Transfers []BookedTransfer `json:"transfers"`
}

// Unpriced counts the events that have no price.
type Unpriced struct {
	Events uint64          `json:"events"`
	Counts []UnpricedCount `json:"counts"`
}

// UnpricedCount counts those of one model that lack a price for one reason.
type UnpricedCount struct {
	Reason     string            `json:"reason"`
	Dimensions map[string]string `json:"dimensions"`
	Events     uint64            `json:"events"`
}

// Transfer is one row of an account's statement.
type Transfer struct {
	Sequence uint64 `json:"sequence"`
	Amount   Money  `json:"amount"`
	Reason   string `json:"reason"`
}
