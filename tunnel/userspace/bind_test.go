package userspace

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

// A received packet.
type received struct {
	data []byte
	from conn.Endpoint
}

// A port is an open bind whose packets come through channels.
type port struct {
	*bind
	number uint16
	v4, v6 chan received
	ended  chan error
}

func openPort(t *testing.T) *port {
	t.Helper()
	p := &port{bind: newBind(nil), v4: make(chan received, 1000), v6: make(chan received, 1000), ended: make(chan error, 2)}
	fns, number, err := p.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	if len(fns) != 2 {
		t.Fatalf("%d sockets", len(fns))
	}
	p.number = number
	go p.receive(fns[0], p.v4)
	go p.receive(fns[1], p.v6)
	t.Cleanup(func() { p.Close() })
	return p
}

func (p *port) receive(fn conn.ReceiveFunc, to chan received) {
	bufs, sizes, endpoints := buffers(batchSize, 65535), make([]int, batchSize), make([]conn.Endpoint, batchSize)
	for {
		n, err := fn(bufs, sizes, endpoints)
		if err != nil {
			p.ended <- err
			return
		}
		for i := range n {
			to <- received{bytes.Clone(bufs[i][:sizes[i]]), endpoints[i]}
		}
	}
}

func (p *port) endpoint(t *testing.T, address string) conn.Endpoint {
	t.Helper()
	e, err := p.ParseEndpoint(netip.AddrPortFrom(netip.MustParseAddr(address), p.number).String())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func next(t *testing.T, from chan received) received {
	t.Helper()
	select {
	case r := <-from:
		return r
	case <-time.After(10 * time.Second):
		t.Fatal("nothing comes")
		return received{}
	}
}

// All packets arrive whole and in order, whatever their sizes: equal ones go and
// come as one, and have to be told apart again.
func TestBindCarries(t *testing.T) {
	a, b := openPort(t), openPort(t)
	r := rand.New(rand.NewPCG(1, 2))
	for name, size := range map[string]func(i int) int{
		"one":       func(int) int { return 100 },
		"equal":     func(int) int { return 1452 },
		"last less": func(i int) int { return 1000 - 900*(i/(batchSize-1)) },
		"rising":    func(i int) int { return 32 + i },
		"falling":   func(i int) int { return 500 - i },
		"any":       func(int) int { return 1 + r.IntN(1500) },
		"large":     func(int) int { return 9000 + r.IntN(2)*50000 },
		"tiny":      func(int) int { return 1 },
	} {
		for _, address := range []string{"127.0.0.1", "::1"} {
			for _, segments := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s %s %v", name, address, segments), func(t *testing.T) {
					n := batchSize
					if name == "one" {
						n = 1
					}
					sent := make([][]byte, n)
					for i := range sent {
						sent[i] = random(r, size(i))
					}
					a.bind.v4.Load().segments.Store(segments)
					a.bind.v6.Load().segments.Store(segments)
					if err := a.Send(sent, b.endpoint(t, address)); err != nil {
						t.Fatal(err)
					}
					from, want := b.v4, netip.AddrPortFrom(netip.MustParseAddr(address), a.number).String()
					if address == "::1" {
						from = b.v6
					}
					for i := range sent {
						got := next(t, from)
						if !bytes.Equal(got.data, sent[i]) {
							t.Fatalf("packet %d of %d bytes came with %d", i, len(sent[i]), len(got.data))
						}
						if got.from.DstToString() != want || got.from.SrcIP().String() != address {
							t.Fatalf("packet %d came from %s to %s", i, got.from.DstToString(), got.from.SrcIP())
						}
					}
				})
			}
		}
	}
}

// An answer comes from the address that was called, until the device wants
// another tried.
func TestBindAnswersFromTheAddressCalled(t *testing.T) {
	a, b := openPort(t), openPort(t)
	call := func(e conn.Endpoint, from *port, to chan received) received {
		t.Helper()
		if err := from.Send([][]byte{{1}}, e); err != nil {
			t.Fatal(err)
		}
		return next(t, to)
	}
	called := call(b.endpoint(t, "127.0.0.9"), a, b.v4)
	if got := called.from.SrcIP().String(); got != "127.0.0.9" {
		t.Fatalf("called at %s", got)
	}
	if got := call(called.from, b, a.v4).from.DstIP().String(); got != "127.0.0.9" {
		t.Errorf("answered from %s", got)
	}
	if again := call(b.endpoint(t, "127.0.0.9"), a, b.v4); again.from != called.from {
		t.Error("a second packet from the same place has an endpoint of its own")
	}
	called.from.ClearSrc()
	if got := call(called.from, b, a.v4).from.DstIP().String(); got != "127.0.0.1" || called.from.SrcIP().IsValid() {
		t.Errorf("answered from %s after the source was cleared", got)
	}
	again := call(b.endpoint(t, "127.0.0.9"), a, b.v4)
	if got := call(again.from, b, a.v4).from.DstIP().String(); got != "127.0.0.9" {
		t.Errorf("answered from %s to a new call", got)
	}
}

// An address of ours that has gone must not keep us from sending.
func TestBindSendsWithoutAnAddressThatHasGone(t *testing.T) {
	a, b := openPort(t), openPort(t)
	to := b.endpoint(t, "127.0.0.1").(*endpoint)
	gone := receivedFrom(to.wire, source{netip.MustParseAddr("192.0.2.99"), 1})
	var all [][]byte
	for i := range 10 {
		all = append(all, []byte{byte(i), 1, 2})
	}
	if err := a.Send(all, gone); err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if got := next(t, b.v4); got.data[0] != byte(i) {
			t.Fatalf("packet %d came for %d", got.data[0], i)
		}
	}
}

// As with the kernel's WireGuard, packets that leave by another interface than the
// one that a peer's came by do not have the address of that one.
func TestBindFollowsTheRoutes(t *testing.T) {
	a, b := openPort(t), openPort(t)
	to := b.endpoint(t, "127.0.0.1").(*endpoint)
	for _, tt := range []struct {
		index uint32
		want  string
	}{{1, "127.0.0.7"}, {4711, "127.0.0.1"}} {
		e := receivedFrom(to.wire, source{netip.MustParseAddr("127.0.0.7"), tt.index})
		a.routes.next.Store(0)
		if err := a.Send([][]byte{{1}}, e); err != nil {
			t.Fatal(err)
		}
		if got := next(t, b.v4).from.DstIP().String(); got != tt.want {
			t.Errorf("came by interface %d: sent from %s, want %s", tt.index, got, tt.want)
		}
	}
}

func TestBindOpensAndCloses(t *testing.T) {
	p := openPort(t)
	if _, _, err := p.Open(0); !errors.Is(err, conn.ErrBindAlreadyOpen) {
		t.Errorf("opened twice: %v", err)
	}
	other := newBind(nil)
	if _, _, err := other.Open(p.number); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("opened a port that is taken: %v", err)
	}
	e := p.endpoint(t, "127.0.0.1")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		select {
		case err := <-p.ended:
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("ended with %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("it goes on receiving")
		}
	}
	if err := p.Send([][]byte{{1}}, e); err == nil {
		t.Error("sent through a closed port")
	}
	if err := p.SetMark(1); err != nil {
		t.Errorf("marking nothing: %v", err)
	}
	if _, number, err := p.Open(p.number); err != nil || number != p.number {
		t.Errorf("opened again: %d, %v", number, err)
	}
}

// A number of packets larger than a batch must not be lost when the kernel has put
// them together.
func TestBindKeepsWhatOneCallHasNoRoomFor(t *testing.T) {
	a, b := newBind(nil), newBind(nil)
	fns, number, err := b.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, _, err := a.Open(0); err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	e, err := a.ParseEndpoint(fmt.Sprintf("127.0.0.1:%d", number))
	if err != nil {
		t.Fatal(err)
	}
	const batches = 10
	for k := range batches {
		var all [][]byte
		for i := range batchSize {
			all = append(all, bytes.Repeat([]byte{byte(k*batchSize + i)}, 1000))
		}
		if err := a.Send(all, e); err != nil {
			t.Fatal(err)
		}
	}
	bufs, sizes, endpoints := buffers(7, 65535), make([]int, 7), make([]conn.Endpoint, 7)
	for got := 0; got < batches*batchSize; {
		n, err := fns[0](bufs, sizes, endpoints)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if sizes[i] != 1000 || bufs[i][0] != byte(got) || bufs[i][999] != byte(got) {
				t.Fatalf("packet %d: %d bytes of %d", got, sizes[i], bufs[i][0])
			}
			got++
		}
	}
}

func TestEndpointText(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1:51820": "192.0.2.1:51820", "[2001:db8::1]:1": "[2001:db8::1]:1", "[::ffff:192.0.2.1]:65535": "192.0.2.1:65535", "[fe80::1%lo]:7": "[fe80::1%lo]:7",
	} {
		e, err := newBind(nil).ParseEndpoint(in)
		if err != nil {
			t.Fatal(err)
		}
		if e.DstToString() != want || e.SrcIP().IsValid() {
			t.Errorf("%s is %s, from %s", in, e.DstToString(), e.SrcIP())
		}
		wire := e.(*endpoint).wire
		if got := wire.addrPort().String(); got != want {
			t.Errorf("%s is %s on the wire", in, got)
		}
	}
	for _, in := range []string{"", "a:1", "192.0.2.1", "[fe80::1%nowhere]:7"} {
		if e, err := newBind(nil).ParseEndpoint(in); err == nil {
			t.Errorf("%q is %v", in, e)
		}
	}
}
