package httpapi

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"farthing/engine"
)

const (
	// stalledAfter is when a body counts as stalled that does not keep the least rate,
	// where its room is wanted for others. Options.BodyStall is when it is anyway.
	stalledAfter = paceTime + 500*time.Millisecond
	// cutMost is how many stalled bodies are cut off at once.
	cutMost = 16
	// cutWait is how long a request waits for the room of those.
	cutWait = 100 * time.Millisecond
)

// arrivals are the bodies that are longer than is read ahead, while they arrive. Together
// they have a part of the budget, so that those who send slowly leave the rest to bodies
// that are there; and those that stall leave theirs to others.
type arrivals struct {
	max   int64
	bytes atomic.Int64  // taken by bodies that are arriving
	freed chan struct{} // has something when a body that was cut off has given its room back

	mu   sync.Mutex
	open map[*pacer]struct{} // under mu
}

func newArrivals(maxBytes int64) *arrivals {
	return &arrivals{max: maxBytes, freed: make(chan struct{}, 1), open: make(map[*pacer]struct{})}
}

// enter notes a body that has begun to arrive.
func (a *arrivals) enter(p *pacer) {
	a.mu.Lock()
	a.open[p] = struct{}{}
	a.mu.Unlock()
}

// leave forgets a body, which has arrived or will not.
func (a *arrivals) leave(p *pacer) {
	if p.begun.IsZero() {
		return
	}
	a.mu.Lock()
	delete(a.open, p)
	a.mu.Unlock()
	a.bytes.Add(-p.taken)
	p.taken, p.begun = 0, time.Time{}
}

// take lets a body have n bytes of memory in all, of which it has some. One alone may
// have any number.
func (a *arrivals) take(p *pacer, n int) bool {
	more := int64(n) - p.taken
	if have := a.bytes.Add(more); have > a.max && have != int64(n) {
		a.bytes.Add(-more)
		return false
	}
	p.taken = int64(n)
	return true
}

// cut cuts off the bodies that have stalled longest. False: none has.
func (a *arrivals) cut(now time.Time) bool {
	before := now.Add(-stalledAfter).UnixNano()
	a.mu.Lock()
	var stalled []*pacer
	for p := range a.open {
		if p.marked.Load() < before && !p.cut.Load() {
			stalled = append(stalled, p)
		}
	}
	slices.SortFunc(stalled, func(p, q *pacer) int { return int(min(max(p.marked.Load()-q.marked.Load(), -1), 1)) })
	stalled = stalled[:min(len(stalled), cutMost)]
	for _, p := range stalled {
		p.cut.Store(true)
		p.conn.hurry(now) // under the lock: leave has not been called, so the connection is still the body's
	}
	a.mu.Unlock()
	return len(stalled) > 0
}

// released is told by a body that was cut off when its room is free.
func (a *arrivals) released() {
	select {
	case a.freed <- struct{}{}:
	default:
	}
}

// orCut asks for room, and once more for a while if stalled bodies can be cut off for it.
func (a *arrivals) orCut(ask func() bool) bool {
	if ask() {
		return true
	}
	if !a.cut(time.Now()) {
		return false
	}
	timer := time.NewTimer(cutWait)
	defer timer.Stop()
	for {
		select {
		case <-a.freed:
			if ask() {
				a.released() // perhaps there is room for the next one
				return true
			}
		case <-timer.C:
			return ask()
		}
	}
}

// acquire takes the budget for a body, for which stalled ones may have to go.
func (s *Server) acquire(c *call, bodyBytes int) (r *engine.Request) {
	s.arrivals.orCut(func() bool {
		r = s.engine.Acquire(c.route.budget(bodyBytes))
		return r != nil
	})
	return r
}

const (
	// bodyBytesPerSecond is the least rate of a body: 8 MiB may take 80 s of it, were
	// it not for Options.ReadTimeout, and a slow mobile line is faster.
	bodyBytesPerSecond = 100_000
	// paceBytes is how much must arrive before the deadline is moved: moving it costs
	// more than reading a packet.
	paceBytes = 64 << 10
	paceTime  = paceBytes * time.Second / bodyBytesPerSecond
)

// pacer cuts off a body that stalls, so that it does not hold its budget until the
// read timeout: what has not arrived BodyStall after the time that it may take is late,
// counted from the beginning, and from the last part that came.
type pacer struct {
	conn  *clientConn // nil in tests without a socket
	of    *arrivals
	stall time.Duration
	begun time.Time // when it was first asked; most bodies are there already and never ask
	next  int       // bytes at which the deadline is moved
	taken int64     // of arrivals.max

	marked atomic.Int64 // when next was last reached, in Unix nanoseconds
	cut    atomic.Bool  // others want its room
}

// arrived moves the deadline when so many bytes are there.
func (p *pacer) arrived(n int) {
	if p.conn == nil || n < p.next {
		return
	}
	now := time.Now()
	p.marked.Store(now.UnixNano())
	if p.begun.IsZero() {
		p.begun = now
		p.of.enter(p)
	}
	p.next = n + paceBytes
	by := p.begun.Add(time.Duration(n) * time.Second / bodyBytesPerSecond)
	if soon := now.Add(paceTime); soon.Before(by) {
		by = soon
	}
	p.conn.hurry(by.Add(p.stall))
	if p.cut.Load() {
		p.conn.hurry(now) // the deadline of cut may have been the one before
	}
}

// take takes memory for n bytes in all from what arriving bodies may have.
func (p *pacer) take(n int) bool {
	if p.conn == nil || p.begun.IsZero() {
		return true
	}
	return p.of.orCut(func() bool { return p.of.take(p, n) })
}
