package httpapi

import (
	"io"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"farthing/engine"
	"farthing/refusal"
)

// progressEvery is how often a stream tells how far its work is. A client that has gone is
// found out by it, so it comes whether or not there was progress.
const progressEvery = 500 * time.Millisecond

// rehearsal is a simulation, and its answer: a stream of lines that tell how far it is and
// at last what came out. Going over a month of events takes minutes, longer than an answer
// may take in one piece.
//
// The work has a goroutine of its own, which Close stops and waits for: fasthttp calls it
// after the last line, when the client has gone, and when the answer has no body (HEAD). The
// goroutine uses nothing of the request. Read and Close are called by the connection's
// goroutine.
type rehearsal struct {
	server *Server
	conn   net.Conn

	done, total atomic.Uint64 // of the work; set by its goroutine
	aborted     atomic.Bool   // nobody waits for the result
	begun       chan struct{} // closed at the first progress
	ended       chan struct{} // closed when the goroutine ends; last and no are set then
	last        []byte        // the last line, with its line feed
	no          *refusal.Refusal
	charged     int64 // of last, among the unread answers

	pending  []byte // what is left of the line being read; by Read
	shown    uint64 // the last done that was told; by Read
	started  bool   // a line was given; by Read
	finished bool   // the last line was taken; by Read
	closing  sync.Once
}

// repricer is the method of the engine that does the work.
type repricer func(engine.RepriceOptions) (engine.Repricing, *refusal.Refusal)

// rehearse begins a rehearsal and answers with its stream. What is refused before the first
// progress is an answer like any other.
func (s *Server) rehearse(c *call, work repricer) (answer, *refusal.Refusal) {
	q := c.query("from", "to")
	from, to := q.stretch()
	version, no := c.param(0)
	if q.no != nil {
		no = q.no
	}
	if no == nil && !c.ctx.Request.Header.IsHTTP11() {
		no = refusal.New(refusal.Invalid, "http_version", "this answer is a stream, which takes HTTP/1.1")
	}
	if no != nil {
		return answer{}, no
	}
	r := &rehearsal{server: s, conn: c.ctx.Conn(), begun: make(chan struct{}), ended: make(chan struct{})}
	go r.work(work, engine.RepriceOptions{Version: version, From: from, To: to, Progress: r.progress})
	select {
	case <-r.begun:
	case <-r.ended:
		if r.no != nil {
			return answer{}, r.no
		}
	}
	c.ctx.Response.Header.SetContentType("application/x-ndjson")
	c.ctx.Response.SetBodyStream(r, -1)
	return answer{}, nil
}

// work is the goroutine.
func (r *rehearsal) work(work repricer, o engine.RepriceOptions) {
	defer close(r.ended)
	result, no := r.result(work, o)
	if no == nil {
		r.last = append(append([]byte(`{"result":`), canonicalJSON(repricingView(&result))...), "}\n"...)
		no = r.charge()
	}
	if r.no = no; no != nil {
		r.last = append(appendProblem([]byte(`{"problem":`), no), "}\n"...)
	}
}

func (r *rehearsal) result(work repricer, o engine.RepriceOptions) (result engine.Repricing, no *refusal.Refusal) {
	defer func() {
		if fault := recover(); fault != nil {
			r.server.log.Error("a simulation panicked", "version", o.Version, "panic", fault, "stack", string(debug.Stack()))
			no = refusal.New(refusal.Internal, "panic", "this is a fault of the service and was logged")
		}
	}()
	result, no = work(o)
	if no != nil && r.server.conns.draining() {
		no = refusal.New(refusal.NotReady, "draining", "the service is stopping; try again in a moment")
	}
	return result, no
}

// charge counts the result among the answers that clients have not taken yet.
func (r *rehearsal) charge() *refusal.Refusal {
	n := int64(len(r.last))
	if n < longAnswerBytes {
		return nil
	}
	if !r.server.unread.take(n, false) {
		return refusal.New(refusal.Overloaded, "answers", "too many long answers are waiting to be read; try again in a moment")
	}
	r.charged = n
	return nil
}

// progress is told how far the work is, and stops it when nobody waits for it or the
// server stops.
func (r *rehearsal) progress(done, total uint64) error {
	if r.aborted.Load() || r.server.conns.draining() {
		return engine.ErrAborted
	}
	first := r.total.Load() == 0
	r.done.Store(done)
	r.total.Store(max(total, 1))
	if first {
		close(r.begun)
	}
	return nil
}

// Read gives the next line. Each has the time of a whole answer to be taken.
func (r *rehearsal) Read(p []byte) (int, error) {
	if len(r.pending) == 0 {
		if r.finished {
			return 0, io.EOF
		}
		r.pending = r.next()
		if err := r.conn.SetWriteDeadline(time.Now().Add(r.server.options.WriteTimeout)); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.pending)
	r.pending = r.pending[n:]
	return n, nil
}

// next waits for the next line.
func (r *rehearsal) next() []byte {
	wait := progressEvery
	if !r.started { // the first comes at once
		r.started, wait = true, 0
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-r.ended:
	case <-timer.C:
		select {
		case <-r.ended:
		default:
			return r.progressLine()
		}
	}
	r.finished = true
	return r.last
}

// progressLine never goes back: the work may find out midway that it has to go over the
// events twice.
func (r *rehearsal) progressLine() []byte {
	r.shown = max(r.shown, r.done.Load())
	line := append([]byte(nil), `{"progress":{"done":`...)
	line = appendInt(line, int(r.shown))
	line = append(line, `,"total":`...)
	line = appendInt(line, int(r.total.Load()))
	return append(line, "}}\n"...)
}

// Close stops the work and waits for its end.
func (r *rehearsal) Close() error {
	r.closing.Do(func() {
		r.aborted.Store(true)
		<-r.ended
		r.server.unread.give(r.charged)
	})
	return nil
}
