package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// Open opens an account; opening it again with the same content is no error.
func (c *Client) Open(ctx context.Context, a Account) error {
	return c.send(ctx, http.MethodPost, "/v1/accounts", a, nil)
}

// Balance reads an account.
func (c *Client) Balance(ctx context.Context, id string) (Balance, error) {
	var b Balance
	err := c.send(ctx, http.MethodGet, "/v1/accounts/"+segment(id), nil, &b)
	return b, err
}

// PutPrices puts a version of the price book.
func (c *Client) PutPrices(ctx context.Context, version string, b Book) error {
	return c.send(ctx, http.MethodPut, "/v1/prices/"+segment(version), b, nil)
}

// TopUp credits a customer; id makes it idempotent.
func (c *Client) TopUp(ctx context.Context, account, id string, amount Money) error {
	body := map[string]any{"id": id, "amount": amount, "reference": id}
	return c.send(ctx, http.MethodPost, "/v1/accounts/"+segment(account)+"/topups", body, nil)
}

// Post posts events as one JSON array.
func (c *Client) Post(ctx context.Context, events []Event) (Accepted, error) {
	body, err := json.Marshal(events)
	if err != nil {
		return Accepted{}, fmt.Errorf("marshal events: %w", err)
	}
	return c.PostRaw(ctx, "application/json", body)
}

// PostRaw posts a body of events as it is.
func (c *Client) PostRaw(ctx context.Context, contentType string, body []byte) (Accepted, error) {
	_, answer, err := c.Do(ctx, http.MethodPost, "/v1/events", contentType, body)
	if err != nil {
		return Accepted{}, err
	}
	var a Accepted
	if err := json.Unmarshal(answer, &a); err != nil {
		return Accepted{}, &decodeError{request: "POST /v1/events", err: err}
	}
	return a, nil
}

// CloseWindow closes the open window; id makes it idempotent.
func (c *Client) CloseWindow(ctx context.Context, id string) (Closed, error) {
	var closed Closed
	err := c.send(ctx, http.MethodPost, "/v1/settlements", map[string]string{"id": id}, &closed)
	return closed, err
}

// Settlements lists all batches, in the server's order.
func (c *Client) Settlements(ctx context.Context) ([]Manifest, error) {
	return list[Manifest](ctx, c, "/v1/settlements")
}

// Lines lists the lines of a batch.
func (c *Client) Lines(ctx context.Context, batchID string) ([]Line, error) {
	return list[Line](ctx, c, "/v1/settlements/"+segment(batchID)+"/lines")
}

// RawLines lists the lines of a batch with every field the server sent.
func (c *Client) RawLines(ctx context.Context, batchID string) ([]json.RawMessage, error) {
	return list[json.RawMessage](ctx, c, "/v1/settlements/"+segment(batchID)+"/lines")
}

// RawSettlement reads the manifest of a batch with every field the server sent.
func (c *Client) RawSettlement(ctx context.Context, batchID string) (json.RawMessage, error) {
	var m json.RawMessage
	err := c.send(ctx, http.MethodGet, "/v1/settlements/"+segment(batchID), nil, &m)
	return m, err
}

// TrialBalance reads debits and credits of each currency.
func (c *Client) TrialBalance(ctx context.Context) ([]Trial, error) {
	var all page[Trial]
	err := c.send(ctx, http.MethodGet, "/v1/trial-balance", nil, &all)
	return all.Items, err
}

// Usage reads an account's usage by model, component and day. from and to are
// RFC 3339; "" leaves that end open.
func (c *Client) Usage(ctx context.Context, account, from, to string) ([]Usage, error) {
	q := url.Values{"by": {"model,component,day"}}
	if from != "" {
		q.Set("from", from)
	}
	if to != "" {
		q.Set("to", to)
	}
	var all page[Usage]
	err := c.send(ctx, http.MethodGet, "/v1/accounts/"+segment(account)+"/usage?"+q.Encode(), nil, &all)
	return all.Items, err
}

// Booked reads an event with what became of it.
func (c *Client) Booked(ctx context.Context, source, id string) (Booked, error) {
	var b Booked
	err := c.send(ctx, http.MethodGet, "/v1/events/"+segment(source)+"/"+segment(id), nil, &b)
	return b, err
}

// Void takes an event back. Voiding it again, whatever the id, gives the first answer.
func (c *Client) Void(ctx context.Context, source, event, id, reason string) (Voided, error) {
	var v Voided
	path := "/v1/events/" + segment(source) + "/" + segment(event) + "/void"
	err := c.send(ctx, http.MethodPost, path, map[string]string{"id": id, "reason": reason}, &v)
	return v, err
}

// Unpriced counts the events that have no price, by reason and model.
func (c *Client) Unpriced(ctx context.Context) (Unpriced, error) {
	var first struct {
		Summary *Unpriced `json:"summary"`
	}
	const path = "/v1/unpriced?by=reason,model&limit=1"
	if err := c.send(ctx, http.MethodGet, path, nil, &first); err != nil {
		return Unpriced{}, err
	}
	if first.Summary == nil {
		return Unpriced{}, &decodeError{request: "GET " + path, err: errNoSummary}
	}
	return *first.Summary, nil
}

// Transfers reads an account's statement.
func (c *Client) Transfers(ctx context.Context, account string) ([]Transfer, error) {
	return list[Transfer](ctx, c, "/v1/accounts/"+segment(account)+"/transfers")
}

// Ready says whether the server takes writes.
func (c *Client) Ready(ctx context.Context) error {
	_, _, err := c.Do(ctx, http.MethodGet, "/readyz", "", nil)
	return err
}
