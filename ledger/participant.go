package ledger

import "farthing/money"

// Ref numbers a participant of this ledger from 0 in the order of creation.
type Ref uint32

// Kind is what a participant is.
type Kind uint8

// The kinds. An operator is one participant per currency, made with the currency's first use.
const (
	Customer Kind = 1 + iota
	Provider
	Operator
)

// String returns the contract's word.
func (k Kind) String() string {
	switch k {
	case Customer:
		return "customer"
	case Provider:
		return "provider"
	case Operator:
		return "operator"
	}
	return "unknown"
}

// Billing is how a customer pays.
type Billing uint8

// The ways of billing; providers have none.
const (
	NoBilling Billing = iota
	Prepaid
	Postpaid
)

// String returns the contract's word, empty for NoBilling.
func (b Billing) String() string {
	switch b {
	case Prepaid:
		return "prepaid"
	case Postpaid:
		return "postpaid"
	}
	return ""
}

// Participant is the attributes of one account. They do not change.
type Participant struct {
	ID             string
	Currency       money.Currency
	Kind           Kind
	Billing        Billing
	Unlimited      bool         // no overdraft limit
	OverdraftLimit money.Amount // how far below zero a hold may reach
	MinimumPayout  money.Amount // a provider is paid from this amount on
	Metadata       string       // canonical JSON object or empty
	Sequence       uint64       // of its creation
	Time           int64        // of its creation, nanoseconds
}

// Class is what an account of the books is for.
type Class uint8

// The classes of accounts. Paid and receivable belong to customers, payable to
// providers, the others to the operator.
const (
	Paid       Class = iota // credit a customer has paid for (credit-normal)
	Receivable              // what a customer owes (debit-normal)
	Payable                 // what a provider is owed (credit-normal)
	Revenue                 // the operator's own sales (credit-normal)
	Fees                    // the operator's share of providers' sales (credit-normal)
	Cash                    // money outside, paid in or out (debit-normal)
	InTransit               // closed in a batch, result not known yet
	NumClasses
)

var classNames = [NumClasses]string{"paid", "receivable", "payable", "revenue", "fees", "cash", "in_transit"}

// String returns the class's name in the trial balance.
func (c Class) String() string { return classNames[c] }
