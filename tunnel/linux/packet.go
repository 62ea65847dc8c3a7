package linux

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// A packet is what is read of one that goes by: its ends, and of ICMP errors
// the packet they are about.
type packet struct {
	proto    byte // as in IPv4's header; IPv6 extension headers are stepped over
	src, dst netip.AddrPort
	icmpType byte
	icmpCode byte
	mtu      int     // bytes, of an ICMP error that names one
	payload  []byte  // behind the UDP header
	size     int     // bytes of payload on the wire, of UDP
	about    *packet // of ICMP errors
}

// parsePacket reads a packet from its IP header on; nil: it is none that
// matters. Packets that are cut off are read as far as they go.
func parsePacket(b []byte) *packet {
	if len(b) < 20 {
		return nil
	}
	switch b[0] >> 4 {
	case 4: // RFC 791, section 3.1
		header := int(b[0]&0xf) * 4
		if header < 20 || len(b) < header || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
			return nil // not the first fragment
		}
		src, _ := netip.AddrFromSlice(b[12:16])
		dst, _ := netip.AddrFromSlice(b[16:20])
		return parseTransport(b[9], src, dst, b[header:])
	case 6: // RFC 8200, section 3
		if len(b) < 40 {
			return nil
		}
		src, _ := netip.AddrFromSlice(b[8:24])
		dst, _ := netip.AddrFromSlice(b[24:40])
		proto, rest := stepOver(b[6], b[40:])
		return parseTransport(proto, src, dst, rest)
	}
	return nil
}

// stepOver skips the extension headers that say how long they are (RFC 8200, section 4).
func stepOver(next byte, b []byte) (byte, []byte) {
	for len(b) >= 8 && (next == unix.IPPROTO_HOPOPTS || next == unix.IPPROTO_ROUTING || next == unix.IPPROTO_DSTOPTS) {
		n := 8 + 8*int(b[1])
		if len(b) < n {
			break
		}
		next, b = b[0], b[n:]
	}
	return next, b
}

func parseTransport(proto byte, src, dst netip.Addr, b []byte) *packet {
	p := &packet{proto: proto, src: netip.AddrPortFrom(src, 0), dst: netip.AddrPortFrom(dst, 0)}
	if len(b) < 8 {
		return nil
	}
	switch proto {
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP:
		p.src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(b))
		p.dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[2:]))
		if proto == unix.IPPROTO_UDP {
			p.payload, p.size = b[8:], int(binary.BigEndian.Uint16(b[4:]))-8
		}
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		p.icmpType, p.icmpCode = b[0], b[1]
		if isError(p) {
			p.mtu, p.about = mtuOf(p, b), parsePacket(b[8:])
		}
	default:
		return nil
	}
	return p
}

// isError tells ICMP errors (RFC 792; RFC 4443, section 2.1).
func isError(p *packet) bool {
	if p.proto == unix.IPPROTO_ICMPV6 {
		return p.icmpType < 128
	}
	return p.icmpType == 3 || p.icmpType == 11 || p.icmpType == 12
}

// mtuOf returns what the next hop takes, where the error says so (RFC 1191,
// section 4; RFC 4443, section 3.2).
func mtuOf(p *packet, b []byte) int {
	switch {
	case p.proto == unix.IPPROTO_ICMP && p.icmpType == 3 && p.icmpCode == 4:
		return int(binary.BigEndian.Uint16(b[6:]))
	case p.proto == unix.IPPROTO_ICMPV6 && p.icmpType == 2:
		return int(binary.BigEndian.Uint32(b[4:]))
	}
	return 0
}
