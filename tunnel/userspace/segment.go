package userspace

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// vnetSize is the size of a struct virtio_net_hdr, which stands before each packet
// that the interface gives or takes, in bytes.
const vnetSize = 10

// A vnetHeader says what the kernel left to do about a packet (struct
// virtio_net_hdr, in the machine's byte order).
type vnetHeader struct {
	flags, kind      uint8
	segment          int // payload of a segment, in bytes
	sumFrom, sumInto int // where the checksum begins, and where it goes, in bytes of the packet
}

func parseVnet(b []byte) vnetHeader {
	from := int(binary.NativeEndian.Uint16(b[6:]))
	return vnetHeader{
		flags: b[0], kind: b[1], segment: int(binary.NativeEndian.Uint16(b[4:])),
		sumFrom: from, sumInto: from + int(binary.NativeEndian.Uint16(b[8:])),
	}
}

var errMalformed = errors.New("the kernel gave a malformed packet")

// complete puts in the checksum that the kernel left out of a packet.
func (h vnetHeader) complete(packet []byte) error {
	if h.flags&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM == 0 {
		return nil
	}
	if h.sumInto+2 > len(packet) || h.sumFrom > h.sumInto {
		return errMalformed
	}
	sum(0).add(packet[h.sumFrom:]).put(packet[h.sumInto:]) // the sum of the pseudo header is there, and is added
	return nil
}

// Offsets in headers, in bytes.
const (
	ip4Length, ip4ID, ip4Sum, ip4Source, ip4Header = 2, 4, 10, 12, 20
	ip6Length, ip6Source, ip6Header                = 4, 8, 40
	tcpSequence, tcpOffset, tcpFlags, tcpSum       = 4, 12, 13, 16
	tcpHeader                                      = 20
	tcpFIN, tcpPSH, tcpCWR                         = 0x01, 0x08, 0x80
)

// A super is a TCP packet that is larger than the interface's MTU: the kernel
// leaves it to us to cut it (TUN_F_TSO4, TUN_F_TSO6).
type super struct {
	packet  []byte
	six     bool
	ip, end int // length of the IP header, and of both headers
	segment int // payload of a segment
	at      int // payload handed out
	pseudo  sum // of the pseudo header, but for the length
}

// newSuper returns the packet with that header, to be cut. It changes the packet.
func newSuper(h vnetHeader, packet []byte) (s super, err error) {
	s = super{packet: packet, segment: h.segment, ip: h.sumFrom}
	switch h.kind &^ unix.VIRTIO_NET_HDR_GSO_ECN {
	case unix.VIRTIO_NET_HDR_GSO_TCPV4:
		if s.ip < ip4Header || len(packet) < s.ip || packet[0] != 4<<4|byte(s.ip/4) {
			return s, errMalformed
		}
	case unix.VIRTIO_NET_HDR_GSO_TCPV6:
		if s.six = true; s.ip < ip6Header || len(packet) < s.ip || packet[0]>>4 != 6 {
			return s, errMalformed
		}
	default:
		return s, errMalformed
	}
	if s.segment == 0 || s.ip+tcpHeader > len(packet) || h.sumInto != s.ip+tcpSum {
		return s, errMalformed
	}
	if s.end = s.ip + int(packet[s.ip+tcpOffset]>>4)*4; s.end < s.ip+tcpHeader || s.end >= len(packet) {
		return s, errMalformed
	}
	addresses := packet[ip4Source : ip4Source+8]
	if s.six {
		addresses = packet[ip6Source : ip6Source+32]
	}
	s.pseudo = sum(0).add(addresses).add([]byte{0, unix.IPPROTO_TCP})
	return s, nil
}

// more says whether there is a segment left.
func (s *super) more() bool { return s.end+s.at < len(s.packet) }

// size returns the length of the next segment, in bytes.
func (s *super) size() int { return s.end + min(s.segment, len(s.packet)-s.end-s.at) }

// next writes the next segment into out, which has its size.
func (s *super) next(out []byte) {
	payload := s.packet[s.end+s.at:][:len(out)-s.end]
	copy(out, s.packet[:s.end])
	copy(out[s.end:], payload)
	if s.six {
		binary.BigEndian.PutUint16(out[ip6Length:], uint16(len(out)-ip6Header))
	} else {
		binary.BigEndian.PutUint16(out[ip4Length:], uint16(len(out)))
		binary.BigEndian.PutUint16(out[ip4ID:], binary.BigEndian.Uint16(s.packet[ip4ID:])+uint16(s.at/s.segment))
		out[ip4Sum], out[ip4Sum+1] = 0, 0
		sum(0).add(out[:s.ip]).put(out[ip4Sum:])
	}
	tcp := out[s.ip:]
	binary.BigEndian.PutUint32(tcp[tcpSequence:], binary.BigEndian.Uint32(s.packet[s.ip+tcpSequence:])+uint32(s.at))
	if s.at > 0 {
		tcp[tcpFlags] &^= tcpCWR // the first one tells it (RFC 3168, 6.1.2)
	}
	if s.at += len(payload); s.more() {
		tcp[tcpFlags] &^= tcpFIN | tcpPSH // the last one has these
	}
	tcp[tcpSum], tcp[tcpSum+1] = 0, 0
	var length [2]byte
	binary.BigEndian.PutUint16(length[:], uint16(len(tcp)))
	s.pseudo.add(length[:]).add(tcp).put(tcp[tcpSum:])
}
