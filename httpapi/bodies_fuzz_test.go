package httpapi

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// bodyRoutes are the routes that read a body.
func bodyRoutes() []route {
	return slices.DeleteFunc(routeTable(), func(r route) bool { return r.bodyMax == 0 })
}

var parameter = regexp.MustCompile(`\{[a-z_]+\}`)

// pathOf is a path of the route, with ids in it.
func (r *route) pathOf() string {
	path := strings.NewReplacer("{batch_id}", strings.Repeat("ab", 32), "{line}", "1").Replace(r.pattern)
	return parameter.ReplaceAllString(path, "id1")
}

// FuzzBodies sends any body to every route that reads one: the answer is one that openapi.yaml has, and
// the connection goes on.
func FuzzBodies(f *testing.F) {
	r := newRig(f, Options{})
	routes := bodyRoutes()
	for i := range routes {
		for _, body := range []string{
			`{}`, `[]`, `{"id":"a"}`, `{"id":"a","amount":"1.5"}`, `{"id":"a","currency":"USD","kind":"customer","billing":"prepaid","metadata":{"a":[1,{"b":null}]}}`,
			`{"id":"h1","account":"acme","amount":"1","ttl":"60s"}`, `{"id":"h1","account":"acme","estimate":{"type":"api.calls","data":{"usage":{"call":3}}},"ttl":"60s"}`,
			`{"id":"g1","amount":"5","kind":"promo","priority":1,"expires_at":"2027-01-01T00:00:00Z","scope":{"types":["api.calls"],"dimensions":{"model":"m"}}}`,
			`{"limits":[{"name":"day","amount":"10","per":"day","mode":"hard"}]}`, `{"id":"w1","url":"https://example.com/hook","types":["low_balance"]}`,
			`{"effective_from":"2026-01-01T00:00:00Z","prices":[{"meter":"api.calls","currency":"USD","match":{},"components":{"call":"0.0004"}}]}`,
			`{"id":"e1","source":"gw","type":"api.calls","subject":"acme"}`, `{"id":"v1","reason":"wrong"}`, `{"id":"r1","status":"paid","amount":"1","reference":"x"}`,
			`{"id":"s1","window":1}`, `{"id":"s1","amount":"10","every":"month","allowance":"100"}`, `{"id":"a","id":"a"}`, `{"id":1e400}`, "\xff", `{"id":"\ud800"}`,
		} {
			f.Add(uint8(i), body)
		}
	}
	c := r.dial()
	f.Fuzz(func(t *testing.T, n uint8, body string) {
		route := &routes[int(n)%len(routes)]
		if c == nil {
			c = r.dial()
		}
		r.t, c.t = t, t
		if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		c.send(requestText(route.method, route.pathOf(), "application/json", body))
		got := c.receive(route.method)
		r.checkContract(route.method, route.pathOf(), got)
		if got.status >= 500 {
			t.Errorf("%s %s answers %d: %s", route.method, route.pattern, got.status, got.body)
		}
		if got.close {
			_ = c.Close()
			c = nil
		}
		r.t = f // connections of later inputs, and the end
	})
}
