package tunnel

import "net/netip"

// rescue has the wish repoint peers whose tunnel has come to rest at an address
// of a family that this host has lost, if the wish knows one of a family that it
// has. Nothing can come from there that would tell WireGuard of a better place.
func rescue(want, have Device, local []LocalAddr) {
	for i := range want.Peers {
		w := &want.Peers[i]
		if h := have.peerAt(i, w.PublicKey); h != nil && h.Endpoint.IsValid() && w.Endpoint.IsValid() &&
			!speaks(local, h.Endpoint.Addr()) && speaks(local, w.Endpoint.Addr()) {
			w.Repoint = true
		}
	}
}

// speaks says whether we have an address of a's family.
func speaks(local []LocalAddr, a netip.Addr) bool {
	for _, l := range local {
		if l.Addr.Is4() == a.Is4() {
			return true
		}
	}
	return false
}
