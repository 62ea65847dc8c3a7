package linux

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// probePort is a UDP port that hardly any host listens on: traceroute(8)'s.
const probePort = 33434

// pings says whether an address answers an ICMP echo request.
func pings(ctx context.Context, a netip.Addr) bool {
	network, request, answer := "ip4:icmp", icmp.Type(ipv4.ICMPTypeEcho), icmp.Type(ipv4.ICMPTypeEchoReply)
	if a.Is6() {
		network, request, answer = "ip6:ipv6-icmp", ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
	}
	c, err := icmp.ListenPacket(network, "")
	if err != nil {
		return false
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	echo := icmp.Echo{ID: os.Getpid() & 0xffff, Seq: 1, Data: []byte("postroad doctor")}
	data, err := (&icmp.Message{Type: request, Body: &echo}).Marshal(nil)
	if err != nil {
		return false
	}
	for range 2 { // the first may be lost to neighbour discovery
		if _, err := c.WriteTo(data, &net.IPAddr{IP: a.AsSlice()}); err != nil {
			return false
		}
		if echoed(c, answer, a, echo.ID) {
			return true
		}
	}
	return false
}

// echoed waits for an answer, for a second.
func echoed(c *icmp.PacketConn, answer icmp.Type, from netip.Addr, id int) bool {
	if c.SetReadDeadline(time.Now().Add(time.Second)) != nil {
		return false
	}
	buffer := make([]byte, 1500)
	for {
		n, peer, err := c.ReadFrom(buffer)
		if err != nil {
			return false
		}
		m, err := icmp.ParseMessage(answer.Protocol(), buffer[:n])
		if err != nil || m.Type != answer || !sameIP(peer, from) {
			continue
		}
		if e, ok := m.Body.(*icmp.Echo); ok && e.ID == id {
			return true
		}
	}
}

func sameIP(peer net.Addr, a netip.Addr) bool {
	ip, ok := peer.(*net.IPAddr)
	got, valid := netip.AddrFromSlice(ip.IP)
	return ok && valid && got.Unmap() == a
}

// refusesUDP says whether a host says of a UDP port that nobody listens there:
// then no filter drops all UDP on the way.
func refusesUDP(ctx context.Context, a netip.Addr) bool {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, probePort)))
	if err != nil {
		return false
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	for range 3 {
		if c.SetDeadline(time.Now().Add(700*time.Millisecond)) != nil {
			return false
		}
		if _, err := c.Write([]byte("postroad doctor")); errors.Is(err, unix.ECONNREFUSED) {
			return true
		}
		if _, err := c.Read(make([]byte, 1)); errors.Is(err, unix.ECONNREFUSED) {
			return true
		}
	}
	return false
}
