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
	if c, ok := conn.(*clientConn); ok {
		conn = c.raw
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	ended := false
	// Control and not Read: that would wait, and fail after the read deadline.
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		ended = n == 0 && err == nil || errors.Is(err, syscall.ECONNRESET)
	})
	return ended || err != nil
}
