package client

import (
	"context"
	"net/http"
	"time"
)

// Rollover says how much of a period's rest lives on, and for how many periods.
type Rollover struct {
	Max     Money  `json:"max"`
	Periods uint32 `json:"periods,omitempty"` // 0: the default
}

// NewSubscription begins a subscription. Fields that are nil or 0 leave the server's default.
type NewSubscription struct {
	ID        string     `json:"id"`
	Period    string     `json:"period"` // month, week, day
	Anchor    uint32     `json:"anchor,omitempty"`
	StartsAt  *time.Time `json:"starts_at,omitempty"`
	Allowance Money      `json:"allowance"`
	Price     *Money     `json:"price,omitempty"`
	Priority  *uint32    `json:"priority,omitempty"`
	Scope     *Scope     `json:"scope,omitempty"`
	Rollover  *Rollover  `json:"rollover,omitempty"`
}

// SubscriptionChange changes the plan of a subscription. Fields that are nil stay.
type SubscriptionChange struct {
	ID        string    `json:"id"`
	At        string    `json:"at"` // period_end, now
	Allowance *Money    `json:"allowance,omitempty"`
	Price     *Money    `json:"price,omitempty"`
	Priority  *uint32   `json:"priority,omitempty"`
	Scope     *Scope    `json:"scope,omitempty"`
	Rollover  *Rollover `json:"rollover,omitempty"` // Max 0: none
}

// Plan is what a subscription gives and costs in each period.
type Plan struct {
	Allowance Money     `json:"allowance"`
	Price     Money     `json:"price"`
	Priority  uint32    `json:"priority"`
	Scope     Scope     `json:"scope"`
	Rollover  *Rollover `json:"rollover"`
}

// Subscription is a subscription as it stands.
type Subscription struct {
	ID       string     `json:"id"`
	Account  string     `json:"account"`
	Period   string     `json:"period"`
	Anchor   *uint32    `json:"anchor"`
	StartsAt *time.Time `json:"starts_at"`
	Plan
	State        string     `json:"state"`         // active, ending, ended
	PeriodNumber uint64     `json:"period_number"` // 0: not begun
	PeriodStart  *time.Time `json:"period_start"`
	PeriodEnd    *time.Time `json:"period_end"`
	Next         *Plan      `json:"next"` // from the next period on; nil: the same
	Credited     Money      `json:"credited"`
	Sequence     uint64     `json:"sequence"`
	Time         time.Time  `json:"time"`
}

// Subscribe begins a subscription.
func (c *Client) Subscribe(ctx context.Context, account string, s NewSubscription) (Subscription, error) {
	var out Subscription
	err := c.send(ctx, http.MethodPost, "/v1/accounts/"+segment(account)+"/subscriptions", s, &out)
	return out, err
}

// ChangeSubscription changes a subscription's plan.
func (c *Client) ChangeSubscription(ctx context.Context, subscription string, change SubscriptionChange) (Subscription, error) {
	var out Subscription
	err := c.send(ctx, http.MethodPost, "/v1/subscriptions/"+segment(subscription)+"/change", change, &out)
	return out, err
}

// CancelSubscription ends a subscription at "period_end" or "now"; id makes it idempotent.
func (c *Client) CancelSubscription(ctx context.Context, subscription, id, at string) (Subscription, error) {
	var out Subscription
	err := c.send(ctx, http.MethodPost, "/v1/subscriptions/"+segment(subscription)+"/cancel", map[string]string{"id": id, "at": at}, &out)
	return out, err
}

// Subscription reads a subscription.
func (c *Client) Subscription(ctx context.Context, subscription string) (Subscription, error) {
	var out Subscription
	err := c.send(ctx, http.MethodGet, "/v1/subscriptions/"+segment(subscription), nil, &out)
	return out, err
}

// Subscriptions lists an account's subscriptions, oldest first.
func (c *Client) Subscriptions(ctx context.Context, account string) ([]Subscription, error) {
	return list[Subscription](ctx, c, "/v1/accounts/"+segment(account)+"/subscriptions")
}
