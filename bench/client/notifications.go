package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// TopUpRequest asks the outside world for money.
type TopUpRequest struct {
	ID       string     `json:"id"`
	Account  string     `json:"account"`
	Currency string     `json:"currency"`
	Amount   Money      `json:"amount"`
	By       string     `json:"by"`    // auto, customer
	State    string     `json:"state"` // open, paid, declined
	TopUp    *string    `json:"topup"` // that paid it
	Created  time.Time  `json:"created"`
	Answered *time.Time `json:"answered"` // nil: open
	Sequence uint64     `json:"sequence"`
}

// AskTopUp raises a top-up request by hand; id makes it idempotent.
func (c *Client) AskTopUp(ctx context.Context, account, id string, amount Money) (TopUpRequest, error) {
	var out TopUpRequest
	body := map[string]any{"id": id, "amount": amount}
	err := c.send(ctx, http.MethodPost, "/v1/accounts/"+segment(account)+"/topup-requests", body, &out)
	return out, err
}

// TopUpRequests lists an account's top-up requests, oldest first.
func (c *Client) TopUpRequests(ctx context.Context, account string) ([]TopUpRequest, error) {
	return list[TopUpRequest](ctx, c, "/v1/accounts/"+segment(account)+"/topup-requests")
}

// TopUpAnswer answers a top-up request. Paid books a top-up whose id is ID.
type TopUpAnswer struct {
	ID        string `json:"id"`
	Status    string `json:"status"`           // paid, declined
	Amount    *Money `json:"amount,omitempty"` // nil: as requested
	Reference string `json:"reference,omitempty"`
}

// AnswerTopUp answers a top-up request.
func (c *Client) AnswerTopUp(ctx context.Context, request string, a TopUpAnswer) (TopUpRequest, error) {
	var out TopUpRequest
	err := c.send(ctx, http.MethodPost, "/v1/topup-requests/"+segment(request)+"/answer", a, &out)
	return out, err
}

// Notification is one entry of the notification stream.
type Notification struct {
	Sequence uint64          `json:"sequence"` // contiguous from 1
	Type     string          `json:"type"`
	Time     time.Time       `json:"time"`
	Account  string          `json:"account"`
	Data     json.RawMessage `json:"data"`
}

// notificationsPage is how many notifications are read at once.
const notificationsPage = 1000

// Notifications reads the notifications that there are after a number, one page of them. With
// wait (at most 30 s) the answer waits for one.
func (c *Client) Notifications(ctx context.Context, after uint64, wait time.Duration) ([]Notification, error) {
	q := url.Values{"after": {strconv.FormatUint(after, 10)}, "limit": {strconv.Itoa(notificationsPage)}}
	if wait > 0 {
		q.Set("wait", wait.String())
	}
	var p page[Notification]
	err := c.send(ctx, http.MethodGet, "/v1/notifications?"+q.Encode(), nil, &p)
	return p.Items, err
}
