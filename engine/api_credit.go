package engine

import (
	"time"

	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// The values of prepaid credit that cross the engine's border: holds, grants, limits,
// subscriptions, top-up requests, notifications. Like those in api.go they are plain copies.

// HoldOpKind is what an operation does to a hold.
type HoldOpKind uint8

// The operations.
const (
	PlaceHold HoldOpKind = 1 + iota
	ExtendHold
	CaptureHold
	VoidHold
)

// HoldOp is one operation on a hold, as a request brings it.
type HoldOp struct {
	Kind  HoldOpKind
	Index uint32     // position in the request, for the answer
	Hold  meter.Span // the hold's id, in HoldBatch's arena
	ID    meter.Span // of an extension
	// Account and Currency (empty: not given) are those of a hold to be placed.
	Account  meter.Span
	Currency money.Currency
	// Event is the event in the request's Batch that is the estimate of a hold, what an
	// extension reports, or what is captured; −1: none.
	Event int32
	// Amount is what is held, added, or captured when HasAmount; else Event says.
	Amount    money.Amount
	HasAmount bool
	TTL       time.Duration // 0: not given

	// Set by HoldBatch.Add: hashes under the ledger's seed.
	identity, content uint64
	account, end      uint64    // of the account's id; of the key under which the hold's end is found
	wide              [2]uint64 // 128 bits of the hold's id
	key               meter.Span
}

// HoldOutcome is what came of an operation.
type HoldOutcome uint8

// The outcomes.
const (
	HoldDone      HoldOutcome = 1 + iota // booked now
	HoldDuplicate                        // booked before with the same content
	HoldRefused                          // see Refusal
)

// HoldResult is the answer to one operation.
type HoldResult struct {
	Outcome   HoldOutcome
	Index     uint32
	State     HoldState
	Amount    money.Amount  // held in all
	Available *money.Amount // of the hold's account after it; nil: unlimited, or a duplicate
	Expires   time.Time     // of an open hold
	Charged   money.Amount  // by a capture, from the payer
	Released  money.Amount  // what was held and not charged
	Lost      money.Amount  // what the operator paid of a capture
	Unpriced  bool          // the captured event has no price yet
	Sequence  uint64
	Refusal   *refusal.Refusal // Shortfall is set for insufficient funds

	known  seen // of a duplicate
	absent bool // no open hold has the id: what became of it is in the journal
}

// HoldState is where a hold stands.
type HoldState string

// The states.
const (
	Held         HoldState = "held"
	HoldCaptured HoldState = "captured"
	HoldVoided   HoldState = "voided"
	HoldExpired  HoldState = "expired"
	HoldDenied   HoldState = "refused"
)

// HoldView is a hold with its history.
type HoldView struct {
	ID, Account string
	Currency    money.Currency
	State       HoldState
	Amount      money.Amount // held in all, extensions included; of a refused one what was asked
	Charged     money.Amount
	Released    money.Amount
	Lost        money.Amount
	TTL         time.Duration
	Created     time.Time
	Expires     time.Time // of an open one; else when it would have
	Ended       time.Time // zero: open
	Sequence    uint64    // of its placing
	End         uint64    // sequence of its end; 0: open
	Estimate    *Estimate // nil: by amount
	Grants      []HoldGrant
	Extensions  []HoldExtension
	// Source and Event name the captured event.
	Source, Event string
	Refused       *refusal.Shortfall // why, of a refused one
	WouldRefuse   []string           // shadow limits that it did not fit, "account/limit"
}

// Estimate is the usage that a hold was rated from.
type Estimate struct {
	Type       string
	Dimensions []meter.Dimension
	Usage      []EventComponent
	Version    string
}

// HoldGrant is the part of a hold that is reserved on a grant.
type HoldGrant struct {
	Grant  string
	Amount money.Amount
}

// HoldExtension is what one extension added.
type HoldExtension struct {
	ID       string
	Amount   money.Amount
	TTL      time.Duration // 0: left as it was
	Time     time.Time
	Sequence uint64
	Reported bool // it reported usage
}

// Booked is where an idempotent command stands in the ledger's history.
type Booked struct {
	Sequence uint64
	Time     time.Time
}

// Scope says which usage something is for; empty: all.
type Scope struct {
	Types []string          // meters, sorted; empty: all
	Match []meter.Dimension // sorted by key
}

// GrantSpec asks for a grant.
type GrantSpec struct {
	ID, Account string
	Amount      money.Amount
	Kind        string // paid, promo, subscription
	Priority    uint32
	Expires     time.Time // zero: never
	Scope       Scope
}

// Grant is a grant as it stands.
type Grant struct {
	GrantSpec
	Subscription string // that gave it
	Used         money.Amount
	Remaining    money.Amount
	Held         money.Amount
	Expired      money.Amount // what was lost at its expiry
	State        string       // open, used, expired
	Booked
}

// RefundSpec asks to pay unused paid credit back.
type RefundSpec struct {
	ID, Account string
	Amount      money.Amount
	Grant       string // a paid grant; empty: the paid credit itself
	Reference   string
}

// Refund is a refund as it was booked.
type Refund struct {
	RefundSpec
	Booked
}

// MoveSpec asks to move paid credit between accounts of one owner.
type MoveSpec struct {
	ID, From, To string
	Amount       money.Amount
}

// Move is a move as it was booked.
type Move struct {
	MoveSpec
	Booked
}

// StatusSpec asks to freeze, resume or close an account.
type StatusSpec struct {
	ID, Account string
	Action      string // freeze, resume, close
	Reason      string
}

// StatusChange is such a change as it was booked.
type StatusChange struct {
	StatusSpec
	State string // right after it: open, frozen, closed
	Booked
}

// LimitSpec is one limit of an account.
type LimitSpec struct {
	Name      string
	Per       string        // call, minute, hour, day, month, total
	Amount    *money.Amount // nil: none
	Count     *uint64       // nil: none
	Mode      string        // hard, soft, shadow
	Scope     Scope
	Allotment bool
}

// LimitsSpec replaces the limits of an account.
type LimitsSpec struct {
	ID, Account string // ID may be empty
	Limits      []LimitSpec
	// Overdraft is the new overdraft_limit if SetOverdraft; nil: unlimited.
	SetOverdraft bool
	Overdraft    *money.Amount
}

// Limit is a limit and how far it is used.
type Limit struct {
	LimitSpec
	Period      time.Time // begin of the period counted; zero: per call and total
	Spent, Held money.Amount
	Calls       uint64
	Passed      bool     // more was spent than it allows
	WouldRefuse uint64   // holds that a shadow limit would have refused
	Recent      []string // ids of the last of them
}

// Limits is all limits of an account.
type Limits struct {
	Account   string
	Currency  money.Currency
	Overdraft *money.Amount // of a root; nil: unlimited
	Root      bool
	Limits    []Limit
	Sequence  uint64
}

// SettingsSpec replaces the settings of a root.
type SettingsSpec struct {
	ID, Account  string        // ID may be empty
	Excess       string        // allow, allow_up_to, cap
	ExcessLimit  money.Amount  // of allow_up_to
	Abandoned    string        // void, capture
	CreditLow    *money.Amount // nil: no notification
	GrantWarning time.Duration // how long before its expiry a grant is announced; 0: not
	AutoTopUp    *AutoTopUp    // nil: none
}

// AutoTopUp says when a top-up is requested by itself.
type AutoTopUp struct {
	Threshold, Amount money.Amount
	MaxPerDay         uint32
}

// Settings are the settings of a root as they stand.
type Settings struct {
	SettingsSpec
	Sequence uint64
}

// TopUpRequest asks the outside world for money.
type TopUpRequest struct {
	ID, Account string
	Currency    money.Currency
	Amount      money.Amount
	By          string // auto, customer
	State       string // open, paid, declined
	TopUp       string // that paid it
	Created     time.Time
	Answered    time.Time // zero: open
	Sequence    uint64
}

// TopUpAskSpec raises a request by hand.
type TopUpAskSpec struct {
	ID, Account string
	Amount      money.Amount
}

// TopUpReplySpec answers a request.
type TopUpReplySpec struct {
	ID, Request string
	Paid        bool
	Amount      *money.Amount // nil: as requested
	Reference   string
}

// RolloverSpec says how much of a period's rest lives on, and for how many periods.
type RolloverSpec struct {
	Max     money.Amount
	Periods uint32
}

// PlanSpec is what a subscription gives and costs in each period.
type PlanSpec struct {
	Allowance, Price money.Amount
	Priority         uint32
	Scope            Scope
	Rollover         *RolloverSpec // nil: none
}

// SubscriptionSpec begins a subscription.
type SubscriptionSpec struct {
	ID, Account string
	Period      string // month, week, day
	Anchor      uint32 // day of the month or of the week (Monday 1); 0: that of the start
	Starts      time.Time
	Plan        PlanSpec
}

// SubscriptionChange changes or cancels a subscription. Fields that are nil stay.
type SubscriptionChange struct {
	ID, Subscription string
	Cancel           bool
	Now              bool // else at the period's end
	Allowance, Price *money.Amount
	Priority         *uint32
	Scope            *Scope
	Rollover         *RolloverSpec // Max 0: none
}

// Subscription is a subscription as it stands.
type Subscription struct {
	SubscriptionSpec
	State        string    // active, ending, ended
	PeriodNumber uint64    // of the current one, from 1; 0: not begun
	PeriodStart  time.Time // of the current one
	PeriodEnd    time.Time
	Next         *PlanSpec    // from the next period on; nil: the same
	Credited     money.Amount // pro-rata credit of all changes and of the cancellation
	Booked
}

// Notification is an entry of the notification stream.
type Notification struct {
	Number  uint64 // contiguous from 1
	Type    string
	Time    time.Time
	Account string
	Data    []byte // canonical JSON object
	JSON    []byte // the whole entry, canonical JSON: what consumers get
}

// HoldBatch is the hold operations of one request. It is filled by one goroutine and handed
// on whole with the request; the events they refer to are in the request's meter.Batch.
type HoldBatch struct {
	Ops   []HoldOp
	arena []byte
	end   []byte // scratch
	seed  uint64
}

// Intern copies bytes that an operation refers to.
func (b *HoldBatch) Intern(v []byte) meter.Span {
	s := meter.Span{Off: uint32(len(b.arena)), Len: uint32(len(v))}
	b.arena = append(b.arena, v...)
	return s
}

// Bytes returns what Intern copied. It is valid until the request is released.
func (b *HoldBatch) Bytes(s meter.Span) []byte { return b.arena[s.Off : s.Off+s.Len : s.Off+s.Len] }

func (b *HoldBatch) reset(seed uint64) { b.Ops, b.arena, b.seed = b.Ops[:0], b.arena[:0], seed }

// trim lets go of memory beyond what usual requests need.
func (b *HoldBatch) trim(ops int) {
	if cap(b.Ops) > ops {
		b.Ops, b.arena = nil, nil
	}
	b.Ops = b.Ops[:0]
}
