package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"farthing/refusal"
)

// Server answers HTTP for one engine. All of it is set by New and only read
// after, fasthttp's own state excepted.
type Server struct {
	engine  Engine
	options Options
	routes  []route
	metrics *metrics
	http    *fasthttp.Server
	log     *slog.Logger
	now     func() time.Time

	conns      *connections
	arrivals   *arrivals
	unpackers  *unpackers
	renders    gate           // long answers being built
	statements gate           // statements being derived
	unread     *unreadAnswers // long answers not taken yet
	// denied401 and denied403 bound the lines about refused access.
	denied401, denied403 logLimit

	starting sync.Mutex
	drained  bool         // under starting: Serve comes too late
	listener net.Listener // under starting: of Serve
}

// workerIdle is how long a goroutine without a connection is kept. Connections that are
// parked give theirs back, and starting one takes a microsecond.
const workerIdle = time.Second

// New returns a server for e. It panics when a collector in o cannot be
// registered, which is a programming error.
func New(e Engine, o Options) *Server {
	o = o.withDefaults()
	s := &Server{engine: e, options: o, routes: routeTable(), log: o.Logger, now: time.Now}
	s.metrics = newMetrics(s.routes, o.Collectors)
	s.renders, s.statements = newGate(rendersMax, renderWait), newGate(statementsMax, renderWait)
	s.unread = &unreadAnswers{max: unreadMaxAnswerBytes}
	s.arrivals, s.unpackers = newArrivals(o.ArrivingMaxBytes), newUnpackers()
	s.conns = newConnections(&o, s.metrics, s.unread)
	s.http = &fasthttp.Server{
		Handler:       s.handle,
		ErrorHandler:  s.unreadable,
		ExpectHandler: s.expect,
		Name:          "farthing",
		// The handler is called with the headers and at most 8 KiB of the body, so
		// that no body is buffered before its budget was taken.
		StreamRequestBody:            true,
		MaxRequestBodySize:           BodyMaxBytes,
		DisablePreParseMultipartForm: true,
		ReadBufferSize:               o.HeaderMaxBytes,
		ReadTimeout:                  o.ReadTimeout,
		WriteTimeout:                 o.WriteTimeout,
		IdleTimeout:                  o.IdleTimeout,
		// The listener bounds the connections. A worker ends a moment after its
		// connection, so fasthttp, which would answer in plain text, gets more.
		Concurrency:           2*o.ConnectionsMax + 64,
		MaxIdleWorkerDuration: workerIdle,
		TCPKeepalive:          true,
		CloseOnShutdown:       true,
		LazyRequestTime:       true,
		SecureErrorLogMessage: true,
		Logger:                logAdapter{o.Logger},
		ConnState:             s.conns.state,
	}
	return s
}

// Serve answers requests on ln until Drain, then returns nil. Without API keys
// ln must be a loopback address, else ErrNotLoopback.
func (s *Server) Serve(ln net.Listener) error {
	if s.options.Keys == nil && !IsLoopback(ln.Addr()) {
		return ErrNotLoopback
	}
	l := &clientListener{Listener: ln, conns: s.conns, tls: s.options.TLS}
	s.starting.Lock()
	if s.drained {
		s.starting.Unlock()
		return ln.Close()
	}
	s.listener = ln
	s.conns.parked.Go(l.take)
	s.starting.Unlock()
	return s.http.Serve(l)
}

// Drain stops accepting connections, answers every request that has arrived and
// closes idle connections. A request that is still arriving gets a second for it,
// and 503 then. It returns nil when all is done, or ctx's error when that came first;
// then some requests are still being answered. The engine must stay up until it
// returns.
func (s *Server) Drain(ctx context.Context) error {
	s.starting.Lock()
	s.drained = true
	ln := s.listener
	s.starting.Unlock()
	s.conns.drain(time.Now().Add(drainGrace))
	if err := s.http.ShutdownWithContext(ctx); err != nil {
		return err
	}
	if ln != nil {
		_ = ln.Close() // a shutdown knows no listener whose Serve has only begun
	}
	s.conns.parked.Wait() // they ended with the grace above
	return nil
}

// call is one request on its way through the handlers; reused.
type call struct {
	ctx    *fasthttp.RequestCtx
	route  *route
	target target
	key    Key    // the API key, when one was known
	out    []byte // for building an answer
	// bodyRead: the body was read to its end.
	bodyRead bool
	in       intake
	pace     pacer // while the body arrives, arrivals has it too
	// retryAfter: how long to wait, where that is known better than by the code.
	retryAfter time.Duration
}

var calls = sync.Pool{New: func() any { return &call{out: make([]byte, 0, 512)} }}

func (s *Server) newCall(ctx *fasthttp.RequestCtx) *call {
	c := calls.Get().(*call)
	c.ctx = ctx
	return c
}

func (c *call) done() {
	c.ctx, c.route, c.target, c.key, c.bodyRead = nil, nil, target{}, Key{}, false
	c.in, c.pace, c.retryAfter = intake{}, pacer{}, 0
	if cap(c.out) >= longAnswerBytes { // fasthttp may still be sending it
		c.out = nil
	}
	calls.Put(c)
}

// handle answers one request.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	if !began(ctx.Conn()) {
		ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
		ctx.SetConnectionClose()
		return
	}
	start := time.Now()
	c := s.newCall(ctx)
	s.answer(c)
	s.finish(c, start)
}

// finish counts and logs an answered request.
func (s *Server) finish(c *call, start time.Time) {
	s.metrics.request(c.route, c.ctx.Response.StatusCode(), time.Since(start))
	s.logAnswer(c, start)
	c.done()
}

// answer lets the route work and writes what it says.
func (s *Server) answer(c *call) {
	defer s.recovered(c)
	if no := s.dispatch(c); no != nil {
		s.refuse(c, no)
	}
}

// refuse writes a refusal.
func (s *Server) refuse(c *call, no *refusal.Refusal) {
	if !c.bodyRead {
		leaveBody(c.ctx)
	}
	if no.Code == refusal.Internal {
		s.log.Error("a request met a fault of ours", "route", c.name(), "reason", no.Reason)
	}
	writeProblem(c.ctx, no)
	c.writeRetryAfter()
}

// dispatch finds the route, waits for a turn if its answer may be long, and writes
// the answer.
func (s *Server) dispatch(c *call) *refusal.Refusal {
	if no := s.find(c); no != nil {
		return no
	}
	if no := s.limitKey(c); no != nil {
		return no
	}
	if c.route.long {
		if no := s.renders.enter(); no != nil {
			return no
		}
		defer s.renders.leave()
	}
	a, no := c.route.handle(s, c)
	if no == nil && a.status != 0 {
		no = s.writeJSON(c, a)
	}
	return no
}

// find checks what is common to all routes, in this order: the host, the target's
// spelling, that the path exists, that the method does, the key, its scope, that
// writes are accepted, and that they have no query.
func (s *Server) find(c *call) *refusal.Refusal {
	if no := s.checkHost(c.ctx); no != nil {
		return no
	}
	if !c.target.parse(c.ctx.Request.Header.RequestURI()) {
		return refusal.New(refusal.Malformed, "invalid_escape", "the path holds a broken percent-escape, or a byte that has to be escaped")
	}
	if c.target.host != nil && s.options.Keys == nil && !isLoopbackHost(c.target.host) {
		return notThisHost()
	}
	r, allow := s.routeOf(c.ctx.Method(), &c.target)
	if r == nil {
		if allow == "" {
			return refusal.New(refusal.NotFound, "no_such_path", "this path does not exist; GET /openapi.yaml lists them")
		}
		c.ctx.Response.Header.Set("Allow", allow)
		return refusal.New(refusal.MethodNotAllowed, "", "this path takes %s", allow)
	}
	c.route = r
	if no := s.authorise(c); no != nil {
		return no
	}
	if r.method != "GET" {
		if no := s.engine.Unready(); no != nil {
			return no
		}
	}
	// A parameter that is passed over would let the client believe that it counted.
	if r.method != "GET" && len(c.target.query) > 0 {
		return refusal.New(refusal.Invalid, "unknown_parameter", "this takes no query parameters: what it does is said in the body")
	}
	return nil
}

// recovered answers 500 for a handler that panicked. The connection is closed,
// because how much of the body was read is not known.
func (s *Server) recovered(c *call) {
	fault := recover()
	if fault == nil {
		return
	}
	s.log.Error("a handler panicked", "route", c.name(), "panic", fault, "stack", string(debug.Stack()))
	c.ctx.Response.Reset()
	writeProblem(c.ctx, &refusal.Refusal{Code: refusal.Internal, Reason: "panic", Detail: "this is a fault of the service and was logged"})
	c.ctx.SetConnectionClose()
}

// name is the route's name for metrics and logs.
func (c *call) name() string {
	if c.route == nil {
		return noRoute
	}
	return c.route.pattern
}

// writeJSON writes the answer of a cold route.
func (s *Server) writeJSON(c *call, a answer) *refusal.Refusal {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(a.body); err != nil {
		panic("BUG: an answer does not encode: " + err.Error())
	}
	written := c.route.method != "GET" // then the answer tells what was booked
	if no := s.send(c, bytes.TrimSuffix(out.Bytes(), []byte("\n")), written); no != nil {
		return no
	}
	c.ctx.Response.SetStatusCode(a.status)
	c.ctx.Response.Header.SetContentType("application/json")
	return nil
}

// unreadable answers a request whose headers could not be read, or whose body
// stopped within the part that is read ahead. fasthttp closes the connection.
func (s *Server) unreadable(ctx *fasthttp.RequestCtx, err error) {
	var small *fasthttp.ErrSmallBuffer
	no := refusal.New(refusal.Malformed, "http", "this is not an HTTP request that can be read")
	switch {
	case errors.As(err, &small):
		no = refusal.New(refusal.TooLarge, "headers", "the request line and headers may have %d bytes", s.options.HeaderMaxBytes)
		lingerOnClose(ctx.Conn()) // it is still sending
	case isTimeout(err):
		no = s.late()
	}
	writeProblem(ctx, no)
	s.metrics.request(nil, ctx.Response.StatusCode(), 0)
}

// expect answers Expect: 100-continue. Whatever can be refused without the body is
// refused before the client sends it, the budget excepted, which is taken when the
// body comes.
func (s *Server) expect(ctx *fasthttp.RequestCtx) int {
	if !began(ctx.Conn()) {
		return fasthttp.StatusServiceUnavailable
	}
	start := time.Now()
	c := s.newCall(ctx)
	no := s.find(c)
	if no == nil && c.route.bodyMax > 0 {
		no = s.checkBody(c)
	}
	if no == nil {
		c.done()
		return fasthttp.StatusContinue
	}
	closeSoftly(ctx)
	s.refuse(c, no)
	status := ctx.Response.StatusCode()
	s.finish(c, start)
	return status
}

// checkBody refuses a body by what is declared of it.
func (s *Server) checkBody(c *call) *refusal.Refusal {
	no := coldType(c)
	switch {
	case c.route.op != 0:
		_, no = operationFormat(c)
	case c.route.scope == ScopeIngest:
		_, no = eventFormat(c)
	}
	if no == nil && c.ctx.Request.Header.ContentLength() > c.route.bodyMax {
		no = bodyTooLarge(c.route.bodyMax)
	}
	return no
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
