package httpapi

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"farthing/refusal"
)

// turnedAwayMax bounds the connections over the limit that are closed softly at
// once. Beyond it they are closed hard, and may miss the answer they were sent.
const turnedAwayMax = 64

// acceptPause is how long accepting rests when no file descriptor was left.
const acceptPause = 50 * time.Millisecond

// drainGrace is how long a request that has begun to arrive may take to arrive
// in full once the server drains; parkedGrace is how long one may that has not begun
// as far as we know: its bytes may be there, and not yet looked at.
// drainTake is how long an answer may take to be taken: who does not read keeps no stop waiting.
const (
	drainGrace  = time.Second
	drainTake   = 2 * time.Second
	parkedGrace = 100 * time.Millisecond
)

const (
	// victimsMax is how many connections one look over all of them picks for closing.
	victimsMax = 64
	// lookCost is how long must pass between two looks, for each connection: a look
	// takes about 20 ns for each, so a storm costs at most a fifth of a core.
	lookCost = 100 * time.Nanosecond
)

// connections are the open connections of a server. When there are as many as may be,
// the one that has waited longest for its client makes room for a new one: silent
// connections, however many, do not keep anybody out.
type connections struct {
	max        int
	maxFrom    int                // of one client address; 0: any number
	refused    prometheus.Counter // connections over max
	evicted    prometheus.Counter // connections closed to make room
	tooMany    []byte             // what refused ones are told
	stopping   []byte             // what a request is told that comes while the server drains
	turned     chan struct{}      // a place for each soft close of one of them
	unread     *unreadAnswers
	readWithin time.Duration // for the first byte of a new connection
	// writeWithin is for an answer that fasthttp gives by itself.
	writeWithin time.Duration

	woken  chan net.Conn  // connections on which a request begins
	closed chan struct{}  // closed when no more are taken
	parked sync.WaitGroup // goroutines of take and await

	// drainBy is the time in Unix nanoseconds after which nothing is read any more;
	// 0: not draining. Set once, by drain.
	drainBy atomic.Int64

	mu      sync.Mutex
	open    map[*clientConn]struct{} // under mu
	from    map[netip.Addr]int       // open ones by address, if maxFrom is set; under mu
	victims []victim                 // of the last look, the next one last; under mu
	looked  time.Time                // when that was; under mu
}

// victim is a connection that waited for its client, since then.
type victim struct {
	conn  *clientConn
	since int64
}

func newConnections(o *Options, m *metrics, unread *unreadAnswers) *connections {
	return &connections{max: o.ConnectionsMax, maxFrom: o.ConnectionsPerAddressMax, readWithin: o.ReadTimeout, writeWithin: o.WriteTimeout,
		refused: m.turnedAway, evicted: m.evicted, unread: unread,
		tooMany: wholeAnswer("429 Too Many Requests", refusal.New(refusal.Overloaded, "connections", "there are too many connections now; try again in a moment")),
		stopping: wholeAnswer("503 Service Unavailable",
			refusal.New(refusal.NotReady, "draining", "the service is stopping and the request had not arrived; try again in a moment")),
		turned: make(chan struct{}, turnedAwayMax), woken: make(chan net.Conn), closed: make(chan struct{}),
		open: make(map[*clientConn]struct{}), from: make(map[netip.Addr]int)}
}

// add takes a connection in, unless there are too many and none of them only waits.
func (s *connections) add(c *clientConn) bool {
	now := time.Now()
	c.since.Store(now.Add(-newcomerHandicap).UnixNano())
	s.mu.Lock()
	out, ok := s.makeRoomLocked(c, now)
	if ok {
		s.open[c] = struct{}{}
		s.countLocked(c, 1)
	}
	s.mu.Unlock()
	if out != nil {
		s.evicted.Inc()
		_ = out.raw.Close() // ends the read of its goroutine, which does the rest
	}
	return ok
}

// makeRoomLocked decides whether c may come in, and which connection goes out for it.
func (s *connections) makeRoomLocked(c *clientConn, now time.Time) (out *clientConn, ok bool) {
	full := s.maxFrom > 0 && s.from[c.address] >= s.maxFrom
	switch {
	case full:
		out = s.oldestOfLocked(c.address, now)
	case len(s.open) >= s.max:
		full = true
		out = s.oldestLocked(now)
	}
	if out != nil {
		s.forgetLocked(out)
	}
	return out, !full || out != nil
}

// oldestLocked takes the connection that has waited longest out of use; nil: none waits.
func (s *connections) oldestLocked(now time.Time) *clientConn {
	for again := false; ; again = true {
		for len(s.victims) > 0 {
			v := s.victims[len(s.victims)-1]
			s.victims = s.victims[:len(s.victims)-1]
			// It is we who are late where bytes are there that nobody has looked at.
			if _, open := s.open[v.conn]; open && !unread(v.conn) && v.conn.since.CompareAndSwap(v.since, connEvicted) {
				return v.conn
			}
		}
		if again || !s.mayLookLocked(now) {
			return nil
		}
		for c := range s.open {
			if since := c.since.Load(); since > 0 && since <= now.UnixNano() {
				s.proposeLocked(victim{c, since})
			}
		}
	}
}

// proposeLocked keeps v among the victims if it has waited longer than one of them, or
// there is room.
func (s *connections) proposeLocked(v victim) {
	if len(s.victims) == victimsMax {
		if v.since >= s.victims[0].since {
			return
		}
		s.victims = slices.Delete(s.victims, 0, 1)
	}
	at, _ := slices.BinarySearchFunc(s.victims, v.since, func(have victim, since int64) int {
		return int(min(max(since-have.since, -1), 1)) // the longest wait is last
	})
	s.victims = slices.Insert(s.victims, at, v)
}

// oldestOfLocked is oldestLocked for the connections of one address.
func (s *connections) oldestOfLocked(address netip.Addr, now time.Time) *clientConn {
	if !s.mayLookLocked(now) {
		return nil
	}
	var oldest victim
	for c := range s.open {
		since := c.since.Load()
		if c.address == address && since > 0 && since <= now.UnixNano() && (oldest.conn == nil || since < oldest.since) && !unread(c) {
			oldest = victim{c, since}
		}
	}
	if oldest.conn == nil || !oldest.conn.since.CompareAndSwap(oldest.since, connEvicted) {
		return nil
	}
	return oldest.conn
}

// mayLookLocked bounds how much time goes into looks over all connections.
func (s *connections) mayLookLocked(now time.Time) bool {
	if now.Sub(s.looked) < time.Duration(len(s.open))*lookCost {
		return false
	}
	s.looked = now
	return true
}

func (s *connections) countLocked(c *clientConn, n int) {
	if s.maxFrom == 0 {
		return
	}
	if s.from[c.address] += n; s.from[c.address] == 0 {
		delete(s.from, c.address)
	}
}

func (s *connections) forgetLocked(c *clientConn) {
	if _, open := s.open[c]; open {
		delete(s.open, c)
		s.countLocked(c, -1)
	}
}

func (s *connections) remove(c *clientConn) {
	s.mu.Lock()
	s.forgetLocked(c)
	s.mu.Unlock()
}

// count is how many are open.
func (s *connections) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// drain gives every request that is still arriving until by. What arrived is
// answered, however long that takes: only reading ends.
func (s *connections) drain(by time.Time) {
	s.mu.Lock()
	s.drainBy.Store(by.UnixNano()) // under the lock: see park
	open := make([]*clientConn, 0, len(s.open))
	for c := range s.open {
		open = append(open, c)
	}
	s.mu.Unlock()
	for _, c := range open {
		c.mu.Lock()
		_ = c.arm(c.limit) // a connection that is gone needs no deadline
		c.writes = time.Now().Add(drainTake)
		_ = c.raw.SetWriteDeadline(c.writes)
		c.mu.Unlock()
	}
}

// draining reports whether drain was called.
func (s *connections) draining() bool { return s.drainBy.Load() != 0 }

// turnAway answers a connection over the limit and closes it. It does not block:
// the answer fits the buffer of a socket that is new. One that speaks TLS would not
// understand it.
func (s *connections) turnAway(c *clientConn) {
	s.refused.Inc()
	if c.tls == nil && c.SetWriteDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = c.raw.Write(s.tooMany) // whoever does not take it is gone
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

// wholeAnswer is an answer as it goes over a connection that no request was read from.
func wholeAnswer(status string, no *refusal.Refusal) []byte {
	body := appendProblem(nil, no)
	return fmt.Appendf(nil, "HTTP/1.1 %s\r\nServer: farthing\r\nContent-Type: application/problem+json\r\n"+
		"Content-Length: %d\r\nRetry-After: %s\r\nConnection: close\r\n\r\n%s", status, len(body), retryAfterSeconds, body)
}

// clientListener bounds the connections of a listener and wraps them. A connection comes
// out of Accept when the first byte of a request is there; until then it costs a small
// goroutine and nothing else.
type clientListener struct {
	net.Listener
	conns *connections
	tls   *TLS // nil: plain text
	err   error
}

// Accept waits for the next connection on which a request begins.
func (l *clientListener) Accept() (net.Conn, error) {
	select { // what has arrived comes before the end
	case c := <-l.conns.woken:
		return c, nil
	default:
	}
	select {
	case c := <-l.conns.woken:
		return c, nil
	case <-l.conns.closed:
		return nil, l.err
	}
}

// take takes connections in until the listener fails.
func (l *clientListener) take() {
	for {
		raw, err := l.Listener.Accept()
		if outOfFiles(err) {
			// This is not the end. Connections that close give descriptors back.
			<-time.After(acceptPause)
			continue
		}
		if err != nil {
			l.err = err
			close(l.conns.closed)
			return
		}
		c := newClientConn(raw, l.conns, l.tls)
		if !l.conns.add(c) {
			l.conns.turnAway(c)
			continue
		}
		l.conns.parked.Go(func() { l.conns.await(c, time.Now().Add(l.conns.readWithin)) })
	}
}

// outOfFiles reports whether an accept failed because no descriptor was left, in this
// process or on the machine.
func outOfFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// addressOf is the client's address as ConnectionsPerAddressMax counts it: of IPv6 the
// network, in which one client has as many addresses as it likes.
func addressOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return ip
}
