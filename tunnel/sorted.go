package tunnel

import (
	"bytes"
	"net/netip"
	"slices"
	"sort"

	"postroad/peers"
)

// What follows looks things up in a State, whose slices are sorted: a host may have
// many thousand peers, and each is looked up at every pass.

// guards says whether SMTP with a peer's address is stopped anywhere but on the link.
func (g *Guard) guards(a netip.Addr) bool {
	_, ok := slices.BinarySearchFunc(g.Peers, a, netip.Addr.Compare)
	return ok
}

// routesTo returns the routes to an address.
func (s *State) routesTo(a netip.Addr) []Route {
	first, _ := sort.Find(len(s.Routes), func(i int) int { return a.Compare(s.Routes[i].Dst) })
	last := first
	for last < len(s.Routes) && s.Routes[last].Dst == a {
		last++
	}
	return s.Routes[first:last]
}

// tunnelRoute returns the route through the tunnel to the first of the addresses
// that has one, in the order of State.Routes.
func (s *State) tunnelRoute(addrs []netip.Addr) (Route, bool) {
	for _, a := range inRouteOrder(addrs) {
		for _, r := range s.routesTo(a) {
			if !r.Unreachable {
				return r, true
			}
		}
	}
	return Route{}, false
}

// peer returns what WireGuard knows of a peer; nil: nothing.
func (d *Device) peer(key peers.PublicKey) *DevicePeer {
	i, ok := sort.Find(len(d.Peers), func(i int) int { return bytes.Compare(key[:], d.Peers[i].PublicKey[:]) })
	if !ok {
		return nil
	}
	return &d.Peers[i]
}

// peerAt is peer where it stands at the index that is given, as most do in two
// devices, or else anywhere.
func (d *Device) peerAt(i int, key peers.PublicKey) *DevicePeer {
	if i < len(d.Peers) && d.Peers[i].PublicKey == key {
		return &d.Peers[i]
	}
	return d.peer(key)
}

// lacking is missing for slices that are sorted by compare.
func lacking[T comparable](want, have []T, compare func(a, b T) int) (out []T) {
	if slices.Equal(want, have) { // as at most passes
		return nil
	}
	for _, x := range want {
		for len(have) > 0 && compare(have[0], x) < 0 {
			have = have[1:]
		}
		if len(have) == 0 || have[0] != x {
			out = append(out, x)
		}
	}
	return out
}

// inRouteOrder returns addresses in the order of State.Routes.
func inRouteOrder(addrs []netip.Addr) []netip.Addr {
	if slices.IsSortedFunc(addrs, netip.Addr.Compare) {
		return addrs
	}
	return sortedAddrs(slices.Clone(addrs))
}
