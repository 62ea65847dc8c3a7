package userspace

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

// A wireAddr is a UDP address as the kernel has it: a sockaddr_in, or a
// sockaddr_in6, which is the larger.
type wireAddr struct {
	raw unix.RawSockaddrInet6
	len uint32 // of raw, in bytes
}

// A source is the address and interface of ours that a packet came to.
type source struct {
	addr  netip.Addr // invalid: not known
	index uint32     // of the interface
}

// An endpoint is where a peer is, and which address of ours it knows us by. It
// is never changed but for its last fields, so that packets that come from the
// same place share one.
type endpoint struct {
	dst  netip.AddrPort
	wire wireAddr
	src  source
	// control is the control message that has a packet sent from src; nil: the kernel chooses.
	control []byte

	cleared atomic.Bool  // the device wants the kernel to choose from now on
	stray   atomic.Bool  // packets to dst leave by another interface than src's
	checked atomic.Int64 // when stray was found out, nanoseconds of the clock since the start; 0: never
}

var _ conn.Endpoint = (*endpoint)(nil)

func newEndpoint(dst netip.AddrPort) (*endpoint, error) {
	wire, err := toWire(dst)
	if err != nil {
		return nil, err
	}
	return &endpoint{dst: dst, wire: wire}, nil
}

// receivedFrom returns the endpoint that a packet came from.
func receivedFrom(wire wireAddr, src source) *endpoint {
	return &endpoint{dst: wire.addrPort(), wire: wire, src: src, control: src.control()}
}

// ClearSrc implements [conn.Endpoint]: the device has no answer from the peer,
// and would rather be seen with another address.
func (e *endpoint) ClearSrc() { e.cleared.Store(true) }

// SrcIP implements [conn.Endpoint].
func (e *endpoint) SrcIP() netip.Addr {
	if e.cleared.Load() {
		return netip.Addr{}
	}
	return e.src.addr
}

// SrcToString implements [conn.Endpoint].
func (e *endpoint) SrcToString() string { return e.SrcIP().String() }

// DstIP implements [conn.Endpoint].
func (e *endpoint) DstIP() netip.Addr { return e.dst.Addr() }

// DstToString implements [conn.Endpoint].
func (e *endpoint) DstToString() string { return e.dst.String() }

// DstToBytes implements [conn.Endpoint]: the bytes that a cookie is made of
// (WireGuard's whitepaper, section 5.4.7).
func (e *endpoint) DstToBytes() []byte {
	b, _ := e.dst.MarshalBinary() // it has no error
	return b
}

// toWire returns a UDP address as the kernel wants it.
func toWire(a netip.AddrPort) (w wireAddr, err error) {
	if a.Addr().Is4() {
		w.len = unix.SizeofSockaddrInet4
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(&w.raw))
		in.Family, in.Port, in.Addr = unix.AF_INET, htons(a.Port()), a.Addr().As4()
		return w, nil
	}
	w.len = unix.SizeofSockaddrInet6
	w.raw.Family, w.raw.Port, w.raw.Addr = unix.AF_INET6, htons(a.Port()), a.Addr().As16()
	if zone := a.Addr().Zone(); zone != "" {
		w.raw.Scope_id, err = zoneIndex(zone)
	}
	return w, err
}

func zoneIndex(zone string) (uint32, error) {
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n), nil
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, fmt.Errorf("looking for the interface %s: %w", zone, err)
	}
	return uint32(i.Index), nil
}

// addrPort returns the UDP address that the kernel told.
func (w *wireAddr) addrPort() netip.AddrPort {
	if w.raw.Family == unix.AF_INET {
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(&w.raw))
		return netip.AddrPortFrom(netip.AddrFrom4(in.Addr), htons(in.Port))
	}
	a := netip.AddrFrom16(w.raw.Addr)
	if w.raw.Scope_id != 0 {
		zone := strconv.FormatUint(uint64(w.raw.Scope_id), 10)
		if i, err := net.InterfaceByIndex(int(w.raw.Scope_id)); err == nil {
			zone = i.Name
		}
		a = a.WithZone(zone)
	}
	return netip.AddrPortFrom(a, htons(w.raw.Port))
}

// htons swaps a port between our byte order and the network's.
func htons(port uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(&port))
	return uint16(b[0])<<8 | uint16(b[1])
}
