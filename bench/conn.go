package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Bounds of an answer. The body of a success is about 70 bytes; a request of
// 10,000 refused events answers in about a megabyte.
const (
	answerHeadMax = 16 << 10
	answerBodyMax = 8 << 20
	dialTimeout   = 5 * time.Second
)

// conn is one keep-alive connection. Its goroutine owns everything but the
// socket's handle, which abort closes from outside.
type conn struct {
	dial func() (net.Conn, error)
	buf  []byte
	// piped reads several answers; nil: it never had to.
	piped *bufio.Reader

	mu struct {
		sync.Mutex
		sock    net.Conn // nil: not connected
		aborted bool
	}
}

// answer is what the generator reads of an HTTP answer. body is valid until
// the next round trip.
type answer struct {
	status int
	body   []byte
}

func newConn(dial func() (net.Conn, error)) *conn { return &conn{dial: dial, buf: make([]byte, 4096)} }

// dialer dials addr until ctx ends.
func dialer(ctx context.Context, addr string) func() (net.Conn, error) {
	d := &net.Dialer{Timeout: dialTimeout}
	return func() (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }
}

// socket returns the open socket, dialling when there is none.
func (c *conn) socket() (net.Conn, error) {
	c.mu.Lock()
	sock, aborted := c.mu.sock, c.mu.aborted
	c.mu.Unlock()
	if aborted {
		return nil, net.ErrClosed
	}
	if sock != nil {
		return sock, nil
	}
	sock, err := c.dial()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.aborted {
		_ = sock.Close()
		return nil, net.ErrClosed
	}
	c.mu.sock = sock
	return sock, nil
}

// drop closes the socket; the next round trip dials a new one.
func (c *conn) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.sock != nil {
		_ = c.mu.sock.Close()
		c.mu.sock = nil
	}
}

// abort makes a round trip in progress, and any later one, fail. Deadlines
// would do the same at the price of two timers per request.
func (c *conn) abort() {
	c.mu.Lock()
	c.mu.aborted = true
	c.mu.Unlock()
	c.drop()
}

// roundTrip sends request and reads the answer. After an error the socket is
// dropped and it is not known whether the server acted.
func (c *conn) roundTrip(request []byte) (answer, error) {
	sock, err := c.socket()
	if err != nil {
		return answer{}, err
	}
	if _, err := sock.Write(request); err != nil {
		c.drop()
		return answer{}, err
	}
	a, keep, err := c.readAnswer(sock)
	if err != nil || !keep {
		c.drop()
	}
	return a, err
}

// pipe sends n requests at once and hands each answer over, in their order. After an error the socket is dropped, and of what was not
// answered it is not known whether the server acted.
func (c *conn) pipe(requests []byte, n int, each func(answer)) error {
	sock, err := c.socket()
	if err != nil {
		return err
	}
	if _, err := sock.Write(requests); err != nil {
		c.drop()
		return err
	}
	if c.piped == nil {
		c.piped = bufio.NewReaderSize(nil, answerHeadMax)
	}
	c.piped.Reset(sock)
	for range n {
		a, keep, err := c.readPiped()
		if err == nil {
			each(a)
		}
		if err == nil && !keep {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			c.drop()
			return err
		}
	}
	return nil
}

// readPiped reads one of several answers.
func (c *conn) readPiped() (a answer, keep bool, err error) {
	filled := 0
	for {
		line, err := c.piped.ReadSlice('\n')
		if err != nil {
			return answer{}, false, err
		}
		if filled+len(line) > len(c.buf) && !c.grow(2*(filled+len(line)), answerHeadMax) {
			return answer{}, false, fmt.Errorf("%w: head over %d bytes", ErrProtocol, answerHeadMax)
		}
		filled += copy(c.buf[filled:], line)
		if len(line) == 2 {
			break
		}
	}
	h, err := parseHead(c.buf[:filled])
	if err != nil {
		return answer{}, false, err
	}
	if h.bodyLen > len(c.buf) && !c.grow(h.bodyLen, answerHeadMax+answerBodyMax) {
		return answer{}, false, fmt.Errorf("%w: body of %d bytes", ErrProtocol, h.bodyLen)
	}
	if _, err := io.ReadFull(c.piped, c.buf[:h.bodyLen]); err != nil {
		return answer{}, false, fmt.Errorf("body cut short: %w", err)
	}
	return answer{h.status, c.buf[:h.bodyLen]}, !h.close, nil
}

func (c *conn) readAnswer(sock io.Reader) (a answer, keep bool, err error) {
	filled, headLen, err := c.readHead(sock)
	if err != nil {
		return answer{}, false, err
	}
	h, err := parseHead(c.buf[:headLen])
	if err != nil {
		return answer{}, false, err
	}
	total := headLen + h.bodyLen
	if total > len(c.buf) && !c.grow(total, answerHeadMax+answerBodyMax) {
		return answer{}, false, fmt.Errorf("%w: body of %d bytes", ErrProtocol, h.bodyLen)
	}
	if filled < total {
		if _, err := io.ReadFull(sock, c.buf[filled:total]); err != nil {
			return answer{}, false, fmt.Errorf("body cut short: %w", err)
		}
	} else if filled > total {
		return answer{}, false, fmt.Errorf("%w: bytes after the answer", ErrProtocol)
	}
	return answer{h.status, c.buf[headLen:total]}, !h.close, nil
}

// readHead reads until the empty line; filled may be more than the head.
func (c *conn) readHead(sock io.Reader) (filled, headLen int, err error) {
	for {
		n, err := sock.Read(c.buf[filled:])
		filled += n
		if i := bytes.Index(c.buf[:filled], []byte("\r\n\r\n")); i >= 0 {
			return filled, i + 4, nil
		}
		if err != nil {
			return 0, 0, err
		}
		if filled == len(c.buf) && !c.grow(2*filled, answerHeadMax) {
			return 0, 0, fmt.Errorf("%w: head over %d bytes", ErrProtocol, answerHeadMax)
		}
	}
}

func (c *conn) grow(size, bound int) bool {
	if size > bound {
		return false
	}
	bigger := make([]byte, size)
	copy(bigger, c.buf)
	c.buf = bigger
	return true
}

// head is what parseHead reads of the status line and the headers.
type head struct {
	status, bodyLen int
	close           bool
}

// parseHead reads b, which ends in an empty line. An answer without
// Content-Length (chunked, or until the end) is refused: the server under test
// always states it.
func parseHead(b []byte) (head, error) {
	h := head{bodyLen: -1}
	if len(b) < 16 || string(b[:7]) != "HTTP/1." || b[8] != ' ' {
		return h, fmt.Errorf("%w: status line %.40q", ErrProtocol, b)
	}
	for _, digit := range b[9:12] {
		h.status = h.status*10 + int(digit-'0')
	}
	for len(b) > 2 {
		end := bytes.IndexByte(b, '\n')
		line := b[:end]
		b = b[end+1:]
		if len(line) < 12 || line[0]|0x20 != 'c' {
			continue // of the headers only those that begin with C matter
		}
		switch {
		case hasPrefixFold(line, "content-length:"):
			h.bodyLen = number(line[14:], ":")
		case hasPrefixFold(line, "connection:"):
			h.close = bytes.EqualFold(bytes.TrimSpace(line[11:]), []byte("close"))
		}
	}
	if h.bodyLen < 0 {
		return h, fmt.Errorf("%w: no Content-Length", ErrProtocol)
	}
	return h, nil
}

func hasPrefixFold(b []byte, lower string) bool {
	return len(b) >= len(lower) && bytes.EqualFold(b[:len(lower)], []byte(lower))
}

// number is the decimal integer after the first occurrence of key, -1 when
// there is none.
func number(b []byte, key string) int {
	i := bytes.Index(b, []byte(key))
	if i < 0 {
		return -1
	}
	n, digits := 0, 0
	for _, ch := range b[i+len(key):] {
		if ch == ' ' && digits == 0 {
			continue
		}
		if ch < '0' || ch > '9' || digits == 10 {
			break
		}
		n = n*10 + int(ch-'0')
		digits++
	}
	if digits == 0 {
		return -1
	}
	return n
}
