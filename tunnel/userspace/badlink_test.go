package userspace

import (
	"bytes"
	"crypto/ecdh"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
)

// A pipe is an interface whose packets come from and go to the test.
type pipe struct {
	toRead, written chan []byte
	events          chan tun.Event
	closed          chan struct{}
	once            sync.Once
}

func newPipe() *pipe {
	p := &pipe{toRead: make(chan []byte, 1000), written: make(chan []byte, 10000), events: make(chan tun.Event, 1), closed: make(chan struct{})}
	p.events <- tun.EventUp
	return p
}

func (*pipe) File() *os.File             { return nil }
func (*pipe) MTU() (int, error)          { return 1420, nil }
func (*pipe) Name() (string, error)      { return "pipe", nil }
func (p *pipe) Events() <-chan tun.Event { return p.events }
func (*pipe) BatchSize() int             { return batchSize }
func (p *pipe) Close() error {
	p.once.Do(func() { close(p.closed); close(p.events) })
	return nil
}

func (p *pipe) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	select {
	case <-p.closed:
		return 0, os.ErrClosed
	case packet := <-p.toRead:
		sizes[0] = copy(bufs[0][offset:], packet)
	}
	for n := 1; n < len(bufs); n++ {
		select {
		case packet := <-p.toRead:
			sizes[n] = copy(bufs[n][offset:], packet)
		default:
			even(bufs, sizes[:n], offset) // as the interface does
			return n, nil
		}
	}
	even(bufs, sizes, offset)
	return len(bufs), nil
}

func (p *pipe) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		p.written <- bytes.Clone(b[offset:])
	}
	return len(bufs), nil
}

// A wire carries datagrams to a host, in the way that the test says.
type wire struct {
	to   *net.UDPAddr
	mu   sync.Mutex
	out  *net.UDPConn
	r    *rand.Rand
	held []byte // to come after the next one
	bad  bool
}

// pass sends a datagram on: late, twice, damaged, or not at all.
func (w *wire) pass(b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.bad || len(b) > 4 && b[0] != device.MessageTransportType { // handshakes have their own tests, and seconds to be repeated
		w.out.WriteToUDP(b, w.to)
		return
	}
	switch n := w.r.IntN(100); {
	case n < 10: // lost
	case n < 15:
		w.out.WriteToUDP(b, w.to)
		w.out.WriteToUDP(b, w.to)
	case n < 20:
		damaged := bytes.Clone(b)
		damaged[w.r.IntN(len(b))] ^= 1 << w.r.IntN(8)
		w.out.WriteToUDP(damaged, w.to)
	case n < 50 && w.held == nil:
		w.held = bytes.Clone(b)
		return
	default:
		w.out.WriteToUDP(b, w.to)
	}
	if late := w.held; late != nil {
		w.held = nil
		w.out.WriteToUDP(late, w.to)
	}
}

// sendFrom has the wire end in another socket.
func (w *wire) sendFrom(c *net.UDPConn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out = c
}

func (w *wire) makeBad() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bad = true
}

// listenLoopback opens a port on the loopback, and passes on what comes there.
func listenLoopback(t testing.TB, to func(b []byte)) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		for b := make([]byte, 65535); ; {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			to(b[:n])
		}
	}()
	return c
}

// A host is a device on a pipe, behind a bind.
type host struct {
	*pipe
	dev  *device.Device
	bind *bind
	port uint16
}

func newHost(t testing.TB, own *ecdh.PrivateKey, peer *ecdh.PublicKey) *host {
	t.Helper()
	h := newHostFor(t, own, residents)
	h.set(t, fmt.Sprintf("public_key=%x\nallowed_ip=0.0.0.0/0\n", peer.Bytes()))
	return h
}

// newHostFor returns one with room for so many peers that stay.
func newHostFor(t testing.TB, own *ecdh.PrivateKey, room int) *host {
	t.Helper()
	b := newBind(nil)
	h := &host{pipe: newPipe(), bind: b}
	b.roster = newRoster(b, room)
	h.dev = device.NewDevice(watched{h.pipe, b.roster}, b, device.NewLogger(device.LogLevelSilent, ""))
	b.roster.begin(h.dev)
	t.Cleanup(func() {
		b.roster.end()
		h.dev.Close()
	})
	h.set(t, fmt.Sprintf("private_key=%x\n", own.Bytes()))
	if err := h.dev.Up(); err != nil {
		t.Fatal(err)
	}
	h.port = b.v4.Load().port() // one that was free
	return h
}

func (h *host) set(t testing.TB, config string) {
	t.Helper()
	if err := h.bind.roster.setText(strings.Split(strings.TrimSuffix(config, "\n"), "\n")); err != nil {
		t.Fatal(err)
	}
}

// packet makes an IPv4 packet that tells its number, and can be told from any other.
func packet(r *rand.Rand, number int) []byte {
	p := random(r, 24+r.IntN(1396))
	p[0] = 0x45
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	binary.BigEndian.PutUint32(p[20:], uint32(number))
	return p
}

// What comes out of the tunnel went into it, and not twice, however bad the wire;
// and the tunnel follows a peer whose address changes.
func TestDevicesOnABadLink(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	keyA, keyB := newKey(t), newKey(t)
	a, b := newHost(t, keyA, keyB.PublicKey()), newHost(t, keyB, keyA.PublicKey())
	toA := &wire{to: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(a.port)}, r: rand.New(rand.NewPCG(8, 8))}
	toB := &wire{to: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(b.port)}, r: rand.New(rand.NewPCG(9, 9))}
	// a sends to the port of nearA, which sends on from the port of nearB, and the other way.
	nearA, nearB := listenLoopback(t, toB.pass), listenLoopback(t, toA.pass)
	toA.sendFrom(nearA)
	toB.sendFrom(nearB)
	a.set(t, fmt.Sprintf("public_key=%s\nendpoint=%s\n", hex.EncodeToString(keyB.PublicKey().Bytes()), nearA.LocalAddr()))

	there := &flow{from: a, to: b, r: r, way: map[int][]byte{}}
	back := &flow{from: b, to: a, r: r, way: map[int][]byte{}}
	there.carry(t, 1)
	there.take(t, 1) // the handshake
	toA.makeBad()
	toB.makeBad()
	there.carry(t, 1500)
	back.carry(t, 1500)
	toB.sendFrom(listenLoopback(t, toA.pass)) // a has another address now
	there.carry(t, 500)
	if err := nearB.Close(); err != nil { // nothing comes by the old address any more
		t.Fatal(err)
	}
	back.carry(t, 500)
}

// A flow is the packets from one host to the other.
type flow struct {
	from, to *host
	r        *rand.Rand
	way      map[int][]byte // sent, not arrived
	next     int            // number
	arrived  int
}

// carry sends packets, and checks what arrives: most of them.
func (f *flow) carry(t testing.TB, n int) {
	t.Helper()
	want := f.arrived
	for i := range n {
		p := packet(f.r, f.next)
		f.way[f.next] = p
		f.next++
		f.from.toRead <- bytes.Clone(p)
		if i%burst == burst-1 || i == n-1 {
			f.take(t, want+(i+1)*3/4-burst/2)
		}
	}
}

// burst is how many packets may be under way: no more than the sockets hold.
const burst = 32

// take waits until so many packets have arrived.
func (f *flow) take(t testing.TB, want int) {
	t.Helper()
	for f.arrived < want {
		select {
		case got := <-f.to.written:
			number := int(binary.BigEndian.Uint32(got[20:]))
			if !bytes.Equal(got, f.way[number]) {
				t.Fatalf("packet %d of %d bytes is not one that was sent, or came twice", number, len(got))
			}
			delete(f.way, number)
			f.arrived++
		case <-time.After(20 * time.Second):
			t.Fatalf("%d packets arrived, want %d", f.arrived, want)
		}
	}
}
