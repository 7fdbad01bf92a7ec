package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"farthing/compact"
)

// Options of a Client.
type Options struct {
	// Key is sent as a bearer token; "" sends none.
	Key string
	// HTTP does the requests; nil is a client that keeps 16 connections and gives a request 30 s.
	HTTP *http.Client
	// Pause before a request is sent again, twice as long each time up to PauseMax, with up to as much again at random. An answer's Retry-After counts if it is
	// longer. Defaults: 50 ms and 5 s.
	Pause, PauseMax time.Duration
}

// Client sends events to one server.
type Client struct {
	url string
	o   Options
}

// connections that are kept by default: two senders of batches fill a server of two cores, and batches overlap.
const connections = 16

// New returns a client of the server at url: scheme, host and port.
func New(url string, o Options) *Client {
	if o.HTTP == nil {
		o.HTTP = &http.Client{Timeout: 30 * time.Second,
			Transport: &http.Transport{MaxIdleConnsPerHost: connections, IdleConnTimeout: time.Minute, DisableCompression: true}}
	}
	if o.Pause <= 0 {
		o.Pause = 50 * time.Millisecond
	}
	if o.PauseMax <= 0 {
		o.PauseMax = 5 * time.Second
	}
	return &Client{url: url, o: o}
}

// Result is what became of the events of a request.
type Result struct {
	Accepted   int
	Duplicates int
	Unpriced   int // of the accepted ones: their price is not known yet
	// Rejected lists events that were refused, up to a thousand; Unlisted counts the others.
	Rejected []Rejected
	Unlisted int `json:"rejected_more"`
	Sequence uint64
}

// Rejected is an event that was refused: sending it again changes nothing.
type Rejected struct {
	Index                int // in the batch
	ID                   string
	Code, Reason, Detail string
}

// Refused is the server's refusal of a whole request: sending it again changes nothing.
type Refused struct {
	Status               int
	Code, Reason, Detail string
}

// Error says why.
func (r *Refused) Error() string {
	return fmt.Sprintf("the server refused the events: %d %s (%s): %s", r.Status, r.Code, r.Reason, r.Detail)
}

// final says whether the server would say the same again: not if it had no time or room, nor if something on the way answered in its stead.
func (r *Refused) final() bool {
	return r.Status < 500 && r.Status != http.StatusTooManyRequests && r.Status != http.StatusRequestTimeout
}

// errFinal is of what would be the same the next time and is no refusal of the server's: an address that is none, an answer that
// nobody can read.
var errFinal = errors.New("send events")

// Send sends the events of a batch and returns when they are durable. It sends again what may succeed later. An error is a *Refused, or says why
// it could not be sent until ctx ended, or that the answer could not be read; then what was sent may have been booked.
//
// The only event of a batch, if it is refused, is a *Refused; of several they are in the result.
func (c *Client) Send(ctx context.Context, b *compact.Batch) (Result, error) {
	body := b.Append(nil)
	for pause := c.o.Pause; ; pause = min(2*pause, c.o.PauseMax) {
		result, after, err := c.once(ctx, body)
		var refused *Refused
		if err == nil || errors.Is(err, errFinal) || errors.As(err, &refused) && refused.final() {
			return result, err
		}
		timer := time.NewTimer(max(after, pause) + rand.N(pause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return Result{}, fmt.Errorf("send events: %w; the last try: %v", context.Cause(ctx), err) //nolint:errorlint // a refusal that may be none next time is no Refused
		case <-timer.C:
		}
	}
}

// answerMax bounds an answer: a thousand refused events are about 150 KB.
const answerMax = 8 << 20

// once sends a body once; after is what the server asks to wait before the next time.
func (c *Client) once(ctx context.Context, body []byte) (result Result, after time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return result, 0, fmt.Errorf("%w: %w", errFinal, err)
	}
	req.Header.Set("Content-Type", compact.MediaType)
	if c.o.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.o.Key)
	}
	resp, err := c.o.HTTP.Do(req)
	if err != nil {
		return result, 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	if err != nil {
		return result, 0, err
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		after = time.Duration(seconds) * time.Second
	}
	if resp.StatusCode != http.StatusOK {
		refused := &Refused{Status: resp.StatusCode}
		if json.Unmarshal(answer, refused) != nil {
			refused.Detail = string(answer[:min(len(answer), 200)])
		}
		refused.Status = resp.StatusCode // the document says it too
		return result, after, refused
	}
	if err := json.Unmarshal(answer, &result); err != nil {
		return Result{}, 0, fmt.Errorf("%w: the answer is not what the contract says: %w", errFinal, err)
	}
	return result, 0, nil
}
