package httpapi

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"farthing/refusal"
)

// Bounds of what is read and thrown away before a connection is closed while its
// client is still sending. net/http waits half a second for the same reason.
const (
	lingerTime     = 500 * time.Millisecond
	lingerMaxBytes = 16 << 20
)

// turnedAwayMax bounds the connections over the limit that are closed softly at
// once. Beyond it they are closed hard, and may miss the answer they were sent.
const turnedAwayMax = 64

// acceptPause is how long accepting rests when no file descriptor was left.
const acceptPause = 50 * time.Millisecond

// drainGrace is how long a request that has begun to arrive may take to arrive
// in full once the server drains.
const drainGrace = time.Second

// connections are the open connections of a server.
type connections struct {
	max     int
	refused prometheus.Counter // connections over max
	tooMany []byte             // what they are told
	turned  chan struct{}      // a place for each soft close of one of them
	unread  *unreadAnswers

	// drainBy is the time in Unix nanoseconds after which nothing is read any more;
	// 0: not draining. Set once, by drain.
	drainBy atomic.Int64

	mu   sync.Mutex
	open map[*clientConn]struct{} // under mu
}

func newConnections(limit int, refused prometheus.Counter, unread *unreadAnswers) *connections {
	return &connections{max: limit, refused: refused, unread: unread, tooMany: tooManyConnections(),
		turned: make(chan struct{}, turnedAwayMax), open: make(map[*clientConn]struct{})}
}

// add takes a connection in, unless there are too many.
func (s *connections) add(raw net.Conn) (c *clientConn, ok bool) {
	c = &clientConn{Conn: raw, set: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= s.max {
		return c, false
	}
	s.open[c] = struct{}{}
	return c, true
}

func (s *connections) remove(c *clientConn) {
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
}

// drain gives every request that is still arriving until by. What arrived is
// answered, however long that takes: only reading ends.
func (s *connections) drain(by time.Time) {
	s.drainBy.Store(by.UnixNano())
	s.mu.Lock()
	open := make([]*clientConn, 0, len(s.open))
	for c := range s.open {
		open = append(open, c)
	}
	s.mu.Unlock()
	for _, c := range open {
		c.mu.Lock()
		_ = c.arm(c.limit) // a connection that is gone needs no deadline
		c.mu.Unlock()
	}
}

// draining reports whether drain was called.
func (s *connections) draining() bool { return s.drainBy.Load() != 0 }

// turnAway answers a connection over the limit and closes it. It does not block:
// the answer fits the buffer of a socket that is new.
func (s *connections) turnAway(raw net.Conn) {
	s.refused.Inc()
	c := &clientConn{Conn: raw, set: s}
	if c.SetWriteDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = raw.Write(s.tooMany) // whoever does not take it is gone
	}
	select {
	case s.turned <- struct{}{}:
		c.linger.Store(true)
		go func() {
			_ = c.Close()
			<-s.turned
		}()
	default:
		_ = c.Close()
	}
}

// tooManyConnections is the whole answer to a connection over the limit.
func tooManyConnections() []byte {
	body := appendProblem(nil, refusal.New(refusal.Overloaded, "connections", "there are too many connections now; try again in a moment"))
	return fmt.Appendf(nil, "HTTP/1.1 429 Too Many Requests\r\nServer: farthing\r\nContent-Type: application/problem+json\r\n"+
		"Content-Length: %d\r\nRetry-After: %s\r\nConnection: close\r\n\r\n%s", len(body), retryAfterSeconds, body)
}

// clientListener bounds the connections of a listener and wraps them.
type clientListener struct {
	net.Listener
	conns *connections
}

// Accept waits for the next connection that there is room for.
func (l clientListener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if outOfFiles(err) {
			// The server would take this for the end. Connections that close give
			// descriptors back.
			<-time.After(acceptPause)
			continue
		}
		if err != nil {
			return nil, err
		}
		if c, ok := l.conns.add(raw); ok {
			return c, nil
		}
		l.conns.turnAway(raw)
	}
}

// outOfFiles reports whether an accept failed because no descriptor was left, in this
// process or on the machine.
func outOfFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// clientConn is a client's connection. It knows what fasthttp does not offer: a
// deadline that shortens when the server drains or a body stalls, which answer was
// not taken yet, and how to close without losing an answer: closing a socket with
// unread bytes resets the connection, and a client in the middle of sending a body
// that is too large would never see the answer that says so.
type clientConn struct {
	net.Conn
	set    *connections
	linger atomic.Bool  // set by the handler, taken by whoever closes
	owed   atomic.Int64 // bytes of a long answer that is on its way to the client

	mu    sync.Mutex // orders arm of the connection's goroutine against drain's
	limit time.Time  // under mu: the deadline that fasthttp set last
}

// SetReadDeadline sets the deadline of a whole request, or of the wait for the
// next one. fasthttp calls it between requests, when the answer before is taken.
func (c *clientConn) SetReadDeadline(t time.Time) error {
	c.settle()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = t
	return c.arm(t)
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
		if by := time.Unix(0, ns); t.IsZero() || by.Before(t) {
			t = by
		}
	}
	return c.Conn.SetReadDeadline(t)
}

// owe charges a long answer to the connection until it is taken.
func (c *clientConn) owe(n int64) { c.owed.Add(n) }

// settle gives back what was charged for answers.
func (c *clientConn) settle() {
	if c.owed.Load() != 0 {
		c.set.unread.give(c.owed.Swap(0))
	}
}

// Close closes the connection, after lingering if that was asked for.
func (c *clientConn) Close() error {
	c.settle()
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger.Swap(false) {
		if half.CloseWrite() == nil && c.Conn.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
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
