package httpapi

import (
	"bytes"
)

// segmentsMax bounds the segments of a path; the longest route has five.
const segmentsMax = 8

// target is a request target taken apart. Its slices point into the request's
// header, or into fresh memory where an escape was decoded.
type target struct {
	segments [segmentsMax][]byte
	n        int // segments; more than segmentsMax: no route has so many
	query    []byte
	host     []byte // of an absolute-form target, which then counts instead of the Host header
}

// parse splits the raw request target on '/' and then decodes each segment once,
// so that an id may hold an escaped slash, dots or colons. fasthttp's own
// ctx.Path() decodes first and then cleans the path, which merges such ids.
// False: an escape is broken, or there are bytes that no target may have.
func (t *target) parse(raw []byte) bool {
	t.n, t.query, t.host = 0, nil, nil
	for _, c := range raw {
		if c <= ' ' || c >= 0x7f || c == '#' {
			return false // two readers of such a target may see two paths
		}
	}
	raw = t.originForm(raw)
	if i := bytes.IndexByte(raw, '?'); i >= 0 {
		raw, t.query = raw[:i], raw[i+1:]
	}
	if len(raw) == 0 || raw[0] != '/' {
		return true // no route
	}
	for more := true; more; t.n++ {
		raw = raw[1:]
		segment := raw
		i := bytes.IndexByte(raw, '/')
		if more = i >= 0; more {
			segment, raw = raw[:i], raw[i:]
		}
		decoded, ok := unescape(segment)
		if !ok {
			return false
		}
		if t.n < segmentsMax {
			t.segments[t.n] = decoded
		}
	}
	return true
}

// originForm strips scheme and authority, which a client may send (RFC 9112, 3.2.2), and
// keeps the authority.
func (t *target) originForm(raw []byte) []byte {
	for _, scheme := range [...]string{"http://", "https://"} {
		if len(raw) <= len(scheme) || !bytes.EqualFold(raw[:len(scheme)], []byte(scheme)) {
			continue
		}
		rest := raw[len(scheme):]
		i := bytes.IndexAny(rest, "/?")
		if i < 0 || rest[i] == '?' {
			return nil
		}
		t.host = rest[:i]
		return rest[i:]
	}
	return raw
}

// unescape decodes the %XX of one segment.
func unescape(segment []byte) ([]byte, bool) {
	if bytes.IndexByte(segment, '%') < 0 {
		return segment, true
	}
	out := make([]byte, 0, len(segment))
	for i := 0; i < len(segment); i++ {
		c := segment[i]
		if c == '%' {
			if i+2 >= len(segment) {
				return nil, false
			}
			high, ok1 := hexDigit(segment[i+1])
			low, ok2 := hexDigit(segment[i+2])
			if !ok1 || !ok2 {
				return nil, false
			}
			c = high<<4 | low
			i += 2
		}
		out = append(out, c)
	}
	return out, true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c-'0' <= 9:
		return c - '0', true
	case c|0x20-'a' <= 5:
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}
