package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"farthing/engine"
	"farthing/refusal"
)

func TestHostWithoutKeys(t *testing.T) {
	f := func(host string, ok bool) {
		t.Helper()
		if isLoopbackHost([]byte(host)) != ok {
			t.Errorf("%q: want %v", host, ok)
		}
	}
	f("localhost", true)
	f("LocalHost:8080", true)
	f("127.0.0.1", true)
	f("127.0.0.1:8080", true)
	f("127.8.9.1:1", true)
	f("[::1]", true)
	f("[::1]:8080", true)
	f("[::ffff:127.0.0.1]:8080", true)
	f("", false)
	f(":8080", false)
	f("evil.example", false)
	f("evil.example:8080", false)
	f("localhost.evil.example", false)
	f("127.0.0.1.evil.example:80", false)
	f("localhost:8080:8080", false)
	f("localhost:evil", false)
	f("192.0.2.1", false)
	f("0.0.0.0:8080", false)
	f("[::]:8080", false)
	f("[2001:db8::1]", false)
	f("localhost@evil.example", false)

	r := newRig(t, Options{})
	ask := func(r *rig, host, target string, status int, code string) {
		t.Helper()
		c := r.dial()
		c.send("GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		got := c.receive("GET")
		got.want(t, status, code)
		r.checkContract("GET", target, got)
	}
	for _, target := range []string{"/v1/accounts/a", "/healthz", "/readyz", "/metrics", "/openapi.yaml"} {
		ask(r, "rebound.example:8080", target, 403, "forbidden")
		ask(r, "localhost:8080", target, 200, "")
	}
	if len(r.engine.asked) != 1 {
		t.Errorf("the engine was asked: %v", r.engine.asked)
	}
	keyed := newRig(t, Options{Keys: testKeys{}})
	ask(keyed, "farthing.example", "/healthz", 200, "")
}

func TestEmptyPathSegments(t *testing.T) {
	r := newRig(t, Options{})
	for _, target := range []string{"/v1/accounts/", "/v1/accounts//transfers", "/v1/events//e", "/v1/events/s/", "/v1/prices/", "/v1/settlements/", "/healthz/"} {
		got := r.get(target)
		got.want(t, 404, "not_found")
		if _, reason := got.problem(t); reason != "no_such_path" {
			t.Errorf("%s: %s", target, reason)
		}
	}
	if len(r.engine.asked) != 0 {
		t.Errorf("the engine was asked: %v", r.engine.asked)
	}
}

func TestOperator(t *testing.T) {
	r := newRig(t, Options{})
	r.engine.account = engine.Account{Sequence: 13}
	r.engine.usage = usageRows()
	if got, want := r.get("/v1/accounts/operator/usage?by=day").body, `{"items":[],"sequence":13}`; got != want {
		t.Error(got)
	}
	view, err := json.Marshal(transferView(&engine.Transfer{Account: "acme", Amount: amount("5"), Reason: "topup", ID: "t1"}))
	if err != nil || strings.Contains(string(view), `"class"`) {
		t.Errorf("%s, %v", view, err)
	}
	got := r.post("/v1/accounts/operator/topups", `{"id":"t","amount":"1"}`)
	got.want(t, 422, "invalid")
	if len(r.engine.topUps) != 0 {
		t.Error("the operator was topped up")
	}
	r.engine.refused = refusal.New(refusal.NotReady, "", "not yet")
	r.get("/v1/accounts/operator/usage").want(t, 503, "not_ready")
}

func TestDamagedStorageIs500(t *testing.T) {
	r := newRig(t, Options{})
	r.engine.refused = refusal.New(refusal.Internal, "storage_damaged", "a block cannot be read")
	for _, target := range []string{"/v1/accounts/a", "/v1/events/s/e", "/v1/accounts/a/transfers", "/v1/settlements/b/lines"} {
		got := r.get(target)
		got.want(t, 500, "internal")
		if _, reason := got.problem(t); reason != "storage_damaged" {
			t.Errorf("%s: %s", target, reason)
		}
	}
	if log := r.logged.String(); strings.Count(log, "level=ERROR") != 4 || !strings.Contains(log, "storage_damaged") {
		t.Error(log)
	}
}

// TestExpectIsAnsweredAfterTheChecks never sends a body: what can be refused without
// it must be.
func TestExpectIsAnsweredAfterTheChecks(t *testing.T) {
	r := newRig(t, Options{Keys: testKeys{"i": ScopeIngest, "a": ScopeAdmin}})
	f := func(method, target, key, contentType string, length, status int, code string) {
		t.Helper()
		c := r.dial()
		c.send(fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
			method, target, key, contentType, length))
		got := c.receive(method)
		if got.status != status {
			t.Errorf("%s %s: %d, want %d", method, target, got.status, status)
		}
		if status == 100 {
			return
		}
		got.want(t, status, code)
		r.checkContract(method, target, got)
		c.closed()
	}
	const kind = "application/json"
	f("POST", "/v1/events", "i", kind, 100, 100, "")
	f("POST", "/v1/events", "i", "application/x-ndjson", 100, 100, "")
	f("PUT", "/v1/prices/v", "a", kind, BodyMaxBytes, 100, "")
	f("POST", "/nowhere", "a", kind, 100, 404, "not_found")
	f("DELETE", "/v1/events", "a", kind, 100, 405, "method_not_allowed")
	f("POST", "/v1/events", "wrong", kind, 100, 401, "unauthenticated")
	f("POST", "/v1/accounts", "i", kind, 100, 403, "forbidden")
	f("POST", "/v1/events", "i", "text/plain", 100, 415, "unsupported_type")
	f("POST", "/v1/accounts", "a", "application/x-ndjson", 100, 415, "unsupported_type")
	f("POST", "/v1/events", "i", kind, BodyMaxBytes+1, 413, "too_large")
	f("POST", "/v1/accounts", "a", kind, coldBodyMaxBytes+1, 413, "too_large")
	r.engine.notReady = true
	f("POST", "/v1/events", "i", kind, 100, 503, "not_ready")
	if len(r.engine.budgets) != 0 {
		t.Errorf("budget was taken: %v", r.engine.budgets)
	}
}

// TestNothingSecretIsLogged sends keys and payloads through handlers that accept,
// refuse, cannot read and panic, and looks at all that is logged.
func TestNothingSecretIsLogged(t *testing.T) {
	r := newRig(t, Options{Keys: testKeys{"topsecret": ScopeIngest | ScopeAdmin | ScopeRead, "readsecret": ScopeRead}})
	f := func(method, target, contentType, body, key string, status int) {
		t.Helper()
		got := r.do(method, target, contentType, body, "Authorization: Bearer "+key)
		if got.status != status {
			t.Errorf("%s %s: %d, want %d: %s", method, target, got.status, status, got.body)
		}
	}
	const kind = "application/json"
	event := with("id", `"payload-id"`, "subject", `"payload-subject"`)
	f("POST", "/v1/events", kind, event, "topsecret", 200)
	f("POST", "/v1/events", kind, strings.Replace(event, `"payload-subject"`, `"payload subject"`, 1), "topsecret", 422)
	f("POST", "/v1/events", kind, event+"payload", "topsecret", 400)
	f("POST", "/v1/events", "text/payload", event, "topsecret", 415)
	f("POST", "/v1/events", kind, event, "wrongsecret", 401)
	f("POST", "/v1/events", kind, event, "readsecret", 403)
	f("POST", "/v1/accounts", kind, `{"id":"payload","currency":"USD","kind":"provider"}`, "topsecret", 201)
	f("POST", "/v1/accounts", kind, `{"payload":"payload"}`, "topsecret", 422)
	f("GET", "/v1/accounts/payload?payload=payload", "", "", "topsecret", 422)
	f("GET", "/payload", "", "", "topsecret", 404)
	r.engine.refused = refusal.New(refusal.Internal, "storage_damaged", "payload")
	f("GET", "/v1/events/payload/payload", "", "", "topsecret", 500)
	r.engine.ingest = func(q *engine.Request) (engine.IngestResult, *refusal.Refusal) { panic("BUG: test") }
	f("POST", "/v1/events", kind, event, "topsecret", 500)
	r.engine.Release(nil) // a panic leaves the request with the engine
	c := r.dial()
	c.send("BROKEN topsecret payload-id\r\n\r\n")
	got := c.receive("GET")
	got.want(t, 400, "malformed")

	log := r.logged.String()
	for _, said := range []string{"access refused", "admin request", "a handler panicked", "storage_damaged", "key=key"} {
		if !strings.Contains(log, said) {
			t.Errorf("%q is not logged", said)
		}
	}
	for _, secret := range []string{"secret", "payload"} {
		if i := strings.Index(log, secret); i >= 0 {
			t.Errorf("%q is logged: …%s", secret, log[max(0, i-200):min(len(log), i+100)])
		}
	}
}

func TestKeysAreNamedInTheLog(t *testing.T) {
	r := newRig(t, Options{Keys: testKeys{"readsecret": ScopeRead, "adminsecret": ScopeAdmin}})
	f := func(method, target, key string, want string) {
		t.Helper()
		before := len(r.logged.String())
		r.do(method, target, "application/json", "{}", "Authorization: Bearer "+key)
		line := r.logged.String()[before:]
		if want == "" && strings.Contains(line, "key=") || !strings.Contains(line, want) {
			t.Errorf("%s %s: logged %q, want %q", method, target, line, want)
		}
	}
	f("POST", "/v1/accounts", "readsecret", `msg="access refused" route=/v1/accounts status=403 key=key`)
	f("POST", "/v1/accounts", "adminsecret", `msg="admin request" route=/v1/accounts status=422 key=key`)
	f("PUT", "/v1/prices/v", "adminsecret", `msg="admin request" route=/v1/prices/{version} status=422 key=key`)
	f("GET", "/v1/accounts/a", "adminsecret", "")
}

func TestRefusedAccessDoesNotFloodTheLog(t *testing.T) {
	r := newRig(t, Options{Keys: testKeys{}})
	began := time.Now()
	for range 50 {
		r.do("GET", "/v1/accounts/a", "", "", "Authorization: Bearer wrong").want(t, 401, "unauthenticated")
	}
	if n, most := strings.Count(r.logged.String(), "access refused"), 1+int(time.Since(began)/logEvery); n < 1 || n > most {
		t.Errorf("%d lines, at most %d were due", n, most)
	}
}

func TestLogLimit(t *testing.T) {
	var l logLimit
	f := func(ms int, ok bool, suppressed int64) {
		t.Helper()
		n, is := l.allow(someTime.Add(time.Duration(ms) * time.Millisecond))
		if is != ok || n != suppressed {
			t.Errorf("at %d ms: %v, %d", ms, is, n)
		}
	}
	f(0, true, 0)
	f(1, false, 0)
	f(999, false, 0)
	f(1000, true, 2)
	f(1001, false, 0)
	f(5000, true, 1)
	f(6000, true, 0)
}

// TestDrainDoesNotWaitForStrangers drains while requests have half arrived, and one
// has arrived in full and is answered late.
func TestDrainDoesNotWaitForStrangers(t *testing.T) {
	r := newRig(t, Options{})
	entered, leave := make(chan struct{}), make(chan struct{})
	let := sync.OnceFunc(func() { close(leave) })
	t.Cleanup(let) // before the rig drains, also when the test fails
	r.engine.ingest = func(q *engine.Request) (engine.IngestResult, *refusal.Refusal) {
		close(entered)
		<-leave
		return engine.IngestResult{Accepted: len(q.Batch().Events), Sequence: 1}, nil
	}
	admitted := r.dial()
	admitted.send(requestText("POST", "/v1/events", "application/json", with()))
	<-entered
	silent, header, short, long, chunked := r.dial(), r.dial(), r.dial(), r.dial(), r.dial()
	header.send(eventsHead)
	short.send(eventsHead + "Content-Length: 100\r\n\r\n[")
	long.send(eventsHead + "Content-Length: 100000\r\n\r\n" + strings.Repeat(" ", 50_000))
	chunked.send(eventsHead + "Transfer-Encoding: chunked\r\n\r\n5\r\n[    \r\n")
	r.awaitOpen(6) // one that the kernel still holds is reset when the listener closes

	began := time.Now()
	drained := make(chan error, 1)
	go func() { drained <- r.server.Drain(context.Background()) }()
	for _, c := range []*conn{header, short, long, chunked} {
		got := c.receive("POST")
		got.want(t, 503, "not_ready")
		c.closed()
	}
	let()
	got := admitted.receive("POST")
	got.want(t, 200, "")
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 3*drainGrace {
		t.Errorf("it took %v", took)
	}
	_ = silent.Close()
}

// awaitOpen waits until the server has taken in so many connections.
func (r *rig) awaitOpen(n int) {
	r.t.Helper()
	open := r.server.conns.count
	for open() < n {
		if r.t.Context().Err() != nil {
			r.t.Fatalf("%d connections of %d were taken in", open(), n)
		}
		runtime.Gosched()
	}
}

// TestConnectionBehindTheDrain is taken in by a server that drains already.
func TestConnectionBehindTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := testConnections(1)
		s.drain(time.Now().Add(drainGrace))
		socket := &deadlineConn{}
		c := newClientConn(socket, s, nil)
		s.add(c)
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		_, _ = c.Read(nil)
		if left := time.Until(socket.read); left != drainGrace {
			t.Errorf("it has %v", left)
		}
	})
}
