package userspace

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

const (
	// batchSize is how many packets the device takes or gives at once. It keeps a buffer of 64 KiB for each, for
	// each socket and for the interface; more than these showed no gain.
	batchSize = 64
	// socketBuffer is how much the kernel keeps of what we have not read yet or it has not sent yet, in bytes. The
	// windows of many connections fit in it, and no more than a fraction of a second's traffic.
	socketBuffer = 4 << 20
	// anyPortTries is how often we ask for a port that is free for both families.
	anyPortTries = 100
)

// A bind is the UDP side of the device: a socket for each family that the host
// has, on the same port. It differs from upstream's in how it spends system
// calls: few, with many packets each, without copying, and none that may block a
// thread.
type bind struct {
	v4, v6 atomic.Pointer[socket] // nil: closed, or the host has not this family
	routes *routes
	work   *processors
	door   *admission
	roster *roster // nil: the device has all peers
}

var _ conn.Bind = (*bind)(nil)

func newBind(work *processors) *bind {
	return &bind{routes: &routes{}, work: work, door: newAdmission()}
}

// Open implements [conn.Bind].
func (b *bind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	if b.v4.Load() != nil || b.v6.Load() != nil {
		return nil, 0, conn.ErrBindAlreadyOpen
	}
	for range anyPortTries {
		fns, actual, err := b.open(port)
		if port == 0 && errors.Is(err, unix.EADDRINUSE) { // the port is free for IPv4 only
			continue
		}
		return fns, actual, err
	}
	return nil, 0, unix.EADDRINUSE
}

func (b *bind) open(port uint16) (fns []conn.ReceiveFunc, actual uint16, err error) {
	for _, f := range []struct {
		network string
		at      *atomic.Pointer[socket]
	}{{"udp4", &b.v4}, {"udp6", &b.v6}} {
		s, err := listenUDP(f.network, port)
		if errors.Is(err, unix.EAFNOSUPPORT) {
			continue
		}
		if err != nil {
			return nil, 0, errors.Join(err, b.Close())
		}
		port = s.port()
		f.at.Store(s)
		r := newReceiver(s, b.work, b.door)
		r.roster = b.roster
		fns = append(fns, r.receive)
	}
	if len(fns) == 0 {
		return nil, 0, unix.EAFNOSUPPORT
	}
	return fns, port, nil
}

// Close implements [conn.Bind].
func (b *bind) Close() error {
	return errors.Join(closeSocket(b.v4.Swap(nil)), closeSocket(b.v6.Swap(nil)))
}

// SetMark implements [conn.Bind].
func (b *bind) SetMark(mark uint32) error {
	b.routes.mark.Store(mark)
	return errors.Join(b.v4.Load().set(unix.SOL_SOCKET, unix.SO_MARK, int(mark)), b.v6.Load().set(unix.SOL_SOCKET, unix.SO_MARK, int(mark)))
}

// BatchSize implements [conn.Bind].
func (b *bind) BatchSize() int { return batchSize }

// ParseEndpoint implements [conn.Bind].
func (b *bind) ParseEndpoint(s string) (conn.Endpoint, error) {
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return nil, err
	}
	b.door.know(a.Addr().Unmap())
	return newEndpoint(netip.AddrPortFrom(a.Addr().Unmap(), a.Port()))
}

// A socket is a UDP socket.
type socket struct {
	conn *net.UDPConn
	raw  syscall.RawConn
	// segments says whether the kernel still cuts what we send (UDP_SEGMENT, Linux 4.18).
	segments atomic.Bool
	loose    sync.Mutex // held while the kernel may fragment what it sends
}

func listenUDP(network string, port uint16) (*socket, error) {
	config := net.ListenConfig{Control: func(network, _ string, raw syscall.RawConn) error {
		var err error
		if e := raw.Control(func(fd uintptr) { err = setOptions(int(fd), network) }); e != nil {
			return e
		}
		return err
	}}
	c, err := config.ListenPacket(context.Background(), network, ":"+strconv.Itoa(int(port)))
	if err != nil {
		return nil, err
	}
	s := &socket{conn: c.(*net.UDPConn)}
	if s.raw, err = s.conn.SyscallConn(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	s.segments.Store(s.has(unix.IPPROTO_UDP, unix.UDP_SEGMENT))
	return s, nil
}

// setOptions makes the kernel tell with each packet which of our addresses it
// was sent to, and put packets together that came one after the other (UDP_GRO,
// Linux 5.0; without it they come singly). Routers are to fragment none: with the
// kernel's default, they may what was sent with UDP_SEGMENT, and what measures
// the path may be among it.
func setOptions(fd int, network string) error {
	for _, option := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF, unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, socketBuffer) // the first two stop at net.core.*mem_max
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
	if network == "udp4" {
		return errors.Join(
			optionError("IP_PKTINFO", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)),
			optionError("IP_MTU_DISCOVER", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)))
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1); err != nil {
		return optionError("IPV6_RECVPKTINFO", err)
	}
	return optionError("IPV6_V6ONLY", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1))
}

func optionError(option string, err error) error {
	if err != nil {
		return fmt.Errorf("setting %s: %w", option, err)
	}
	return nil
}

func (s *socket) port() uint16 { return uint16(s.conn.LocalAddr().(*net.UDPAddr).Port) }

// set sets a socket option; of no socket, it does nothing.
func (s *socket) set(level, option, value int) error {
	if s == nil {
		return nil
	}
	var err error
	if e := s.raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, value) }); e != nil {
		return e
	}
	return err
}

// inFragments calls send with the kernel let fragment packets that it knows to be
// larger than the path takes. IPv6's are so already.
func (s *socket) inFragments(send func() error) error {
	s.loose.Lock()
	defer s.loose.Unlock()
	if err := s.set(unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_WANT); err != nil {
		return err
	}
	return errors.Join(send(), s.set(unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO))
}

// has says whether the kernel knows a socket option.
func (s *socket) has(level, option int) (known bool) {
	_ = s.raw.Control(func(fd uintptr) {
		_, err := unix.GetsockoptInt(int(fd), level, option)
		known = err == nil
	})
	return known
}

func closeSocket(s *socket) error {
	if s == nil {
		return nil
	}
	return s.conn.Close()
}
