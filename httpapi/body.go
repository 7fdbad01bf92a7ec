package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/valyala/fasthttp"

	"farthing/engine"
	"farthing/refusal"
)

// firstBytes is what is taken from the budget for a longer body before any of it is
// read, and the first size of its buffer. Taking all that it declares would let a few
// dozen idle senders hold all of the budget.
const firstBytes = 64 << 10

// growth is by how much the budget of such a body grows when it is full:
// 64 KiB, 256 KiB, 1 MiB, 4 MiB, 8 MiB.
const growth = 4

// admit takes the budget for the request's body and reads it. The
// caller releases the request.
func (s *Server) admit(c *call) (r *engine.Request, body []byte, no *refusal.Refusal) {
	ctx, limit := c.ctx, c.route.bodyMax
	how, no := encodingOf(&ctx.Request.Header)
	if no != nil {
		return nil, nil, no
	}
	length := ctx.Request.Header.ContentLength() // -1: chunked
	if length > limit {
		return nil, nil, bodyTooLarge(limit)
	}
	budget := min(firstBytes, limit)
	if length >= 0 {
		budget = min(budget, length)
	}
	r = s.acquire(c, budget)
	if r == nil {
		return nil, nil, s.noRoom()
	}
	c.in = intake{call: c, server: s, request: r, taken: budget}
	c.charge(s.now(), budget)
	if how == plain {
		body, no = s.receive(&c.in, r.Buffer(), length, limit)
	} else {
		body, no = s.receiveCompressed(&c.in, how, length, limit)
	}
	if no == nil {
		c.bodyRead = true
		c.charge(s.now(), len(body)-c.in.base-c.in.taken) // what is used is what came out
		return r, body, nil
	}
	s.engine.Release(r)
	if c.pace.cut.Load() {
		s.arrivals.released()
	}
	return nil, nil, no
}

// receive reads a body of known length (or, when that is negative, to its end) into
// buffer. What it returns lies in the buffer. The connection of a body that does not come
// is closed.
func (s *Server) receive(in *intake, buffer *[]byte, length, limit int) ([]byte, *refusal.Refusal) {
	body, err := s.readBody(in, buffer, length, limit)
	if err == nil {
		return body, nil
	}
	closeSoftly(in.call.ctx)
	if errors.Is(err, errBodyTimeout) && in.call.pace.cut.Load() {
		return nil, refusal.New(refusal.Overloaded, "stalled", "the body stalled while others waited for its room; try again in a moment")
	}
	return nil, s.bodyRefusal(err, limit)
}

// wires are buffers for compressed bodies, up to engine.Request's own size of what is kept.
var wires = sync.Pool{New: func() any { return new([]byte) }}

const wireKeepBytes = 1 << 20

// receiveCompressed reads all of a compressed body, and then decompresses it: so nobody
// who sends slowly holds a decoder.
func (s *Server) receiveCompressed(in *intake, how encoding, length, limit int) ([]byte, *refusal.Refusal) {
	wire := wires.Get().(*[]byte)
	defer func() {
		if cap(*wire) <= wireKeepBytes {
			wires.Put(wire)
		}
	}()
	compressed, no := s.receive(in, wire, length, limit)
	if no != nil {
		return nil, no
	}
	in.call.bodyRead = true // whatever becomes of it
	in.base, in.taken = in.taken, 0
	var body []byte
	err := errNoRoom
	if first := min(firstBytes, limit); in.grow(first) {
		body, err = s.unpackers.decode(how, compressed, in.request.Buffer(), first, limit, in.grow)
	}
	if err != nil {
		return nil, s.bodyRefusal(err, limit)
	}
	return body, nil
}

// intake is a body on its way in.
type intake struct {
	call    *call
	server  *Server
	request *engine.Request
	base    int // bytes that stay beside: of the compressed body
	taken   int // bytes that the budget was taken for, beyond base
}

// grow takes the budget for n bytes of body in all.
func (in *intake) grow(n int) bool {
	if !in.call.pace.take(n) {
		return false
	}
	budget := in.call.route.budget(in.base + n)
	ok := in.server.arrivals.orCut(func() bool { return in.server.engine.Grow(in.request, budget) })
	if ok {
		in.call.charge(in.server.now(), n-in.taken)
		in.taken = n
	}
	return ok
}

// bodyRefusal is the answer to a body that could not be read.
func (s *Server) bodyRefusal(err error, limit int) *refusal.Refusal {
	switch {
	case errors.Is(err, errBodyTooLarge):
		return bodyTooLarge(limit)
	case errors.Is(err, errBodyTimeout):
		return s.late()
	case errors.Is(err, errNoRoom):
		return s.noRoom()
	case errors.Is(err, errBodyEncoding):
		return refusal.New(refusal.Malformed, "content_encoding", "the body is not what its Content-Encoding says: one gzip member, or zstd frames, whole and nothing after")
	}
	return refusal.New(refusal.Malformed, "body", "the body ended before its declared length or its chunks are broken")
}

// noRoom is the refusal of what the engine takes no budget for.
func (s *Server) noRoom() *refusal.Refusal {
	if no := s.engine.Unready(); no != nil {
		return no
	}
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

func (s *Server) readBody(in *intake, buffer *[]byte, length, limit int) ([]byte, error) {
	c := in.call
	from := c.ctx.RequestBodyStream()
	if from == nil || length == 0 {
		return nil, nil
	}
	p := &c.pace
	p.of, p.stall = s.arrivals, s.options.BodyStall
	p.conn, _ = c.ctx.Conn().(*clientConn)
	defer s.arrivals.leave(p)
	if length > 0 {
		return readDeclared(from, buffer, length, in.taken, p, in.grow)
	}
	return readChunked(from, buffer, in.taken, limit, p, in.grow)
}

// readAheadBytes is how much of a body fasthttp has read when it calls the
// handler.
const readAheadBytes = 8 << 10

// readDeclared reads a body of known length. What it says of itself is not believed
// before the bytes are there: its budget and memory grow as those of the others.
func readDeclared(from io.Reader, buffer *[]byte, length, taken int, p *pacer, grow func(int) bool) ([]byte, error) {
	b := (*buffer)[:0]
	for len(b) < length {
		if len(b) == taken {
			taken = min(growth*taken, length)
			if !grow(taken) {
				return nil, errNoRoom
			}
		}
		if cap(b) < taken {
			grown := make([]byte, len(b), taken)
			copy(grown, b)
			b, *buffer = grown, grown
		}
		if length > readAheadBytes {
			p.arrived(len(b))
		}
		k, err := from.Read(b[len(b):taken])
		if b = b[:len(b)+k]; len(b) < length && err != nil {
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
			taken = min(growth*taken, limit)
			if !grow(taken) {
				return nil, errNoRoom
			}
		}
		if cap(b) == len(b) {
			grown := make([]byte, len(b), min(max(2*cap(b), firstBytes), taken)+1) // one more shows the end
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

func readFault(err error) error {
	if isTimeout(err) {
		return errBodyTimeout
	}
	return fmt.Errorf("%w: %w", errBodyBroken, err)
}

// mediaType returns the request's content type without parameters, in lower
// case. A body that is compressed as we cannot read, or not UTF-8, is refused.
func mediaType(h *fasthttp.RequestHeader) ([]byte, *refusal.Refusal) {
	if _, no := encodingOf(h); no != nil {
		return nil, no
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
