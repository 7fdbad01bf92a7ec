package client

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrFloatMoney means that an amount was not spelled as a JSON string.
var ErrFloatMoney = errors.New("money is not a decimal string")

// ErrNotYet is for an op of Retry that waits for something: nothing failed, but
// it has not happened. It is [Temporary].
var ErrNotYet = errors.New("not yet")

// errNoSummary means that the first page of unpriced events counts nothing.
var errNoSummary = errors.New("there is no summary")

// Problem is an answer outside 2xx: the RFC 9457 document with its status.
type Problem struct {
	Status int    `json:"-"`
	Code   string `json:"code"`
	Reason string `json:"reason"` // finer than Code, as stable
	Title  string `json:"title"`
	Detail string `json:"detail"`
	// Problems says what is wrong one by one, where several things can be.
	Problems []string `json:"problems"`
	// Shortfall is set when funds were insufficient.
	Shortfall
	// Request is method and path of what was refused.
	Request string `json:"-"`
}

// Shortfall says which bound something did not fit.
type Shortfall struct {
	Account string `json:"account"` // whose bound
	Limit   string `json:"limit"`   // its name, or "credit"
	Asked   Money  `json:"asked"`   // an amount, or a number of calls
	Left    Money  `json:"left"`
}

// Error names the request, the status, the code, the reason if there is one, and the detail.
func (p *Problem) Error() string {
	code := p.Code
	if p.Reason != "" && p.Reason != p.Code {
		code += " (" + p.Reason + ")"
	}
	return fmt.Sprintf("%s: %d %s: %s", p.Request, p.Status, code, p.Detail)
}

// CodeOf is the stable code of a refusal, or "" when err is not one.
func CodeOf(err error) string {
	var p *Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}

// ReasonOf is the finer reason of a refusal, or "" when err is not one.
func ReasonOf(err error) string {
	var p *Problem
	if errors.As(err, &p) {
		return p.Reason
	}
	return ""
}

// ShortfallOf says what did not fit, when err is a refusal for insufficient funds.
func ShortfallOf(err error) (s Shortfall, ok bool) {
	var p *Problem
	if errors.As(err, &p) && p.Code == "insufficient_funds" {
		return p.Shortfall, true
	}
	return Shortfall{}, false
}

// Temporary says whether sending the same request again may succeed: the
// connection broke (the answer may be lost, the effect not), the server was
// overloaded or not ready, or what is waited for has not happened. A refusal is final.
func Temporary(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	if errors.Is(err, ErrNotYet) {
		return true
	}
	var p *Problem
	if errors.As(err, &p) {
		return p.Status == 429 || p.Status == 503
	}
	var decode *decodeError
	return !errors.As(err, &decode)
}

// Retry calls op until it succeeds, fails for good, or ctx ends, pausing for
// every between calls. What it returns is op's last error.
func Retry(ctx context.Context, every time.Duration, op func(context.Context) error) error {
	for {
		err := op(ctx)
		if err == nil || !Temporary(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("gave up: %w (%w)", err, ctx.Err())
		case <-time.After(every):
		}
	}
}

// decodeError is an answer that is not what the contract says: sending the
// request again would not help.
type decodeError struct {
	request string
	err     error
}

func (e *decodeError) Error() string { return e.request + ": unexpected answer: " + e.err.Error() }
func (e *decodeError) Unwrap() error { return e.err }
