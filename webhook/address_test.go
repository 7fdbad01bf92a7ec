package webhook

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestPublic(t *testing.T) {
	f := func(want bool, addresses string) {
		t.Helper()
		for _, text := range strings.Fields(addresses) {
			if got := public(netip.MustParseAddr(text)); got != want {
				t.Errorf("%s: %v", text, got)
			}
		}
	}
	f(true, "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 169.253.255.255 169.255.0.0")
	f(true, "172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255")
	f(true, "2606:4700:4700::1111 2a00:1450:4001:82a::200e 2001:4860:4860::8888 2001:200:: 2003::1 3ffe:ffff::1")
	f(true, "::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::1")

	f(false, "0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 127.0.0.1 127.255.255.254") // this network, private, loopback
	f(false, "100.64.0.0 100.127.255.255 169.254.0.1 169.254.169.254 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255")
	f(false, "192.0.0.0 192.0.0.170 192.0.2.1 192.88.99.1 198.18.0.0 198.19.255.255 198.51.100.7 203.0.113.255")
	f(false, "224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255") // multicast, reserved, broadcast
	f(false, "2606:4700:4700::1111%eth0 :: ::1 fe80::1 fe80::1%eth0 febf::1 fc00::1 fd12:3456::1 fec0::1 ff02::1 ff0e::1 100::1 5f00::1")
	f(false, "2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 3fff::1 4000::1 64:ff9b:1::1")
	// IPv4 in other clothes: mapped, compatible, translated, NAT64, 6to4.
	f(false, "::ffff:127.0.0.1 ::ffff:10.1.2.3 ::ffff:169.254.169.254 ::127.0.0.1 ::ffff:0:127.0.0.1")
	f(false, "64:ff9b::7f00:1 64:ff9b::a00:1 64:ff9b::a9fe:a9fe 2002:7f00:1::1 2002:a00:1:: 2002:c0a8:101::1 2002:a9fe:a9fe::")
	if public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

// TestPublicAgainstNetip: what the library calls unreachable is refused, at every address that a bit makes of another.
func TestPublicAgainstNetip(t *testing.T) {
	for _, text := range []string{"10.0.0.1", "8.8.8.8", "169.254.1.1", "fe80::1", "2600::1", "fd00::1", "::1", "::ffff:127.0.0.1"} {
		a := netip.MustParseAddr(text)
		for bit := range a.BitLen() {
			raw := a.AsSlice()
			raw[bit/8] ^= 0x80 >> (bit % 8)
			b, _ := netip.AddrFromSlice(raw)
			v := b.Unmap()
			bad := v.IsLoopback() || v.IsPrivate() || v.IsLinkLocalUnicast() || v.IsMulticast() || v.IsUnspecified() || !v.IsGlobalUnicast()
			if bad && public(b) {
				t.Errorf("%v is public", b)
			}
		}
	}
}

func TestPublicOnly(t *testing.T) {
	f := func(address string, ok bool) {
		t.Helper()
		if err := publicOnly("tcp", address, nil); (err == nil) != ok || (!ok && !errors.Is(err, errNotPublic)) {
			t.Errorf("%s: %v", address, err)
		}
	}
	f("8.8.8.8:443", true)
	f("[2606:4700:4700::1111]:443", true)
	f("127.0.0.1:443", false)
	f("[::1]:443", false)
	f("[fe80::1%eth0]:443", false)
	f("localhost:443", false)
	f("", false)
}
