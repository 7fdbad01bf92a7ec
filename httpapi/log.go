package httpapi

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// logEvery is the shortest time between two lines about refused access: whoever
// guesses keys shall not fill the disk.
const logEvery = time.Second

// logLimit lets one line through per logEvery and counts the others.
type logLimit struct {
	last       atomic.Int64 // when a line was let through, Unix nanoseconds
	suppressed atomic.Int64 // lines held back since
}

// allow reports whether a line may be logged now, and how many were not since the
// last one that was.
func (l *logLimit) allow(now time.Time) (suppressed int64, ok bool) {
	last := l.last.Load()
	if last != 0 && now.UnixNano()-last < int64(logEvery) || !l.last.CompareAndSwap(last, now.UnixNano()) {
		l.suppressed.Add(1)
		return 0, false
	}
	return l.suppressed.Swap(0), true
}

// logAnswer logs what an operator wants to know of an answered request: refused
// access, writes with an admin key, and faults of ours.
func (s *Server) logAnswer(c *call, start time.Time) {
	status := c.ctx.Response.StatusCode()
	switch {
	case status == 401 || status == 403:
		limit := &s.denied401
		if status == 403 {
			limit = &s.denied403
		}
		suppressed, ok := limit.allow(start)
		if !ok {
			return
		}
		s.log.Warn("access refused", "route", c.name(), "status", status, "key", c.key.ID,
			"remote", c.ctx.RemoteIP().String(), "suppressed", suppressed)
	case c.route != nil && c.route.scope == ScopeAdmin:
		s.log.Info("admin request", "route", c.name(), "status", status, "key", c.key.ID, "remote", c.ctx.RemoteIP().String())
	}
}

// logAdapter takes fasthttp's own messages (connection errors, which it rates
// and cleans itself).
type logAdapter struct{ log *slog.Logger }

// Printf logs at debug level: a client that goes away is not news. The arguments
// are left out, since they may quote what the client sent.
func (l logAdapter) Printf(format string, _ ...any) { l.log.Debug("http", "event", format) }
