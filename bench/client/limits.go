package client

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// Limit is one limit of an account.
type Limit struct {
	Name      string  `json:"name"`
	Per       string  `json:"per"` // call, minute, hour, day, month, total
	Amount    *Money  `json:"amount,omitempty"`
	Count     *uint64 `json:"count,omitempty"`
	Mode      string  `json:"mode,omitempty"` // hard (the default), soft, shadow
	Scope     *Scope  `json:"scope,omitempty"`
	Allotment bool    `json:"allotment,omitempty"`
}

// NewLimits replaces the limits of an account.
type NewLimits struct {
	ID     string // "": each content as often as it is asked
	Limits []Limit
	// Overdraft is a root's overdraft_limit: "" leaves it as it is, "null" is unlimited,
	// else an amount.
	Overdraft string
}

// MarshalJSON spells the limits as the contract has them.
func (l NewLimits) MarshalJSON() ([]byte, error) {
	wire := struct {
		ID        string          `json:"id,omitempty"`
		Overdraft json.RawMessage `json:"overdraft_limit,omitempty"`
		Limits    []Limit         `json:"limits"`
	}{ID: l.ID, Limits: l.Limits}
	if l.Limits == nil {
		wire.Limits = []Limit{} // the list must be there, so that nobody drops it by mistake
	}
	switch l.Overdraft {
	case "":
	case "null":
		wire.Overdraft = json.RawMessage("null")
	default:
		amount, err := json.Marshal(l.Overdraft)
		if err != nil {
			return nil, err
		}
		wire.Overdraft = amount
	}
	return json.Marshal(wire)
}

// Limits is the limits of an account and how far they are used.
type Limits struct {
	Account   string      `json:"account"`
	Currency  string      `json:"currency"`
	Overdraft *Money      `json:"overdraft_limit"` // nil: unlimited, or not a root
	Limits    []LimitUsed `json:"limits"`
	Sequence  uint64      `json:"sequence"`
}

// LimitUsed is a limit and how far it is used.
type LimitUsed struct {
	Limit
	Period           *time.Time `json:"period"` // begin of the period counted; nil: none
	Spent            Money      `json:"spent"`
	Held             Money      `json:"held"`
	Calls            uint64     `json:"calls"`
	Passed           bool       `json:"passed"`
	WouldHaveRefused uint64     `json:"would_have_refused"` // of a shadow limit
	Recent           []string   `json:"recent"`             // the last of those holds
}

// PutLimits replaces the limits of an account.
func (c *Client) PutLimits(ctx context.Context, account string, l NewLimits) (Limits, error) {
	var out Limits
	err := c.send(ctx, http.MethodPut, "/v1/accounts/"+segment(account)+"/limits", l, &out)
	return out, err
}

// Limits reads the limits of an account.
func (c *Client) Limits(ctx context.Context, account string) (Limits, error) {
	var out Limits
	err := c.send(ctx, http.MethodGet, "/v1/accounts/"+segment(account)+"/limits", nil, &out)
	return out, err
}

// NewSettings replaces the settings of a root. What is nil or "" gets its default.
type NewSettings struct {
	ID            string     `json:"id,omitempty"`
	Excess        *Excess    `json:"excess,omitempty"`
	Abandoned     string     `json:"abandoned,omitempty"` // void, capture
	CreditLow     *Money     `json:"credit_low,omitempty"`
	GrantExpiring string     `json:"grant_expiring,omitempty"` // a duration
	AutoTopUp     *AutoTopUp `json:"auto_topup,omitempty"`
}

// Excess says who pays what a capture takes beyond its hold.
type Excess struct {
	Policy string `json:"policy"` // allow, allow_up_to, cap
	Limit  *Money `json:"limit,omitempty"`
}

// AutoTopUp says when a top-up is requested by itself.
type AutoTopUp struct {
	Threshold Money  `json:"threshold"`
	Amount    Money  `json:"amount"`
	MaxPerDay uint32 `json:"max_per_day,omitempty"` // 0: the default
}

// Settings are the settings of a root as they stand.
type Settings struct {
	Account       string     `json:"account"`
	Excess        Excess     `json:"excess"`
	Abandoned     string     `json:"abandoned"`
	CreditLow     *Money     `json:"credit_low"`
	GrantExpiring string     `json:"grant_expiring"`
	AutoTopUp     *AutoTopUp `json:"auto_topup"`
	Sequence      uint64     `json:"sequence"`
}

// PutSettings replaces the settings of a root.
func (c *Client) PutSettings(ctx context.Context, account string, s NewSettings) (Settings, error) {
	var out Settings
	err := c.send(ctx, http.MethodPut, "/v1/accounts/"+segment(account)+"/settings", s, &out)
	return out, err
}

// Settings reads the settings of a root.
func (c *Client) Settings(ctx context.Context, account string) (Settings, error) {
	var out Settings
	err := c.send(ctx, http.MethodGet, "/v1/accounts/"+segment(account)+"/settings", nil, &out)
	return out, err
}
