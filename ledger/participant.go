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

// NoRef is the Ref of nobody.
const NoRef = ^Ref(0)

// Participant is the attributes of one account. They do not change.
type Participant struct {
	ID             string
	Parent         Ref // of the account tree; NoRef: it is a root
	Root           Ref // the account of its tree that holds the money; its own if it is a root
	Depth          uint8
	Owner          string // who owns it, or empty
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

// The classes of accounts: those of customers, of providers, and the operator's own.
const (
	Paid       Class = iota // credit a customer has paid for (credit-normal)
	Receivable              // what a customer owes (debit-normal)
	PaidGrant               // grants, by kind (credit-normal)
	PromoGrant
	SubscriptionGrant
	Payable            // what a provider is owed (credit-normal)
	Revenue            // the operator's own sales, and paid grants that expired (credit-normal)
	Fees               // the operator's share of providers' sales (credit-normal)
	Cash               // money outside, paid in or out (debit-normal)
	InTransit          // closed in a batch, result not known yet
	PromoExpense       // promotional credit given, less what expired (debit-normal)
	SubscriptionIncome // what subscriptions cost less what they granted (credit-normal)
	OperatorLoss       // what the operator paid of usage in a customer's stead (debit-normal)
	NumClasses
)

var classNames = [NumClasses]string{"paid", "receivable", "paid_grants", "promo_grants", "subscription_grants", "payable", "revenue", "fees", "cash",
	"in_transit", "promo_expense", "subscription_income", "operator_loss"}

// String returns the class's name in the trial balance.
func (c Class) String() string { return classNames[c] }

// GrantKind is what a grant was given for; it says which class holds it and which faces it.
type GrantKind uint8

// The kinds.
const (
	PaidKind GrantKind = 1 + iota
	PromoKind
	SubscriptionKind
)

// String returns the contract's word.
func (k GrantKind) String() string {
	switch k {
	case PaidKind:
		return "paid"
	case PromoKind:
		return "promo"
	case SubscriptionKind:
		return "subscription"
	}
	return "unknown"
}

// Class is where a grant of the kind stands.
func (k GrantKind) Class() Class { return PaidGrant + Class(k) - 1 }

// Giver is the operator's class that faces the giving of a grant.
func (k GrantKind) Giver() Class {
	switch k {
	case PaidKind:
		return Cash
	case PromoKind:
		return PromoExpense
	}
	return SubscriptionIncome
}

// Heir is the operator's class to which the rest of an expired grant goes.
func (k GrantKind) Heir() Class {
	if k == PaidKind {
		return Revenue
	}
	return k.Giver()
}
