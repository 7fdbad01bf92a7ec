package webhook

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
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
		if e := awaitDisabled(t, d, "a"); !strings.Contains(e.LastError, errNotPublic.Error()+": "+inside) || e.Failures != 3 || asked.Load() < 4 {
			t.Errorf("%+v after %d questions", e, asked.Load())
		}
	}
	f("127.0.0.1")
	f("169.254.169.254")
	f("10.0.0.1")
	f("0.0.0.0")
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
