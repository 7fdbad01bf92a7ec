package httpapi

import (
	"bytes"
	"net/netip"

	"github.com/valyala/fasthttp"

	"farthing/refusal"
)

// authorise checks the request's API key against the scope that its route needs,
// and notes the key.
func (s *Server) authorise(c *call) *refusal.Refusal {
	need := c.route.scope
	if s.options.Keys == nil || need == 0 {
		return nil
	}
	token, ok := bearer(c.ctx.Request.Header.Peek(fasthttp.HeaderAuthorization))
	if !ok {
		return refusal.New(refusal.Unauthenticated, "no_key", "send the API key as Authorization: Bearer KEY")
	}
	key, ok := s.options.Keys.Authenticate(token)
	if !ok {
		return refusal.New(refusal.Unauthenticated, "unknown_key", "this API key is not known")
	}
	c.key = key
	if !key.Scopes.Has(need) {
		return refusal.New(refusal.Forbidden, "scope", "this needs the scope %s", need)
	}
	return nil
}

// checkHost refuses, on a server without keys, requests for another host than this
// machine. A web page can make its own name resolve to 127.0.0.1 and then reach the
// server through the browser of whoever visits it (DNS rebinding), but it cannot make
// the browser send another Host than that name.
func (s *Server) checkHost(ctx *fasthttp.RequestCtx) *refusal.Refusal {
	if s.options.Keys != nil || isLoopbackHost(ctx.Request.Header.Host()) {
		return nil
	}
	return notThisHost()
}

func notThisHost() *refusal.Refusal {
	return refusal.New(refusal.Forbidden, "host", "without API keys the Host must be localhost or a loopback address")
}

// isLoopbackHost reports whether a Host header, with or without a port, names this
// machine only.
func isLoopbackHost(host []byte) bool {
	name := host
	if i := bytes.LastIndexByte(host, ':'); i > bytes.IndexByte(host, ']') {
		name = host[:i] // an IPv6 address stands in brackets, with or without a port
		for _, c := range host[i+1:] {
			if c < '0' || c > '9' {
				return false
			}
		}
	}
	if string(name) == "127.0.0.1" || bytes.EqualFold(name, []byte("localhost")) { // without allocating
		return true
	}
	if len(name) > 2 && name[0] == '[' && name[len(name)-1] == ']' {
		name = name[1 : len(name)-1]
	}
	ip, err := netip.ParseAddr(string(name))
	return err == nil && ip.Unmap().IsLoopback()
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
