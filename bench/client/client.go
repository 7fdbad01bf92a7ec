package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// answerBytesMax bounds an answer held in memory; the largest is a page of
// lines, far below it.
const answerBytesMax = 64 << 20

// Options of a Client.
type Options struct {
	// Key is sent as a bearer token; "" (the default) sends none.
	Key string
	// Timeout of one request; default 30 s. Closing a window answers after
	// sealing, so much less would give up on a large one.
	Timeout time.Duration
	// Connections kept open; default 64. Fewer than the caller's concurrency
	// means a new connection for most requests.
	Connections int
}

func (o Options) withDefaults() Options {
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Connections == 0 {
		o.Connections = 64
	}
	return o
}

// Client sends requests to one server. See the package comment.
type Client struct {
	base func() string
	key  string
	http *http.Client
}

// New returns a client of the server at base(), which is asked before each
// request because a restarted server may listen elsewhere.
func New(base func() string, opts Options) *Client {
	opts = opts.withDefaults()
	transport := &http.Transport{
		MaxIdleConns: opts.Connections, MaxIdleConnsPerHost: opts.Connections,
		IdleConnTimeout: time.Minute, DisableCompression: true,
	}
	return &Client{base: base, key: opts.Key, http: &http.Client{Transport: transport, Timeout: opts.Timeout}}
}

// At is the base of a server that stays where it is.
func At(url string) func() string { return func() string { return url } }

// Close drops the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Do sends one request and returns status and body of the answer. A status
// outside 2xx is a *Problem; anything else that goes wrong is the connection.
func (c *Client) Do(ctx context.Context, method, path, contentType string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base()+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, answerBytesMax))
	if err != nil {
		return 0, nil, fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	if resp.StatusCode/100 != 2 {
		return resp.StatusCode, answer, problemOf(method+" "+path, resp.StatusCode, answer)
	}
	return resp.StatusCode, answer, nil
}

func problemOf(request string, status int, body []byte) error {
	p := &Problem{Status: status, Request: request}
	if json.Unmarshal(body, p) != nil {
		p.Detail = strings.TrimSpace(string(body[:min(len(body), 200)]))
	}
	return p
}

// send marshals in (nil: no body), and unmarshals the answer into out (nil:
// dropped).
func (c *Client) send(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	contentType := ""
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		contentType = "application/json"
	}
	_, answer, err := c.Do(ctx, method, path, contentType, body)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return &decodeError{request: method + " " + path, err: err}
	}
	return nil
}

// page is the shape of every list of the contract.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next"`
}

// list follows the cursor to the end.
func list[T any](ctx context.Context, c *Client, path string) ([]T, error) {
	return listWith[T](ctx, c, path, "limit", "1000")
}

// listWith is list with one more parameter.
func listWith[T any](ctx context.Context, c *Client, path, name, value string) ([]T, error) {
	var all []T
	q := url.Values{"limit": {"1000"}}
	q.Set(name, value)
	for {
		var p page[T]
		if err := c.send(ctx, http.MethodGet, path+"?"+q.Encode(), nil, &p); err != nil {
			return nil, err
		}
		all = append(all, p.Items...)
		if p.Next == "" {
			return all, nil
		}
		if p.Next == q.Get("cursor") {
			return nil, &decodeError{request: path, err: fmt.Errorf("the cursor %q repeats", p.Next)}
		}
		q.Set("cursor", p.Next)
	}
}

// segment is an id as one percent-encoded path segment.
func segment(id string) string { return url.PathEscape(id) }
