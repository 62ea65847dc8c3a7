package userspace

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// An iface is the interface as the device reads it. All that is there comes in one
// call: upstream's Read brings one packet at a time, which the device then
// encrypts and sends one at a time.
type iface struct {
	tun.Device
	raw  syscall.RawConn
	work *processors
	try  func(fd uintptr) bool // readSome, made once
	buf  []byte                // of one read from the kernel
	rest super                 // of which there was no room for all
	call call

	writing writing
}

// A call is one of Read.
type call struct {
	bufs   [][]byte
	sizes  []int
	offset int
	n      int
	err    error
}

func newInterface(name string, mtu int, work *processors) (tun.Device, error) {
	t, err := tun.CreateTUN(name, mtu)
	if err != nil {
		return nil, err
	}
	i := &iface{Device: t, work: work, buf: make([]byte, vnetSize+1<<16)}
	i.try, i.writing.try = i.readSome, i.writing.writeSome
	if i.raw, err = t.File().SyscallConn(); err == nil {
		err = i.leaveUDPWhole()
	}
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return i, nil
}

// leaveUDPWhole has the kernel cut UDP packets, of which there are next to none
// in the tunnel.
func (i *iface) leaveUDPWhole() (err error) {
	e := i.raw.Control(func(fd uintptr) {
		err = unix.IoctlSetInt(int(fd), unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO6)
	})
	return errors.Join(e, err)
}

// BatchSize implements [tun.Device].
func (i *iface) BatchSize() int { return batchSize }

// Read implements [tun.Device].
func (i *iface) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	runtime.Gosched() // what was read before is encrypted and sent first: it is in the cache still, and few buffers are in use
	i.call = call{bufs: bufs, sizes: sizes, offset: offset}
	if i.cut(); i.call.n == 0 {
		if err := i.raw.Read(i.try); err != nil {
			return 0, fmt.Errorf("%w: %w", os.ErrClosed, err) // it has no other reason
		}
	}
	n, err := i.call.n, i.call.err
	i.call = call{}
	even(bufs, sizes[:n], offset)
	i.work.moved(n)
	return n, err
}

// readSome reads what is there; false: nothing is. It makes the calls without
// telling Go's scheduler, as they do not block.
func (i *iface) readSome(fd uintptr) bool {
	c := &i.call
	for c.n < len(c.bufs) && !i.rest.more() {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&i.buf[0])), uintptr(len(i.buf)))
		switch errno {
		case 0:
			i.take(i.buf[:n])
		case unix.EINTR:
		case unix.EAGAIN:
			return c.n > 0
		case unix.EBADFD: // the interface was deleted
			c.err = os.ErrClosed
			return true
		default:
			c.err = os.NewSyscallError("reading from the interface", errno)
			return true
		}
	}
	return true
}

// take hands out what one read from the kernel brought. A packet that makes no
// sense, or is larger than the device takes, is dropped.
func (i *iface) take(b []byte) {
	if len(b) <= vnetSize {
		return
	}
	h, packet := parseVnet(b), b[vnetSize:]
	largest := len(i.call.bufs[i.call.n]) - i.call.offset
	if h.kind == unix.VIRTIO_NET_HDR_GSO_NONE {
		if h.complete(packet) == nil && len(packet) <= largest {
			copy(i.room(len(packet)), packet)
		}
		return
	}
	if s, err := newSuper(h, packet); err == nil && s.end+s.segment <= largest {
		i.rest = s
		i.cut()
	}
}

// cut hands out segments of a packet, while there is room.
func (i *iface) cut() {
	for i.call.n < len(i.call.bufs) && i.rest.more() {
		i.rest.next(i.room(i.rest.size()))
	}
}

// room returns the place for the next packet, of that size.
func (i *iface) room(size int) []byte {
	c := &i.call
	c.n++
	c.sizes[c.n-1] = size
	return c.bufs[c.n-1][c.offset:][:size]
}
