package httpapi

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/valyala/fasthttp"

	"farthing/engine"
	"farthing/refusal"
)

// admit takes the budget for the request's body and reads it. The
// caller releases the request.
func (s *Server) admit(c *call, limit int) (r *engine.Request, body []byte, no *refusal.Refusal) {
	ctx := c.ctx
	length := ctx.Request.Header.ContentLength() // -1: chunked
	if length > limit {
		closeSoftly(ctx)
		return nil, nil, bodyTooLarge(limit)
	}
	budget := length
	if length < 0 {
		budget = limit
	}
	r = s.engine.Acquire(budget)
	if r == nil {
		return nil, nil, refusal.New(refusal.Overloaded, "", "there is no room for this request now; try again in a moment")
	}
	body, err := readBody(ctx.RequestBodyStream(), r.Buffer(), length, limit)
	if err == nil {
		c.bodyRead = true
		return r, body, nil
	}
	s.engine.Release(r)
	closeSoftly(ctx)
	switch {
	case errors.Is(err, errBodyTooLarge):
		return nil, nil, bodyTooLarge(limit)
	case errors.Is(err, errBodyTimeout):
		return nil, nil, timedOut()
	}
	return nil, nil, refusal.New(refusal.Malformed, "body", "the body ended before its declared length or its chunks are broken")
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
// into the reusable buffer. What it returns lies in the buffer.
func readBody(from io.Reader, buffer *[]byte, length, limit int) ([]byte, error) {
	if from == nil || length == 0 {
		return nil, nil
	}
	if length > 0 {
		if cap(*buffer) < length {
			*buffer = make([]byte, length)
		}
		b := (*buffer)[:length]
		_, err := io.ReadFull(from, b)
		return b, readFault(err)
	}
	return readChunked(from, buffer, limit)
}

// chunkedFirstBytes is the first size of the buffer of a body of unknown length;
// it doubles from there.
const chunkedFirstBytes = 32 << 10

func readChunked(from io.Reader, buffer *[]byte, limit int) ([]byte, error) {
	b := (*buffer)[:0]
	for {
		if len(b) == cap(b) {
			grown := make([]byte, len(b), min(max(2*cap(b), chunkedFirstBytes), limit+1))
			copy(grown, b)
			b = grown
			*buffer = b
		}
		n, err := from.Read(b[len(b):min(cap(b), limit+1)])
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
	switch {
	case err == nil:
		return nil
	case isTimeout(err):
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

// readCold reads the JSON body of a cold route into an object. It is copied, so
// the request is released at once.
func (s *Server) readCold(c *call, limit int) (*object, *refusal.Refusal) {
	kind, no := mediaType(&c.ctx.Request.Header)
	if no == nil && !bytes.EqualFold(kind, []byte("application/json")) {
		no = refusal.New(refusal.UnsupportedType, "content_type", "this takes application/json")
	}
	if no != nil {
		return nil, no
	}
	r, body, no := s.admit(c, limit)
	if no != nil {
		return nil, no
	}
	defer s.engine.Release(r)
	return parseObject(bytes.Clone(body))
}
