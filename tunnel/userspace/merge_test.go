package userspace

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"
)

// A stream makes the packets of one direction of a connection.
type stream struct {
	six      bool
	port     uint16
	options  []byte
	sequence uint32
	id       uint16
}

// next returns the next packet, with right checksums.
func (s *stream) next(r *rand.Rand, payload int, flags byte) []byte {
	ip := ip4Header
	if s.six {
		ip = ip6Header
	}
	p := make([]byte, ip+tcpHeader+len(s.options)+payload)
	addresses := p[8:40]
	if s.six {
		p[0], p[6], p[7] = 0x60, unix.IPPROTO_TCP, 64
		p[23], p[39] = 1, 2
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-ip))
	} else {
		addresses = p[12:20]
		p[0], p[6], p[8], p[9], p[15], p[19] = 0x45, 0x40, 64, unix.IPPROTO_TCP, 1, 2
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		binary.BigEndian.PutUint16(p[4:], s.id)
		binary.BigEndian.PutUint16(p[10:], plainSum(p[:20]))
	}
	tcp := p[ip:]
	binary.BigEndian.PutUint16(tcp[0:], s.port)
	binary.BigEndian.PutUint16(tcp[2:], 25)
	binary.BigEndian.PutUint32(tcp[4:], s.sequence)
	binary.BigEndian.PutUint32(tcp[8:], 4711)
	tcp[12], tcp[13] = byte((tcpHeader+len(s.options))/4<<4), flags
	copy(tcp[20:], s.options)
	copy(tcp[20+len(s.options):], random(r, payload))
	binary.BigEndian.PutUint16(tcp[16:], plainSum(addresses, []byte{0, 6, byte(len(tcp) >> 8), byte(len(tcp))}, tcp))
	s.sequence += uint32(payload)
	s.id++
	return p
}

// merged has packets merged and cut again as the kernel does it: what comes out
// has to be what went in. It returns that, and how many writes there were.
func merged(t *testing.T, packets [][]byte) (out [][]byte, writes int) {
	t.Helper()
	const offset = 16
	bufs := make([][]byte, len(packets))
	for i, p := range packets {
		bufs[i] = append(bytes.Repeat([]byte{0xee}, offset), p...)
	}
	var w writing
	for _, g := range w.merger.merge(bufs, offset) {
		w.gather(&g, bufs, offset)
		var b []byte
		for _, v := range w.vectors[:w.parts] {
			b = append(b, asBytes(v)...)
		}
		out = append(out, cutAgain(t, b)...)
		writes++
	}
	return out, writes
}

func cutAgain(t *testing.T, b []byte) (out [][]byte) {
	t.Helper()
	h, packet := parseVnet(b), b[vnetSize:]
	if h.kind == unix.VIRTIO_NET_HDR_GSO_NONE {
		if h.flags != 0 {
			t.Errorf("a single packet has the flags %x", h.flags)
		}
		return [][]byte{packet}
	}
	if got := int(binary.NativeEndian.Uint16(b[2:])); got != h.sumFrom+int(packet[h.sumFrom+12]>>4)*4 {
		t.Errorf("the headers are said to have %d bytes", got)
	}
	if packet[0]>>4 == 4 && (plainSum(packet[:20]) != 0 || int(binary.BigEndian.Uint16(packet[2:])) != len(packet)) {
		t.Error("the IP header is wrong")
	}
	s, err := newSuper(h, packet)
	if err != nil {
		t.Fatal(err)
	}
	// The kernel goes on from the sum of the pseudo header, that newSuper makes itself.
	var pseudo [2]byte
	(^sum(s.pseudo.add([]byte{byte((len(packet) - s.ip) >> 8), byte(len(packet) - s.ip)}).fold()) & 0xffff).put(pseudo[:])
	if !bytes.Equal(pseudo[:], packet[h.sumInto:h.sumInto+2]) {
		t.Errorf("the sum of the pseudo header is %x, want %x", packet[h.sumInto:h.sumInto+2], pseudo)
	}
	for s.more() {
		p := make([]byte, s.size())
		s.next(p)
		out = append(out, p)
	}
	return out
}

func TestMergeIsUndoneByCutting(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	packets, writes := 0, 0
	for range 3000 {
		streams := make([]*stream, 1+r.IntN(3))
		for i := range streams {
			streams[i] = &stream{six: r.IntN(2) == 1, port: uint16(40000 + i), options: random(r, 4*r.IntN(4)), sequence: r.Uint32(), id: uint16(r.Uint32())}
		}
		size := 1 + r.IntN(1400)
		var in [][]byte
		for range 1 + r.IntN(batchSize) {
			s, payload, flags := streams[r.IntN(len(streams))], size, byte(ordinary)
			switch r.IntN(20) {
			case 0:
				payload = 1 + r.IntN(1400)
			case 1:
				payload = 0
			case 2:
				flags |= tcpPSH
			case 3:
				flags |= byte(r.Uint32())
			case 4:
				s.sequence -= uint32(r.IntN(3000)) // sent again
			}
			p := s.next(r, payload, flags)
			switch r.IntN(40) {
			case 0:
				p[len(p)-1] ^= 1 // the checksum is wrong
			case 1:
				p[1]++ // another type of service, and a wrong checksum; or another traffic class
			case 2:
				p[9] = unix.IPPROTO_UDP
			}
			in = append(in, p)
		}
		out, n := merged(t, in)
		packets, writes = packets+len(in), writes+n
		sameFlows(t, in, out)
		if t.Failed() {
			t.FailNow()
		}
	}
	if writes > packets*2/3 {
		t.Errorf("%d packets took %d writes", packets, writes)
	}
}

// sameFlows fails unless both have the same packets, in each connection in the same order.
func sameFlows(t *testing.T, in, out [][]byte) {
	t.Helper()
	split := func(packets [][]byte) map[string][][]byte {
		flows := map[string][][]byte{}
		for _, p := range packets {
			key := fmt.Sprintf("%d %x", p[9], p[12:22])
			if p[0]>>4 == 6 {
				key = fmt.Sprintf("%d %x", p[6], p[8:42])
			}
			flows[key] = append(flows[key], p)
		}
		return flows
	}
	a, b := split(in), split(out)
	if len(in) != len(out) || len(a) != len(b) {
		t.Fatalf("%d packets became %d", len(in), len(out))
	}
	for key := range a {
		if len(a[key]) != len(b[key]) {
			t.Fatalf("%d packets of a connection became %d", len(a[key]), len(b[key]))
		}
		for i := range a[key] {
			x, y := bytes.Clone(a[key][i]), bytes.Clone(b[key][i])
			if x[0]>>4 == 4 { // the identification says nothing of a packet that is not to be fragmented (RFC 6864, 4.1)
				copy(y[4:6], x[4:6])
				copy(y[10:12], x[10:12])
			}
			if !bytes.Equal(x, y) {
				t.Fatalf("packet %d of a connection:\n%x\nbecame\n%x", i, x, y)
			}
		}
	}
}

func TestMergeOfABulkIsOneWrite(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	for _, six := range []bool{false, true} {
		s := &stream{six: six, port: 1, options: make([]byte, 12)}
		var in [][]byte
		for range 45 {
			in = append(in, s.next(r, 1388, ordinary))
		}
		in = append(in, s.next(r, 500, ordinary|tcpPSH))
		if _, writes := merged(t, in); writes != 1 {
			t.Errorf("%d packets took %d writes", len(in), writes)
		}
	}
}

// Whatever a peer sends, each packet is handed on once, and none is made up.
func FuzzMerge(f *testing.F) {
	r := rand.New(rand.NewPCG(4, 4))
	for _, six := range []bool{false, true} {
		s := &stream{six: six, port: 7, sequence: 1}
		f.Add(s.next(r, 100, ordinary), s.next(r, 100, ordinary), s.next(r, 50, ordinary|tcpPSH))
	}
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		in, total := [][]byte{}, 0
		for _, p := range [][]byte{a, b, c} {
			if len(p) > 0 && len(p) < 65000 {
				in, total = append(in, p), total+len(p)
			}
		}
		const offset = 16
		var bufs [][]byte
		for _, p := range in {
			bufs = append(bufs, append(make([]byte, offset), p...))
		}
		var w writing
		packets := 0
		for _, g := range w.merger.merge(bufs, offset) {
			w.gather(&g, bufs, offset)
			packets += 1 + len(g.more)
			size := 0
			for _, v := range w.vectors[:w.parts] {
				size += int(v.Len)
			}
			if size != vnetSize+g.size {
				t.Errorf("%d bytes are written of %d", size, g.size)
			}
		}
		if packets != len(in) {
			t.Errorf("%d packets became %d", len(in), packets)
		}
	})
}
