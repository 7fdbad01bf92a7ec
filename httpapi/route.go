package httpapi

import (
	"strings"

	"farthing/engine"
	"farthing/meter"
	"farthing/refusal"
)

// route is one method of one path. openapi.yaml has exactly these.
type route struct {
	method string
	// pattern is the path with {names}; it is also the route's name in metrics,
	// so that ids never become label values.
	pattern string
	scope   Scopes // 0: open
	// bodyMax bounds the body, in bytes; 0: the route reads none.
	bodyMax int
	// long: the answer may be long, so it waits for its turn (rendersMax).
	long   bool
	handle func(*Server, *call) (answer, *refusal.Refusal)
	// op is what a body does to holds, 0 if nothing; one: it is one such operation, whose
	// hold the path names.
	op  engine.HoldOpKind
	one bool

	index    int
	segments []string // "" where an id stands
}

// answer is what a handler gives back: a status and a value for encoding/json.
// Status 0: the handler has written its answer itself.
type answer struct {
	status int
	body   any
}

// routeTable lists all routes. A GET is also a HEAD.
func routeTable() []route {
	table := []route{
		{method: "GET", pattern: "/healthz", handle: (*Server).getHealth},
		{method: "GET", pattern: "/readyz", handle: (*Server).getReady},
		{method: "GET", pattern: "/metrics", scope: ScopeRead, handle: (*Server).getMetrics},
		{method: "GET", pattern: "/openapi.yaml", handle: (*Server).getOpenAPI},

		{method: "POST", pattern: "/v1/events", scope: ScopeIngest, bodyMax: BodyMaxBytes, handle: (*Server).postEvents},
		{method: "GET", pattern: "/v1/events/{source}/{id}", scope: ScopeRead, handle: (*Server).getEvent},
		{method: "POST", pattern: "/v1/events/{source}/{id}/void", scope: ScopeAdmin, bodyMax: coldBodyMaxBytes, handle: (*Server).postVoid},
		{method: "GET", pattern: "/v1/unpriced", scope: ScopeRead, long: true, handle: (*Server).getUnpriced},

		{method: "POST", pattern: "/v1/accounts", scope: ScopeAdmin, bodyMax: coldBodyMaxBytes, handle: (*Server).postAccount},
		{method: "GET", pattern: "/v1/accounts", scope: ScopeRead, long: true, handle: (*Server).getAccounts},
		{method: "GET", pattern: "/v1/accounts/{id}", scope: ScopeRead, handle: (*Server).getAccount},
		{method: "GET", pattern: "/v1/accounts/{id}/transfers", scope: ScopeRead, long: true, handle: (*Server).getTransfers},
		{method: "GET", pattern: "/v1/accounts/{id}/usage", scope: ScopeRead, long: true, handle: (*Server).getUsage},
		{method: "POST", pattern: "/v1/accounts/{id}/topups", scope: ScopeAdmin, bodyMax: coldBodyMaxBytes, handle: (*Server).postTopUp},
		{method: "GET", pattern: "/v1/trial-balance", scope: ScopeRead, handle: (*Server).getTrialBalance},

		{method: "GET", pattern: "/v1/prices", scope: ScopeRead, long: true, handle: (*Server).getPrices},
		{method: "PUT", pattern: "/v1/prices/{version}", scope: ScopeAdmin, bodyMax: BodyMaxBytes, handle: (*Server).putPrices},
		{method: "GET", pattern: "/v1/prices/{version}", scope: ScopeRead, long: true, handle: (*Server).getPriceVersion},
		// These two are streams: the engine bounds how many there are, and the result is
		// built outside the handler.
		{method: "GET", pattern: "/v1/prices/{version}/simulation", scope: ScopeRead, handle: (*Server).getSimulation},
		{method: "GET", pattern: "/v1/prices/{version}/rerate", scope: ScopeRead, handle: (*Server).getRerate},
		{method: "POST", pattern: "/v1/prices/{version}/rerate", scope: ScopeAdmin, bodyMax: coldBodyMaxBytes, handle: (*Server).postRerate},
		{method: "GET", pattern: "/v1/rerates/{id}", scope: ScopeRead, handle: (*Server).getRerateStatus},

		{method: "POST", pattern: "/v1/settlements", scope: ScopeAdmin, bodyMax: coldBodyMaxBytes, handle: (*Server).postSettlement},
		{method: "GET", pattern: "/v1/settlements", scope: ScopeRead, long: true, handle: (*Server).getSettlements},
		{method: "GET", pattern: "/v1/settlements/{batch_id}", scope: ScopeRead, handle: (*Server).getSettlement},
		{method: "GET", pattern: "/v1/settlements/{batch_id}/lines", scope: ScopeRead, long: true, handle: (*Server).getLines},

		{method: "POST", pattern: "/v1/webhooks", scope: ScopeAdmin, bodyMax: coldBodyMaxBytes, handle: (*Server).postWebhook},
		{method: "GET", pattern: "/v1/webhooks", scope: ScopeRead, long: true, handle: (*Server).getWebhooks},
		{method: "GET", pattern: "/v1/webhooks/{id}", scope: ScopeRead, handle: (*Server).getWebhook},
		{method: "DELETE", pattern: "/v1/webhooks/{id}", scope: ScopeAdmin, handle: (*Server).deleteWebhook},
		{method: "POST", pattern: "/v1/webhooks/{id}/enable", scope: ScopeAdmin, bodyMax: coldBodyMaxBytes, handle: (*Server).postWebhookEnable},
	}
	table = append(table, creditRoutes()...)
	table = append(table, holdRoutes()...)
	table = append(table, statementRoutes()...)
	table = append(table, resultRoutes()...)
	table = append(table, evidenceRoutes()...)
	table = append(table, backupRoutes()...)
	for i := range table {
		table[i].index = i
		for _, segment := range strings.Split(table[i].pattern[1:], "/") {
			if strings.HasPrefix(segment, "{") {
				segment = ""
			}
			table[i].segments = append(table[i].segments, segment)
		}
	}
	return table
}

// matches reports whether the path is that of r. A parameter takes any segment
// that is not empty.
func (r *route) matches(t *target) bool {
	if t.n != len(r.segments) {
		return false
	}
	for i, want := range r.segments {
		got := t.segments[i]
		if len(got) == 0 || (want != "" && string(got) != want) {
			return false
		}
	}
	return true
}

// routeOf returns the route of a method and path. nil: there is none, and allow
// says which methods the path has; empty: the path does not exist.
func (s *Server) routeOf(method []byte, t *target) (found *route, allow string) {
	for i := range s.routes {
		r := &s.routes[i]
		if !r.matches(t) {
			continue
		}
		if r.method == string(method) || (r.method == "GET" && string(method) == "HEAD") {
			return r, ""
		}
		if allow != "" {
			allow += ", "
		}
		allow += r.method
		if r.method == "GET" {
			allow += ", HEAD"
		}
	}
	return nil, allow
}

// param returns the i-th id of the path, which must be an id of the contract.
func (c *call) param(i int) (string, *refusal.Refusal) {
	for k, literal := range c.route.segments {
		if literal != "" {
			continue
		}
		if i > 0 {
			i--
			continue
		}
		id := c.target.segments[k]
		if !meter.ValidID(id) {
			return "", refusal.New(refusal.Invalid, "invalid_id", "an id in the path must be 1 to %d of A-Z a-z 0-9 . _ : - / @, percent-encoded", meter.MaxIDBytes)
		}
		return string(id), nil
	}
	panic("BUG: the route has no such parameter: " + c.route.pattern)
}
