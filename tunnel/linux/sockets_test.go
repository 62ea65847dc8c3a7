package linux

import (
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
)

// connect accepts one connection over an address and returns how to end it.
func connect(t *testing.T, listen, dial string) (end func()) {
	t.Helper()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", dial)
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		c.Close()
		s.Close()
	}
}

// Each connection over the loopback is one of both its ends.
func TestConnections(t *testing.T) {
	newNamespace(t)
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		t.Fatal(err)
	}
	quiet, err := net.Listen("tcp", "127.0.0.1:465") // listens, and nobody comes
	if err != nil {
		t.Fatal(err)
	}
	defer quiet.Close()
	ended := connect(t, "127.0.0.1:25", "127.0.0.1:25")
	ended() // in TIME_WAIT
	for _, c := range []struct{ listen, dial string }{
		{"127.0.0.2:25", "127.0.0.2:25"},
		{"[::]:587", "127.0.0.3:587"}, // an IPv4-mapped socket
		{"[::1]:25", "[::1]:25"},
		{"127.0.0.4:8025", "127.0.0.4:8025"},
	} {
		defer connect(t, c.listen, c.dial)()
	}
	got, err := New(slog.New(slog.DiscardHandler)).Connections(t.Context(), []uint16{25, 465, 587})
	want := map[netip.Addr]int{}
	for _, a := range []string{"127.0.0.1", "127.0.0.2", "127.0.0.3"} {
		want[netip.MustParseAddr(a)]++
	}
	want[netip.MustParseAddr("127.0.0.1")] = 2 // the clients'
	want[netip.MustParseAddr("::1")] = 2
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, want %v: %v", fmt.Sprint(got), want, err)
	}
}
