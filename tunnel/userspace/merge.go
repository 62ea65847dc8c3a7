package userspace

import (
	"bytes"
	"encoding/binary"
	"math"

	"golang.org/x/sys/unix"
)

// A segment is a TCP packet with payload and nothing out of the ordinary, or, if
// its end is 0, another packet.
type segment struct {
	packet  []byte
	ip, end int // length of the IP header, and of both headers
}

const ordinary = 0x10 // the only flag, ACK, but for PSH

// parseSegment returns the packet as a segment.
func parseSegment(packet []byte) segment {
	s := segment{packet: packet}
	switch {
	case len(packet) < ip4Header+tcpHeader:
		return s
	case packet[0] == 4<<4|ip4Header/4:
		fragment := binary.BigEndian.Uint16(packet[6:]) & 0x3fff // RFC 791: an offset, or more fragments
		if packet[9] != unix.IPPROTO_TCP || fragment != 0 || int(binary.BigEndian.Uint16(packet[ip4Length:])) != len(packet) {
			return s
		}
		s.ip = ip4Header
	case packet[0]>>4 == 6:
		if len(packet) < ip6Header+tcpHeader || packet[6] != unix.IPPROTO_TCP || int(binary.BigEndian.Uint16(packet[ip6Length:])) != len(packet)-ip6Header {
			return s
		}
		s.ip = ip6Header
	default:
		return s
	}
	end := s.ip + int(packet[s.ip+tcpOffset]>>4)*4
	if end >= s.ip+tcpHeader && end < len(packet) && packet[s.ip+tcpFlags]&^tcpPSH == ordinary {
		s.end = end
	}
	return s
}

func (s segment) six() bool { return s.ip == ip6Header }

// flow returns the part of the packet that tells its connection and direction:
// addresses and ports, which are next to each other.
func (s segment) flow() []byte {
	if s.six() {
		return s.packet[ip6Source : ip6Header+4]
	}
	return s.packet[ip4Source : ip4Header+4]
}

// pseudo returns the sum of the TCP pseudo header (RFC 9293, 3.1) of a packet with
// the same addresses and a TCP part of that many bytes.
func (s segment) pseudo(length int) sum {
	addresses := s.packet[ip4Source:ip4Header]
	if s.six() {
		addresses = s.packet[ip6Source:ip6Header]
	}
	return sum(0).add(addresses).add([]byte{0, unix.IPPROTO_TCP, byte(length >> 8), byte(length)})
}

// intact says whether the TCP checksum is right.
func (s segment) intact() bool {
	return s.pseudo(len(s.packet)-s.ip).add(s.packet[s.ip:]).fold() == math.MaxUint16
}

func (s segment) sequence() uint32 { return binary.BigEndian.Uint32(s.packet[s.ip+tcpSequence:]) }

// like says whether the headers of two segments are the same, but for what the
// kernel makes up again when it cuts: lengths, checksums, identification, sequence
// numbers, and PSH.
func (s segment) like(o segment) bool {
	a, b := s.packet, o.packet
	if s.ip != o.ip || s.end != o.end || !bytes.Equal(s.flow(), o.flow()) {
		return false
	}
	if s.six() {
		if !bytes.Equal(a[:ip6Length], b[:ip6Length]) || a[7] != b[7] { // with the flow label; hop limit
			return false
		}
	} else if a[1] != b[1] || a[6] != b[6] || a[8] != b[8] { // type of service; DF; TTL
		return false
	}
	a, b = a[s.ip:s.end], b[s.ip:s.end]
	return bytes.Equal(a[8:tcpFlags], b[8:tcpFlags]) && // acknowledgment, offset
		bytes.Equal(a[14:tcpSum], b[14:tcpSum]) && bytes.Equal(a[18:], b[18:]) // window; urgent pointer, options
}

// A group is packets that go to the kernel as one: the first one, and the payload
// of those that follow it in its connection.
type group struct {
	segment        // the first
	first   int    // its place among the packets
	more    []int  // the places of the others
	size    int    // of all, in bytes
	next    uint32 // sequence number that goes on
	full    bool   // nothing may follow
}

// A merger puts packets together that follow each other in a connection, so that
// the kernel handles them as one (as its own GRO does). It changes nothing that
// the connection's ends could see.
type merger struct {
	groups [batchSize]group
	n      int
}

// merge returns the groups that the packets make, in their order. Each packet
// begins at the offset in its buffer. The groups are the merger's.
func (m *merger) merge(bufs [][]byte, offset int) []group {
	m.n = 0
	for i, b := range bufs {
		s := parseSegment(b[offset:])
		if g := m.last(s); g != nil {
			if g.takes(s) {
				g.add(s, i)
				continue
			}
			g.full = true // what comes later must not overtake this one
		}
		m.begin(s, i)
	}
	return m.groups[:m.n]
}

// begin opens a group with a packet.
func (m *merger) begin(s segment, i int) {
	g := &m.groups[m.n]
	m.n++
	*g = group{segment: s, first: i, more: g.more[:0], size: len(s.packet), full: s.end == 0}
	if !g.full {
		g.next = s.sequence() + uint32(len(s.packet)-s.end)
		g.full = s.packet[s.ip+tcpFlags]&tcpPSH != 0
	}
}

// last returns the open group of a packet's connection; nil: there is none.
func (m *merger) last(s segment) *group {
	if s.ip == 0 {
		return nil
	}
	flow := s.flow()
	for i := m.n - 1; i >= 0; i-- {
		if g := &m.groups[i]; !g.full && g.ip == s.ip && bytes.Equal(g.flow(), flow) {
			return g
		}
	}
	return nil
}

// takes says whether a segment goes on where the group ends. A segment whose
// checksum is wrong stays alone: the kernel would not look at it any more.
func (g *group) takes(s segment) bool {
	payload := len(s.packet) - s.end
	return s.end != 0 && s.sequence() == g.next && payload <= len(g.packet)-g.end && g.size+payload <= math.MaxUint16 && g.like(s) &&
		s.intact() && (len(g.more) > 0 || g.intact())
}

func (g *group) add(s segment, i int) {
	payload := len(s.packet) - s.end
	push := s.packet[s.ip+tcpFlags] & tcpPSH
	g.more = append(g.more, i)
	g.size += payload
	g.next += uint32(payload)
	g.packet[g.ip+tcpFlags] |= push // the kernel gives it to the last one
	g.full = push != 0 || payload < len(g.packet)-g.end
}

// close writes what the kernel has to know of a group: in the header before the
// first packet, and in its own headers.
func (g *group) close(vnet []byte) {
	clear(vnet)
	if len(g.more) == 0 {
		return
	}
	vnet[0], vnet[1] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, unix.VIRTIO_NET_HDR_GSO_TCPV4
	if g.six() {
		vnet[1] = unix.VIRTIO_NET_HDR_GSO_TCPV6
		binary.BigEndian.PutUint16(g.packet[ip6Length:], uint16(g.size-ip6Header))
	} else {
		binary.BigEndian.PutUint16(g.packet[ip4Length:], uint16(g.size))
		g.packet[ip4Sum], g.packet[ip4Sum+1] = 0, 0
		sum(0).add(g.packet[:ip4Header]).put(g.packet[ip4Sum:])
	}
	binary.NativeEndian.PutUint16(vnet[2:], uint16(g.end))
	binary.NativeEndian.PutUint16(vnet[4:], uint16(len(g.packet)-g.end))
	binary.NativeEndian.PutUint16(vnet[6:], uint16(g.ip))
	binary.NativeEndian.PutUint16(vnet[8:], tcpSum)
	binary.NativeEndian.PutUint16(g.packet[g.ip+tcpSum:], g.pseudo(g.size-g.ip).fold())
}
