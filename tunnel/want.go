package tunnel

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"

	"postroad/peers"
)

// Want returns the State in which all SMTP with the peers of c is protected, but
// for those that f.Bypass names: WireGuard alone knows these, so that they can
// answer.
func Want(c *peers.Config, f Facts) State {
	own := ownAddresses(c, f)
	return State{
		Guard:  wantGuard(c, own, f),
		Link:   wantLink(c, f),
		Device: wantDevice(c, f),
		Rules:  inFront(wantRules(c.Host.Ports, f.IPv6), f.Others),
		Routes: wantRoutes(c, own, f),
	}
}

// Remotes returns the addresses whose Paths Want asks for.
func Remotes(c *peers.Config, endpoints map[string][]netip.Addr) []netip.Addr {
	all := make([]netip.Addr, 0, len(c.Peers))
	for i := range c.Peers {
		p := &c.Peers[i]
		all = append(all, p.Addresses...)
		if p.Endpoint != (peers.Endpoint{}) { // or it is at these
			addrs, _ := candidates(p, endpoints)
			all = append(all, addrs...)
		}
	}
	return sortedAddrs(all)
}

// ownAddresses returns our mail addresses: those that the file declares, or
// else the global ones of the interfaces that lead to the peers. Another VPN that
// leads there from a private address does not change what the peers know us by.
func ownAddresses(c *peers.Config, f Facts) []netip.Addr {
	if len(c.Host.Addresses) > 0 {
		return sortedAddrs(slices.Clone(c.Host.Addresses))
	}
	var own []netip.Addr
	links := map[string]bool{}
	public := map[bool][]netip.Addr{false: publicAddresses(false, f), true: publicAddresses(true, f)}
	for i := range c.Peers {
		for _, a := range c.Peers[i].Addresses {
			switch path, ok := f.Paths[a]; {
			case !ok:
			case path.Src.IsPrivate() && !a.IsPrivate() && len(public[a.Is6()]) > 0:
				own = append(own, missing(public[a.Is6()], own)...)
			case !slices.Contains(own, path.Src) || !links[path.Link]:
				links[path.Link] = true
				own = append(own, path.Src)
			}
		}
	}
	for _, l := range f.Local {
		if links[l.Link] {
			own = append(own, l.Addr)
		}
	}
	return sortedAddrs(own)
}

// publicAddresses returns the addresses of a family by which the world can know us.
func publicAddresses(ipv6 bool, f Facts) (all []netip.Addr) {
	for _, l := range f.Local {
		if l.Addr.Is6() == ipv6 && !l.Addr.IsPrivate() {
			all = append(all, l.Addr)
		}
	}
	return all
}

func wantGuard(c *peers.Config, own []netip.Addr, f Facts) Guard {
	g := Guard{Sound: true, Link: c.Host.Link, Ports: c.Host.Ports, Own: own, Peers: make([]netip.Addr, 0, len(c.Peers)+len(f.Held)), UDP: []uint16{c.Host.ListenPort},
		NAT: wantNAT(c, own, f)}
	g.Peers = append(g.Peers, f.Held...)
	for _, p := range c.Peers {
		if f.Bypass[p.PublicKey] {
			continue
		}
		g.Peers = append(g.Peers, p.Addresses...)
	}
	g.Peers = sortedAddrs(g.Peers)
	return g
}

// wantLink gives the link the declared addresses that no other interface has:
// behind a 1:1 NAT the host does not own the address that the world knows.
func wantLink(c *peers.Config, f Facts) Link {
	h := &c.Host
	l := Link{Name: h.Link, Backend: h.Backend, Up: true, MTU: linkMTU(c, f), Loose: true,
		Addrs: []netip.Prefix{LinkAddress}}
	for _, a := range h.Addresses {
		if a.Is6() && f.NoLinkIPv6 {
			continue
		}
		if !f.has(a) {
			l.Addrs = append(l.Addrs, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	slices.SortFunc(l.Addrs, netip.Prefix.Compare)
	return l
}

// linkMTU returns what the file says, or else as much as any peer's packets can
// need: what fits the interface that leads there, with the tunnel around it.
func linkMTU(c *peers.Config, f Facts) int {
	if c.Host.MTU != 0 {
		return c.Host.MTU
	}
	most := 0
	for i := range c.Peers {
		e := endpoint(&c.Peers[i], f).Addr()
		if path := f.Paths[e]; path.MTU > 0 {
			most = max(most, path.MTU-Overhead(e))
		}
	}
	if most == 0 {
		return peers.DefaultMTU
	}
	return min(max(most, 1280), 65535) // with less, the kernel takes IPv6 off the link
}

// wantMTU returns how large packets to a peer can be: what the link takes where
// the file gives that, else what is known to cross. Zero: what the link takes.
func wantMTU(c *peers.Config, p *peers.Peer, link int, f Facts) int {
	if c.Host.MTU != 0 {
		return 0
	}
	return min(cmp.Or(f.MTUs[p.PublicKey], SafeMTU), link)
}

func wantDevice(c *peers.Config, f Facts) Device {
	d := Device{PrivateKey: c.Host.PrivateKey, ListenPort: c.Host.ListenPort, Peers: make([]DevicePeer, 0, len(c.Peers))}
	for i := range c.Peers {
		p := &c.Peers[i]
		d.Peers = append(d.Peers, DevicePeer{
			PublicKey:    p.PublicKey,
			PresharedKey: p.PresharedKey,
			Endpoint:     endpoint(p, f),
			Allowed:      sortedAddrs(slices.Clone(p.Addresses)),
			Keepalive:    keepalive(*p),
			Repoint:      f.Repoint[p.PublicKey],
		})
	}
	slices.SortFunc(d.Peers, func(a, b DevicePeer) int { return bytes.Compare(a.PublicKey[:], b.PublicKey[:]) })
	return d
}

// endpoint picks the first candidate that we have a path to, else the first.
func endpoint(p *peers.Peer, f Facts) netip.AddrPort {
	all, port := candidates(p, f.Endpoints)
	for _, a := range all {
		if _, ok := f.Paths[a]; ok {
			return netip.AddrPortFrom(a, port)
		}
	}
	if len(all) == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(all[0], port)
}

// candidates returns where a peer may be reached: none while the name of its
// endpoint is not resolved.
func candidates(p *peers.Peer, resolved map[string][]netip.Addr) (addrs []netip.Addr, port uint16) {
	if p.Endpoint == (peers.Endpoint{}) {
		return p.Addresses, peers.DefaultListenPort
	}
	if e, ok := p.Endpoint.Addr(); ok {
		return []netip.Addr{e.Addr()}, e.Port()
	}
	return resolved[p.Endpoint.Host], p.Endpoint.Port
}

// wantRules selects SMTP by either port: the answers of a connection that we
// accepted have the port on our own side, and a reverse path filter looks a
// packet up with its ports swapped.
func wantRules(ports []uint16, ipv6 bool) []Rule {
	var rules []Rule
	families := []bool{false}
	if ipv6 {
		families = append(families, true)
	}
	for _, v6 := range families {
		rules = append(rules, Rule{IPv6: v6, Priority: MarkPriority, Mark: Mark})
		for _, p := range ports {
			rules = append(rules,
				Rule{IPv6: v6, Priority: PortPriority, DstPort: p},
				Rule{IPv6: v6, Priority: PortPriority, SrcPort: p})
		}
	}
	return sortedRules(rules)
}

// wantRoutes gives every protected address its unreachable twin, and the way through
// the tunnel where we have an address of that family to speak from.
func wantRoutes(c *peers.Config, own []netip.Addr, f Facts) []Route {
	routes := make([]Route, 0, 2*len(c.Peers)+len(f.Held))
	link := linkMTU(c, f)
	for i := range c.Peers {
		p := &c.Peers[i]
		if f.Bypass[p.PublicKey] {
			continue
		}
		mtu := wantMTU(c, p, link, f)
		for _, a := range p.Addresses {
			if a.Is6() && !f.IPv6 {
				continue
			}
			routes = append(routes, Route{Dst: a, Unreachable: true})
			if src := source(a, own, f); src.IsValid() && !(a.Is6() && f.NoLinkIPv6) {
				routes = append(routes, Route{Dst: a, Src: src, MTU: mtu})
			}
		}
	}
	for _, a := range f.Held {
		if a.Is4() || f.IPv6 {
			routes = append(routes, Route{Dst: a, Unreachable: true})
		}
	}
	return sortedRoutes(routes)
}

// source picks the address to speak to a peer from: that of the path outside
// the tunnel if it is one of ours, else the first of the family. Zero: none.
func source(peer netip.Addr, own []netip.Addr, f Facts) netip.Addr {
	if path, ok := f.Paths[peer]; ok && slices.Contains(own, path.Src) {
		return path.Src
	}
	for _, a := range own {
		if a.Is4() == peer.Is4() {
			return a
		}
	}
	return netip.Addr{}
}

func sortedAddrs(s []netip.Addr) []netip.Addr {
	slices.SortFunc(s, netip.Addr.Compare)
	return slices.Compact(s)
}

func sortedRules(s []Rule) []Rule {
	slices.SortFunc(s, CompareRules)
	return slices.Compact(s)
}

func sortedRoutes(s []Route) []Route {
	slices.SortFunc(s, CompareRoutes)
	return slices.Compact(s)
}

// CompareRules is the order of State.Rules.
func CompareRules(a, b Rule) int {
	return cmp.Or(compareBools(a.IPv6, b.IPv6), cmp.Compare(a.Priority, b.Priority),
		cmp.Compare(a.Mark, b.Mark), cmp.Compare(a.DstPort, b.DstPort), cmp.Compare(a.SrcPort, b.SrcPort))
}

// CompareRoutes is the order of State.Routes: it puts the twin before the tunnel route of the same address.
func CompareRoutes(a, b Route) int {
	if c := a.Dst.Compare(b.Dst); c != 0 {
		return c
	}
	return cmp.Or(compareBools(b.Unreachable, a.Unreachable), a.Src.Compare(b.Src), cmp.Compare(a.MTU, b.MTU))
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}
