package httpapi

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// limitedKeys has one key, with a limit that the test drives.
type limitedKeys struct{ limit *testLimit }

func (k limitedKeys) Authenticate(token []byte) (Key, bool) {
	return Key{ID: "gw", Scopes: ScopeAdmin, Limit: k.limit}, string(token) == "k"
}

type testLimit struct {
	mu    sync.Mutex
	wait  time.Duration
	asked int
	bytes int64
}

func (l *testLimit) Request(time.Time) (time.Duration, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	if l.wait > 0 {
		return l.wait, "requests"
	}
	return 0, ""
}

func (l *testLimit) Bytes(_ time.Time, n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes += n
}

func TestKeyLimit(t *testing.T) {
	limit := &testLimit{}
	r := newRig(t, Options{Keys: limitedKeys{limit}})
	post := func(body string, more ...string) reply {
		t.Helper()
		return r.do("POST", "/v1/events", "application/json", body, append(more, "Authorization: Bearer k")...)
	}
	charged := func(want int) {
		t.Helper()
		limit.mu.Lock()
		defer limit.mu.Unlock()
		if limit.bytes != int64(want) {
			t.Errorf("%d bytes were charged, want %d", limit.bytes, want)
		}
		limit.bytes = 0
	}
	body := "[" + with() + "]"
	post(body).want(t, 200, "")
	charged(len(body))
	long := body + spaces(300_000)
	post(long).want(t, 200, "")
	charged(len(long))
	post(gzipOf(t, long), "Content-Encoding: gzip").want(t, 200, "")
	charged(len(long))

	// Asked to wait for a continue, it is counted once.
	before := limit.asked
	c := r.dial()
	c.send("POST /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer k\r\nContent-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	if got := c.receive("POST"); got.status != 100 {
		t.Fatal(got)
	}
	c.send("[]")
	got := c.receive("POST")
	got.want(t, 200, "")
	if limit.asked != before+1 {
		t.Errorf("asked %d times", limit.asked-before)
	}
	charged(2)

	f := func(wait time.Duration, want string) {
		t.Helper()
		limit.mu.Lock()
		limit.wait = wait
		limit.mu.Unlock()
		got := post(body)
		got.want(t, 429, "key_limit")
		if _, reason := got.problem(t); reason != "requests" || got.header.Get("Retry-After") != want || got.close {
			t.Errorf("%v: %s %v", wait, reason, got.header)
		}
		charged(0)
	}
	f(time.Millisecond, "1")
	f(1500*time.Millisecond, "2")
	f(100*time.Hour, fmt.Sprint(int(retryAfterMax.Seconds())))
	limit.mu.Lock()
	limit.wait = 0
	limit.mu.Unlock()
	if page := r.do("GET", "/metrics", "", "", "Authorization: Bearer k").body; !strings.Contains(page, `farthing_http_key_limited_total{key="gw",limit="requests"} 3`) {
		t.Error("not counted")
	}
}
