package httpapi

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"farthing/engine"
	"farthing/refusal"
)

// chunkedFirstBytes is what is taken from the budget for a body of unknown length
// before any of it is read, and the first size of its buffer. Taking the worst case
// would let a few dozen idle senders hold all of the budget.
const chunkedFirstBytes = 64 << 10

// chunkedGrowth is by how much the budget of such a body grows when it is full:
// 64 KiB, 256 KiB, 1 MiB, 4 MiB, 8 MiB.
const chunkedGrowth = 4

// admit takes the budget for the request's body and reads it. The
// caller releases the request.
func (s *Server) admit(c *call) (r *engine.Request, body []byte, no *refusal.Refusal) {
	ctx, limit := c.ctx, c.route.bodyMax
	length := ctx.Request.Header.ContentLength() // -1: chunked
	if length > limit {
		return nil, nil, bodyTooLarge(limit)
	}
	budget := length
	if length < 0 {
		budget = min(chunkedFirstBytes, limit)
	}
	r = s.engine.Acquire(c.route.budget(budget))
	if r == nil && !s.engine.Ready() {
		return nil, nil, notReady()
	}
	if r == nil {
		return nil, nil, noRoom()
	}
	body, err := s.readBody(c, r, length, budget, limit)
	if err == nil {
		c.bodyRead = true
		return r, body, nil
	}
	s.engine.Release(r)
	closeSoftly(ctx)
	return nil, nil, s.bodyRefusal(err, limit)
}

// bodyRefusal is the answer to a body that could not be read.
func (s *Server) bodyRefusal(err error, limit int) *refusal.Refusal {
	switch {
	case errors.Is(err, errBodyTooLarge):
		return bodyTooLarge(limit)
	case errors.Is(err, errBodyTimeout):
		return s.late()
	case errors.Is(err, errNoRoom):
		return noRoom()
	}
	return refusal.New(refusal.Malformed, "body", "the body ended before its declared length or its chunks are broken")
}

func noRoom() *refusal.Refusal {
	return refusal.New(refusal.Overloaded, "", "there is no room for this request now; try again in a moment")
}

// late is the answer to a request that did not arrive in time: the client's fault,
// unless the time was cut short because the server stops.
func (s *Server) late() *refusal.Refusal {
	if s.conns.draining() {
		return refusal.New(refusal.NotReady, "draining", "the service is stopping and the request had not arrived; try again in a moment")
	}
	return refusal.New(refusal.Timeout, "", "the request did not arrive in time")
}

// unreadMaxBytes is up to which length the body of a request that is refused
// unread is still read and thrown away, to keep the connection; fasthttp does
// that, up to this same length.
const unreadMaxBytes = 256 << 10

// leaveBody prepares for answering a request without reading its body: a long
// one, or one of unknown length, costs the connection.
func leaveBody(ctx *fasthttp.RequestCtx) {
	if length := ctx.Request.Header.ContentLength(); length == -1 || length > unreadMaxBytes {
		closeSoftly(ctx)
	}
}

// closeSoftly closes the connection after the answer, which the client will see
// although it may be still sending.
func closeSoftly(ctx *fasthttp.RequestCtx) {
	ctx.SetConnectionClose()
	lingerOnClose(ctx.Conn())
}

func bodyTooLarge(limit int) *refusal.Refusal {
	return refusal.New(refusal.TooLarge, "body", "the body may have at most %d bytes", limit)
}

// readBody reads a body of known length (or, when that is negative, to its end)
// into the request's buffer. What it returns lies in the buffer.
func (s *Server) readBody(c *call, r *engine.Request, length, budget, limit int) ([]byte, error) {
	from := c.ctx.RequestBodyStream()
	if from == nil || length == 0 {
		return nil, nil
	}
	p := pacer{stall: s.options.BodyStall}
	p.conn, _ = c.ctx.Conn().(*clientConn)
	if length > 0 {
		return readDeclared(from, r.Buffer(), length, &p)
	}
	grow := func(n int) bool { return s.engine.Grow(r, c.route.budget(n)) }
	return readChunked(from, r.Buffer(), budget, limit, &p, grow)
}

// readAheadBytes is how much of a body fasthttp has read when it calls the
// handler.
const readAheadBytes = 8 << 10

func readDeclared(from io.Reader, buffer *[]byte, length int, p *pacer) ([]byte, error) {
	if cap(*buffer) < length {
		*buffer = make([]byte, length)
	}
	b := (*buffer)[:length]
	for n := 0; n < length; {
		if length > readAheadBytes {
			p.arrived(n)
		}
		k, err := from.Read(b[n:])
		if n += k; n < length && err != nil {
			return nil, readFault(err)
		}
	}
	return b, nil
}

// readChunked reads a body of unknown length. grow takes the budget for more of it
// than was taken so far, which is never exceeded.
func readChunked(from io.Reader, buffer *[]byte, taken, limit int, p *pacer, grow func(int) bool) ([]byte, error) {
	b := (*buffer)[:0]
	for {
		if len(b) == taken && taken < limit {
			taken = min(chunkedGrowth*taken, limit)
			if !grow(taken) {
				return nil, errNoRoom
			}
		}
		if cap(b) == len(b) {
			grown := make([]byte, len(b), min(max(2*cap(b), chunkedFirstBytes), taken)+1) // one more shows the end
			copy(grown, b)
			b, *buffer = grown, grown
		}
		p.arrived(len(b))
		end := min(cap(b), taken)
		if len(b) == limit {
			end = limit + 1
		}
		n, err := from.Read(b[len(b):end])
		b = b[:len(b)+n]
		switch {
		case len(b) > limit:
			return nil, errBodyTooLarge
		case err == io.EOF:
			return b, nil
		case err != nil:
			return nil, readFault(err)
		}
	}
}

const (
	// bodyBytesPerSecond is the least rate of a body: 8 MiB may take 80 s of it, were
	// it not for Options.ReadTimeout, and a slow mobile line is faster.
	bodyBytesPerSecond = 100_000
	// paceBytes is how much must arrive before the deadline is moved: moving it costs
	// more than reading a packet.
	paceBytes = 64 << 10
)

// pacer cuts off a body that stalls, so that it does not hold its budget until the
// read timeout: what has not arrived BodyStall after the time that the bytes before
// it may take is late.
type pacer struct {
	conn  *clientConn // nil in tests without a socket
	stall time.Duration
	begun time.Time // when it was first asked; most bodies are there already and never ask
	next  int       // bytes at which the deadline is moved
}

// arrived moves the deadline when so many bytes are there.
func (p *pacer) arrived(n int) {
	if p.conn == nil || n < p.next {
		return
	}
	if p.begun.IsZero() {
		p.begun = time.Now()
	}
	p.next = n + paceBytes
	p.conn.hurry(p.begun.Add(p.stall + time.Duration(n)*time.Second/bodyBytesPerSecond))
}

func readFault(err error) error {
	if isTimeout(err) {
		return errBodyTimeout
	}
	return errBodyBroken
}

// mediaType returns the request's content type without parameters, in lower
// case. A compressed body or one that is not UTF-8 is refused.
func mediaType(h *fasthttp.RequestHeader) ([]byte, *refusal.Refusal) {
	if enc := h.Peek(fasthttp.HeaderContentEncoding); len(enc) > 0 && !bytes.EqualFold(enc, []byte("identity")) {
		return nil, refusal.New(refusal.UnsupportedType, "content_encoding", "compressed bodies are not read: send it without Content-Encoding")
	}
	kind, parameters, _ := bytes.Cut(h.ContentType(), []byte(";"))
	if len(parameters) > 0 {
		if no := checkCharset(string(parameters)); no != nil {
			return nil, no
		}
	}
	return bytes.TrimSpace(kind), nil
}

func checkCharset(parameters string) *refusal.Refusal {
	for _, p := range strings.Split(parameters, ";") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(p)), "=")
		if value = strings.Trim(value, `"`); name == "charset" && value != "utf-8" && value != "utf8" && value != "us-ascii" {
			return refusal.New(refusal.UnsupportedType, "charset", "JSON is UTF-8; the charset given is not")
		}
	}
	return nil
}

// coldType refuses what is not JSON.
func coldType(c *call) *refusal.Refusal {
	kind, no := mediaType(&c.ctx.Request.Header)
	if no == nil && !bytes.EqualFold(kind, []byte("application/json")) {
		no = refusal.New(refusal.UnsupportedType, "content_type", "this takes application/json")
	}
	return no
}

// readCold reads the JSON body of a cold route into an object.
func (s *Server) readCold(c *call) (*object, *refusal.Refusal) {
	body, no := s.readText(c)
	if no != nil {
		return nil, no
	}
	return parseObject(body)
}

// readDocument reads a body that is one JSON object, whose keys and values are the reader's
// to judge.
func (s *Server) readDocument(c *call) ([]byte, *refusal.Refusal) {
	body, no := s.readText(c)
	if no != nil {
		return nil, no
	}
	_, no = scanObject(body)
	return body, no
}

// readText reads the body of a cold route. It is copied, so the request is released at once.
func (s *Server) readText(c *call) ([]byte, *refusal.Refusal) {
	if no := coldType(c); no != nil {
		return nil, no
	}
	r, body, no := s.admit(c)
	if no != nil {
		return nil, no
	}
	defer s.engine.Release(r)
	return bytes.Clone(body), nil
}
