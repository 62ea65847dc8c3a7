package userspace

import (
	"bytes"
	"crypto/ecdh"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
)

// A recorder keeps some of the datagrams that pass: the first of each kind, so
// handshakes, and the last ones.
type recorder struct {
	mu   sync.Mutex
	all  [][]byte
	next int
}

const recorded = 32

func (r *recorder) keep(b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) < recorded {
		r.all = append(r.all, bytes.Clone(b))
		return
	}
	r.all[recorded/2+r.next%(recorded/2)] = bytes.Clone(b)
	r.next++
}

// damaged returns one that has passed with some bytes changed.
func (r *recorder) damaged(pick uint8, at uint16, with []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := bytes.Clone(r.all[int(pick)%len(r.all)])
	for i, x := range with {
		b[(int(at)+i)%len(b)] ^= x
	}
	return b
}

// between connects two hosts, and records what goes from a to b.
func between(t testing.TB, a, b *host, keyB *ecdh.PublicKey) *recorder {
	t.Helper()
	r := &recorder{}
	toA := &wire{to: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(a.port)}}
	toB := &wire{to: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(b.port)}}
	nearA := listenLoopback(t, func(b []byte) { toB.pass(b); r.keep(b) })
	toA.sendFrom(nearA)
	toB.sendFrom(listenLoopback(t, toA.pass))
	a.set(t, fmt.Sprintf("public_key=%s\nendpoint=%s\n", hex.EncodeToString(keyB.Bytes()), nearA.LocalAddr()))
	return r
}

// Whatever strangers send to the port of WireGuard, and whatever they make of what
// they have seen pass: a packet still crosses the tunnel, nothing comes out of it
// that did not go in, and memory does not grow.
func FuzzDevice(f *testing.F) {
	keyA, keyB := newKey(f), newKey(f)
	a, b := newHost(f, keyA, keyB.PublicKey()), newHost(f, keyB, keyA.PublicKey())
	b.bind.door.others.SetLimit(rate.Inf) // all is to reach the device
	b.bind.roster.room = 1                // past the roster, which looks at handshakes where it has guests
	b.set(f, fmt.Sprintf("public_key=%x\nallowed_ip=192.0.2.1/32\n", newKey(f).PublicKey().Bytes()))
	seen := between(f, a, b, keyB.PublicKey())
	there := &flow{from: a, to: b, r: rand.New(rand.NewPCG(7, 7)), way: map[int][]byte{}}
	there.carry(f, 1)
	there.take(f, 1) // the handshake
	strangers, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(b.port)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { strangers.Close() })

	f.Add([]byte{}, uint8(0), uint16(0), []byte{1})
	f.Add([]byte{device.MessageInitiationType, 0, 0, 0}, uint8(0), uint16(8), []byte{0, 0x80})
	for kind, size := range map[byte]int{device.MessageInitiationType: device.MessageInitiationSize, device.MessageResponseType: device.MessageResponseSize,
		device.MessageCookieReplyType: device.MessageCookieReplySize, device.MessageTransportType: 32, 5: 148} {
		f.Add(append([]byte{kind}, make([]byte, size-1)...), uint8(1), uint16(4), []byte{0xff, 0xff, 0xff, 0xff})
		f.Add(append([]byte{kind}, make([]byte, size)...), uint8(2), uint16(16), []byte{1})
	}
	f.Add(make([]byte, 9000), uint8(3), uint16(0), []byte{4 ^ 1})
	limit := inUse() + 128<<20
	n := 0
	f.Fuzz(func(t *testing.T, datagram []byte, pick uint8, at uint16, with []byte) {
		for _, d := range [][]byte{datagram, seen.damaged(pick, at, with), seen.damaged(pick, at, nil), append(seen.damaged(pick, at, with), datagram...)} {
			_, _ = strangers.Write(d[:min(len(d), 60000)]) // what the kernel refuses now is not for us to test
		}
		want := there.arrived + 1
		there.carry(t, 1)
		there.take(t, want)
		if len(a.written) > 0 || len(b.written) > 0 {
			t.Errorf("%d packets came out that did not go in", len(a.written)+len(b.written))
		}
		if n++; n%2000 == 0 && inUse() > limit {
			t.Errorf("%d MiB are in use", inUse()>>20)
		}
	})
}

// inUse is how much memory the program uses, in bytes.
func inUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// An initiation opens only if it is one that was made, for us.
func FuzzOpen(f *testing.F) {
	caller, called := newKey(f), newKey(f)
	genuine := initiation(f, caller, called.PublicKey())
	private, public := [32]byte(called.Bytes()), [32]byte(called.PublicKey().Bytes())
	f.Add([]byte{}, uint8(0), []byte{0})
	f.Add(make([]byte, device.MessageInitiationSize), uint8(ephemeralAt+31), []byte{0x80})
	f.Add(bytes.Repeat([]byte{0xff}, device.MessageInitiationSize), uint8(timestampAt), []byte{1, 2, 3})
	f.Add([]byte{device.MessageInitiationType}, uint8(macsAt), []byte{1})
	f.Fuzz(func(t *testing.T, message []byte, at uint8, with []byte) {
		damaged := bytes.Clone(genuine)
		for i, x := range with {
			damaged[(int(at)+i)%len(damaged)] ^= x
		}
		for _, m := range [][]byte{message, damaged} {
			i, err := Open(private, m)
			same := len(m) == len(genuine) && bytes.Equal(m[ephemeralAt:macsAt], genuine[ephemeralAt:macsAt])
			if (err == nil) != same || err != nil && i != (Initiation{}) || err == nil && i.Sender != [32]byte(caller.PublicKey().Bytes()) {
				t.Errorf("%x opens as %+v, %v", m, i, err)
			}
			if whole := len(m) == len(genuine) && bytes.Equal(m[:macsAt+16], genuine[:macsAt+16]); For(public, m) != whole {
				t.Errorf("%x is for us: %v", m, !whole)
			}
		}
	})
}

// What the kernel says beside a packet is read as it is written, and nothing
// outside of it is.
func FuzzParseControl(f *testing.F) {
	for _, s := range []source{{netip.MustParseAddr("192.0.2.10"), 2}, {netip.MustParseAddr("2001:db8::10"), 3}, {netip.MustParseAddr("fe80::1"), 4}} {
		f.Add(s.control())
		f.Add(appendSegmentSize(s.control(), 1452))
	}
	gro := newControl(unix.SOL_UDP, unix.UDP_GRO, 4)
	binary.NativeEndian.PutUint32(gro[unix.CmsgLen(0):], 1452)
	f.Add(append(source{netip.MustParseAddr("192.0.2.10"), 2}.control(), gro...))
	f.Add(gro[:len(gro)-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		src, segment := parseControl(b)
		if !src.addr.IsValid() && src.index != 0 || segment != 0 && len(b) < unix.CmsgLen(4) {
			t.Errorf("%x is %+v, %d", b, src, segment)
		}
		again, _ := parseControl(src.control())
		if again.addr != src.addr {
			t.Errorf("%s is sent from as %s", src.addr, again.addr)
		}
	})
}

// However many messages the kernel brings, of whatever sizes and put together from
// whatever pieces: each byte is handed out once, in order, and no more than the
// device has room for.
func FuzzReceive(f *testing.F) {
	f.Add([]byte{4, 0, 2, 0, 0, 0, 0, 0, 10, 1, 0, 3})
	f.Add([]byte{255, 255, 1, 0})
	f.Add(bytes.Repeat([]byte{0, 9, 0, 0}, 8))
	r := newReceiver(nil, nil, newAdmission())
	for i := range r.data {
		r.data[i] = byte(i >> 3)
	}
	f.Fuzz(func(t *testing.T, sizes []byte) {
		for i := range r.messages {
			r.reset(i)
		}
		r.got, r.next, r.offset = 0, 0, 0
		var want [][]byte
		for ; len(sizes) >= 4 && r.got < fewSlots; sizes = sizes[4:] {
			size, segment := int(binary.BigEndian.Uint16(sizes)), int(int16(binary.BigEndian.Uint16(sizes[2:])))
			gro := newControl(unix.SOL_UDP, unix.UDP_GRO, 4)
			binary.NativeEndian.PutUint32(gro[unix.CmsgLen(0):], uint32(segment))
			m := &r.messages[r.got]
			m.len = uint32(size)
			m.header.SetControllen(copy(r.control[r.got*controlSize:], gro))
			want = append(want, pieces(r.data[r.got*slotSize:][:size], segment)...)
			r.got++
		}
		checkReceived(t, r, want)
	})
}

// mostReceived is how large a buffer of the test's device is, in bytes.
const mostReceived = 2000

// pieces are what a message is to be cut into, less those that are too large.
func pieces(message []byte, segment int) (all [][]byte) {
	if segment <= 0 {
		segment = max(len(message), 1)
	}
	for len(message) > segment {
		if segment <= mostReceived {
			all = append(all, message[:segment])
		}
		message = message[segment:]
	}
	if len(message) <= mostReceived {
		all = append(all, message)
	}
	return all
}

func checkReceived(t *testing.T, r *receiver, want [][]byte) {
	t.Helper()
	bufs, sizes, endpoints := buffers(7, mostReceived), make([]int, 7), make([]conn.Endpoint, 7)
	for r.next < r.got {
		n, err := r.receive(bufs, sizes, endpoints)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if len(want) == 0 || !bytes.Equal(bufs[i][:sizes[i]], want[0]) || endpoints[i] == nil {
				t.Fatalf("a packet of %d bytes is not the next; %d are left", sizes[i], len(want))
			}
			want = want[1:]
		}
	}
	if len(want) > 0 {
		t.Errorf("%d packets are lost", len(want))
	}
}
