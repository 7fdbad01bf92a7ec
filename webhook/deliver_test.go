package webhook

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// consumer is an endpoint on loopback. It checks each delivery and notes which numbers it took.
type consumer struct {
	t      *testing.T
	server *httptest.Server
	inside atomic.Int32
	// restarts: the sender is replaced now and then, and what was broken off may still be handled then.
	restarts atomic.Bool
	mu       sync.Mutex
	taken    []uint64 // answered 2xx
	tried    int
	bodies   map[uint64]string
	// answer says how a checked delivery is answered, and whether that means that it was taken.
	answer func(number uint64) (answer reply, taken bool)
}

// reply writes an answer.
type reply func(http.ResponseWriter, *http.Request)

func newConsumer(t *testing.T, answer func(number uint64) (reply, bool)) *consumer {
	c := &consumer{t: t, answer: answer, bodies: map[uint64]string{}}
	c.server = httptest.NewServer(c)
	t.Cleanup(c.server.Close)
	return c
}

func (c *consumer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.inside.Add(1) != 1 && !c.restarts.Load() {
		c.t.Error("two requests are in flight")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.inside.Add(-1)
		return // broken off by the sender
	}
	number, err := verify(r.Header, body, someSecret, time.Now())
	if err != nil || r.Method != http.MethodPost {
		c.t.Errorf("%s: %v", r.Method, err)
	}
	c.mu.Lock()
	c.tried++
	if was, again := c.bodies[number]; again && was != string(body) {
		c.t.Errorf("number %d came as %s and as %s", number, was, body)
	}
	c.bodies[number] = string(body)
	c.mu.Unlock()
	answer, taken := c.answer(number)
	if taken {
		c.mu.Lock()
		c.taken = append(c.taken, number)
		c.mu.Unlock()
	}
	// From the answer's first byte on the next request may overlap with what is left of this one.
	c.inside.Add(-1)
	answer(w, r)
}

// numbers are what was taken so far.
func (c *consumer) numbers() []uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]uint64(nil), c.taken...)
}

// ordered fails unless numbers 1 to n were taken, each first after the one before.
func (c *consumer) ordered(n uint64) {
	c.t.Helper()
	last := uint64(0)
	for i, number := range c.numbers() {
		if number > last+1 {
			c.t.Fatalf("number %d came after %d, as %d. of all", number, last, i+1)
		}
		last = max(last, number)
	}
	if last != n {
		c.t.Fatalf("the last number is %d, want %d", last, n)
	}
}

// with answers a status.
func with(code int) reply {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func ok(uint64) (reply, bool) { return with(http.StatusNoContent), true }

// hang never answers.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// reset breaks the connection off.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

// faults are the ways in which an endpoint may fail; those of the second list are successes all the same.
func faults(trap string) (failing, fine []reply) {
	failing = []reply{
		with(500), with(503), with(404), with(429), with(400), with(304), hang,
		func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, trap, http.StatusTemporaryRedirect) },
		func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, trap, http.StatusFound) },
		func(w http.ResponseWriter, _ *http.Request) { reset(w) },
		func(w http.ResponseWriter, _ *http.Request) {
			conn, out, _ := http.NewResponseController(w).Hijack()
			_, _ = out.WriteString("what is HTTP?\r\n\r\n")
			_ = errors.Join(out.Flush(), conn.Close())
		},
		func(w http.ResponseWriter, _ *http.Request) { // more headers than are read
			w.Header().Set("X-Long", strings.Repeat("x", 2*headerBytesMax))
			w.WriteHeader(http.StatusOK)
		},
	}
	fine = []reply{
		with(200), with(201), with(204), with(299),
		func(w http.ResponseWriter, r *http.Request) { // the body never ends
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		func(w http.ResponseWriter, r *http.Request) { // the body is endless
			for chunk := make([]byte, 64<<10); r.Context().Err() == nil; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		},
		func(w http.ResponseWriter, _ *http.Request) { // the body is cut off
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("x"))
			_ = http.NewResponseController(w).Flush()
			reset(w)
		},
	}
	return failing, fine
}

// TestFaults: whatever an endpoint does, it gets everything in order, and nothing again that it took.
func TestFaults(t *testing.T) {
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer trap.Close()
	failing, fine := faults(trap.URL)
	n := uint64(len(failing) * len(fine))
	attempts := 0
	c := newConsumer(t, func(number uint64) (reply, bool) {
		if attempts++; attempts%2 == 1 { // each number fails once, then succeeds
			return failing[(number-1)%uint64(len(failing))], false
		}
		return fine[(number-1)%uint64(len(fine))], true
	})
	o := options()
	o.Timeout = 200 * time.Millisecond
	d := newDispatcher(t, o, newStore(), newSource(int(n)))
	create(t, d, "a", c.server.URL+"/hook?x=1")
	stop := start(d)
	awaitDelivered(t, d, "a", n)
	stop()
	c.server.Close() // waits for the handlers
	s := d.Stats()
	if s.Delivered != n || s.Failed < n || s.Active != 1 || s.Failing != 0 {
		t.Errorf("%+v, want %d deliveries and as many failures", s, n)
	}
	c.ordered(n)
	// On a machine that is busy an answer may come too late. That is a failure more, and a delivery that is made again.
	if got := uint64(len(c.numbers())); got > s.Failed {
		t.Errorf("%d deliveries of %d notifications were taken, with %d failures", got, n, s.Failed)
	}
}

// TestRestarts stops dispatchers at random moments and takes back what was not durable: everything comes at least once
// and in order.
func TestRestarts(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	const n = 200
	var mu sync.Mutex // guards random and trip
	trip := make(chan struct{})
	left := 0
	c := newConsumer(t, func(number uint64) (reply, bool) {
		mu.Lock()
		fails := random.IntN(4) == 0
		if left--; left == 0 {
			close(trip)
		}
		mu.Unlock()
		if fails {
			return with(500), false
		}
		return ok(number)
	})
	c.restarts.Store(true)
	source, store := newSource(n), newStore()
	d := newDispatcher(t, options(), store, source)
	create(t, d, "a", c.server.URL)
	restarts := 0
	for ; ; restarts++ {
		mu.Lock()
		left, trip = 1+random.IntN(40), make(chan struct{})
		now := trip
		mu.Unlock()
		d = newDispatcher(t, options(), store, source)
		if e, _ := d.Endpoint("a"); e.Delivered == n {
			break
		}
		stop := start(d)
		select {
		case <-now:
		case <-finished(t, d, n):
		}
		stop()
		if e, _ := d.Endpoint("a"); e.Delivered < n {
			mu.Lock() // a request that was broken off may still be handled
			store = store.crash(random)
			mu.Unlock()
		}
	}
	c.ordered(n)
	if restarts < 3 {
		t.Errorf("only %d restarts", restarts)
	}
}

// finished is closed once everything is delivered.
func finished(t *testing.T, d *Dispatcher, n uint64) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if e, _ := d.Endpoint("a"); e.Delivered == n || t.Context().Err() != nil {
				close(done)
				return
			}
		}
	}()
	return done
}

// TestGone: 410 disables at once. Once enabled, the endpoint goes on with what it had not taken.
func TestGone(t *testing.T) {
	var gone atomic.Bool
	gone.Store(true)
	c := newConsumer(t, func(number uint64) (reply, bool) {
		if gone.Load() && number == 3 {
			return with(http.StatusGone), false
		}
		return ok(number)
	})
	store, source := newStore(), newSource(5)
	d := newDispatcher(t, options(), store, source)
	create(t, d, "a", c.server.URL)
	stop := start(d)
	e := awaitDisabled(t, d, "a")
	if e.Delivered != 2 || e.Failures != 1 || e.LastError != "status 410: it wants nothing more" || e.LastErrorAt.IsZero() || !e.NextAttempt.IsZero() {
		t.Errorf("%+v", e)
	}
	if s := d.Stats(); s.Disabled != 1 || s.Active != 0 {
		t.Errorf("%+v", s)
	}
	stop()
	// The power cut finds it disabled: that was durable before it was shown.
	d = newDispatcher(t, options(), store.crash(rand.New(rand.NewPCG(1, 1))), source)
	stop = start(d)
	if e, _ := d.Endpoint("a"); !e.Disabled || e.Delivered != 2 {
		t.Errorf("after a restart %+v", e)
	}
	gone.Store(false)
	if e, no := d.Enable("a", nil); no != nil || e.Disabled || e.Failures != 0 {
		t.Errorf("%+v %v", e, no)
	}
	awaitDelivered(t, d, "a", 5)
	stop()
	c.ordered(5)
}

// TestBesideEachOther: one endpoint that hangs does not hold up another, and types are passed over.
func TestBesideEachOther(t *testing.T) {
	hung := make(chan struct{}, 100)
	slow := newConsumer(t, func(uint64) (reply, bool) {
		hung <- struct{}{}
		return hang, false
	})
	fast, picky := newConsumer(t, ok), newConsumer(t, ok)
	source := newSource(2)
	source.add(3, "hold.expired")
	source.add(2, "credit.low")
	source.add(1, "hold.expired")
	d := newDispatcher(t, options(), newStore(), source)
	create(t, d, "slow", slow.server.URL)
	create(t, d, "fast", fast.server.URL)
	stop := start(d)
	<-hung
	awaitDelivered(t, d, "fast", 8)
	create(t, d, "some", picky.server.URL, "credit.low") // while it runs
	awaitDelivered(t, d, "some", 8)
	source.add(1, "credit.low")
	awaitDelivered(t, d, "some", 9)
	awaitDelivered(t, d, "fast", 9)
	if e, _ := d.Endpoint("slow"); e.Delivered != 0 || e.Failures != 0 {
		t.Errorf("%+v", e)
	}
	stop() // breaks the hanging request off, which is no failure of the endpoint
	if e, _ := d.Endpoint("slow"); e.Failures != 0 {
		t.Errorf("%+v", e)
	}
	if got := fmt.Sprint(fast.numbers(), picky.numbers()); got != "[1 2 3 4 5 6 7 8 9] [1 2 6 7 9]" {
		t.Error(got)
	}
}

// TestDeleteIsQuiet: after Delete nothing comes, although there is more and a request was in flight.
func TestDeleteIsQuiet(t *testing.T) {
	var deleted atomic.Bool
	seen := make(chan struct{}, 10000)
	c := newConsumer(t, func(number uint64) (reply, bool) {
		seen <- struct{}{}
		return ok(number)
	})
	c.server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if deleted.Load() && s == http.StateNew {
			t.Error("a connection after Delete")
		}
	}
	store := newStore()
	d := newDispatcher(t, options(), store, newSource(10000))
	create(t, d, "a", c.server.URL)
	stop := start(d)
	<-seen
	e, no := d.Delete("a")
	deleted.Store(true)
	if no != nil || e.Delivered == 10000 {
		t.Fatalf("%+v %v", e, no)
	}
	if _, no := d.Delete("a"); no == nil || no.Code != "not_found" {
		t.Error(no)
	}
	stop()
	if len(store.rows) != 0 {
		t.Errorf("left behind: %v", store.rows)
	}
	c.ordered(uint64(len(c.numbers())))
	// The id is free again, for another endpoint.
	create(t, d, "a", c.server.URL+"/other")
}

// TestReadsLittleOfAnswers counts what is read of an endless body.
func TestReadsLittleOfAnswers(t *testing.T) {
	body := &endless{}
	d := newDispatcher(t, options(), newStore(), newSource(1))
	d.client.Transport = roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: body, Header: http.Header{}}, nil
	})
	create(t, d, "a", "http://127.0.0.1:1")
	stop := start(d)
	awaitDelivered(t, d, "a", 1)
	stop()
	if body.read > answerBytesMax+(32<<10) || body.read < answerBytesMax || !body.closed {
		t.Errorf("%d bytes were read, closed %v", body.read, body.closed)
	}
}

type endless struct {
	read   int
	closed bool
}

func (e *endless) Read(p []byte) (int, error) { e.read += len(p); return len(p), nil }
func (e *endless) Close() error               { e.closed = true; return nil }

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestGreetingIsNotShown: an endpoint that leads to another service does not show what that says.
func TestGreetingIsNotShown(t *testing.T) {
	f := func(greeting string) {
		t.Helper()
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		go func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Read(make([]byte, 1))
				_, _ = io.WriteString(conn, greeting+"\r\n\r\n")
				_ = conn.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
			}
		}()
		o := options()
		o.Schedule = o.Schedule[:1]
		d := newDispatcher(t, o, newStore(), newSource(1))
		create(t, d, "a", "http://"+ln.Addr().String())
		stop := start(d)
		defer stop()
		if e := awaitDisabled(t, d, "a"); e.LastError != "the answer is not HTTP" {
			t.Error(e.LastError)
		}
	}
	f("SSH-2.0-inside")
	f("HTTP/1.1 inside")
	f("HTTP/1.1 2inside x")
	f("HTTP/inside 200 OK")
	f("HTTP/1.1 200 OK\r\ninside")
	f("HTTP/1.1 200 OK\r\nContent-Length: inside")
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: inside")
}

// TestTLS: a certificate that nobody vouches for is a failure.
func TestTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request over an untrusted connection") }))
	defer server.Close()
	o := options()
	o.Schedule = o.Schedule[:1]
	d := newDispatcher(t, o, newStore(), newSource(1))
	create(t, d, "a", server.URL)
	stop := start(d)
	defer stop()
	if e := awaitDisabled(t, d, "a"); !strings.Contains(e.LastError, "certificate") || strings.Contains(e.LastError, server.URL) {
		t.Errorf("%+v", e)
	}
}

// TestNoProxy: what the environment says of proxies does not count.
func TestNoProxy(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a proxy was asked") }))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("HTTPS_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	d := newDispatcher(t, options(), newStore(), newSource(1))
	if transport := d.client.Transport.(*http.Transport); transport.Proxy != nil {
		t.Error("the client has a proxy") // net/http reads the environment once, and never for loopback
	}
	c := newConsumer(t, ok)
	create(t, d, "a", c.server.URL)
	stop := start(d)
	awaitDelivered(t, d, "a", 1)
	stop()
}
