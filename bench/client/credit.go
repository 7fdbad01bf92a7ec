package client

import (
	"context"
	"net/http"
	"time"
)

// Scope says which usage something is for; empty: all.
type Scope struct {
	Types []string          `json:"types,omitempty"`
	Match map[string]string `json:"match,omitempty"`
}

// NewGrant gives credit. Fields that are nil leave the server's default.
type NewGrant struct {
	ID        string     `json:"id"`
	Kind      string     `json:"kind"` // paid, promo, subscription
	Amount    Money      `json:"amount"`
	Priority  *uint32    `json:"priority,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	Scope     *Scope     `json:"scope,omitempty"`
}

// Grant is a grant as it stands.
type Grant struct {
	ID           string     `json:"id"`
	Account      string     `json:"account"`
	Kind         string     `json:"kind"`
	Amount       Money      `json:"amount"`
	Priority     uint32     `json:"priority"`
	ExpiresAt    *time.Time `json:"expires_at"` // nil: never
	Scope        Scope      `json:"scope"`
	Subscription *string    `json:"subscription"` // that gave it
	Used         Money      `json:"used"`
	Remaining    Money      `json:"remaining"`
	Held         Money      `json:"held"`
	Expired      Money      `json:"expired"`
	State        string     `json:"state"` // open, used, expired
	Sequence     uint64     `json:"sequence"`
	Time         time.Time  `json:"time"`
}

// Grant gives credit to an account.
func (c *Client) Grant(ctx context.Context, account string, g NewGrant) (Grant, error) {
	var out Grant
	err := c.send(ctx, http.MethodPost, "/v1/accounts/"+segment(account)+"/grants", g, &out)
	return out, err
}

// Grants lists an account's grants, oldest first.
func (c *Client) Grants(ctx context.Context, account string) ([]Grant, error) {
	return list[Grant](ctx, c, "/v1/accounts/"+segment(account)+"/grants")
}

// NewRefund pays unused paid credit back.
type NewRefund struct {
	ID        string `json:"id"`
	Amount    Money  `json:"amount"`
	Grant     string `json:"grant,omitempty"` // "": from the paid credit itself
	Reference string `json:"reference,omitempty"`
}

// Refund is a refund as it was booked.
type Refund struct {
	ID        string    `json:"id"`
	Account   string    `json:"account"`
	Amount    Money     `json:"amount"`
	Grant     *string   `json:"grant"`
	Reference string    `json:"reference"`
	Sequence  uint64    `json:"sequence"`
	Time      time.Time `json:"time"`
}

// Refund refunds a customer.
func (c *Client) Refund(ctx context.Context, account string, r NewRefund) (Refund, error) {
	var out Refund
	err := c.send(ctx, http.MethodPost, "/v1/accounts/"+segment(account)+"/refunds", r, &out)
	return out, err
}

// NewMove moves paid credit between two accounts of one owner.
type NewMove struct {
	ID     string `json:"id"`
	From   string `json:"from"`
	To     string `json:"to"`
	Amount Money  `json:"amount"`
}

// Move is a move as it was booked.
type Move struct {
	NewMove
	Sequence uint64    `json:"sequence"`
	Time     time.Time `json:"time"`
}

// Move moves paid credit.
func (c *Client) Move(ctx context.Context, m NewMove) (Move, error) {
	var out Move
	err := c.send(ctx, http.MethodPost, "/v1/moves", m, &out)
	return out, err
}

// StatusChange is a freeze, a resumption or a closing as it was booked.
type StatusChange struct {
	ID       string    `json:"id"`
	Account  string    `json:"account"`
	Action   string    `json:"action"`
	Reason   string    `json:"reason"`
	State    string    `json:"state"` // right after it: open, frozen, closed
	Sequence uint64    `json:"sequence"`
	Time     time.Time `json:"time"`
}

// Freeze refuses new holds at the account and below it; id makes it idempotent.
func (c *Client) Freeze(ctx context.Context, account, id, reason string) (StatusChange, error) {
	return c.setStatus(ctx, account, "freeze", id, reason)
}

// Resume ends a freeze; id makes it idempotent.
func (c *Client) Resume(ctx context.Context, account, id, reason string) (StatusChange, error) {
	return c.setStatus(ctx, account, "resume", id, reason)
}

// CloseAccount closes an account for ever; id makes it idempotent.
func (c *Client) CloseAccount(ctx context.Context, account, id, reason string) (StatusChange, error) {
	return c.setStatus(ctx, account, "close", id, reason)
}

func (c *Client) setStatus(ctx context.Context, account, action, id, reason string) (StatusChange, error) {
	body := map[string]string{"id": id}
	if reason != "" {
		body["reason"] = reason
	}
	var out StatusChange
	err := c.send(ctx, http.MethodPost, "/v1/accounts/"+segment(account)+"/"+action, body, &out)
	return out, err
}
