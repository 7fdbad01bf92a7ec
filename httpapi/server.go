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
}

// New returns a server for e. It panics when a collector in o cannot be
// registered, which is a programming error.
func New(e Engine, o Options) *Server {
	o = o.withDefaults()
	s := &Server{engine: e, options: o, routes: routeTable(), log: o.Logger}
	s.metrics = newMetrics(s.routes, o.Collectors)
	s.http = &fasthttp.Server{
		Handler:       s.handle,
		ErrorHandler:  s.unreadable,
		ExpectHandler: expect,
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
		Concurrency:                  o.ConnectionsMax,
		TCPKeepalive:                 true,
		CloseOnShutdown:              true,
		LazyRequestTime:              true,
		SecureErrorLogMessage:        true,
		Logger:                       logAdapter{o.Logger},
	}
	return s
}

// Serve answers requests on ln until Drain, then returns nil. Without API keys
// ln must be a loopback address, else ErrNotLoopback.
func (s *Server) Serve(ln net.Listener) error {
	if s.options.Keys == nil && !isLoopback(ln.Addr()) {
		return ErrNotLoopback
	}
	return s.http.Serve(lingerListener{ln})
}

// Drain stops accepting connections, answers every request that has begun and
// closes idle connections. It returns nil when all is done, or ctx's error when
// that came first; then some requests are still being answered. The engine must
// stay up until it returns.
func (s *Server) Drain(ctx context.Context) error { return s.http.ShutdownWithContext(ctx) }

// call is one request on its way through the handlers; reused.
type call struct {
	ctx    *fasthttp.RequestCtx
	route  *route
	target target
	out    []byte // for building an answer
	// bodyRead: the body was read to its end.
	bodyRead bool
}

// outKeepMax is how much of an answer's buffer is kept for the next one: room for
// a few hundred refused events.
const outKeepMax = 64 << 10

var calls = sync.Pool{New: func() any { return &call{out: make([]byte, 0, 512)} }}

// handle answers one request.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	start := time.Now()
	c := calls.Get().(*call)
	c.ctx = ctx
	s.answer(c)
	s.metrics.request(c.route, ctx.Response.StatusCode(), time.Since(start))
	c.ctx, c.route, c.target, c.bodyRead = nil, nil, target{}, false
	if cap(c.out) > outKeepMax {
		c.out = nil
	}
	calls.Put(c)
}

// answer finds the handler, lets it work and writes what it says.
func (s *Server) answer(c *call) {
	defer s.recovered(c)
	a, no := s.dispatch(c)
	switch {
	case no != nil:
		if !c.bodyRead {
			leaveBody(c.ctx)
		}
		writeProblem(c.ctx, no)
	case a.status != 0:
		writeJSON(c.ctx, a)
	}
	if status := c.ctx.Response.StatusCode(); status == 401 || status == 403 {
		s.log.Warn("access refused", "route", c.name(), "status", status, "remote", c.ctx.RemoteIP().String())
	}
}

// dispatch checks what is common to all routes, in this order: the target's
// spelling, that the path exists, that the method does, the key, its scope, and
// that writes are accepted.
func (s *Server) dispatch(c *call) (answer, *refusal.Refusal) {
	if !c.target.parse(c.ctx.Request.Header.RequestURI()) {
		return answer{}, refusal.New(refusal.Malformed, "invalid_escape", "the path holds a broken percent-escape")
	}
	r, allow := s.find(c.ctx.Method(), &c.target)
	if r == nil {
		if allow == "" {
			return answer{}, refusal.New(refusal.NotFound, "no_such_path", "this path does not exist; GET /openapi.yaml lists them")
		}
		c.ctx.Response.Header.Set("Allow", allow)
		return answer{}, refusal.New(refusal.MethodNotAllowed, "", "this path takes %s", allow)
	}
	c.route = r
	if no := s.authorise(c.ctx, r.scope); no != nil {
		return answer{}, no
	}
	if r.method != "GET" && !s.engine.Ready() {
		return answer{}, refusal.New(refusal.NotReady, "", "the service is starting or draining; try again in a moment")
	}
	return r.handle(s, c)
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
	writeProblem(c.ctx, &refusal.Refusal{Code: codeInternal, Reason: "panic", Detail: "this is a fault of the service and was logged"})
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
func writeJSON(ctx *fasthttp.RequestCtx, a answer) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(a.body); err != nil {
		panic("BUG: an answer does not encode: " + err.Error())
	}
	ctx.Response.SetStatusCode(a.status)
	ctx.Response.Header.SetContentType("application/json")
	ctx.Response.SetBody(bytes.TrimSuffix(out.Bytes(), []byte("\n")))
}

// unreadable answers a request whose headers could not be read, or whose body
// stopped within the part that is read ahead. fasthttp closes the connection.
func (s *Server) unreadable(ctx *fasthttp.RequestCtx, err error) {
	var small *fasthttp.ErrSmallBuffer
	no := refusal.New(refusal.Malformed, "http", "this is not an HTTP request that can be read")
	switch {
	case errors.As(err, &small):
		no = refusal.New(refusal.TooLarge, "headers", "the request line and headers may have %d bytes", s.options.HeaderMaxBytes)
	case isTimeout(err):
		no = timedOut()
	}
	writeProblem(ctx, no)
	s.metrics.request(nil, ctx.Response.StatusCode(), 0)
}

// expect answers Expect: 100-continue before a body that is too large for any
// route is sent at all.
func expect(ctx *fasthttp.RequestCtx) int {
	if ctx.Request.Header.ContentLength() <= BodyMaxBytes {
		return fasthttp.StatusContinue
	}
	writeProblem(ctx, bodyTooLarge(BodyMaxBytes))
	return ctx.Response.StatusCode()
}

func timedOut() *refusal.Refusal {
	return refusal.New(refusal.Timeout, "", "the request did not arrive in time")
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// logAdapter takes fasthttp's own messages (connection errors, which it rates
// and cleans itself).
type logAdapter struct{ log *slog.Logger }

// Printf logs at debug level: a client that goes away is not news. The arguments
// are left out, since they may quote what the client sent.
func (l logAdapter) Printf(format string, _ ...any) { l.log.Debug("http", "event", format) }
