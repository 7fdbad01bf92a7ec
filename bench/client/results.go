package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// NewResult says what became of a line's amount.
type NewResult struct {
	ID        string `json:"id"`
	Status    string `json:"status"`           // paid, partially_paid, failed, returned
	Amount    *Money `json:"amount,omitempty"` // nil: all that the status can be about
	Reference string `json:"reference,omitempty"`
}

// Result is a result as it was booked.
type Result struct {
	ID       string     `json:"id"`
	BatchID  string     `json:"batch_id"`
	Line     int        `json:"line"`
	Status   string     `json:"status"`
	Amount   Money      `json:"amount"` // that was moved
	Sequence uint64     `json:"sequence"`
	Time     time.Time  `json:"time"`
	State    *LineState `json:"state"` // nil in a repeated answer
}

// LineState is how a line stands; the four amounts make the line's.
type LineState struct {
	BatchID   string `json:"batch_id"`
	Line      int    `json:"line"`
	Account   string `json:"account"`
	Currency  string `json:"currency"`
	Direction string `json:"direction"`
	Amount    Money  `json:"amount"`
	Open      Money  `json:"open"`
	Paid      Money  `json:"paid"`
	Failed    Money  `json:"failed"`
	Returned  Money  `json:"returned"`
	Status    string `json:"status"`
}

func linePath(batchID string, line int) string {
	return fmt.Sprintf("/v1/settlements/%s/lines/%d", segment(batchID), line)
}

// Result books a result of a line.
func (c *Client) Result(ctx context.Context, batchID string, line int, r NewResult) (Result, error) {
	var out Result
	err := c.send(ctx, http.MethodPost, linePath(batchID, line)+"/result", r, &out)
	return out, err
}

// LineState reads how a line stands.
func (c *Client) LineState(ctx context.Context, batchID string, line int) (LineState, error) {
	var out struct {
		State LineState `json:"state"`
	}
	err := c.send(ctx, http.MethodGet, linePath(batchID, line), nil, &out)
	return out.State, err
}

// OpenLines lists a batch's lines that have an amount in transit.
func (c *Client) OpenLines(ctx context.Context, batchID string) ([]LineState, error) {
	return listWith[LineState](ctx, c, "/v1/settlements/"+segment(batchID)+"/lines", "status", "open")
}

// InTransit is what of a batch waits for results.
type InTransit struct {
	BatchID    string    `json:"batch_id"`
	Window     uint64    `json:"window"`
	Currency   string    `json:"currency"`
	Time       time.Time `json:"time"`
	AgeSeconds int64     `json:"age_seconds"`
	Lines      int       `json:"lines"`
	Pay        Money     `json:"pay"`
	Collect    Money     `json:"collect"`
}

// InTransit lists the batches that have an amount in transit, the oldest first.
func (c *Client) InTransit(ctx context.Context) ([]InTransit, error) {
	return list[InTransit](ctx, c, "/v1/in-transit")
}

// Statement is an account's statement of a window. Amounts are in the account's favour.
type Statement struct {
	Account     string           `json:"account"`
	Kind        string           `json:"kind"`
	Currency    string           `json:"currency"`
	Window      uint64           `json:"window"`
	From        *time.Time       `json:"from"` // nil: the beginning
	To          time.Time        `json:"to"`
	Line        LineState        `json:"line"`
	Events      uint64           `json:"events"`
	Opening     Money            `json:"opening"`
	Usage       []StatementUsage `json:"usage"`
	Fees        []StatementItem  `json:"fees"`
	Losses      []StatementItem  `json:"losses"`
	Credits     []StatementItem  `json:"credits"`
	Charges     []StatementItem  `json:"charges"`
	Corrections []StatementUsage `json:"corrections"`
	Returned    []StatementItem  `json:"returned"`
	Payments    []StatementItem  `json:"payments"`
	Closing     Money            `json:"closing"`
}

// StatementUsage is the usage of one meter, model and component.
type StatementUsage struct {
	Kind      string  `json:"kind"`
	Meter     string  `json:"meter"`
	Model     *string `json:"model"`
	Component string  `json:"component"`
	Events    uint64  `json:"events"`
	Quantity  *Money  `json:"quantity"` // a decimal string like an amount; nil: of several components
	Amount    Money   `json:"amount"`
}

// StatementItem sums up the transfers of one reason.
type StatementItem struct {
	Reason string `json:"reason"`
	Count  uint64 `json:"count"`
	Amount Money  `json:"amount"`
}

// Statement reads an account's statement of a settled window.
func (c *Client) Statement(ctx context.Context, account string, window uint64) (Statement, error) {
	var out Statement
	err := c.send(ctx, http.MethodGet, statementPath(account, window), nil, &out)
	return out, err
}

// StatementAs reads a statement in another format: csv or html.
func (c *Client) StatementAs(ctx context.Context, account string, window uint64, format string) ([]byte, error) {
	_, body, err := c.Do(ctx, http.MethodGet, statementPath(account, window)+"?format="+format, "", nil)
	return body, err
}

func statementPath(account string, window uint64) string {
	return fmt.Sprintf("/v1/accounts/%s/statements/%d", segment(account), window)
}

// StatementLine is an account's line of a settled window.
type StatementLine struct {
	Window    uint64 `json:"window"`
	BatchID   string `json:"batch_id"`
	Line      int    `json:"line"`
	Currency  string `json:"currency"`
	Opening   Money  `json:"opening"`
	Direction string `json:"direction"`
	Amount    Money  `json:"amount"`
	Closing   Money  `json:"closing"`
	Status    string `json:"status"`
}

// Statements lists an account's lines by window.
func (c *Client) Statements(ctx context.Context, account string) ([]StatementLine, error) {
	return list[StatementLine](ctx, c, "/v1/accounts/"+segment(account)+"/statements")
}

// ResultFeed reads the state of the server's reader of results, with every field it has.
func (c *Client) ResultFeed(ctx context.Context) (json.RawMessage, error) {
	var out json.RawMessage
	err := c.send(ctx, http.MethodGet, "/v1/settlement-results", nil, &out)
	return out, err
}
