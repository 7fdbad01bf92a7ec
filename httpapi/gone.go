package httpapi

import (
	"errors"
	"net"
	"syscall"
)

// gone reports whether a client has closed its connection, as far as the socket tells. fasthttp
// does not read while it answers, so it would find that out only when the answer is written.
// What a client has sent meanwhile stays to be read. A client that shuts down its sending
// half counts as gone, as it does with net/http.
func gone(conn net.Conn) bool {
	n, err := peek(conn)
	return n == 0 && err == nil || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed)
}

// unread reports whether a client has sent what the server has not looked at yet.
func unread(conn net.Conn) bool {
	n, _ := peek(conn)
	return n > 0
}

// peek looks at what a socket has for its reader, without waiting. With TLS that is not
// what the client said.
func peek(conn net.Conn) (n int, err error) {
	if c, ok := conn.(*clientConn); ok {
		conn = c.raw
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return 0, errNoSocket
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	// Control and not Read: that would wait, and fail after the read deadline.
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, failed = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	return n, errors.Join(err, failed)
}
