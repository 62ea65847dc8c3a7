package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// smtpWay asks the kernel which way a TCP packet to a port of an address takes:
// the name of the interface, or why there is none. The library's RouteGet knows
// no ports.
func smtpWay(a netip.Addr, port uint16) (link string, err error) {
	links, err := interfaceTable()
	if err != nil {
		return "", err
	}
	return wayOut(a, port, links)
}

// wayOut is smtpWay for who knows the links.
func wayOut(a netip.Addr, port uint16, links map[int]iface) (link string, err error) {
	family, bits := unix.AF_INET6, 128
	if a.Is4() {
		family, bits = unix.AF_INET, 32
	}
	req := nl.NewNetlinkRequest(unix.RTM_GETROUTE, unix.NLM_F_REQUEST)
	req.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: uint8(family), Dst_len: uint8(bits)}})
	req.AddData(nl.NewRtAttr(unix.RTA_DST, a.AsSlice()))
	req.AddData(nl.NewRtAttr(unix.RTA_IP_PROTO, []byte{unix.IPPROTO_TCP}))
	req.AddData(nl.NewRtAttr(unix.RTA_DPORT, binary.BigEndian.AppendUint16(nil, port)))
	answers, err := req.Execute(unix.NETLINK_ROUTE, 0)
	if err != nil {
		return "", err
	}
	if len(answers) == 0 {
		return "", errors.New("no answer")
	}
	attrs, err := nl.ParseRouteAttr(answers[0][unix.SizeofRtMsg:])
	if err != nil {
		return "", fmt.Errorf("reading a route: %w", err)
	}
	for _, attr := range attrs {
		if attr.Attr.Type == unix.RTA_OIF {
			return links[int(binary.NativeEndian.Uint32(attr.Value))].name, nil
		}
	}
	return "", errors.New("no interface")
}
