package tunnel

import (
	"net/netip"
	"slices"

	"postroad/peers"
)

// wantNAT has all that leaves on the link leave from an address that the peers
// know, and mail to an address that the world knows come to the one we have.
func wantNAT(c *peers.Config, own []netip.Addr, f Facts) (n NAT) {
	for _, is4 := range []bool{true, false} {
		peer, path := firstPath(c, f, is4)
		if from := source(peer, own, f); from.IsValid() && from.Is4() == is4 {
			n.From = append(n.From, from)
		}
		if !path.IsValid() || slices.Contains(own, path) { // the host has a mail address: those that it lacks are not translated for it
			continue
		}
		for _, a := range sortedAddrs(slices.Clone(c.Host.Addresses)) {
			if a.Is4() == is4 && !f.has(a) {
				n.Inside = append(n.Inside, Inside{Outer: a, Inner: path})
			}
		}
	}
	return n
}

// firstPath returns the first of the peers' addresses of a family that we have
// a path to outside the tunnel, and from which address; or any of that family,
// and none.
func firstPath(c *peers.Config, f Facts, is4 bool) (peer, src netip.Addr) {
	peer = netip.IPv6Unspecified()
	if is4 {
		peer = netip.IPv4Unspecified()
	}
	for _, p := range c.Peers {
		for _, a := range p.Addresses {
			if path, ok := f.Paths[a]; ok && a.Is4() == is4 {
				return a, path.Src
			}
		}
	}
	return peer, netip.Addr{}
}

// has says whether an interface other than the link has an address.
func (f Facts) has(a netip.Addr) bool {
	return slices.ContainsFunc(f.Local, func(l LocalAddr) bool { return l.Addr == a })
}
