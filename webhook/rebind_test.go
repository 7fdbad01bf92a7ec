package webhook

import (
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

func newRandom(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// nameServer answers every question for IPv4 addresses with what address returns, over UDP on loopback.
func nameServer(t *testing.T, address func() netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(nameAnswer(buf[:n], address), from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// nameAnswer is the answer to a question (RFC 1035): the question, then one address that may be kept for no time.
func nameAnswer(question []byte, address func() netip.Addr) []byte {
	end := 12
	for question[end] != 0 {
		end += int(question[end]) + 1
	}
	kind := binary.BigEndian.Uint16(question[end+1:])
	end += 5
	out := append([]byte(nil), question[:end]...)
	copy(out[2:], []byte{0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}) // an answer without error, one question
	if kind != 1 {
		return out
	}
	out[7] = 1
	out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
	return append(out, address().AsSlice()...)
}

// TestRebinding: a name that is public when somebody looks, and leads home when it is dialled, gains nothing.
func TestRebinding(t *testing.T) {
	home, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	go func() {
		if conn, err := home.Accept(); err == nil {
			t.Error("a connection came home")
			_ = conn.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(home.Addr().String())
	f := func(inside string) {
		t.Helper()
		var asked atomic.Int32
		resolver := nameServer(t, func() netip.Addr {
			if asked.Add(1) == 1 {
				return netip.MustParseAddr("8.8.8.8")
			}
			return netip.MustParseAddr(inside)
		})
		looked, err := resolver.LookupNetIP(t.Context(), "ip4", "rebind.example")
		if err != nil || len(looked) != 1 || !public(looked[0]) {
			t.Fatalf("%v %v", looked, err)
		}
		o := options()
		o.AllowPrivate, o.Resolver, o.Schedule = false, resolver, o.Schedule[:2]
		d := newDispatcher(t, o, newStore(), newSource(1))
		create(t, d, "a", "https://rebind.example:"+port)
		stop := start(d)
		defer stop()
		if e := awaitDisabled(t, d, "a"); e.LastError != errNotPublic.Error() || e.Failures != 3 || asked.Load() < 4 {
			t.Errorf("%+v after %d questions", e, asked.Load())
		}
	}
	f("127.0.0.1")
	f("169.254.169.254")
	f("10.0.0.1")
	f("0.0.0.0")
}

// TestAddressesAreNotShown: what is listed of an error of the network names no address of ours, of the resolver, or that a
// name stands for.
func TestAddressesAreNotShown(t *testing.T) {
	d := newDispatcher(t, options(), newStore(), newSource(0))
	at := &net.TCPAddr{IP: net.IPv4(10, 9, 8, 7), Port: 443}
	f := func(err error, want string) {
		t.Helper()
		if got := plain(d.told(&url.Error{Op: "Post", URL: "https://10.9.8.7/?token", Err: err})); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	op := func(what string, err error) error {
		return &net.OpError{Op: what, Net: "tcp", Source: at, Addr: at, Err: err}
	}
	f(op("dial", publicOnly("", "10.9.8.7:443", nil)), "the address is not public")
	f(op("dial", os.NewSyscallError("connect", syscall.ECONNREFUSED)), "connect: connection refused")
	f(op("read", os.NewSyscallError("read", syscall.ECONNRESET)), "read: connection reset by peer")
	f(op("dial", &net.DNSError{Err: "no such host", Name: "x", Server: "10.9.8.7:53", IsNotFound: true}), "there is no such host")
	f(op("dial", &net.DNSError{Err: "read udp 10.9.8.7:53: i/o timeout", Name: "x", Server: "10.9.8.7:53", IsTimeout: true}), "the host could not be looked up")
	f(io.EOF, "EOF")
}

// TestResolverIsUsed: with private addresses allowed the same name leads home, so the test above tests something.
func TestResolverIsUsed(t *testing.T) {
	c := newConsumer(t, ok)
	o := options()
	o.Resolver = nameServer(t, func() netip.Addr { return netip.MustParseAddr("127.0.0.1") })
	d := newDispatcher(t, o, newStore(), newSource(3))
	create(t, d, "a", strings.Replace(c.server.URL, "127.0.0.1", "rebind.example", 1))
	stop := start(d)
	awaitDelivered(t, d, "a", 3)
	stop()
	c.ordered(3)
}
