package httpapi

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Bounds of what is read and thrown away before a connection is closed while its
// client is still sending. net/http waits half a second for the same reason.
const (
	lingerTime     = 500 * time.Millisecond
	lingerMaxBytes = 16 << 20
)

const (
	// parkAfter is how long fasthttp keeps a connection between two requests, with its
	// buffers, about 25 KiB. A client that has nothing to say for so long does not mind
	// the microseconds that waking takes.
	parkAfter = 2 * time.Second
	// newcomerHandicap is how much older a connection counts that has not sent a
	// request yet, so that a storm of silent ones displaces itself first.
	newcomerHandicap = 10 * time.Second
	// untakenAfter is when a client that does not take its answer counts as waiting.
	untakenAfter = 2 * time.Second
)

// States of a connection; any other number is the time in Unix nanoseconds since which
// it waits for its client: for a request's headers, or to take an answer. One that lies
// ahead is not reached yet.
const (
	connBusy    = 0
	connEvicted = -1 // closed to make room
)

// clientConn is a client's connection. It knows what fasthttp does not offer: a
// deadline that shortens when the server drains or a body stalls, which answer was
// not taken yet, since when nothing is under way on it, and how to close without
// losing an answer: closing a socket with unread bytes resets the connection, and a
// client in the middle of sending a body that is too large would never see the answer
// that says so.
//
// A connection on which nothing happens is parked: fasthttp believes it closed, and
// gets it again as a new one when its next request begins.
type clientConn struct {
	net.Conn          // what is read and written: raw, or tls
	raw      net.Conn // never nil
	tls      *tls.Conn
	set      *connections
	secure   *TLS
	address  netip.Addr
	linger   atomic.Bool  // set by the handler, taken by whoever closes
	parking  atomic.Bool  // set by Read, taken by Close
	owed     atomic.Int64 // bytes of a long answer that is on its way to the client
	since    atomic.Int64 // see connBusy

	// Of the connection's goroutine: fasthttp's, or that of await.
	between   bool      // an answer was sent, and the next deadline is that of the wait for a request
	waiting   bool      // this is that wait
	idleUntil time.Time // its end
	first     [1]byte   // what await has read
	hasFirst  bool
	undated   bool // a request has begun, and no answer to it was given a deadline yet

	mu      sync.Mutex  // orders arm of the connection's goroutine against those of others
	limit   time.Time   // under mu: the deadline that was set last
	parked  bool        // under mu: await has it
	unarmed atomic.Bool // set under mu: limit is set on the socket when something has to be read
	reads   time.Time   // under mu: the read deadline that the socket has
	writes  time.Time   // under mu: the write deadline that the socket has
}

func newClientConn(raw net.Conn, set *connections, secure *TLS) *clientConn {
	c := &clientConn{Conn: raw, raw: raw, set: set, secure: secure, address: addressOf(raw.RemoteAddr())}
	if secure != nil {
		c.tls = secure.server(raw)
		c.Conn = c.tls
	}
	return c
}

// await waits until a request begins on a connection and hands it to fasthttp.
func (s *connections) await(c *clientConn, until time.Time) {
	c.mu.Lock()
	c.parked, c.limit, c.idleUntil = true, until, until
	err := c.arm(until)
	c.mu.Unlock()
	if err == nil && c.secure != nil {
		err = c.secure.handshake(c)
	}
	if err == nil {
		_, err = c.Conn.Read(c.first[:])
	}
	if err != nil {
		_ = c.Close()
		return
	}
	c.mu.Lock()
	c.parked = false
	c.mu.Unlock()
	c.hasFirst = true
	c.active() // TLS has taken the rest out of the socket, where unread would look for it
	select {
	case s.woken <- c:
	case <-s.closed:
		if c.SetWriteDeadline(time.Now().Add(lingerTime)) == nil {
			_, _ = c.Conn.Write(s.stopping)
		}
		c.linger.Store(true)
		_ = c.Close()
	}
}

// park lets await have a connection that fasthttp is done with. False: the server drains.
func (s *connections) park(c *clientConn) bool {
	s.mu.Lock()
	if s.draining() {
		s.mu.Unlock()
		return false
	}
	s.parked.Add(1) // under the lock: whoever drains waits after that
	s.mu.Unlock()
	go func() {
		defer s.parked.Done()
		s.await(c, c.idleUntil)
	}()
	return true
}

// begin marks that a request has arrived. False: the connection is closed to make room
// for another, and nobody sees the answer.
func (c *clientConn) begin() bool {
	for {
		since := c.since.Load()
		if since == connEvicted {
			_ = c.raw.Close() // add may not have come to it yet, and fasthttp would send an empty 200
			return false
		}
		if c.since.CompareAndSwap(since, connBusy) {
			return true
		}
	}
}

// began calls begin on the connection of a request.
func began(c net.Conn) bool {
	client, ok := c.(*clientConn)
	return !ok || client.begin()
}

// active notes that a request begins to arrive. Later bytes do not count: a header that
// comes byte by byte gets older.
func (c *clientConn) active() {
	if since := c.since.Load(); since > 0 {
		c.since.CompareAndSwap(since, time.Now().UnixNano())
	}
}

// state is told by fasthttp when a request begins to arrive and when its answer was sent.
func (s *connections) state(conn net.Conn, state fasthttp.ConnState) {
	c, ok := conn.(*clientConn)
	if !ok {
		return
	}
	switch state {
	case fasthttp.StateActive:
		c.undated = true
		c.active()
	case fasthttp.StateIdle:
		c.between = true
		c.since.CompareAndSwap(connBusy, time.Now().UnixNano())
	}
}

// Read reads what the client sends.
func (c *clientConn) Read(p []byte) (int, error) {
	if c.hasFirst && len(p) > 0 {
		c.hasFirst = false
		p[0] = c.first[0]
		return 1, nil
	}
	if c.unarmed.Load() {
		if err := c.armRead(); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Read(p)
	if n == 0 && c.waiting && isTimeout(err) && time.Now().Before(c.idleUntil) {
		c.parking.Store(true) // fasthttp closes a connection that timed out between requests, without a word
	}
	return n, err
}

// Write sends to the client. One that does not take an answer may be closed to make room.
func (c *clientConn) Write(p []byte) (int, error) {
	if c.undated { // fasthttp's own: a refusal of what it cannot read, or leave to go on; its last deadline was that of the answer before
		if err := c.SetWriteDeadline(time.Now().Add(c.set.writeWithin)); err != nil {
			return 0, err
		}
	}
	late := time.Now().Add(untakenAfter).UnixNano()
	if !c.since.CompareAndSwap(connBusy, late) {
		return c.Conn.Write(p)
	}
	n, err := c.Conn.Write(p)
	c.since.CompareAndSwap(late, connBusy)
	return n, err
}

// SetReadDeadline sets the deadline of a whole request, or of the wait for the
// next one. fasthttp calls it between requests, when the answer before is taken, and when a
// request begins, which mostly is there whole by then: the socket's own deadline is moved when it has to be read.
func (c *clientConn) SetReadDeadline(t time.Time) error {
	c.settle()
	c.waiting = c.between
	if c.between {
		c.between, c.idleUntil = false, t
		if soon := time.Now().Add(parkAfter); soon.Before(t) {
			t = soon
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = t
	c.unarmed.Store(true)
	return nil
}

// SetWriteDeadline sets the deadline of an answer. fasthttp calls it before it writes one.
func (c *clientConn) SetWriteDeadline(t time.Time) error {
	c.undated = false
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.set.draining() {
		if by := time.Now().Add(drainTake); t.IsZero() || by.Before(t) {
			t = by
		}
	} else if later, ok := lazily(t, c.writes); ok {
		return nil
	} else {
		t = later
	}
	c.writes = t
	return c.Conn.SetWriteDeadline(t)
}

// lazily returns the deadline that a socket gets for one at t, or true if the one that it has will do. Moving the
// runtime's timers for every request costs a twentieth of it, so a deadline is set later than was asked for, by an
// eighth of the time left and a second at most, and stands as long as it is not too early for the next.
func lazily(t, has time.Time) (later time.Time, ok bool) {
	if t.IsZero() {
		return t, has.IsZero()
	}
	slack := min(max(time.Until(t)/deadlineSlack, 0), time.Second)
	if later = t.Add(slack); has.IsZero() {
		return later, false
	}
	return later, !has.Before(t) && !has.After(later)
}

// deadlineSlack is the part of a time by which its deadline may be late.
const deadlineSlack = 8

// armRead sets the socket's deadline for what is read now.
func (c *clientConn) armRead() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.unarmed.Load() {
		return nil // somebody else has set a closer one
	}
	if c.set.draining() {
		return c.arm(c.limit)
	}
	later, ok := lazily(c.limit, c.reads)
	if ok {
		c.unarmed.Store(false)
		return nil
	}
	return c.arm(later)
}

// hurry sets an earlier deadline within that of the request.
func (c *clientConn) hurry(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.limit.IsZero() && c.limit.Before(t) {
		t = c.limit
	}
	_ = c.arm(t) // the read that follows has the same error
}

// arm sets the socket's deadline; mu is held.
func (c *clientConn) arm(t time.Time) error {
	if ns := c.set.drainBy.Load(); ns != 0 {
		by := time.Unix(0, ns)
		if c.parked {
			by = by.Add(parkedGrace - drainGrace)
		}
		if t.IsZero() || by.Before(t) {
			t = by
		}
	}
	c.unarmed.Store(false)
	c.reads = t
	return c.raw.SetReadDeadline(t)
}

// owe charges a long answer to the connection until it is taken.
func (c *clientConn) owe(n int64) { c.owed.Add(n) }

// settle gives back what was charged for answers.
func (c *clientConn) settle() {
	if c.owed.Load() != 0 {
		c.set.unread.give(c.owed.Swap(0))
	}
}

// Close parks the connection if that is what is to become of it, or closes it, after
// lingering if that was asked for.
func (c *clientConn) Close() error {
	c.settle()
	if c.parking.Swap(false) && c.set.park(c) {
		return nil
	}
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger.Swap(false) {
		if half.CloseWrite() == nil && c.raw.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
			_, _ = io.CopyN(io.Discard, c.Conn, lingerMaxBytes) // its end or error: the peer is done
		}
	}
	err := c.Conn.Close()
	c.set.remove(c)
	return err
}

// lingerOnClose asks for a soft close of the connection under a request.
func lingerOnClose(c net.Conn) {
	if l, ok := c.(*clientConn); ok {
		l.linger.Store(true)
	}
}
