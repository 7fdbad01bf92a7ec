package refusal

import "fmt"

// Code is the stable class of a refusal. The names are part of the outside
// contract and never change; new ones may be added.
type Code string

// The codes of the contract. Conflicts share the suffix _conflict.
const (
	Malformed        Code = "malformed"          // not parseable at all
	Unauthenticated  Code = "unauthenticated"    // no valid key
	Forbidden        Code = "forbidden"          // a valid key without the scope
	NotFound         Code = "not_found"          // names something that does not exist
	MethodNotAllowed Code = "method_not_allowed" // the path exists, the method does not
	UnsupportedType  Code = "unsupported_type"   // a content type we do not read
	Timeout          Code = "timeout"            // the body did not arrive in time
	IDConflict       Code = "id_conflict"        // same id, other content
	WindowConflict   Code = "window_conflict"    // the named window is not the open one
	PriceConflict    Code = "price_conflict"     // two versions effective at one moment
	HoldConflict     Code = "hold_conflict"      // the hold is not in a state for this
	AccountConflict  Code = "account_conflict"   // the account is not in a state for this
	RequestConflict  Code = "request_conflict"   // the top-up request is not in a state for this
	ResultConflict   Code = "result_conflict"    // the line is not in a state for this result
	// SettlementConflict: what is asked for is not settled yet (reason not_settled), or has no
	// price to be settled by (not_priced).
	SettlementConflict Code = "settlement_conflict"
	TooLarge           Code = "too_large"          // body or count above the limit
	Invalid            Code = "invalid"            // well formed, but not acceptable
	InsufficientFunds  Code = "insufficient_funds" // a hold that does not fit
	Overloaded         Code = "overloaded"         // no room now: retry after a moment
	KeyLimit           Code = "key_limit"          // the API key is over its limit: retry when it says
	Internal           Code = "internal"           // our storage is damaged: nothing was changed
	NotReady           Code = "not_ready"          // starting or draining: retry after a moment
)

// Refusal says no. Code is stable, Reason is a finer stable word (may be
// empty), Detail is for people and may change. Problems lists what is wrong one by one
// where several things can be (a price version); it is empty otherwise. Shortfall says what
// was missing of funds, with InsufficientFunds.
type Refusal struct {
	Code      Code
	Reason    string
	Detail    string
	Problems  []string
	Shortfall *Shortfall
	// RetryAfter is after how many seconds it is worth trying again, with Overloaded and NotReady; 0: one.
	RetryAfter int
}

// Shortfall says which bound something did not fit: of which account, by which name, what
// was asked of it and what was left. Amounts are decimals of the account's currency; where
// the bound counts calls they are whole numbers.
type Shortfall struct {
	Account string
	Limit   string // the limit's name, or "credit"
	Asked   string
	Left    string
}

// New returns a refusal whose detail is formatted like fmt.Sprintf.
func New(code Code, reason, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// Error makes a refusal usable where an error is expected (parsers).
func (r *Refusal) Error() string { return string(r.Code) + ": " + r.Detail }
