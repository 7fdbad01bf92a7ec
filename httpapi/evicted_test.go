package httpapi

import (
	"net"
	"strings"
	"testing"
	"time"
)

// TestEvictedIsNotAnswered has a request arrive in full between the choice of its connection for
// another's sake and the close of the socket: an empty 200 would say that its event is booked.
func TestEvictedIsNotAnswered(t *testing.T) {
	for _, expect := range []string{"", "Expect: 100-continue\r\n"} {
		r := newRig(t, Options{})
		text := requestText("POST", "/v1/events", "application/json", with())
		text = strings.Replace(text, "\r\n\r\n", "\r\n"+expect+"\r\n", 1)
		c := r.dial()
		c.send(text[:20])
		r.awaitActive()
		r.server.conns.mu.Lock()
		for s := range r.server.conns.open {
			s.since.Store(connEvicted)
		}
		r.server.conns.mu.Unlock()
		c.send(text[20:])
		if line, err := c.r.ReadString('\n'); err == nil {
			t.Errorf("%q: answered %q", expect, line)
		}
		if len(r.engine.budgets) != 0 {
			t.Errorf("budgets %v were taken", r.engine.budgets)
		}
	}
}

// awaitActive waits until fasthttp has the beginning of a request.
func (r *rig) awaitActive() {
	r.t.Helper()
	for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
		r.server.conns.mu.Lock()
		for c := range r.server.conns.open {
			c.mu.Lock()
			taken := !c.parked && c.since.Load() > time.Now().Add(-newcomerHandicap/2).UnixNano()
			c.mu.Unlock()
			if taken {
				r.server.conns.mu.Unlock()
				return
			}
		}
		r.server.conns.mu.Unlock()
		if r.t.Context().Err() != nil {
			r.t.Fatal("nothing arrives")
		}
	}
}

// TestOldestOfAddressHasNothingToSay has connections of one address on which a request waits to be looked
// at: none of them makes room, as without a bound for addresses.
func TestOldestOfAddressHasNothingToSay(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	s := newConnections(&Options{ConnectionsMax: 10, ConnectionsPerAddressMax: 2}, newMetrics(nil, nil), &unreadAnswers{})
	take := func(said string) *clientConn {
		t.Helper()
		client, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		if _, err := client.Write([]byte(said)); err != nil {
			t.Fatal(err)
		}
		raw, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = raw.Close() })
		c := newClientConn(raw, s, nil)
		for tick := time.NewTicker(time.Millisecond); said != "" && !unread(c); <-tick.C {
		}
		return c
	}
	talks, silent := take("GET "), take("")
	if !s.add(talks) || !s.add(silent) || !s.add(take("GET ")) {
		t.Fatal("turned away")
	}
	if _, open := s.open[talks]; !open {
		t.Error("a connection was closed on which a request waits for us")
	}
	if _, open := s.open[silent]; open {
		t.Error("the silent one is open")
	}
	s.looked = time.Time{}
	if s.add(take("")) {
		t.Error("one came in where requests wait on all")
	}
}

// TestWokenConnectionIsNew has a request begin on the connection that waited longest: over TLS its bytes
// are out of the socket then, and nobody sees them there.
func TestWokenConnectionIsNew(t *testing.T) {
	s := testConnections(5)
	raw, client := net.Pipe()
	t.Cleanup(func() { _ = client.Close() })
	c := newClientConn(raw, s, nil)
	if !s.add(c) {
		t.Fatal("turned away")
	}
	before := time.Now().UnixNano()
	go s.await(c, time.Now().Add(time.Minute))
	if _, err := client.Write([]byte("G")); err != nil {
		t.Fatal(err)
	}
	<-s.woken
	if since := c.since.Load(); since < before {
		t.Errorf("it counts as waiting since %v", time.Unix(0, since))
	}
}
