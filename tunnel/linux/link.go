package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"postroad/peers"
	"postroad/tunnel"
	"postroad/tunnel/userspace"
)

const (
	looseFilter = 2 // RFC 3704's loose mode, as rp_filter has it
	rpFilter    = 8 // IPV4_DEVCONF_RP_FILTER, linux/ip.h
	genModeNone = 1 // IN6_ADDR_GEN_MODE_NONE, linux/if_link.h

	wireguard = "wireguard" // rtnl_link_ops.kind of drivers/net/wireguard
)

// observeLink reads our link or, where there is none, a foreign one of that
// name; and its index. Zero: there is neither.
func (k *Kernel) observeLink(name string) (l tunnel.Link, index int, err error) {
	link, err := k.findLink(name)
	if link == nil || err != nil {
		return l, 0, err
	}
	a, made := link.Attrs(), k.madeBy(link)
	l = tunnel.Link{Name: a.Name, Backend: made, Up: a.Flags&net.FlagUp != 0, MTU: a.MTU, Foreign: made == ""}
	if l.Loose, err = isLoose(a.Index); err != nil {
		return l, 0, err
	}
	l.Addrs, err = linkAddrs(link)
	return l, a.Index, err
}

// findLink returns our link, whatever it is called now, or else the one of that
// name. Nil: neither.
func (k *Kernel) findLink(name string) (netlink.Link, error) {
	named, err := netlink.LinkByName(name)
	if err != nil && !errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, fmt.Errorf("looking for link %s: %w", name, err)
	}
	if err == nil && k.madeBy(named) != "" {
		return named, nil
	}
	ours, listErr := kernelLinks()
	switch {
	case listErr != nil:
		return nil, listErr
	case len(ours) > 0:
		return ours[0], nil
	case err != nil: // nor is there another's
		return nil, nil
	}
	return named, nil
}

// madeBy says which backend made a link; empty: it is not ours. What the kernel
// carries outlives the process that made it, and is known by its group.
func (k *Kernel) madeBy(link netlink.Link) peers.Backend {
	switch {
	case isKernels(link):
		return peers.Kernel
	case link.Type() != "tuntap":
		return ""
	case k.reader, k.device != nil && k.device.Name() == link.Attrs().Name && !k.device.Gone():
		return peers.Userspace
	}
	return ""
}

func isKernels(link netlink.Link) bool {
	return link.Type() == wireguard && link.Attrs().Group == tunnel.LinkGroup
}

// kernelLinks returns the links that the kernel's WireGuard carries for us: one,
// unless we died in the middle of something.
func kernelLinks() ([]netlink.Link, error) {
	links, err := retry(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("listing links: %w", err)
	}
	return slices.DeleteFunc(links, func(l netlink.Link) bool { return !isKernels(l) }), nil
}

func linkAddrs(link netlink.Link) ([]netip.Prefix, error) {
	addrs, err := retry(func() ([]netlink.Addr, error) { return netlink.AddrList(link, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("listing addresses of %s: %w", link.Attrs().Name, err)
	}
	var all []netip.Prefix
	for _, a := range addrs {
		p, ok := prefix(a.IPNet)
		if ok && !(p.Addr().Is6() && p.Addr().IsLinkLocalUnicast()) { // the kernel's own
			all = append(all, p)
		}
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	return all, nil
}

// isLoose reads the link's own reverse path filter over netlink: /proc/sys is
// not to be had in a hardened service.
func isLoose(index int) (bool, error) {
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, 0)
	req.AddData(msg)
	replies, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err == nil && len(replies) == 0 {
		err = unix.ENODEV
	}
	if err != nil {
		return false, fmt.Errorf("reading the link's reverse path filter: %w", err)
	}
	return parseLoose(replies[0])
}

// parseLoose reads a message of rtnetlink(7) about a link.
func parseLoose(data []byte) (loose bool, err error) {
	data = data[min(unix.SizeofIfInfomsg, len(data)):]
	for _, kind := range []uint16{unix.IFLA_AF_SPEC, unix.AF_INET, unix.IFLA_INET_CONF} {
		if data, err = attribute(data, kind); err != nil {
			return false, fmt.Errorf("reading the link's attributes: %w", err)
		}
	}
	at := 4 * (rpFilter - 1)
	return len(data) >= at+4 && binary.NativeEndian.Uint32(data[at:]) == looseFilter, nil
}

func setLoose(index int) error {
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	spec := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
	conf := spec.AddRtAttr(unix.AF_INET, nil).AddRtAttr(unix.IFLA_INET_CONF|unix.NLA_F_NESTED, nil)
	conf.AddRtAttr(rpFilter, nl.Uint32Attr(looseFilter))
	req := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	req.AddData(msg)
	req.AddData(spec)
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return fmt.Errorf("setting rp_filter: %w", err)
	}
	return nil
}

// createLink makes the link in place of any that is ours.
func (k *Kernel) createLink(l tunnel.Link) error {
	if err := k.removeLinks(); err != nil {
		return err
	}
	if _, err := netlink.LinkByName(l.Name); err == nil {
		return fmt.Errorf("a link of this name exists and is not ours; delete it (`ip link del %s`) or set another host.link", l.Name)
	}
	if err := k.createOn(l); err != nil {
		return err
	}
	link, err := netlink.LinkByName(l.Name)
	if err != nil {
		return err
	}
	return unless(netlink.LinkSetIP6AddrGenMode(link, genModeNone), unix.EAFNOSUPPORT, unix.EOPNOTSUPP)
}

// createOn makes the link on the backend that is asked for, or on the best that
// can be had: what the kernel can is found out by trying.
func (k *Kernel) createOn(l tunnel.Link) error {
	if l.Backend != peers.Userspace {
		err := createKernels(l.Name)
		if err == nil || l.Backend == peers.Kernel {
			return err
		}
		k.fallBack(err)
	}
	d, err := userspace.Create(l.Name, l.MTU, k.log)
	if err == nil {
		k.device = d
	}
	return err
}

// fallBack says, once, why it is not the kernel's WireGuard that is used.
func (k *Kernel) fallBack(why error) {
	if !k.fellBack {
		k.log.Info("WireGuard runs within this process: when it is down, mail waits", "backend", peers.Userspace, "why", why)
	}
	k.fellBack = true
}

// createKernels makes a link of the kernel's. It bears our group from the start:
// there is no moment in which it could not be told from others' links.
func createKernels(name string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Group = name, tunnel.LinkGroup
	err := netlink.LinkAdd(&netlink.Wireguard{LinkAttrs: attrs})
	if errors.Is(err, unix.EOPNOTSUPP) { // no such kind of link, and no module that brings it
		return errNoWireGuard
	}
	return err
}

func (k *Kernel) setLink(l tunnel.Link) error {
	link, err := netlink.LinkByName(l.Name)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetMTU(link, l.MTU); err != nil {
		return fmt.Errorf("setting mtu: %w", err)
	}
	if err := setLoose(link.Attrs().Index); err != nil {
		return err
	}
	if k.device != nil {
		if err := k.device.Up(); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(link)
}

// removeLink removes a link that is ours.
func (k *Kernel) removeLink(name string) error {
	if err := k.removeLinks(); err != nil || !k.reader {
		return err
	}
	// A TUN that lives on without a daemon, which nobody but a reader takes for ours.
	link, err := netlink.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err != nil {
		return err
	}
	return netlink.LinkDel(link)
}

// removeLinks removes all links that are ours, of either backend.
func (k *Kernel) removeLinks() error {
	k.Close()
	links, err := kernelLinks()
	if err != nil {
		return err
	}
	for _, l := range links {
		if err := unless(netlink.LinkDel(l), unix.ENODEV); err != nil {
			return fmt.Errorf("removing link %s: %w", l.Attrs().Name, err)
		}
	}
	return nil
}

func addAddress(name string, p netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().IsLinkLocalUnicast() {
		a.Scope = unix.RT_SCOPE_LINK // so that it is no source of other traffic
	}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD // nobody else is on the link
	}
	return unless(netlink.AddrAdd(link, a), unix.EEXIST)
}

func removeAddress(name string, p netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return unless(netlink.AddrDel(link, &netlink.Addr{IPNet: ipNet(p)}), unix.EADDRNOTAVAIL)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func prefix(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), bits), ok
}
