package client

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// NewHold asks to reserve Amount, or what Estimate comes to: one of the two.
type NewHold struct {
	ID       string
	Account  string
	Amount   *Money
	Estimate *Estimate
	Currency string        // "": the account's
	TTL      time.Duration // 0: the server's default
}

// Estimate is the usage to expect. Usage is empty for one "call".
type Estimate struct {
	Type  string
	Model string // "": absent
	Usage map[string]uint64
}

// MarshalJSON spells the hold as the contract has it.
func (h NewHold) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		ID       string    `json:"id"`
		Account  string    `json:"account"`
		Amount   *Money    `json:"amount,omitempty"`
		Estimate *Estimate `json:"estimate,omitempty"`
		Currency string    `json:"currency,omitempty"`
		TTL      string    `json:"ttl,omitempty"`
	}{h.ID, h.Account, h.Amount, h.Estimate, h.Currency, durationText(h.TTL)})
}

// MarshalJSON spells the estimate as the contract has it.
func (e Estimate) MarshalJSON() ([]byte, error) {
	event := Event{Type: e.Type, Model: e.Model, Usage: e.Usage}
	return json.Marshal(struct {
		Type string    `json:"type"`
		Data eventData `json:"data"`
	}{e.Type, event.data()})
}

func durationText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// Held is a hold after it was placed or extended.
type Held struct {
	ID        string     `json:"id"`
	Account   string     `json:"account"`   // "": the answer to an extension
	Extension string     `json:"extension"` // its id; "": the answer to a hold
	State     string     `json:"state"`
	Amount    Money      `json:"amount"`    // held in all
	Available *Money     `json:"available"` // nil: unlimited, or a repeated answer
	Expires   *time.Time `json:"expires"`   // nil: a repeated answer
	Sequence  uint64     `json:"sequence"`
}

// Hold reserves credit.
func (c *Client) Hold(ctx context.Context, h NewHold) (Held, error) {
	var held Held
	err := c.send(ctx, http.MethodPost, "/v1/holds", h, &held)
	return held, err
}

// HeldAll is the answer to a list of holds.
type HeldAll struct {
	Held       int        `json:"held"`
	Duplicates int        `json:"duplicates"`
	Refused    []Refused  `json:"refused"` // did not fit
	Rejected   []Rejected `json:"rejected"`
	// More than are listed.
	RefusedMore  int    `json:"refused_more"`
	RejectedMore int    `json:"rejected_more"`
	Sequence     uint64 `json:"sequence"`
}

// Refused is a hold of a list that did not fit.
type Refused struct {
	Rejected
	Shortfall
}

// Holds reserves credit many times in one request. A list whose only hold is refused is
// a *Problem.
func (c *Client) Holds(ctx context.Context, holds []NewHold) (HeldAll, error) {
	var all HeldAll
	err := c.send(ctx, http.MethodPost, "/v1/holds", holds, &all)
	return all, err
}

// Extension adds to a hold, restarts its TTL, reports its usage so far: at least one of them.
type Extension struct {
	ID     string
	Amount *Money
	TTL    time.Duration // 0: as it is
	Event  *Event
}

// MarshalJSON spells the extension as the contract has it.
func (e Extension) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		ID     string `json:"id"`
		Amount *Money `json:"amount,omitempty"`
		TTL    string `json:"ttl,omitempty"`
		Event  *Event `json:"event,omitempty"`
	}{e.ID, e.Amount, durationText(e.TTL), e.Event})
}

// Extend extends a hold.
func (c *Client) Extend(ctx context.Context, hold string, e Extension) (Held, error) {
	var held Held
	err := c.send(ctx, http.MethodPost, "/v1/holds/"+segment(hold)+"/extend", e, &held)
	return held, err
}

// Captured is a hold after its capture.
type Captured struct {
	Hold     string `json:"hold"`
	State    string `json:"state"`
	Charged  Money  `json:"charged"`
	Released Money  `json:"released"`
	Lost     Money  `json:"lost"` // by the operator
	Unpriced bool   `json:"unpriced"`
	Sequence uint64 `json:"sequence"`
}

// Capture charges a usage event to a hold and releases the rest.
func (c *Client) Capture(ctx context.Context, hold string, e Event) (Captured, error) {
	return c.capture(ctx, hold, map[string]any{"event": e})
}

// CaptureAmount charges an amount to a hold and releases the rest.
func (c *Client) CaptureAmount(ctx context.Context, hold string, amount Money) (Captured, error) {
	return c.capture(ctx, hold, map[string]any{"amount": amount})
}

func (c *Client) capture(ctx context.Context, hold string, what map[string]any) (Captured, error) {
	var captured Captured
	err := c.send(ctx, http.MethodPost, "/v1/holds/"+segment(hold)+"/capture", what, &captured)
	return captured, err
}

// NewCapture is one capture of a list: of an Event or an Amount.
type NewCapture struct {
	Hold   string `json:"hold"`
	Event  *Event `json:"event,omitempty"`
	Amount *Money `json:"amount,omitempty"`
}

// CapturedAll is the answer to a list of captures.
type CapturedAll struct {
	Captured     int        `json:"captured"` // the unpriced are among them
	Duplicates   int        `json:"duplicates"`
	Unpriced     int        `json:"unpriced"`
	Rejected     []Rejected `json:"rejected"`
	RejectedMore int        `json:"rejected_more"`
	Sequence     uint64     `json:"sequence"`
}

// Captures captures many holds in one request. A list whose only capture is refused is a
// *Problem.
func (c *Client) Captures(ctx context.Context, captures []NewCapture) (CapturedAll, error) {
	var all CapturedAll
	err := c.send(ctx, http.MethodPost, "/v1/captures", captures, &all)
	return all, err
}

// VoidedHold is a hold after its void.
type VoidedHold struct {
	Hold     string `json:"hold"`
	State    string `json:"state"`
	Released Money  `json:"released"`
	Sequence uint64 `json:"sequence"`
}

// VoidHold releases a hold. A second void gets the first one's answer.
func (c *Client) VoidHold(ctx context.Context, hold string) (VoidedHold, error) {
	var v VoidedHold
	err := c.send(ctx, http.MethodPost, "/v1/holds/"+segment(hold)+"/void", nil, &v)
	return v, err
}

// HoldHistory is a hold with what became of it.
type HoldHistory struct {
	ID         string          `json:"id"`
	Account    string          `json:"account"`
	Currency   string          `json:"currency"`
	State      string          `json:"state"`  // held, captured, voided, expired, refused
	Amount     Money           `json:"amount"` // of a refused one what was asked
	Charged    Money           `json:"charged"`
	Released   Money           `json:"released"`
	Lost       Money           `json:"lost"`
	TTL        string          `json:"ttl"`
	Created    time.Time       `json:"created"`
	Expires    time.Time       `json:"expires"`
	Ended      *time.Time      `json:"ended"` // nil: open
	Sequence   uint64          `json:"sequence"`
	End        *uint64         `json:"end"` // sequence of its end; nil: open
	Estimate   json.RawMessage `json:"estimate"`
	Grants     []HoldGrant     `json:"grants"`
	Extensions []HoldExtension `json:"extensions"`
	Captured   *CapturedEvent  `json:"captured"` // nil: no event was captured
	Refused    *Shortfall      `json:"refused"`  // why, of a refused one
	// WouldHaveRefused lists shadow limits that it did not fit, as account/limit.
	WouldHaveRefused []string `json:"would_have_refused"`
}

// HoldGrant is the part of a hold that is reserved on a grant.
type HoldGrant struct {
	Grant  string `json:"grant"`
	Amount Money  `json:"amount"`
}

// HoldExtension is one extension of a hold.
type HoldExtension struct {
	ID       string    `json:"id"`
	Amount   Money     `json:"amount"`
	TTL      *string   `json:"ttl"` // nil: left as it was
	Time     time.Time `json:"time"`
	Sequence uint64    `json:"sequence"`
	Reported bool      `json:"reported"` // it reported usage
}

// CapturedEvent names the event that a hold was captured with.
type CapturedEvent struct {
	Source string `json:"source"`
	Event  string `json:"event"`
}

// GetHold reads a hold.
func (c *Client) GetHold(ctx context.Context, hold string) (HoldHistory, error) {
	var h HoldHistory
	err := c.send(ctx, http.MethodGet, "/v1/holds/"+segment(hold), nil, &h)
	return h, err
}
