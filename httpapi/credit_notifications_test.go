package httpapi

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"farthing/refusal"
)

func TestNotifications(t *testing.T) {
	r := newRig(t, Options{})
	f := func(query, next string, numbers ...int) {
		t.Helper()
		got := r.get("/v1/notifications" + query)
		got.want(t, 200, "")
		items := make([]string, len(numbers))
		for i, n := range numbers {
			items[i] = string(r.engine.credit.notifications[n-1].JSON)
		}
		sameText(t, got.body, fmt.Sprintf(`{"items":[%s],"next":%q}`, strings.Join(items, ","), next))
	}
	f("", "")
	f("?wait=1ms", "")
	for range 3 {
		r.engine.credit.notify()
	}
	f("", "", 1, 2, 3)
	f("?after=0&limit=1000&wait=30s", "", 1, 2, 3)
	f("?limit=2", "2", 1, 2)
	f("?after=2&limit=2", "", 3)
	f("?limit=3", "", 1, 2, 3) // it is full, and nothing is left
	f("?after=1&limit=1", "2", 2)
	f("?after=3", "")
	f("?after=18446744073709551615&wait=0s", "")
	for query, reason := range map[string]string{
		"?after=": "invalid_after", "?after=-1": "invalid_after", "?after=x": "invalid_after", "?after=18446744073709551616": "invalid_after", "?after=1&after=2": "duplicate_parameter",
		"?limit=0": "invalid_limit", "?limit=1001": "invalid_limit", "?cursor=x": "unknown_parameter",
		"?wait=": "invalid_wait", "?wait=10": "invalid_wait", "?wait=-1s": "invalid_wait", "?wait=31s": "invalid_wait"} {
		got := r.get("/v1/notifications" + query)
		got.want(t, 422, "invalid")
		if _, is := got.problem(t); is != reason {
			t.Errorf("%s: reason %s, want %s", query, is, reason)
		}
	}
	r.engine.refused = refusal.New(refusal.NotReady, "", "not yet")
	r.get("/v1/notifications").want(t, 503, "not_ready")
	r.get("/v1/notifications?wait=10s").want(t, 503, "not_ready")
}

// waiters sends so many requests that wait for a notification, and returns when all of them do.
func (r *rig) waiters(n int) []*conn {
	r.t.Helper()
	r.engine.credit.looked = make(chan struct{}, n)
	conns := make([]*conn, n)
	for i := range conns {
		conns[i] = r.dial()
		conns[i].send(requestText("GET", "/v1/notifications?wait=30s", "", ""))
	}
	for range conns {
		<-r.engine.credit.looked
	}
	return conns
}

// TestNotificationIsWaitedFor has more that wait than long answers may be built at once: they
// must not take the places of others.
func TestNotificationIsWaitedFor(t *testing.T) {
	r := newRig(t, Options{})
	conns := r.waiters(rendersMax + 4)
	r.get("/v1/accounts").want(t, 200, "")
	r.engine.credit.notify()
	for _, c := range conns {
		got := c.receive("GET")
		sameText(t, got.body, `{"items":[`+string(r.engine.credit.notifications[0].JSON)+`],"next":""}`)
		r.checkContract("GET", "/v1/notifications", got)
	}
}

func TestDrainDoesNotWaitForNotifications(t *testing.T) {
	r := newRig(t, Options{})
	conns := r.waiters(2)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := r.server.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	for _, c := range conns {
		got := c.receive("GET")
		got.want(t, 200, "")
		sameText(t, got.body, `{"items":[],"next":""}`)
	}
}
