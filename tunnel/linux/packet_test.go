package linux

import (
	"net/netip"
	"testing"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"postroad/tunnel/doctor"
)

func ip4(proto byte, src, dst string, payload ...byte) []byte {
	h := ipv4.Header{Version: 4, Len: 20, TotalLen: 20 + len(payload), TTL: 64, Protocol: int(proto),
		Src: netip.MustParseAddr(src).AsSlice(), Dst: netip.MustParseAddr(dst).AsSlice()}
	b, err := h.Marshal()
	if err != nil {
		panic(err)
	}
	return append(b, payload...)
}

func ip6(next byte, src, dst string, payload ...byte) []byte {
	b := append([]byte{0x60, 0, 0, 0, byte(len(payload) >> 8), byte(len(payload)), next, 64}, netip.MustParseAddr(src).AsSlice()...)
	return append(append(b, netip.MustParseAddr(dst).AsSlice()...), payload...)
}

// udp from port 51825 to 51826, of a size that the packet may not have whole.
func udp(size int) []byte {
	return []byte{0xca, 0x71, 0xca, 0x72, byte((size + 8) >> 8), byte(size + 8), 0, 0}
}

func TestParsePacket(t *testing.T) {
	quoted := ip4(unix.IPPROTO_UDP, "192.0.2.10", "198.51.100.20", udp(148)...)
	for _, test := range []struct {
		name     string
		packet   []byte
		src, dst string
		reason   doctor.Reason
		about    string
		mtu      int
	}{
		{name: "UDP", packet: quoted, src: "192.0.2.10:51825", dst: "198.51.100.20:51826"},
		{name: "UDP over IPv6", packet: ip6(unix.IPPROTO_UDP, "2001:db8::1", "2001:db8::2", udp(32)...), src: "[2001:db8::1]:51825", dst: "[2001:db8::2]:51826"},
		{name: "UDP behind a destination option", packet: ip6(unix.IPPROTO_DSTOPTS, "2001:db8::1", "2001:db8::2",
			append([]byte{unix.IPPROTO_UDP, 0, 1, 4, 0, 0, 0, 0}, udp(32)...)...), src: "[2001:db8::1]:51825", dst: "[2001:db8::2]:51826"},
		{name: "port unreachable", packet: ip4(unix.IPPROTO_ICMP, "198.51.100.20", "192.0.2.10", append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, quoted...)...),
			src: "198.51.100.20:0", dst: "192.0.2.10:0", reason: doctor.NobodyListens, about: "198.51.100.20:51826"},
		{name: "prohibited", packet: ip4(unix.IPPROTO_ICMP, "198.51.100.1", "192.0.2.10", append([]byte{3, 13, 0, 0, 0, 0, 0, 0}, quoted...)...),
			src: "198.51.100.1:0", dst: "192.0.2.10:0", reason: doctor.Prohibited, about: "198.51.100.20:51826"},
		{name: "host unreachable", packet: ip4(unix.IPPROTO_ICMP, "198.51.100.1", "192.0.2.10", append([]byte{3, 1, 0, 0, 0, 0, 0, 0}, quoted...)...),
			src: "198.51.100.1:0", dst: "192.0.2.10:0", reason: doctor.Unreachable, about: "198.51.100.20:51826"},
		{name: "fragmentation needed", packet: ip4(unix.IPPROTO_ICMP, "198.51.100.1", "192.0.2.10", append([]byte{3, 4, 0, 0, 0, 0, 5, 0x78}, quoted...)...),
			src: "198.51.100.1:0", dst: "192.0.2.10:0", reason: doctor.TooBig, about: "198.51.100.20:51826", mtu: 1400},
		{name: "packet too big, IPv6", packet: ip6(unix.IPPROTO_ICMPV6, "2001:db8::1", "2001:db8::2", append([]byte{2, 0, 0, 0, 0, 0, 5, 0}, ip6(unix.IPPROTO_UDP, "2001:db8::2", "2001:db8::3", udp(32)...)...)...),
			src: "[2001:db8::1]:0", dst: "[2001:db8::2]:0", reason: doctor.TooBig, about: "[2001:db8::3]:51826", mtu: 1280},
		{name: "echo request", packet: ip4(unix.IPPROTO_ICMP, "192.0.2.10", "198.51.100.20", 8, 0, 0, 0, 0, 0, 0, 0), src: "192.0.2.10:0", dst: "198.51.100.20:0"},
	} {
		p := parsePacket(test.packet)
		if p == nil || p.src.String() != test.src || p.dst.String() != test.dst || reason(p) != test.reason || p.mtu != test.mtu ||
			(p.about != nil) != (test.about != "") || p.about != nil && p.about.dst.String() != test.about {
			t.Errorf("%s: got %+v (%s)", test.name, p, reason(&packet{}))
		}
	}
	fragment := ip4(unix.IPPROTO_UDP, "192.0.2.10", "198.51.100.20", udp(148)...)
	fragment[6], fragment[7] = 0, 1
	if p := parsePacket(fragment); p != nil {
		t.Errorf("a later fragment has no ports, but reads %+v", p)
	}
}

func TestIsWireGuard(t *testing.T) {
	message := func(kind byte, size int) *packet { return &packet{payload: []byte{kind, 0, 0, 0}, size: size} }
	for _, test := range []struct {
		p    *packet
		want bool
	}{
		{message(1, 148), true}, {message(1, 147), false}, {message(2, 92), true}, {message(3, 64), true},
		{message(4, 32), true}, {message(4, 1456), true}, {message(4, 31), false}, {message(4, 33), false},
		{message(5, 148), false}, {message(0, 148), false}, {&packet{payload: []byte{1, 0, 0, 1}, size: 148}, false}, {&packet{}, false},
	} {
		if got := isWireGuard(test.p); got != test.want {
			t.Errorf("%v of %d bytes: %v", test.p.payload, test.p.size, got)
		}
	}
}

// FuzzParsePacket holds that what comes from the wire cannot crash the doctor.
func FuzzParsePacket(f *testing.F) {
	quoted := ip4(unix.IPPROTO_UDP, "192.0.2.10", "198.51.100.20", udp(148)...)
	f.Add(quoted)
	f.Add(ip4(unix.IPPROTO_ICMP, "198.51.100.20", "192.0.2.10", append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, quoted...)...))
	f.Add(ip6(unix.IPPROTO_DSTOPTS, "2001:db8::1", "2001:db8::2", append([]byte{unix.IPPROTO_UDP, 0, 1, 4, 0, 0, 0, 0}, udp(32)...)...))
	endpoint := &doctor.Seen{}
	w := &wire{smtp: []uint16{25}, endpoints: map[netip.Addr]*doctor.Seen{netip.MustParseAddr("192.0.2.10"): endpoint},
		exchange: map[netip.Addr]int{}, clear: map[netip.Addr]int{}}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, outgoing := range []bool{false, true} {
			if p := parsePacket(b); p != nil {
				w.see(p, outgoing)
			}
		}
		if len(endpoint.Calls) > maxCalls || len(endpoint.Refusals) > maxCalls {
			t.Error("what strangers send is kept without end")
		}
	})
}

func TestProcAddr(t *testing.T) {
	for text, want := range map[string]string{
		"0A0200C0:0019":                         "192.0.2.10:25",
		"B80D0120000000000000000001000000:C001": "[2001:db8::1]:49153",
		"0000000000000000FFFF00000A0200C0:0019": "192.0.2.10:25",
		"local_address":                         "", "": "", "0A0200C0": "", "0A0200C0:": "", "0A02:0019": "",
	} {
		got, err := procAddr(text)
		if (err == nil) != (want != "") || want != "" && got.String() != want {
			t.Errorf("%q: got %s, %v; want %s", text, got, err, want)
		}
	}
}

func TestChoices(t *testing.T) {
	if got := choices("/{etc,run}/x.conf"); len(got) != 2 || got[0] != "/etc/x.conf" || got[1] != "/run/x.conf" {
		t.Errorf("got %q", got)
	}
	if got := choices("/etc/x.conf"); len(got) != 1 || got[0] != "/etc/x.conf" {
		t.Errorf("got %q", got)
	}
}
