package linux

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"postroad/tunnel"
)

// observeFacts reads this host's addresses, but for those of the link that is
// given, and the ways to the remote ones.
func observeFacts(q tunnel.Query, ours string) (f tunnel.Facts, err error) {
	links, err := interfaceTable()
	if err != nil {
		return f, err
	}
	f.IPv6, f.NoLinkIPv6 = hasIPv6(), ipv6Disabled()
	if f.Others, err = observeOthers(); err != nil {
		return f, err
	}
	if f.Local, err = localAddrs(links, ours); err != nil {
		return f, err
	}
	f.Paths = map[netip.Addr]tunnel.Path{}
	for _, a := range q.Remotes {
		if p, ok := pathTo(a, links); ok {
			f.Paths[a] = p
		}
	}
	return f, nil
}

// An iface is what paths need to know of a network interface.
type iface struct {
	name string
	mtu  int // bytes
}

func interfaceTable() (map[int]iface, error) {
	links, err := retry(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("listing links: %w", err)
	}
	byIndex := map[int]iface{}
	for _, l := range links {
		byIndex[l.Attrs().Index] = iface{l.Attrs().Name, l.Attrs().MTU}
	}
	return byIndex, nil
}

// localAddrs returns the addresses that can be spoken from, but for the link's.
func localAddrs(links map[int]iface, ours string) ([]tunnel.LocalAddr, error) {
	addrs, err := retry(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	var all []tunnel.LocalAddr
	for _, a := range addrs {
		p, ok := prefix(a.IPNet)
		name := links[a.LinkIndex].name
		if ok && name != ours && p.Addr().IsGlobalUnicast() && a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0 {
			all = append(all, tunnel.LocalAddr{Addr: p.Addr(), Link: name})
		}
	}
	return all, nil
}

// pathTo asks the kernel which way a packet that is not SMTP takes.
func pathTo(a netip.Addr, links map[int]iface) (tunnel.Path, bool) {
	routes, err := netlink.RouteGet(net.IP(a.AsSlice()))
	if err != nil || len(routes) == 0 {
		return tunnel.Path{}, false
	}
	src, ok := netip.AddrFromSlice(routes[0].Src)
	if src = src.Unmap(); !ok || !src.IsGlobalUnicast() { // a link-local source is no mail address
		return tunnel.Path{}, false
	}
	link := links[routes[0].LinkIndex]
	p := tunnel.Path{Src: src, Link: link.name, MTU: link.mtu, PMTU: link.mtu}
	if routes[0].MTU > 0 {
		p.PMTU = min(p.PMTU, routes[0].MTU)
	}
	return p, true
}
