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
)

// observeLink reads the link of that name, and its index; zero: there is none.
func (k *Kernel) observeLink(name string) (l tunnel.Link, index int, err error) {
	link, err := netlink.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return l, 0, nil
	}
	if err != nil {
		return l, 0, fmt.Errorf("looking for link %s: %w", name, err)
	}
	a := link.Attrs()
	l = tunnel.Link{Name: name, Backend: peers.Userspace, Up: a.Flags&net.FlagUp != 0, MTU: a.MTU, Foreign: !k.owns(link)}
	if l.Loose, err = isLoose(a.Index); err != nil {
		return l, 0, err
	}
	l.Addrs, err = linkAddrs(link)
	return l, a.Index, err
}

// owns says whether a link of the right name is ours.
func (k *Kernel) owns(link netlink.Link) bool {
	if link.Type() != "tuntap" {
		return false
	}
	return k.reader || k.device != nil && k.device.Name() == link.Attrs().Name && !k.device.Gone()
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
	if err != nil || len(replies) == 0 {
		return false, fmt.Errorf("reading the link's reverse path filter: %w", err)
	}
	data := replies[0][msg.Len():]
	for _, kind := range []uint16{unix.IFLA_AF_SPEC, unix.AF_INET, unix.IFLA_INET_CONF} {
		if data, err = attribute(data, kind); err != nil {
			return false, err
		}
	}
	at := 4 * (rpFilter - 1)
	return len(data) >= at+4 && binary.NativeEndian.Uint32(data[at:]) == looseFilter, nil
}

func attribute(data []byte, kind uint16) ([]byte, error) {
	attrs, err := nl.ParseRouteAttr(data)
	if err != nil {
		return nil, fmt.Errorf("reading the link's attributes: %w", err)
	}
	for _, a := range attrs {
		if a.Attr.Type&^uint16(unix.NLA_F_NESTED) == kind {
			return a.Value, nil
		}
	}
	return nil, nil
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

// createLink makes the link in place of one that this process had.
func (k *Kernel) createLink(l tunnel.Link) error {
	if l.Backend == peers.Kernel {
		return errors.New(`this version cannot use the kernel's WireGuard; set host.backend to "auto" or "userspace"`)
	}
	k.Close()
	if _, err := netlink.LinkByName(l.Name); err == nil {
		return fmt.Errorf("a link of this name exists and is not ours; delete it (`ip link del %s`) or set another host.link", l.Name)
	}
	d, err := userspace.Create(l.Name, l.MTU, k.log)
	if err != nil {
		return err
	}
	k.device = d
	link, err := netlink.LinkByName(l.Name)
	if err != nil {
		return err
	}
	return unless(netlink.LinkSetIP6AddrGenMode(link, genModeNone), unix.EAFNOSUPPORT, unix.EOPNOTSUPP)
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

func (k *Kernel) removeLink(name string) error {
	if k.device != nil {
		k.Close()
		return nil
	}
	link, err := netlink.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err != nil {
		return err
	}
	return netlink.LinkDel(link)
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
