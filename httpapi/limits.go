package httpapi

import (
	"sync/atomic"
	"time"

	"farthing/refusal"
)

// Limits of what answers may cost.
const (
	// rendersMax is how many long answers (lists, price books, usage) are built at
	// once: many more than processors, and few enough that megabytes each do not matter.
	rendersMax = 16
	// renderWait is how long a request waits for its turn among them.
	renderWait = time.Second
	// unreadMaxAnswerBytes bounds the long answers that are built and not yet taken by
	// their clients, who have Options.WriteTimeout for it.
	unreadMaxAnswerBytes = 256 << 20
	// longAnswerBytes is from which length an answer counts among them, and is not
	// copied into the buffer that fasthttp keeps with a connection.
	longAnswerBytes = 64 << 10
)

// gate lets a bounded number through at once.
type gate struct {
	places chan struct{}
	wait   time.Duration
}

func newGate(n int, wait time.Duration) gate { return gate{make(chan struct{}, n), wait} }

// enter takes a place, waiting for it; leave must follow unless it refuses.
func (g gate) enter() *refusal.Refusal {
	select {
	case g.places <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(g.wait)
	defer timer.Stop()
	select {
	case g.places <- struct{}{}:
		return nil
	case <-timer.C:
		return refusal.New(refusal.Overloaded, "reads", "too many long answers are being built now; try again in a moment")
	}
}

func (g gate) leave() { <-g.places }

// unreadAnswers counts the bytes of long answers that clients have not taken yet.
type unreadAnswers struct {
	bytes atomic.Int64
	max   int64
}

// take counts an answer, unless there are too many and it may be refused.
func (u *unreadAnswers) take(n int64, must bool) bool {
	if u.bytes.Add(n) > u.max && !must {
		u.bytes.Add(-n)
		return false
	}
	return true
}

func (u *unreadAnswers) give(n int64) { u.bytes.Add(-n) }

// send makes b the answer's body; b is not changed after. An answer that must be
// sent, because it tells what was booked, is never refused.
func (s *Server) send(c *call, b []byte, must bool) *refusal.Refusal {
	if len(b) < longAnswerBytes {
		c.ctx.Response.SetBody(b)
		return nil
	}
	conn, ok := c.ctx.Conn().(*clientConn)
	if ok {
		if !s.unread.take(int64(len(b)), must) {
			return refusal.New(refusal.Overloaded, "answers", "too many long answers are waiting to be read; try again in a moment")
		}
		conn.owe(int64(len(b)))
	}
	c.ctx.Response.SetBodyRaw(b)
	return nil
}
