package userspace

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// controlSize is how large the control messages of a packet get: where it came
// to, and the size of the segments that it was put together from.
const controlSize = 96

// control returns the control message by which a packet is sent from the source's
// address. The interface is left to the routes, but with a link-local address.
func (s source) control() []byte {
	switch {
	case s.addr.Is4():
		b := newControl(unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
		info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&b[unix.CmsgLen(0)]))
		info.Spec_dst = s.addr.As4()
		return b
	case s.addr.Is6():
		b := newControl(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
		info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&b[unix.CmsgLen(0)]))
		info.Addr = s.addr.As16()
		if s.addr.IsLinkLocalUnicast() {
			info.Ifindex = s.index
		}
		return b
	}
	return nil
}

// segmentControl is the control message with which the size of segments is
// told, but for the size.
var segmentControl = newControl(unix.SOL_UDP, unix.UDP_SEGMENT, 2)

// appendSegmentSize appends the control message that has the kernel cut a packet
// into datagrams of that size, in bytes (UDP_SEGMENT, udp(7)).
func appendSegmentSize(b []byte, size int) []byte {
	at := len(b) + unix.CmsgLen(0)
	b = append(b, segmentControl...)
	binary.NativeEndian.PutUint16(b[at:], uint16(size))
	return b
}

func newControl(level, kind int32, size int) []byte {
	b := make([]byte, unix.CmsgSpace(size))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = level, kind
	h.SetLen(unix.CmsgLen(size))
	return b
}

// parseControl reads the control messages of a received packet: which address of
// ours it came to, and the size of its segments in bytes; 0: it is one.
func parseControl(b []byte) (src source, segment int) {
	for len(b) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		if int(h.Len) < unix.CmsgLen(0) || int(h.Len) > len(b) {
			return src, segment
		}
		data := b[unix.CmsgLen(0):h.Len]
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0]))
			src = source{netip.AddrFrom4(info.Spec_dst), uint32(info.Ifindex)}
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0]))
			src = source{netip.AddrFrom16(info.Addr), info.Ifindex}
		case h.Level == unix.SOL_UDP && h.Type == unix.UDP_GRO && len(data) >= 4:
			segment = int(binary.NativeEndian.Uint32(data))
		}
		b = b[min(len(b), unix.CmsgSpace(len(data))):]
	}
	return src, segment
}
