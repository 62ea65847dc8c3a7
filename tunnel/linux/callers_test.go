package linux

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A wireEnd sends frames to an interface of this namespace.
type wireEnd struct {
	t   *testing.T
	fd  int
	far net.HardwareAddr
}

func newWireEnd(t *testing.T) *wireEnd {
	t.Helper()
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "here0"}, PeerName: "there0"}
	if err := netlink.LinkAdd(pair); err != nil {
		t.Fatal(err)
	}
	w := &wireEnd{t: t}
	for _, name := range []string{"here0", "there0"} {
		l, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetUp(l)
		}
		if err != nil {
			t.Fatal(err)
		}
		if name == "here0" {
			w.far = l.Attrs().HardwareAddr
			continue
		}
		if w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err == nil {
			err = unix.Bind(w.fd, &unix.SockaddrLinklayer{Ifindex: l.Attrs().Index})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { unix.Close(w.fd) })
	return w
}

// send sends what begins with a number, lowest byte first, in a packet of a size.
func (w *wireEnd) send(from netip.Addr, port uint16, size int, number uint32) {
	w.t.Helper()
	payload := binary.LittleEndian.AppendUint32(nil, number)
	payload = append(payload, make([]byte, size-len(payload))...)
	udp := &layers.UDP{SrcPort: 4000, DstPort: layers.UDPPort(port)}
	e := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: w.far, EthernetType: layers.EthernetTypeIPv4}
	var ip gopacket.SerializableLayer
	if from.Is4() {
		header := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: from.AsSlice(), DstIP: net.IP{192, 0, 2, 10}}
		_, ip = udp.SetNetworkLayerForChecksum(header), header
	} else {
		e.EthernetType = layers.EthernetTypeIPv6
		header := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP, SrcIP: from.AsSlice(), DstIP: net.ParseIP("2001:db8::10")}
		_, ip = udp.SetNetworkLayerForChecksum(header), header
	}
	b := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, e, ip, udp, gopacket.Payload(payload))
	if err == nil {
		_, err = unix.Write(w.fd, b.Bytes())
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// Who begins a handshake at our port is known a while, over either family; who
// sends anything else is not. It is no difference in the guard.
func TestCallers(t *testing.T) {
	newNamespace(t)
	g := bigGuard(1)
	if err := replaceGuard(g); err != nil {
		t.Fatal(err)
	}
	w := newWireEnd(t)
	callers := func() map[netip.Addr]time.Time {
		t.Helper()
		all, err := new(Kernel).Callers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	a4, a6 := netip.MustParseAddr("203.0.113.5"), netip.MustParseAddr("2001:db8:1::5")
	for _, from := range []netip.Addr{a4, a6} {
		w.send(from, 51826, initiationSize, initiationType)
		w.send(from, 51825, initiationSize+1, initiationType)
		w.send(from, 51825, responseSize, initiationType)
		w.send(from, 51825, initiationSize, dataType)
		w.send(from, 51825, initiationSize, initiationType<<24)
	}
	if all := callers(); len(all) > 0 {
		t.Errorf("who did not call has called: %v", all)
	}
	for _, from := range []netip.Addr{a4, a6} {
		w.send(from, 51825, initiationSize, initiationType)
	}
	begin := time.Now()
	all := callers()
	for _, from := range []netip.Addr{a4, a6} {
		if at := all[from]; begin.Sub(at).Abs() > time.Second {
			t.Errorf("%s called at %s, not %s", from, at, begin)
		}
	}
	if len(all) != 2 {
		t.Errorf("all that called: %v", all)
	}
	wantGuard(t, g)
	for time.Since(begin) < 2*time.Second { // it calls on, and so is remembered since its last call
		time.Sleep(100 * time.Millisecond)
		w.send(a4, 51825, initiationSize, initiationType)
	}
	if all := callers(); time.Since(all[a4]) > time.Second || time.Since(all[a6]) < time.Second {
		t.Errorf("%s ago the one called last, %s ago the other", time.Since(all[a4]), time.Since(all[a6]))
	}
}

// Whoever makes up addresses takes as much memory as is set aside, and disturbs
// nothing else.
func TestCallersAreBounded(t *testing.T) {
	newNamespace(t)
	g := bigGuard(1)
	if err := replaceGuard(g); err != nil {
		t.Fatal(err)
	}
	w := newWireEnd(t)
	for i := range uint32(2 * maxCallers) {
		w.send(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 0xcb000000+i))), 51825, initiationSize, initiationType)
	}
	all, err := new(Kernel).Callers(t.Context())
	if err != nil || len(all) < maxCallers/2 || len(all) > maxCallers {
		t.Errorf("%d callers are remembered (%v)", len(all), err)
	}
	wantGuard(t, g)
}
