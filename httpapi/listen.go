package httpapi

import (
	"context"
	"fmt"
	"net"
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

// IsLoopback reports whether a listener's address is reached from this machine only.
func IsLoopback(addr net.Addr) bool {
	switch a := addr.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	// An in-memory listener of a test has an address of its own kind.
	return addr.Network() != "tcp"
}
