package httpapi

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"farthing/refusal"
)

// authorise checks the request's API key against the scope a route needs.
func (s *Server) authorise(ctx *fasthttp.RequestCtx, need Scopes) *refusal.Refusal {
	if s.options.Keys == nil || need == 0 {
		return nil
	}
	token, ok := bearer(ctx.Request.Header.Peek(fasthttp.HeaderAuthorization))
	if !ok {
		return refusal.New(refusal.Unauthenticated, "no_key", "send the API key as Authorization: Bearer KEY")
	}
	_, scopes, ok := s.options.Keys.Authenticate(token)
	if !ok {
		return refusal.New(refusal.Unauthenticated, "unknown_key", "this API key is not known")
	}
	if !scopes.Has(need) {
		return refusal.New(refusal.Forbidden, "scope", "this needs the scope %s", need)
	}
	return nil
}

// String returns the scopes' names.
func (s Scopes) String() string {
	var b []byte
	for i, name := range [...]string{"ingest", "read", "admin"} {
		if s&(1<<i) != 0 {
			if len(b) > 0 {
				b = append(b, ' ')
			}
			b = append(b, name...)
		}
	}
	return string(b)
}

// bearer returns the token of an Authorization header (RFC 6750; the scheme's
// case does not matter).
func bearer(header []byte) (token []byte, ok bool) {
	scheme, token, found := bytes.Cut(header, []byte(" "))
	token = bytes.TrimSpace(token)
	return token, found && len(token) > 0 && bytes.EqualFold(scheme, []byte("bearer"))
}
