package linux

import (
	"errors"
	"fmt"
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
	f.Paths, err = pathsTo(q.Remotes, links)
	return f, err
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

// pathTo is pathsTo for one address.
func pathTo(a netip.Addr, links map[int]iface) (tunnel.Path, bool) {
	all, err := pathsTo([]netip.Addr{a}, links)
	p, ok := all[a]
	return p, ok && err == nil
}

// pathsTo asks the kernel which ways packets that are not SMTP take. What cannot
// be reached has none.
func pathsTo(remotes []netip.Addr, links map[int]iface) (map[netip.Addr]tunnel.Path, error) {
	all := make(map[netip.Addr]tunnel.Path, len(remotes))
	err := lookUpRoutes(remotes, nil, func(i int, r route, err error) {
		if err != nil || !r.src.Unmap().IsGlobalUnicast() { // a link-local source is no mail address
			return
		}
		link := links[r.link]
		p := tunnel.Path{Src: r.src.Unmap(), Link: link.name, MTU: link.mtu, PMTU: link.mtu}
		if r.mtu > 0 {
			p.PMTU = min(p.PMTU, r.mtu)
		}
		all[remotes[i]] = p
	})
	return all, err
}

// lookUpRoutes asks the kernel for the route to each of the addresses, of packets
// with the selectors, which are attributes, and calls answer with what it says.
func lookUpRoutes(to []netip.Addr, selectors []byte, answer func(i int, r route, err error)) error {
	c, err := newAsker(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer c.close()
	request := func(b []byte, i int) []byte {
		b = appendRouteHeader(b, unix.RTM_GETROUTE, 0, unix.RtMsg{Dst_len: uint8(to[i].BitLen())}, to[i])
		return append(b, selectors...)
	}
	return c.all(len(to), request, func(i int, data []byte, err error) {
		r, ok := parseRoute(data)
		if err == nil && !ok {
			err = errors.New("the kernel's answer is no route")
		}
		answer(i, r, err)
	})
}
