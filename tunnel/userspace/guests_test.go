package userspace

import (
	"bytes"
	"crypto/ecdh"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// A guestHost is a host that has room for no peer: all are guests.
type guestHost struct {
	*host
	key  *ecdh.PrivateKey
	addr netip.Addr
}

func newGuestHost(t testing.TB, addr string) *guestHost {
	key := newKey(t)
	return &guestHost{newHostFor(t, key, 0), key, netip.MustParseAddr(addr)}
}

func public(key *ecdh.PrivateKey) [32]byte { return [32]byte(key.PublicKey().Bytes()) }

// list has h know g, and where it is if that is said.
func (h *guestHost) list(t testing.TB, g *guestHost, there bool) {
	config := fmt.Sprintf("public_key=%x\nallowed_ip=%s/32\n", public(g.key), g.addr)
	if there {
		config += fmt.Sprintf("endpoint=127.0.0.1:%d\n", g.port)
	}
	h.set(t, config)
}

func (h *guestHost) has(g *guestHost) bool { return h.dev.LookupPeer(public(g.key)) != nil }

// told is what h says of g.
func (h *guestHost) told(t testing.TB, g *guestHost) string {
	t.Helper()
	text, err := h.bind.roster.get()
	if err != nil {
		t.Fatal(err)
	}
	_, about, ok := strings.Cut(string(text), fmt.Sprintf("public_key=%x\n", public(g.key)))
	if !ok {
		t.Fatalf("a peer is missing in\n%s", text)
	}
	about, _, _ = strings.Cut(about, "public_key=")
	return about
}

// mail sends a packet, and waits until it has arrived.
func mail(t testing.TB, from, to *guestHost) {
	t.Helper()
	p := packet(rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano()))), 1)
	copy(p[12:], from.addr.AsSlice())
	copy(p[16:], to.addr.AsSlice())
	from.toRead <- bytes.Clone(p)
	select {
	case got := <-to.written:
		if !bytes.Equal(got, p) {
			t.Fatal("another packet arrives")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the packet does not arrive")
	}
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// letGoAll sweeps as if nothing had happened for as long as a guest stays.
func (h *guestHost) letGoAll() {
	h.bind.roster.sweep(time.Now())
	h.bind.roster.sweep(time.Now().Add(sessionOver))
}

// A packet to a guest has the device have it, and on the other side the first of
// its handshake; when its session is over it goes, with nothing forgotten: the next
// packet, whoever sends it, finds the way.
func TestGuestsComeAndGo(t *testing.T) {
	a, b := newGuestHost(t, "192.0.2.1"), newGuestHost(t, "192.0.2.2")
	a.list(t, b, true)
	b.list(t, a, false) // where a is, b learns from what it receives
	if a.has(b) || b.has(a) {
		t.Fatal("guests are there before they are needed")
	}
	mail(t, a, b)
	mail(t, b, a)
	a.bind.roster.sweep(time.Now())
	b.bind.roster.sweep(time.Now())
	a.bind.roster.sweep(time.Now().Add(sessionOver - time.Second))
	b.bind.roster.sweep(time.Now().Add(sessionOver - time.Second))
	if !a.has(b) || !b.has(a) {
		t.Fatal("guests have gone while there is a session")
	}
	var before string
	eventually(t, "b's last keepalive is counted", func() bool {
		b.letGoAll()
		before = b.told(t, a)
		return !b.has(a)
	})
	eventually(t, "b is let go", func() bool { a.letGoAll(); return !a.has(b) }) // once what it answers has been seen
	for _, want := range []string{fmt.Sprintf("endpoint=127.0.0.1:%d\n", a.port), "allowed_ip=192.0.2.1/32\n"} {
		if !strings.Contains(before, want) {
			t.Errorf("b has forgotten %s:\n%s", want, before)
		}
	}
	for _, zero := range []string{"last_handshake_time_sec=0\n", "tx_bytes=0\n", "rx_bytes=0\n"} {
		if strings.Contains(before, zero) {
			t.Errorf("b has forgotten what was: %s", zero)
		}
	}
	mail(t, b, a)
	sent := func(about string) (n int) {
		_, rest, _ := strings.Cut(about, "tx_bytes=")
		_, _ = fmt.Sscan(rest, &n)
		return n
	}
	if was, is := sent(before), sent(b.told(t, a)); is <= was {
		t.Errorf("b has sent %d bytes, and %d before", is, was)
	}
}

// caller has what h needs to hear from somebody who is nothing but a key.
func (h *guestHost) caller(t testing.TB, n byte) *guestHost {
	c := &guestHost{key: newKey(t), addr: netip.AddrFrom4([4]byte{198, 51, 100, n})}
	if n > 0 {
		h.list(t, c, false)
	}
	return c
}

// call sends h a message, from a port of its own, which is returned.
func (h *guestHost) call(t testing.TB, message []byte) (from string) {
	t.Helper()
	c, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(h.port)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.Write(message); err != nil {
		t.Fatal(err)
	}
	return c.LocalAddr().String()
}

// Who repeats what a guest sent before it was let go does not bring it back, and is
// not taken for where it is; nor does a stranger bring anybody.
func TestGuestIsNotBroughtByReplay(t *testing.T) {
	h := newGuestHost(t, "192.0.2.1")
	guest, other, stranger := h.caller(t, 1), h.caller(t, 2), h.caller(t, 0)
	old := initiation(t, guest.key, h.key.PublicKey())
	first := initiation(t, guest.key, h.key.PublicKey())
	from := h.call(t, first)
	eventually(t, "the guest is there", func() bool { return h.has(guest) && strings.Contains(h.told(t, guest), "endpoint="+from+"\n") })
	eventually(t, "the guest is let go", func() bool { h.letGoAll(); return !h.has(guest) }) // once it has been answered
	h.call(t, first)
	h.call(t, old)
	h.call(t, initiation(t, stranger.key, h.key.PublicKey()))
	h.call(t, initiation(t, guest.key, other.key.PublicKey())) // not for us
	h.call(t, initiation(t, other.key, h.key.PublicKey()))
	eventually(t, "what was sent last has come", func() bool { return h.has(other) })
	if h.has(guest) || !strings.Contains(h.told(t, guest), "endpoint="+from+"\n") {
		t.Errorf("what was sent before brings the guest: %s", h.told(t, guest))
	}
	if h.has(stranger) {
		t.Error("a stranger is a peer")
	}
	eventually(t, "a new handshake is taken", func() bool {
		h.call(t, initiation(t, guest.key, h.key.PublicKey())) // which is new once its time differs: some 17 ms are one to WireGuard
		return !strings.Contains(h.told(t, guest), "endpoint="+from+"\n")
	})
}

// Who is greeted and does not answer goes soon, and who is called by mail stays
// while WireGuard tries.
func TestSilentGuests(t *testing.T) {
	h := newGuestHost(t, "192.0.2.1")
	greeted, called := h.caller(t, 1), h.caller(t, 2)
	h.bind.roster.greet(public(greeted.key))
	h.bind.roster.bring(called.addr)
	if !h.has(greeted) || !h.has(called) {
		t.Fatal("they are not there")
	}
	h.bind.roster.sweep(time.Now())
	if !h.has(greeted) {
		t.Error("who is greeted goes at once")
	}
	h.bind.roster.sweep(time.Now().Add(noAnswer))
	if h.has(greeted) || !h.has(called) {
		t.Errorf("there are: who was greeted %v, who was called %v", h.has(greeted), h.has(called))
	}
}

// Who was greeted and has answered stays as long as his session.
func TestGreetedGuestThatAnswersStays(t *testing.T) {
	a, b := newGuestHost(t, "192.0.2.1"), newGuestHost(t, "192.0.2.2")
	a.list(t, b, true)
	b.list(t, a, false)
	a.bind.roster.greet(public(b.key))
	eventually(t, "b has answered", func() bool { return !strings.Contains(a.told(t, b), "last_handshake_time_sec=0\n") })
	a.bind.roster.sweep(time.Now().Add(noAnswer))
	if !a.has(b) {
		t.Error("it has gone")
	}
}

// Peers with a keepalive, ranges of addresses, and the first ones as far as there is room, are no guests.
func TestWhoStays(t *testing.T) {
	h := &guestHost{host: newHostFor(t, newKey(t), 1)}
	for i, more := range []string{"allowed_ip=192.0.2.1/32", "allowed_ip=192.0.2.2/32\npersistent_keepalive_interval=25", "allowed_ip=10.0.0.0/8", "allowed_ip=192.0.2.3/32"} {
		key := public(newKey(t))
		h.set(t, fmt.Sprintf("public_key=%x\n%s\n", key, more))
		h.letGoAll()
		if is, want := h.dev.LookupPeer(key) != nil, i < 3; is != want {
			t.Errorf("%s: is there: %v", more, is)
		}
	}
	h.set(t, fmt.Sprintf("replace_peers=true\npublic_key=%x\n", public(newKey(t))))
	if n := len(h.bind.roster.listed); n != 1 || h.bind.roster.resident != 1 || h.bind.roster.away.n.Load() != 0 {
		t.Errorf("%d are left", n)
	}
}

// The device can close whatever goes on, and nothing races.
func TestGuestsWhileTheDeviceCloses(t *testing.T) {
	for round := range 5 {
		h := newGuestHost(t, "192.0.2.1")
		var all []*guestHost
		for n := range byte(20) {
			all = append(all, h.caller(t, n+1))
		}
		message := initiation(t, all[0].key, h.key.PublicKey())
		stop := make(chan struct{})
		var busy sync.WaitGroup
		for i, do := range []func(c *guestHost){
			func(c *guestHost) { h.bind.roster.greet(public(c.key)) },
			func(c *guestHost) { h.bind.roster.bring(c.addr) },
			func(*guestHost) { h.letGoAll() },
			func(*guestHost) { _, _ = h.bind.roster.get() },
			func(c *guestHost) {
				_ = h.bind.roster.setText([]string{fmt.Sprintf("public_key=%x", public(c.key)), "remove=true"})
				_ = h.bind.roster.setText([]string{fmt.Sprintf("public_key=%x", public(c.key)), "allowed_ip=" + c.addr.String() + "/32"})
			},
			func(*guestHost) { _ = h.bind.roster.setText([]string{fmt.Sprintf("listen_port=%d", h.port)}) },
			func(*guestHost) { h.call(t, message) },
		} {
			busy.Go(func() {
				for n := i; ; n++ {
					select {
					case <-stop:
						return
					default:
						do(all[n%len(all)])
					}
				}
			})
		}
		time.Sleep(time.Duration(20*(round+1)) * time.Millisecond)
		closed := make(chan struct{})
		go func() {
			if round%2 == 0 {
				h.pipe.Close() // the interface is deleted
			} else {
				h.bind.roster.end()
				h.dev.Close()
			}
			<-h.dev.Wait()
			close(closed)
		}()
		select {
		case <-closed:
		case <-time.After(20 * time.Second):
			t.Fatal("it does not close")
		}
		close(stop)
		busy.Wait()
	}
}
