package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// rig is a server on loopback over a fake engine, spoken to over raw sockets.
type rig struct {
	t      testing.TB
	engine *fakeEngine
	server *Server
	addr   string
	ln     net.Listener
	served chan error
	logged *lockedBuffer
}

func newRig(t testing.TB, o Options) *rig {
	t.Helper()
	fake := newFake()
	r := newRigOf(t, fake, o)
	r.engine = fake
	return r
}

// newRigOf is a rig over any engine.
func newRigOf(t testing.TB, e Engine, o Options) *rig {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, addr: ln.Addr().String(), ln: ln, served: make(chan error, 1), logged: &lockedBuffer{}}
	o.Logger = slog.New(slog.NewTextHandler(r.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r.server = New(e, o)
	go func() { r.served <- r.server.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.server.Drain(ctx); err != nil {
			t.Errorf("drain: %v", err)
		}
		if r.engine == nil {
			return
		}
		if held := r.engine.heldNow(); held != 0 {
			t.Errorf("%d requests still hold their budget", held)
		}
	})
	return r
}

// conn is one raw connection.
type conn struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func (r *rig) dial() *conn {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	return &conn{Conn: c, t: r.t, r: bufio.NewReader(c)}
}

func (c *conn) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// reply is an answer, read whole.
type reply struct {
	status int
	header http.Header
	body   string
	close  bool
}

func (c *conn) receive(method string) reply {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(body), resp.Close}
}

// closed waits for the server to close the connection.
func (c *conn) closed() {
	c.t.Helper()
	if b, err := c.r.ReadByte(); err != io.EOF {
		c.t.Fatalf("the connection is not closed: %q, %v", b, err)
	}
}

func requestText(method, target, contentType, body string, headers ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: localhost\r\n", method, target)
	if contentType != "" {
		fmt.Fprintf(&b, "Content-Type: %s\r\n", contentType)
	}
	if body != "" || method == "POST" || method == "PUT" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	return b.String() + "\r\n" + body
}

// do sends one request on a connection of its own. The answer must be one that
// openapi.yaml knows for the route.
func (r *rig) do(method, target, contentType, body string, headers ...string) reply {
	r.t.Helper()
	c := r.dial()
	c.send(requestText(method, target, contentType, body, headers...))
	got := c.receive(method)
	r.checkContract(method, target, got)
	return got
}

func (r *rig) get(target string) reply { r.t.Helper(); return r.do("GET", target, "", "") }

func (r *rig) post(target, body string) reply {
	r.t.Helper()
	return r.do("POST", target, "application/json", body)
}

// problem reads a problem document and checks its form.
func (a reply) problem(t testing.TB) (code, reason string) {
	t.Helper()
	var p struct {
		Type, Title, Detail, Code, Reason string
		Status                            int
	}
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatalf("%d %q: %v", a.status, a.body, err)
	}
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("a problem is sent as %q", got)
	}
	if p.Status != a.status || p.Type != "urn:farthing:problem:"+p.Code || p.Title == "" {
		t.Errorf("%d: %s", a.status, a.body)
	}
	return p.Code, p.Reason
}

// want checks a status and, for a refusal, its code.
func (a reply) want(t testing.TB, status int, code string) {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	if code == "" {
		return
	}
	if got, _ := a.problem(t); got != code {
		t.Errorf("code %s, want %s: %s", got, code, a.body)
	}
}
