package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Bounds of an answer: what of its body is read, so that the connection can be used again, and its headers.
const (
	answerBytesMax = 64 << 10
	headerBytesMax = 64 << 10
)

// retryAfterMax bounds what an endpoint may ask for with Retry-After: the longest delay of the schedule.
const retryAfterMax = 24 * time.Hour

// outcome is what came of an attempt.
type outcome struct {
	err        error         // nil: delivered
	gone       bool          // the endpoint wants nothing more
	retryAfter time.Duration // the least delay that it asked for
}

// newClient returns the client of all endpoints. Each gets a connection of its own, as none is used twice at once.
func newClient(o *Options) *http.Client {
	dialer := &net.Dialer{Timeout: o.Timeout, Resolver: o.Resolver}
	if !o.AllowPrivate {
		dialer.Control = publicOnly
	}
	return &http.Client{
		Transport: &http.Transport{
			// No Proxy: one would resolve the names itself, out of sight of the dialer's check.
			DialContext:            dialer.DialContext,
			TLSHandshakeTimeout:    o.Timeout,
			DisableCompression:     true,
			MaxIdleConns:           o.EndpointsMax,
			MaxIdleConnsPerHost:    1,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: headerBytesMax,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// attempt sends a notification once.
func (d *Dispatcher) attempt(ctx context.Context, e *Endpoint, n *Notification) outcome {
	ctx, cancel := context.WithTimeout(ctx, d.o.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, bytes.NewReader(n.JSON))
	if err != nil {
		return outcome{err: err}
	}
	id, at := d.webhookID(n.Number), d.o.Now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "farthing-webhooks")
	req.Header.Set("webhook-id", id)
	req.Header.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
	req.Header.Set("webhook-signature", e.Secret.sign(id, at, n.JSON))
	resp, err := d.client.Do(req)
	if err != nil {
		return outcome{err: d.told(err)}
	}
	// The status decides. A body that is long, slow or broken costs the connection and nothing else.
	_, _ = io.CopyN(io.Discard, resp.Body, answerBytesMax)
	_ = resp.Body.Close()
	return judge(resp)
}

// told is what of an error may be listed, for everybody with a key that reads. net/http quotes what it cannot read as an
// answer: with private addresses allowed that would show the greeting of any service that an endpoint's URL leads to. The
// net package names addresses: ours, that of the resolver, and what a name resolves to in this network.
func (d *Dispatcher) told(err error) error {
	var name *net.DNSError
	var network *net.OpError
	switch text := err.Error(); {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer within %v", d.o.Timeout)
	case errors.Is(err, errNotPublic):
		return errNotPublic
	case strings.Contains(text, "malformed"), strings.Contains(text, "transport connection broken"):
		return errors.New("the answer is not HTTP")
	case errors.As(err, &name) && name.IsNotFound:
		return errors.New("there is no such host")
	case name != nil:
		return errors.New("the host could not be looked up")
	case errors.As(err, &network):
		return network.Err
	}
	return err
}

// judge says what an answer means.
func judge(resp *http.Response) outcome {
	switch code := resp.StatusCode; {
	case code >= 200 && code <= 299:
		return outcome{}
	case code >= 300 && code <= 399:
		return outcome{err: fmt.Errorf("status %d: redirects are not followed", code)}
	case code == http.StatusGone:
		return outcome{err: fmt.Errorf("status %d: it wants nothing more", code), gone: true}
	default:
		return outcome{err: fmt.Errorf("status %d", code), retryAfter: retryAfter(resp.Header)}
	}
}

// retryAfter reads the header in its form in seconds; 0 without one.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.ParseUint(h.Get("Retry-After"), 10, 31)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, retryAfterMax)
}

// webhookID is what all deliveries of a notification have in common. The signed text is joined with dots, so the id
// must not have any; "~" is in no ledger's id.
func (d *Dispatcher) webhookID(number uint64) string {
	return fmt.Sprintf("ntf-%s-%d", strings.ReplaceAll(d.o.Ledger, ".", "~"), number)
}
