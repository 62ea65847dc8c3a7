package userspace

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// plainSum is RFC 1071 by the letter: 16 bits at a time, in the network's order.
func plainSum(parts ...[]byte) uint16 {
	var s uint32
	for _, b := range parts {
		for i := 0; i < len(b); i += 2 {
			s += uint32(b[i]) << 8
			if i+1 < len(b) {
				s += uint32(b[i+1])
			}
			s = s>>16 + s&0xffff
		}
	}
	return ^uint16(s)
}

func random(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestChecksum(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	samples := [][]byte{bytes.Repeat([]byte{0xff}, 1500), make([]byte, 200)}
	for n := range 400 {
		samples = append(samples, random(r, n))
	}
	for _, b := range samples {
		head := random(r, 2*r.IntN(30))
		var got [2]byte
		sum(0).add(head).add(b).put(got[:])
		if want := plainSum(head, b); binary.BigEndian.Uint16(got[:]) != want {
			t.Fatalf("the checksum of %d and %d bytes is %x, want %04x", len(head), len(b), got, want)
		}
	}
}

// superPacket makes a TCP packet as the kernel leaves it to be cut.
func superPacket(r *rand.Rand, six bool, options, payload, segment int, flags byte) (vnetHeader, []byte) {
	ip, kind := ip4Header, uint8(unix.VIRTIO_NET_HDR_GSO_TCPV4)
	if six {
		ip, kind = ip6Header, unix.VIRTIO_NET_HDR_GSO_TCPV6
	}
	p := random(r, ip+tcpHeader+options+payload)
	p[0] = 0x45
	if six {
		p[0] = 0x60
	}
	p[ip+tcpOffset] = byte((tcpHeader + options) / 4 << 4)
	p[ip+tcpFlags] = flags
	return vnetHeader{flags: unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, kind: kind, segment: segment, sumFrom: ip, sumInto: ip + tcpSum}, p
}

// checkSegment checks one segment by what the RFCs say of it, and returns its payload.
func checkSegment(t *testing.T, whole, out []byte, six bool, i, at int, last bool) []byte {
	t.Helper()
	ip := ip4Header
	var addresses []byte
	if six {
		ip = ip6Header
		addresses = out[8:40]
		if int(binary.BigEndian.Uint16(out[4:])) != len(out)-40 {
			t.Errorf("segment %d: payload length %d of %d", i, binary.BigEndian.Uint16(out[4:]), len(out)-40)
		}
	} else {
		addresses = out[12:20]
		if int(binary.BigEndian.Uint16(out[2:])) != len(out) || plainSum(out[:20]) != 0 {
			t.Errorf("segment %d: total length %d of %d, header's checksum off by %x", i, binary.BigEndian.Uint16(out[2:]), len(out), plainSum(out[:20]))
		}
		if got, want := binary.BigEndian.Uint16(out[4:]), binary.BigEndian.Uint16(whole[4:])+uint16(i); got != want {
			t.Errorf("segment %d: identification %d, want %d", i, got, want)
		}
	}
	tcp := out[ip:]
	if s := plainSum(addresses, []byte{0, 6, byte(len(tcp) >> 8), byte(len(tcp))}, tcp); s != 0 {
		t.Errorf("segment %d: TCP checksum off by %x", i, s)
	}
	if got, want := binary.BigEndian.Uint32(tcp[4:]), binary.BigEndian.Uint32(whole[ip+4:])+uint32(at); got != want {
		t.Errorf("segment %d: sequence number %d, want %d", i, got, want)
	}
	want := whole[ip+13]
	if !last {
		want &^= 0x01 | 0x08
	}
	if i > 0 {
		want &^= 0x80
	}
	if tcp[13] != want {
		t.Errorf("segment %d: flags %02x, want %02x", i, tcp[13], want)
	}
	return tcp[int(tcp[12]>>4)*4:]
}

func TestSegments(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 2000 {
		six, segment := r.IntN(2) == 1, 1+r.IntN(1500)
		h, p := superPacket(r, six, 4*r.IntN(11), 1+r.IntN(9000), segment, byte(r.Uint32()))
		whole := bytes.Clone(p)
		s, err := newSuper(h, p)
		if err != nil {
			t.Fatal(err)
		}
		var payload []byte
		for i := 0; s.more(); i++ {
			out := bytes.Repeat([]byte{0xaa}, s.size())
			at := len(payload)
			s.next(out)
			part := checkSegment(t, whole, out, six, i, at, !s.more())
			if len(part) != segment && s.more() || len(part) == 0 {
				t.Errorf("segment %d has %d bytes, not %d", i, len(part), segment)
			}
			payload = append(payload, part...)
		}
		if !bytes.Equal(payload, whole[len(whole)-len(payload):]) || len(payload) != len(whole)-s.end {
			t.Fatalf("%d bytes were cut into others", len(whole)-s.end)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
}

// Whatever the kernel says of a packet, nothing is read or written outside of it.
func FuzzSegments(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 3))
	for _, six := range []bool{false, true} {
		h, p := superPacket(r, six, 12, 3000, 1400, 0x18)
		f.Add(h.flags, h.kind, uint16(h.segment), uint16(h.sumFrom), uint16(h.sumInto-h.sumFrom), p)
		f.Add(uint8(1), uint8(0), uint16(0), uint16(h.sumFrom), uint16(16), p)
	}
	f.Fuzz(func(t *testing.T, flags, kind uint8, segment, from, into uint16, packet []byte) {
		b := make([]byte, vnetSize, vnetSize+len(packet))
		b[0], b[1] = flags, kind
		binary.NativeEndian.PutUint16(b[4:], segment)
		binary.NativeEndian.PutUint16(b[6:], from)
		binary.NativeEndian.PutUint16(b[8:], into)
		i := &iface{}
		i.call = call{bufs: buffers(4, 2000), sizes: make([]int, 4), offset: 16}
		i.take(append(b, packet...))
		total := 0
		for calls := 0; ; calls++ {
			for n, size := range i.call.sizes[:i.call.n] {
				if size <= 0 || size > 2000-16 {
					t.Fatalf("packet %d has %d bytes", n, size)
				}
				total += size
			}
			if !i.rest.more() {
				break
			}
			if calls > len(packet) {
				t.Fatal("it has no end")
			}
			i.call = call{bufs: buffers(4, 2000), sizes: make([]int, 4), offset: 16}
			i.cut()
		}
		if kind == unix.VIRTIO_NET_HDR_GSO_NONE && total != 0 && total != len(packet) {
			t.Errorf("%d bytes of %d", total, len(packet))
		}
	})
}

func buffers(n, size int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = make([]byte, size)
	}
	return all
}

func asBytes(v unix.Iovec) []byte { return unsafe.Slice(v.Base, v.Len) }
