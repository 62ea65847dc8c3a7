package linux

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"postroad/tunnel"
)

// probedPort is the UDP port inside the tunnel that measuring packets go to. The
// guard of the other side refuses them; so does a host without one, if nobody
// listens there.
const probedPort = 2525

// probeECN marks measuring packets, as ECT(1): nothing else of ours has it, and the
// kernel's WireGuard copies it to the packets outside, where the guard sees it.
const probeECN = 1

var _ tunnel.Prober = (*Kernel)(nil)

// Room implements tunnel.Prober.
func (k *Kernel) Room(endpoint netip.Addr) int {
	links, err := interfaceTable()
	if err != nil {
		return 0
	}
	p, _ := pathTo(endpoint, links)
	return max(0, p.PMTU-tunnel.Overhead(endpoint))
}

// Crosses implements tunnel.Prober: that a UDP packet is refused shows that it
// has arrived. It needs neither a daemon on the other side nor raw sockets.
func (k *Kernel) Crosses(ctx context.Context, way tunnel.MTUWay, size int, within time.Duration) (bool, error) {
	headers, network := 28, "udp4"
	if way.To.Is6() {
		headers, network = 48, "udp6"
	}
	d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(way.From, 0)), Control: k.intoTunnel}
	c, err := d.DialContext(ctx, network, netip.AddrPortFrom(way.To, probedPort).String())
	if err != nil {
		return false, fmt.Errorf("opening a socket to measure with: %w", err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if err := c.SetDeadline(time.Now().Add(within)); err != nil {
		return false, err
	}
	if _, err = c.Write(make([]byte, size-headers)); err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	switch {
	case err == nil, errors.Is(err, unix.ECONNREFUSED): // who listens there after all has heard us too
		return true, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return false, nil
	}
	return false, err
}

// disturb sends one of a peer's addresses a packet that it refuses, unless there is
// no way there.
func (k *Kernel) disturb(addrs []netip.Addr) {
	if k.link.Load() == 0 { // it has just been made: there is no session
		return
	}
	d := net.Dialer{Control: k.intoTunnel}
	for _, a := range addrs {
		c, err := d.Dial("udp", netip.AddrPortFrom(a, probedPort).String())
		if err != nil {
			continue
		}
		_, err = c.Write([]byte{0})
		c.Close()
		if err == nil {
			return
		}
	}
}

// Sent implements tunnel.Prober.
func (k *Kernel) Sent() int64 {
	link, err := netlink.LinkByIndex(int(k.link.Load()))
	if err != nil || link.Attrs().Statistics == nil {
		return 0
	}
	return int64(link.Attrs().Statistics.TxBytes)
}

// intoTunnel has a socket's packets go into the tunnel or nowhere, as large as
// they are: only the link's own MTU bounds them.
func (k *Kernel) intoTunnel(network, _ string, c syscall.RawConn) (err error) {
	controlErr := c.Control(func(fd uintptr) {
		level, discover, probe, tos := unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE, unix.IP_TOS
		if network == "udp6" {
			level, discover, probe, tos = unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE, unix.IPV6_TCLASS
		}
		err = errors.Join(
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, tunnel.Mark),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, int(k.link.Load())),
			unix.SetsockoptInt(int(fd), level, discover, probe),
			unix.SetsockoptInt(int(fd), level, tos, probeECN))
	})
	return errors.Join(controlErr, err)
}
