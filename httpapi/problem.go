package httpapi

import (
	"strconv"

	"github.com/valyala/fasthttp"

	"farthing/refusal"
)

// codes lists every code a problem document may have, with its status and title.
// It is the one place where a refusal becomes HTTP; openapi.yaml names the same.
var codes = [...]struct {
	code   refusal.Code
	status int
	title  string
}{
	{refusal.Malformed, 400, "The request cannot be parsed"},
	{refusal.Unauthenticated, 401, "A valid API key is needed"},
	{refusal.InsufficientFunds, 402, "The funds do not suffice"},
	{refusal.Forbidden, 403, "This is not allowed"},
	{refusal.NotFound, 404, "There is no such thing"},
	{refusal.MethodNotAllowed, 405, "The method does not exist here"},
	{refusal.Timeout, 408, "The request did not arrive in time"},
	{refusal.IDConflict, 409, "The id was used for something else"},
	{refusal.WindowConflict, 409, "The window is not the open one"},
	{refusal.PriceConflict, 409, "Another price version is effective at that moment"},
	{refusal.HoldConflict, 409, "The hold is not in a state for this"},
	{refusal.AccountConflict, 409, "The account is not in a state for this"},
	{refusal.RequestConflict, 409, "The top-up request is not in a state for this"},
	{refusal.ResultConflict, 409, "The line is not in a state for this result"},
	{refusal.SettlementConflict, 409, "It is not settled yet"},
	{refusal.TooLarge, 413, "The request is too large"},
	{refusal.UnsupportedType, 415, "The content type is not read here"},
	{refusal.Invalid, 422, "The request is not acceptable"},
	{refusal.Overloaded, 429, "There is no room now"},
	{refusal.KeyLimit, 429, "The API key is over its limit"},
	{refusal.NotReady, 503, "The service is not ready"},
	{refusal.Internal, 500, "Something is wrong on our side"},
}

// retryAfterSeconds is what clients are told after 429 and 503 unless the refusal knows
// better. Budgets come back within a group commit and a start takes seconds, so one second
// spreads the clients without holding them up.
const retryAfterSeconds = "1"

func statusOf(code refusal.Code) (status int, title string) {
	for i := range codes {
		if codes[i].code == code {
			return codes[i].status, codes[i].title
		}
	}
	panic("BUG: no status for the refusal code " + string(code))
}

// appendProblem appends the problem document (RFC 9457) of a refusal.
func appendProblem(b []byte, no *refusal.Refusal) []byte {
	status, title := statusOf(no.Code)
	b = append(b, `{"type":"urn:farthing:problem:`...)
	b = append(b, no.Code...)
	b = append(b, `","title":"`...)
	b = append(b, title...)
	b = append(b, `","status":`...)
	b = appendInt(b, status)
	b = append(b, `,"detail":`...)
	b = appendString(b, no.Detail)
	b = append(b, `,"code":"`...)
	b = append(b, no.Code...)
	b = append(b, `","reason":`...)
	b = appendString(b, no.Reason)
	if len(no.Problems) > 0 {
		b = append(b, `,"problems":[`...)
		for i, problem := range no.Problems {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, problem)
		}
		b = append(b, ']')
	}
	if no.Shortfall != nil {
		b = appendShortfall(b, no.Shortfall)
	}
	return append(b, '}')
}

// appendShortfall appends what was missing as members of the object being written.
func appendShortfall(b []byte, short *refusal.Shortfall) []byte {
	b = append(b, `,"account":`...)
	b = appendString(b, short.Account)
	b = append(b, `,"limit":`...)
	b = appendString(b, short.Limit)
	b = append(b, `,"asked":`...)
	b = appendString(b, short.Asked)
	b = append(b, `,"left":`...)
	return appendString(b, short.Left)
}

// writeProblem answers with a problem document. It is the only way that a request
// is refused.
func writeProblem(ctx *fasthttp.RequestCtx, no *refusal.Refusal) {
	status, _ := statusOf(no.Code)
	ctx.Response.SetStatusCode(status)
	ctx.Response.Header.SetContentType("application/problem+json")
	ctx.Response.SetBody(appendProblem(make([]byte, 0, 256+len(no.Detail)), no))
	switch no.Code {
	case refusal.Overloaded, refusal.KeyLimit, refusal.NotReady:
		after := retryAfterSeconds
		if no.RetryAfter > 0 {
			after = strconv.Itoa(no.RetryAfter)
		}
		ctx.Response.Header.Set("Retry-After", after)
	case refusal.UnsupportedType:
		if no.Reason == "content_encoding" {
			ctx.Response.Header.Set("Accept-Encoding", encodingsRead)
		}
	case refusal.Unauthenticated:
		ctx.Response.Header.Set("WWW-Authenticate", "Bearer")
	}
}
