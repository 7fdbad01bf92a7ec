package httpapi

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// Listen opens addr ("host:port") for Serve. Without keys it refuses, before it
// opens anything, every address that is not loopback: an empty host and 0.0.0.0
// are all interfaces, and a name must resolve to loopback addresses only. The
// address that was checked is the one that is opened.
func Listen(ctx context.Context, addr string, keys Keys) (net.Listener, error) {
	var config net.ListenConfig
	if keys != nil {
		return config.Listen(ctx, "tcp", addr)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("httpapi: listen address %q: %w", addr, err)
	}
	if host == "" {
		return nil, fmt.Errorf("%w: %q means every interface", ErrNotLoopback, addr)
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("httpapi: listen address %q: %w", addr, err)
	}
	for _, ip := range ips {
		if !ip.IP.IsLoopback() {
			return nil, fmt.Errorf("%w: %q is %s", ErrNotLoopback, addr, ip.String())
		}
	}
	return config.Listen(ctx, "tcp", net.JoinHostPort(ips[0].String(), port))
}

// isLoopback reports whether a listener's address is reached from this machine only.
func isLoopback(addr net.Addr) bool {
	switch a := addr.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	// An in-memory listener of a test has an address of its own kind.
	return addr.Network() != "tcp"
}

// Bounds of what is read and thrown away before a connection is closed while its
// client is still sending. net/http waits half a second for the same reason.
const (
	lingerTime     = 500 * time.Millisecond
	lingerMaxBytes = 16 << 20
)

// lingerListener wraps its connections in lingerConn.
type lingerListener struct{ net.Listener }

// Accept waits for the next connection.
func (l lingerListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &lingerConn{Conn: c}, nil
}

// lingerConn closes softly when asked to: closing a socket with unread bytes
// resets the connection, and a client in the middle of sending a body that is
// too large would never see the answer that says so.
type lingerConn struct {
	net.Conn
	linger atomic.Bool // set by the handler, read by whoever closes
}

// Close closes the connection, after lingering if that was asked for.
func (c *lingerConn) Close() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger.Swap(false) {
		if half.CloseWrite() == nil && c.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
			_, _ = io.CopyN(io.Discard, c.Conn, lingerMaxBytes) // its end or error: the peer is done
		}
	}
	return c.Conn.Close()
}

// lingerOnClose asks for a soft close of the connection under ctx.
func lingerOnClose(c net.Conn) {
	if l, ok := c.(*lingerConn); ok {
		l.linger.Store(true)
	}
}
