package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"farthing/engine"
	"farthing/internal/soak"
	"farthing/refusal"
)

// honest is a client that does what clients do, beside an attack. Each request is on a
// connection of its own or on one that is kept, in turn.
type honest struct {
	r     *rig
	stop  chan struct{}
	ended sync.WaitGroup

	mu     sync.Mutex
	took   []time.Duration
	faults []string
}

func (r *rig) startHonest() *honest {
	h := &honest{r: r, stop: make(chan struct{})}
	h.ended.Go(func() { h.run(true) })
	h.ended.Go(func() { h.run(false) })
	return h
}

// run asks until it is stopped. A kept connection may be closed between two requests; that
// costs a client another connection and no request.
func (h *honest) run(keep bool) {
	var c net.Conn
	pause := time.NewTicker(2 * time.Millisecond)
	defer pause.Stop()
	for {
		began := time.Now()
		text, err := h.ask(&c, keep)
		h.mu.Lock()
		h.took = append(h.took, time.Since(began))
		if err != nil || !strings.HasPrefix(text, "HTTP/1.1 200 ") {
			h.faults = append(h.faults, fmt.Sprintf("%.80q %v", text, err))
		}
		h.mu.Unlock()
		select {
		case <-h.stop:
			if c != nil {
				_ = c.Close()
			}
			return
		case <-pause.C:
		}
	}
}

func (h *honest) ask(c *net.Conn, keep bool) (string, error) {
	for dialled := 0; ; {
		if *c == nil {
			conn, err := net.DialTimeout("tcp", h.r.addr, 10*time.Second)
			if err != nil {
				return "", err
			}
			*c, dialled = conn, dialled+1
		}
		text, err := h.exchange(*c)
		if err == nil && keep {
			return text, nil
		}
		_ = (*c).Close()
		*c = nil
		if err == nil || dialled == 3 { // the test's clients share its processors, and may be slow to write
			return text, err
		}
	}
}

func (h *honest) exchange(c net.Conn) (string, error) {
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, requestText("POST", "/v1/events", "application/json", with())); err != nil {
		return "", err
	}
	var b [2048]byte
	n, err := c.Read(b[:])
	return string(b[:n]), err
}

// done stops the client and checks that it was served as if it had been alone.
func (h *honest) done(worst time.Duration) (served int, p99 time.Duration) {
	h.r.t.Helper()
	close(h.stop)
	h.ended.Wait()
	slices.Sort(h.took)
	p99 = h.took[len(h.took)*99/100]
	if len(h.faults) > 0 {
		h.r.t.Errorf("%d of %d honest requests were not served, the first: %s", len(h.faults), len(h.took), h.faults[0])
	}
	if p99 > worst {
		h.r.t.Errorf("the 99th percentile of honest requests is %v, want at most %v", p99, worst)
	}
	return len(h.took) - len(h.faults), p99
}

// memory is what the process holds: live heap and stacks. It is signed because it is subtracted: what tests
// before this one left behind may go at any moment.
func memory() int64 {
	var m runtime.MemStats
	for range 3 { // what is pooled goes with the second
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// settledMemory waits until what tests before this one left behind is gone.
func settledMemory() int64 {
	before, tick := memory(), time.NewTicker(100*time.Millisecond)
	defer tick.Stop()
	for range 50 {
		<-tick.C
		now := memory()
		if now > before-1<<18 {
			return now
		}
		before = now
	}
	return before
}

// raw opens a connection and sends the beginning of something.
func (r *rig) raw(text string) net.Conn {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, text); err != nil {
		r.t.Fatal(err)
	}
	return c
}

// TestSoakIdleConnections holds many silent connections, far more than may be, of which a part has sent
// half of its headers.
func TestSoakIdleConnections(t *testing.T) {
	n, most := soak.Pick(1000, 10_000), soak.Pick(300, 2_000)
	r := newRig(t, Options{ConnectionsMax: most})
	h := r.startHonest()
	before := settledMemory()
	for i := range n {
		switch i % 3 {
		case 0:
			r.raw("")
		case 1:
			r.raw("GET /v1/acc")
		case 2:
			c := r.dial()
			c.send(requestText("GET", "/healthz", "", ""))
			if got := c.receive("GET"); got.status != 200 {
				t.Fatal(got)
			}
		}
	}
	held := memory() - before
	served, p99 := h.done(soak.Pick(time.Second, 250*time.Millisecond))
	if open := r.server.conns.count(); open > most {
		t.Errorf("%d connections are open, want at most %d", open, most)
	}
	// The clients of the test are in the same process.
	if limit := int64(n)*16<<10 + int64(most)*48<<10 + 32<<20; held > limit {
		t.Errorf("%d bytes are held, want at most %d", held, limit)
	}
	soak.Report(t, "idle connections", soak.Counts{"connections": int64(n), "places": int64(most), "honest requests served": int64(served),
		"honest p99 µs": p99.Microseconds(), "memory KiB": held >> 10})
}

// TestParkedConnectionsAreSmall compares what a connection costs that has made a request
// and is silent since, while fasthttp has it and after.
func TestParkedConnectionsAreSmall(t *testing.T) {
	const n = 500
	r := newRig(t, Options{})
	empty := settledMemory()
	var all []net.Conn
	buffer := make([]byte, 4096)
	for range n {
		c := r.raw(requestText("GET", "/healthz", "", ""))
		if n, err := c.Read(buffer); err != nil || !strings.HasPrefix(string(buffer[:n]), "HTTP/1.1 200") {
			t.Fatalf("%q %v", buffer[:n], err)
		}
		all = append(all, c)
	}
	kept := (memory() - empty) / n
	r.awaitParked(n)
	<-time.After(2 * workerIdle) // until the goroutines of fasthttp have ended
	parked := (memory() - empty) / n
	t.Logf("%d bytes a connection that fasthttp has, %d parked, the client's part in both", kept, parked)
	most := int64(8 << 10)
	if raceEnabled {
		most *= 2 // it makes objects larger
	}
	if parked > most || parked > kept*3/5 {
		t.Errorf("a parked connection takes %d bytes, before %d", parked, kept)
	}
	for _, raw := range all[:50] {
		c := &conn{Conn: raw, t: t, r: bufio.NewReader(raw)}
		c.send(requestText("GET", "/healthz", "", "") + requestText("GET", "/v1/accounts/a", "", ""))
		for range 2 {
			got := c.receive("GET")
			got.want(t, 200, "")
		}
	}
}

func (r *rig) awaitParked(n int) {
	r.t.Helper()
	for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
		parked := 0
		r.server.conns.mu.Lock()
		for c := range r.server.conns.open {
			c.mu.Lock()
			if c.parked {
				parked++
			}
			c.mu.Unlock()
		}
		r.server.conns.mu.Unlock()
		if parked >= n {
			return
		}
		if r.t.Context().Err() != nil {
			r.t.Fatalf("%d of %d are parked", parked, n)
		}
	}
}

// TestDrainEndsParkedConnections has a connection that is parked when the server drains.
func TestDrainEndsParkedConnections(t *testing.T) {
	r := newRig(t, Options{})
	c := r.dial()
	c.send(requestText("GET", "/healthz", "", ""))
	got := c.receive("GET")
	got.want(t, 200, "")
	r.awaitParked(1)
	if err := r.server.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.closed()
	if n := r.server.conns.count(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

// TestOldestWaitingConnectionGoes fills the places in a known order.
func TestOldestWaitingConnectionGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := testConnections(5)
		add := func() *clientConn {
			t.Helper()
			<-time.After(time.Second)
			c := newClientConn(&deadlineConn{}, s, nil)
			if !s.add(c) {
				t.Fatal("turned away")
			}
			return c
		}
		open := func(want ...*clientConn) {
			t.Helper()
			if len(s.open) != len(want) {
				t.Errorf("%d are open, want %d", len(s.open), len(want))
			}
			for i, c := range want {
				if _, ok := s.open[c]; !ok {
					t.Errorf("number %d was closed", i)
				}
			}
		}
		silent, busy, served, newer, newest := add(), add(), add(), add(), add()
		busy.begin()
		served.begin()
		served.between = false
		s.state(served, 2) // its answer is sent
		s.state(served, 1) // and the next request begins
		s.state(newest, 1) // its request begins to arrive
		a := add()         // for silent
		open(busy, served, newer, newest, a)
		b := add() // for newer: it has waited longer than a, and sent nothing
		open(busy, served, newest, a, b)
		_ = silent
		for _, c := range []*clientConn{served, newest, a, b} {
			if !c.begin() {
				t.Error("closed")
			}
		}
		if newer.begin() || silent.begin() {
			t.Error("a request on a connection that was closed")
		}
		if s.add(newClientConn(&deadlineConn{}, s, nil)) {
			t.Error("one more came in where requests are under way on all")
		}
	})
}

// TestConnectionsOfOneAddress has one address that takes all it can, and another.
func TestConnectionsOfOneAddress(t *testing.T) {
	s := newConnections(&Options{ConnectionsMax: 10, ConnectionsPerAddressMax: 2}, newMetrics(nil, nil), &unreadAnswers{})
	at := func(text string) *clientConn {
		return newClientConn(&addressConn{address: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(text))}, s, nil)
	}
	var busy []*clientConn
	for i := range 3 {
		c := at(fmt.Sprintf("192.0.2.1:%d", 1000+i))
		if !s.add(c) {
			t.Fatalf("number %d was turned away, where others wait", i)
		}
		busy = append(busy, c)
	}
	if s.count() != 2 {
		t.Errorf("%d are open", s.count())
	}
	for _, c := range busy {
		c.begin()
	}
	if s.add(at("192.0.2.1:2000")) {
		t.Error("a third came in")
	}
	for _, other := range []string{"192.0.2.2:1", "[2001:db8::1]:1", "[2001:db8::2]:1"} {
		if !s.add(at(other)) {
			t.Errorf("%s was turned away", other)
		}
	}
	for c := range s.open {
		c.begin()
	}
	if s.add(at("[2001:db8:0:0:ffff::1]:1")) {
		t.Error("the network of two others came in")
	}
	for c := range s.open {
		_ = c.Close()
	}
	if len(s.from) != 0 {
		t.Errorf("%v are left", s.from)
	}
}

type addressConn struct {
	deadlineConn
	address net.Addr
}

func (c *addressConn) RemoteAddr() net.Addr { return c.address }

// TestUntakenAnswerMakesRoom has a client that does not take its answer on the only place.
func TestUntakenAnswerMakesRoom(t *testing.T) {
	r := newRig(t, Options{ConnectionsMax: 1})
	r.engine.ingest = func(*engine.Request) (engine.IngestResult, *refusal.Refusal) {
		return engine.IngestResult{Rejected: rejects(rejectedMax, 16<<10), Sequence: 42}, nil
	}
	began := time.Now()
	r.raw(requestText("POST", "/v1/events", "application/json", with()))
	for {
		c := r.dial()
		c.send(requestText("GET", "/healthz", "", ""))
		var b [64]byte
		if n, _ := c.Read(b[:]); strings.Contains(string(b[:n]), " 200 ") {
			break
		}
		if time.Since(began) > 2*untakenAfter {
			t.Fatal("it keeps its place")
		}
	}
}

// TestSoakConnectionStorm opens and drops connections as fast as it can.
func TestSoakConnectionStorm(t *testing.T) {
	r := newRig(t, Options{ConnectionsMax: 2000})
	h := r.startHonest()
	end := time.Now().Add(soak.Pick(time.Second, 20*time.Second))
	var storm sync.WaitGroup
	var opened [4]int
	for i := range opened {
		storm.Go(func() {
			for n := 0; time.Now().Before(end); n++ {
				c, err := net.Dial("tcp", r.addr)
				if err != nil {
					continue // no port left for a moment
				}
				if n%2 == 0 {
					_, _ = io.WriteString(c, "POST /v1/events HTTP/1.1\r\nHo")
				}
				_ = c.(*net.TCPConn).SetLinger(0) // leaves no port behind
				_ = c.Close()
				opened[i]++
			}
		})
	}
	storm.Wait()
	served, p99 := h.done(soak.Pick(2*time.Second, time.Second))
	total := opened[0] + opened[1] + opened[2] + opened[3]
	soak.Report(t, "connection storm", soak.Counts{"connections": int64(total), "honest requests served": int64(served), "honest p99 µs": p99.Microseconds()})
}

// soakLatency is what an honest request may take beside an attack, on a machine that runs
// the attackers too, and perhaps the race detector.
const soakLatency = 2 * time.Second
