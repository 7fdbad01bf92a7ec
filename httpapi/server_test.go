package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"farthing/engine"
	"farthing/refusal"
)

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestHalfSentBodyTimesOut(t *testing.T) {
	r := newRig(t, Options{ReadTimeout: 150 * time.Millisecond})
	f := func(name, text string, acquired bool) {
		t.Helper()
		c := r.dial()
		c.send(text)
		got := c.receive("POST")
		got.want(t, 408, "timeout")
		c.closed()
		if acquired {
			<-r.engine.freed
		}
		if held := r.engine.heldNow(); held != 0 {
			t.Errorf("%s: %d budgets held", name, held)
		}
	}
	head := "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	// Within the first 8 KiB fasthttp waits itself, before the handler runs.
	f("short", head+"Content-Length: 100\r\n\r\n[", false)
	f("long", head+"Content-Length: 100000\r\n\r\n"+strings.Repeat(" ", 50_000), true)
	f("chunked", head+"Transfer-Encoding: chunked\r\n\r\n5\r\n[    \r\n", true)
	f("headers", head[:40], false)
}

func TestBrokenOffBodyGivesBudgetBack(t *testing.T) {
	r := newRig(t, Options{})
	c := r.dial()
	c.send("POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat(" ", 50_000))
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got := c.receive("POST")
	got.want(t, 400, "malformed")
	<-r.engine.freed

	c = r.dial()
	c.send("POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
	got = c.receive("POST")
	got.want(t, 400, "malformed")
	c.closed()
}

func TestBodyOverTheLimit(t *testing.T) {
	r := newRig(t, Options{})
	head := "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

	c := r.dial() // declared: refused unread, while the client is still sending
	c.send(head + fmt.Sprintf("Content-Length: %d\r\n\r\n", BodyMaxBytes+1) + strings.Repeat(" ", 1<<20))
	got := c.receive("POST")
	got.want(t, 413, "too_large")
	if !got.close {
		t.Error("the connection stays open")
	}
	if len(r.engine.budgets) != 0 {
		t.Errorf("budget was taken: %v", r.engine.budgets)
	}

	c = r.dial() // expected: refused before anything is sent
	c.send(head + fmt.Sprintf("Content-Length: %d\r\nExpect: 100-continue\r\n\r\n", BodyMaxBytes+1))
	got = c.receive("POST")
	got.want(t, 413, "too_large")
	c.closed()

	c = r.dial() // chunked: found while reading, with a budget that grows
	c.send(head + "Transfer-Encoding: chunked\r\n\r\n")
	chunk := fmt.Sprintf("%x\r\n", 1<<20) + strings.Repeat(" ", 1<<20) + "\r\n"
	for range 8 {
		c.send(chunk)
	}
	c.send("1\r\n \r\n")
	got = c.receive("POST")
	got.want(t, 413, "too_large")
	if want := []int{64 << 10, 256 << 10, 1 << 20, 4 << 20, BodyMaxBytes}; !slices.Equal(r.engine.budgets, want) {
		t.Errorf("budget %v, want %v", r.engine.budgets, want)
	}

	// A cold body has a limit of its own.
	r.do("POST", "/v1/accounts", "application/json", strings.Repeat(" ", coldBodyMaxBytes+1)).want(t, 413, "too_large")
}

func TestBodyAtTheLimit(t *testing.T) {
	r := newRig(t, Options{})
	body := "[" + with() + "]"
	body += strings.Repeat(" ", BodyMaxBytes-len(body))
	r.post("/v1/events", body).want(t, 200, "")
	c := r.dial()
	c.send("POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
	c.send(fmt.Sprintf("%x\r\n%s\r\n", 100_000, body[:100_000]))
	c.send(fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body)-100_000, body[100_000:]))
	got := c.receive("POST")
	got.want(t, 200, "")
	if got.body != `{"accepted":1,"duplicates":0,"unpriced":0,"rejected":[],"sequence":42}` {
		t.Error(got.body)
	}
}

func TestExpectContinue(t *testing.T) {
	r := newRig(t, Options{})
	c := r.dial()
	c.send("POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	if got := c.receive("POST"); got.status != 100 {
		t.Fatal(got)
	}
	c.send("[]")
	got := c.receive("POST")
	got.want(t, 200, "")
}

func TestPipelining(t *testing.T) {
	r := newRig(t, Options{})
	c := r.dial()
	var text strings.Builder
	for i := range 20 {
		if i%5 == 3 {
			text.WriteString(requestText("GET", "/v1/accounts/a"+fmt.Sprint(i), "", ""))
			continue
		}
		text.WriteString(requestText("POST", "/v1/events", "application/x-ndjson", strings.Repeat(with()+"\n", i+1)))
	}
	c.send(text.String())
	for i := range 20 {
		got := c.receive("POST")
		got.want(t, 200, "")
		want := fmt.Sprintf(`"accepted":%d,`, i+1)
		if i%5 == 3 {
			want = fmt.Sprintf(`"id":"a%d"`, i)
		}
		if !strings.Contains(got.body, want) {
			t.Fatalf("answer %d: %s", i, got.body)
		}
	}
}

func TestOverloadKeepsTheConnection(t *testing.T) {
	r := newRig(t, Options{})
	r.engine.room = 0
	c := r.dial()
	for range 2 {
		c.send(requestText("POST", "/v1/events", "application/json", "["+with()+"]"))
		got := c.receive("POST")
		got.want(t, 429, "overloaded")
		if got.header.Get("Retry-After") != "1" {
			t.Error(got.header)
		}
	}
	r.engine.mu.Lock()
	r.engine.room = -1
	r.engine.mu.Unlock()
	c.send(requestText("POST", "/v1/events", "application/json", "["+with()+"]"))
	got := c.receive("POST")
	got.want(t, 200, "")
}

// TestRefusedUnread refuses bodies of all lengths before they are read. Short
// ones keep the connection, long ones lose it but not the answer.
func TestRefusedUnread(t *testing.T) {
	r := newRig(t, Options{})
	f := func(method, target, kind string, size, status int) {
		t.Helper()
		c := r.dial()
		c.send(requestText(method, target, kind, strings.Repeat("x", size)))
		got := c.receive(method)
		if got.status != status || got.close != (size > unreadMaxBytes) {
			t.Errorf("%s %s with %d bytes: %d, closed %v", method, target, size, got.status, got.close)
		}
		if got.close {
			c.closed()
			return
		}
		c.send(requestText("GET", "/healthz", "", ""))
		next := c.receive("GET")
		next.want(t, 200, "")
	}
	for _, size := range []int{10, 100_000, unreadMaxBytes, unreadMaxBytes + 1, 4 << 20} {
		f("POST", "/nowhere", "application/json", size, 404)
		f("DELETE", "/v1/accounts", "application/json", size, 405)
		f("POST", "/v1/events", "text/plain", size, 415)
		f("PUT", "/v1/prices/a%20b", "application/json", size, 422)
	}
	r.engine.room = 0
	f("POST", "/v1/events", "application/json", 200_000, 429)
	f("POST", "/v1/events", "application/json", 2<<20, 429)
}

func TestEncodedIds(t *testing.T) {
	r := newRig(t, Options{})
	f := func(target string, want ...string) {
		t.Helper()
		r.engine.asked = nil
		got := r.get(target)
		if len(want) == 0 {
			if got.status < 400 {
				t.Errorf("%s: %d %v", target, got.status, r.engine.asked)
			}
			return
		}
		got.want(t, 200, "")
		if strings.Join(r.engine.asked[:len(want)], " ") != strings.Join(want, " ") {
			t.Errorf("%s: asked for %v, want %v", target, r.engine.asked, want)
		}
	}
	f("/v1/accounts/acme", "acme")
	f("/v1/accounts/a%2Fb", "a/b")
	f("/v1/accounts/..", "..")
	f("/v1/accounts/%2e%2E", "..")
	f("/v1/accounts/.", ".")
	f("/v1/accounts/a%2F..%2Fb", "a/../b")
	f("/v1/accounts/a:b@c", "a:b@c")
	f("/v1/accounts/%61%63me", "acme")
	f("/v1/accounts/transfers", "transfers")
	f("/v1/accounts/a/transfers?cursor=a%2Fb+c", "a", "a/b c")
	f("/v1/events/https%3A%2F%2Fgw.example%2Fx/req-1", "https://gw.example/x", "req-1")
	f("/v1/events/a/b", "a", "b")
	f("http://localhost:8080/v1/accounts/acme", "acme")
	f("HTTP://127.0.0.1/v1/accounts/acme", "acme")
	f("http://other.example/v1/accounts/acme")
	f("ftp://localhost/v1/accounts/acme")
	f("v1/x?y=://localhost/v1/accounts/acme")
	f("/v1/accounts/acme#b")
	f("/v1/accounts/a%C0%AEb")
	f("/v1/accounts/a\xc0\xaeb")
	f("/v1/%61ccounts/acme", "acme")
	f("/v1/accounts/a%252Fb")
	f("/v1/accounts/a%2")
	f("/v1/accounts/a%zz")
	f("/v1/accounts/a%00b")
	f("/v1/accounts/")
	f("/v1/accounts/a/")
	f("/v1//accounts/a")
	f("//v1/accounts/a")
	f("/v1/accounts/../prices")
	f("/v1/accounts/a+b")
	f("/v1/accounts/" + strings.Repeat("x", 129))
	f("/v1/accounts/"+strings.Repeat("x", 128), strings.Repeat("x", 128))
	f("/1/2/3/4/5/6/7/8/9/10")
	f("*")
}

func TestMethods(t *testing.T) {
	r := newRig(t, Options{})
	f := func(method, target, allow string) {
		t.Helper()
		got := r.do(method, target, "", "")
		if allow == "" {
			got.want(t, 404, "not_found")
			return
		}
		got.want(t, 405, "method_not_allowed")
		if got.header.Get("Allow") != allow {
			t.Errorf("%s %s: Allow: %s", method, target, got.header.Get("Allow"))
		}
	}
	f("GET", "/v1/events", "POST")
	f("DELETE", "/v1/prices/v1", "PUT, GET, HEAD")
	f("PATCH", "/v1/accounts", "POST, GET, HEAD")
	f("OPTIONS", "/healthz", "GET, HEAD")
	f("POST", "/v1/reservations", "")
	f("DELETE", "/v1/accounts/a/limits", "PUT, GET, HEAD")
	f("PUT", "/v1/accounts/a/bounds", "")
	f("GET", "/", "")

	c := r.dial()
	c.send(requestText("HEAD", "/v1/accounts/a", "", "") + requestText("GET", "/v1/accounts/a", "", ""))
	head := c.receive("HEAD")
	got := c.receive("GET")
	if head.status != 200 || head.body != "" || head.header.Get("Content-Length") != fmt.Sprint(len(got.body)) {
		t.Errorf("HEAD %+v, GET %+v", head, got)
	}
}

func TestPanicAnswers500AndIsLogged(t *testing.T) {
	r := newRig(t, Options{})
	r.engine.batch.Manifest = []byte("no object")
	got := r.get("/v1/settlements/b1")
	got.want(t, 500, "internal")
	if !strings.Contains(r.logged.String(), "BUG: a manifest") {
		t.Error(r.logged.String())
	}
	r.get("/healthz").want(t, 200, "")

	// A panic in Ingest leaves the request with the sequencer.
	r.engine.ingest = func(*engine.Request) (engine.IngestResult, *refusal.Refusal) { panic("BUG: test") }
	r.post("/v1/events", with()).want(t, 500, "internal")
	if held := r.engine.heldNow(); held != 1 {
		t.Errorf("%d requests held, want the one whose ingest panicked", held)
	}
	r.engine.Release(nil)
}

func TestHeaderLimit(t *testing.T) {
	r := newRig(t, Options{HeaderMaxBytes: 4096})
	c := r.dial()
	c.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 8000) + "\r\n\r\n")
	got := c.receive("GET")
	got.want(t, 413, "too_large")
}

func TestNotReady(t *testing.T) {
	r := newRig(t, Options{})
	r.engine.notReady = true
	r.get("/healthz").want(t, 200, "")
	r.get("/openapi.yaml").want(t, 200, "")
	for _, got := range []reply{r.get("/readyz"), r.post("/v1/events", with()), r.post("/v1/accounts", "{}"),
		r.do("PUT", "/v1/prices/v1", "application/json", "{}")} {
		got.want(t, 503, "not_ready")
		if got.header.Get("Retry-After") != "1" {
			t.Error(got.header)
		}
	}
	r.engine.notReady = false
	r.get("/readyz").want(t, 200, "")
	r.engine.ingest = func(*engine.Request) (engine.IngestResult, *refusal.Refusal) {
		return engine.IngestResult{}, refusal.New(refusal.NotReady, "", "draining")
	}
	r.post("/v1/events", with()).want(t, 503, "not_ready")
}

// TestDrainAnswersWhatIsInFlight drains while a request is in the engine and an
// idle connection is open.
func TestDrainAnswersWhatIsInFlight(t *testing.T) {
	r := newRig(t, Options{})
	entered, leave := make(chan struct{}), make(chan struct{})
	r.engine.ingest = func(q *engine.Request) (engine.IngestResult, *refusal.Refusal) {
		close(entered)
		<-leave
		return engine.IngestResult{Accepted: len(q.Batch().Events), Sequence: 1}, nil
	}
	idle := r.dial()
	idle.send(requestText("GET", "/healthz", "", ""))
	got := idle.receive("GET")
	got.want(t, 200, "")
	busy := r.dial()
	busy.send(requestText("POST", "/v1/events", "application/json", with()))
	<-entered

	drained := make(chan error, 1)
	go func() { drained <- r.server.Drain(context.Background()) }()
	if err := <-r.served; err != nil { // the listener is closed
		t.Fatal(err)
	}
	if _, err := r.ln.Accept(); !errors.Is(err, net.ErrClosed) { // dialling would meet whoever has got the port since
		t.Errorf("the listener is not closed: %v", err)
	}
	select {
	case err := <-drained:
		t.Fatal("drained with a request in flight: ", err)
	default:
	}
	close(leave)
	got = busy.receive("POST")
	got.want(t, 200, "")
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
	busy.closed()
	idle.closed()
}

func TestListenWithoutKeys(t *testing.T) {
	f := func(addr string, keys Keys, ok bool) {
		t.Helper()
		ln, err := Listen(t.Context(), addr, keys)
		if ln != nil {
			defer func() { _ = ln.Close() }()
		}
		if (err == nil) != ok {
			t.Errorf("%q: %v", addr, err)
		}
		if err != nil && !errors.Is(err, ErrNotLoopback) && addr != "nonsense" {
			t.Errorf("%q: %v", addr, err)
		}
	}
	f("127.0.0.1:0", nil, true)
	f("127.0.0.2:0", nil, true)
	f("localhost:0", nil, true)
	f(":0", nil, false)
	f("0.0.0.0:0", nil, false)
	f("[::]:0", nil, false)
	f("192.0.2.1:0", nil, false)
	f("nonsense", nil, false)
	f("127.0.0.1:0", testKeys{}, true)

	s := New(newFake(), Options{})
	if err := s.Serve(fakeListener{&net.TCPAddr{IP: net.IPv4zero, Port: 1}}); !errors.Is(err, ErrNotLoopback) {
		t.Errorf("Serve: %v", err)
	}
	if err := s.Serve(fakeListener{&net.TCPAddr{Port: 1}}); !errors.Is(err, ErrNotLoopback) {
		t.Errorf("Serve: %v", err)
	}
}

type fakeListener struct{ addr net.Addr }

func (f fakeListener) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (f fakeListener) Close() error              { return nil }
func (f fakeListener) Addr() net.Addr            { return f.addr }

type testKeys map[string]Scopes

func (k testKeys) Authenticate(token []byte) (Key, bool) {
	s, ok := k[string(token)]
	return Key{ID: "key", Scopes: s}, ok
}

// TestScopes asks every route with every key.
func TestScopes(t *testing.T) {
	keys := testKeys{"i": ScopeIngest, "r": ScopeRead, "a": ScopeAdmin, "ir": ScopeIngest | ScopeRead, "none": 0}
	r := newRig(t, Options{Keys: keys})
	for _, route := range r.server.routes {
		target := strings.NewReplacer("{", "", "}", "").Replace(route.pattern)
		for token, scopes := range keys {
			got := r.do(route.method, target, "", "", "Authorization: bearer "+token)
			allowed := route.scope == 0 || scopes&route.scope != 0 || scopes&ScopeAdmin != 0
			if (got.status != 403) != allowed || got.status == 401 {
				t.Errorf("%s %s with %s: %d", route.method, target, scopes, got.status)
			}
		}
		for _, header := range []string{"X: y", "Authorization: Bearer wrong", "Authorization: Basic a", "Authorization: a", "Authorization: Bearer", "Authorization: Bearer "} {
			got := r.do(route.method, target, "", "", header)
			if route.scope == 0 {
				if got.status != 200 {
					t.Errorf("%s %s: %d", route.method, target, got.status)
				}
				continue
			}
			got.want(t, 401, "unauthenticated")
			if got.header.Get("WWW-Authenticate") != "Bearer" {
				t.Error(got.header)
			}
		}
	}
}
