package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Progress is told how far a simulation is, a few times a second. It may be nil.
type Progress func(done, total uint64)

// Repricing is what past events would come to under a price version.
type Repricing struct {
	Version  string          `json:"version"`
	From     string          `json:"from"` // "": open
	To       string          `json:"to"`   // "": open
	Sequence uint64          `json:"sequence"`
	Events   uint64          `json:"events"`
	Unpriced uint64          `json:"unpriced"`
	Totals   []RepricedTotal `json:"totals"`
	Rows     []RepricedRow   `json:"rows"`
	// Raw is the result as the server sent it.
	Raw json.RawMessage `json:"-"`
}

// RepricedTotal is the sums of one currency.
type RepricedTotal struct {
	Currency   string `json:"currency"`
	Was        Money  `json:"was"`
	Would      Money  `json:"would"`
	Difference Money  `json:"difference"`
}

// RepricedRow is the sums of one customer, model and component.
type RepricedRow struct {
	Currency   string `json:"currency"`
	Account    string `json:"account"`
	Model      string `json:"model"`
	Component  string `json:"component"`
	Events     uint64 `json:"events"`
	Was        Money  `json:"was"`
	Would      Money  `json:"would"`
	Difference Money  `json:"difference"`
}

// Rerate is a rerate and how far it is.
type Rerate struct {
	ID      string        `json:"id"`
	Version string        `json:"version"`
	State   string        `json:"state"` // running, done
	Events  uint64        `json:"events"`
	Totals  []RerateTotal `json:"totals"`
}

// RerateTotal is what a rerate moved in one currency.
type RerateTotal struct {
	Currency   string `json:"currency"`
	Returned   Money  `json:"returned"`
	Charged    Money  `json:"charged"`
	Difference Money  `json:"difference"`
}

// Simulate asks what past events would come to under a version. from and to are RFC 3339 or
// dates; "" leaves that end open.
func (c *Client) Simulate(ctx context.Context, version, from, to string, progress Progress) (Repricing, error) {
	return c.reprice(ctx, "/v1/prices/"+segment(version)+"/simulation", from, to, progress)
}

// PreviewRerate asks what Rerate would post.
func (c *Client) PreviewRerate(ctx context.Context, version, from, to string, progress Progress) (Repricing, error) {
	return c.reprice(ctx, "/v1/prices/"+segment(version)+"/rerate", from, to, progress)
}

// Rerate begins to post the difference that a version makes; id makes it idempotent.
func (c *Client) Rerate(ctx context.Context, version, id, from, to string) (Rerate, error) {
	body := map[string]string{"id": id}
	if from != "" {
		body["from"] = from
	}
	if to != "" {
		body["to"] = to
	}
	var r Rerate
	err := c.send(ctx, http.MethodPost, "/v1/prices/"+segment(version)+"/rerate", body, &r)
	return r, err
}

// RerateStatus reads how far a rerate is.
func (c *Client) RerateStatus(ctx context.Context, id string) (Rerate, error) {
	var r Rerate
	err := c.send(ctx, http.MethodGet, "/v1/rerates/"+segment(id), nil, &r)
	return r, err
}

// errSilent ends a stream that tells nothing for the Timeout of a request.
var errSilent = errors.New("the server has stopped telling how far it is")

// reprice reads a stream of progress up to its result. It may take hours, but between two
// lines no longer than a request may.
func (c *Client) reprice(ctx context.Context, path, from, to string, progress Progress) (Repricing, error) {
	query := url.Values{}
	for name, value := range map[string]string{"from": from, "to": to} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(c.http.Timeout, func() { cancel(errSilent) })
	defer watch.Stop()
	body, err := c.open(ctx, path)
	if err != nil {
		return Repricing{}, silence(ctx, err)
	}
	defer func() { _ = body.Close() }()
	r, err := repricing(&wakefulReader{body, watch, c.http.Timeout}, path, progress)
	return r, silence(ctx, err)
}

// silence names the cause where it was our own.
func silence(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errSilent) {
		return errors.Join(errSilent, err)
	}
	return err
}

// wakefulReader puts the watch off whenever something comes.
type wakefulReader struct {
	from  io.Reader
	watch *time.Timer
	grace time.Duration
}

func (r *wakefulReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.watch.Reset(r.grace)
	return n, err
}

// open begins a GET whose answer is a stream.
func (c *Client) open(ctx context.Context, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base()+path, nil)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	unbounded := http.Client{Transport: c.http.Transport}
	resp, err := unbounded.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, answerBytesMax))
	if err != nil {
		return nil, fmt.Errorf("GET %s: read the answer: %w", path, err)
	}
	return nil, problemOf("GET "+path, resp.StatusCode, answer)
}

// repricing reads the lines of a stream.
func repricing(from io.Reader, path string, progress Progress) (Repricing, error) {
	lines := json.NewDecoder(from)
	for {
		var line struct {
			Progress *struct{ Done, Total uint64 } `json:"progress"`
			Result   json.RawMessage               `json:"result"`
			Problem  json.RawMessage               `json:"problem"`
		}
		if err := lines.Decode(&line); err != nil {
			return Repricing{}, fmt.Errorf("GET %s: the stream broke off: %w", path, err)
		}
		switch {
		case line.Problem != nil:
			var status struct{ Status int }
			if err := json.Unmarshal(line.Problem, &status); err != nil {
				return Repricing{}, &decodeError{request: "GET " + path, err: err}
			}
			return Repricing{}, problemOf("GET "+path, status.Status, line.Problem)
		case line.Result != nil:
			r := Repricing{Raw: bytes.Clone(line.Result)}
			if err := json.Unmarshal(line.Result, &r); err != nil {
				return Repricing{}, &decodeError{request: "GET " + path, err: err}
			}
			return r, nil
		case line.Progress != nil && progress != nil:
			progress(line.Progress.Done, line.Progress.Total)
		}
	}
}
