package linux

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// smtpWay asks the kernel which way a TCP packet to a port of an address takes:
// the name of the interface, or why there is none.
func smtpWay(a netip.Addr, port uint16) (link string, err error) {
	links, err := interfaceTable()
	if err != nil {
		return "", err
	}
	askErr := smtpWays([]netip.Addr{a}, port, links, func(_ int, way string, wayErr error) { link, err = way, wayErr })
	return link, errors.Join(askErr, err)
}

// smtpWays is smtpWay for many addresses, and for who knows the links.
func smtpWays(to []netip.Addr, port uint16, links map[int]iface, answer func(i int, link string, err error)) error {
	selectors := appendAttribute(nil, unix.RTA_IP_PROTO, unix.IPPROTO_TCP)
	selectors = appendAttribute(selectors, unix.RTA_DPORT, binary.BigEndian.AppendUint16(nil, port)...)
	return lookUpRoutes(to, selectors, func(i int, r route, err error) {
		if err == nil && r.link == 0 {
			err = errors.New("no interface")
		}
		answer(i, links[r.link].name, err)
	})
}
