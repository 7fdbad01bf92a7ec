package webhook

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// errNotPublic: an endpoint's name resolves to an address that only this network knows.
var errNotPublic = errors.New("the address is not public")

// refused are the blocks that are not globally reachable or have no single host behind them, after the IANA registries
// of special-purpose addresses. Of IPv6 only 2000::/3 is unicast that anybody routes, so what lies outside of it needs
// no row: loopback, unspecified, link-local, unique local, site-local, multicast, discard-only, segment routing.
var refused = prefixes(
	"0.0.0.0/8",       // this network
	"10.0.0.0/8",      // private
	"100.64.0.0/10",   // shared by carriers
	"127.0.0.0/8",     // loopback
	"169.254.0.0/16",  // link-local, and the metadata services of clouds
	"172.16.0.0/12",   // private
	"192.0.0.0/24",    // protocol assignments
	"192.0.2.0/24",    // documentation
	"192.88.99.0/24",  // relays of 6to4
	"192.168.0.0/16",  // private
	"198.18.0.0/15",   // benchmarks
	"198.51.100.0/24", // documentation
	"203.0.113.0/24",  // documentation
	"224.0.0.0/4",     // multicast
	"240.0.0.0/4",     // reserved, and broadcast
	"2001::/23",       // protocol assignments; Teredo, which carries any IPv4 address, is in it
	"2001:db8::/32",   // documentation
	"3fff::/20",       // documentation
)

var (
	unicast6  = netip.MustParsePrefix("2000::/3")
	sixToFour = netip.MustParsePrefix("2002::/16")    // bytes 2 to 5 are an IPv4 address
	nat64     = netip.MustParsePrefix("64:ff9b::/96") // the last 4 bytes are one
)

func prefixes(texts ...string) (out []netip.Prefix) {
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

// public says whether requests may go to an address. An IPv6 address that stands for an IPv4 address goes by that one; one
// with a zone is of this machine's links, and in no prefix.
func public(a netip.Addr) bool {
	a = a.Unmap()
	switch {
	case !a.IsValid():
		return false
	case nat64.Contains(a):
		b := a.As16()
		return public(netip.AddrFrom4([4]byte(b[12:16])))
	case sixToFour.Contains(a):
		b := a.As16()
		return public(netip.AddrFrom4([4]byte(b[2:6])))
	case a.Is6() && !unicast6.Contains(a):
		return false
	}
	for _, p := range refused {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// publicOnly is a net.Dialer's Control. It sees each address that a name resolved to, right before the connection.
func publicOnly(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !public(at.Addr()) {
		return fmt.Errorf("%w: %s", errNotPublic, address)
	}
	return nil
}
