package userspace

import (
	"cmp"
	"errors"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

const (
	// maxSegments is how many datagrams the kernel cuts out of what is sent at once (UDP_MAX_SEGMENTS, Linux 4.18).
	maxSegments = 64
	// maxPayload is how much that may be, in bytes: what fits in a UDP datagram over IPv4.
	maxPayload = 1<<16 - 1 - 20 - 8
)

// A sending is the memory of one call of Send.
type sending struct {
	try      func(fd uintptr) bool // sendSome, made once
	messages [batchSize]message
	vectors  [batchSize]unix.Iovec
	control  [batchSize][]byte
	first    [batchSize]int // of the packets in a message
	total    int            // messages
	sent     int            // of them
	failure  error
}

var sendings = sync.Pool{New: func() any {
	s := &sending{}
	s.try = s.sendSome
	for i := range s.control {
		s.control[i] = make([]byte, 0, controlSize)
	}
	return s
}}

// Send implements [conn.Bind]. Packets of one size go to the kernel as one, which
// cuts it (UDP_SEGMENT); all go in one system call.
func (b *bind) Send(bufs [][]byte, to conn.Endpoint) error {
	e, ok := to.(*endpoint)
	if !ok {
		return conn.ErrWrongEndpointType
	}
	socket := b.v4.Load()
	if e.DstIP().Is6() {
		socket = b.v6.Load()
	}
	if socket == nil {
		return unix.EAFNOSUPPORT
	}
	s := sendings.Get().(*sending)
	defer sendings.Put(s)
	control := b.routes.control(e)
	err := s.send(socket, bufs, e, control, socket.segments.Load())
	if err != nil && s.segmented() && !isTemporary(err) {
		if errors.Is(err, unix.EIO) { // the network card cannot do checksums (udp(7))
			socket.segments.Store(false)
		}
		bufs = bufs[s.first[s.sent]:] // or they are larger than the path takes, some of them
		err = s.send(socket, bufs, e, control, false)
	}
	if errors.Is(err, unix.EMSGSIZE) {
		bufs = bufs[s.first[s.sent]:]
		err = socket.inFragments(func() error { return s.send(socket, bufs, e, control, false) })
	}
	if control != nil && isAddressError(err) { // our address has gone
		e.stray.Store(true)
		err = s.send(socket, bufs[s.first[s.sent]:], e, nil, false)
	}
	return err
}

func isAddressError(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH)
}

// isTemporary says whether an error has nothing to do with how packets were put
// together.
func isTemporary(err error) bool {
	return errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EPERM)
}

// send sends packets to an endpoint.
func (s *sending) send(socket *socket, bufs [][]byte, e *endpoint, control []byte, segments bool) error {
	s.total, s.sent, s.failure = 0, 0, nil
	for i := 0; i < len(bufs); {
		n := 1
		if segments {
			n = run(bufs[i:])
		}
		s.add(bufs[i:i+n], i, e, control)
		i += n
	}
	err := socket.raw.Write(s.try)
	clear(s.vectors[:len(bufs)]) // the device uses the memory for others now
	return cmp.Or(err, s.failure)
}

// run returns how many of the packets can be sent as one: those of the size of the
// first, and one that is smaller.
func run(bufs [][]byte) int {
	size, total := len(bufs[0]), len(bufs[0])
	for i, b := range bufs[1:] {
		if total += len(b); len(b) > size || total > maxPayload || i+1 == maxSegments {
			return i + 1
		}
		if len(b) < size {
			return i + 2
		}
	}
	return len(bufs)
}

// add appends a message of packets, the first of which is the batch's at.
func (s *sending) add(bufs [][]byte, at int, e *endpoint, control []byte) {
	for i, b := range bufs {
		s.vectors[at+i].Base = &b[0]
		s.vectors[at+i].SetLen(len(b))
	}
	c := append(s.control[s.total][:0], control...)
	if len(bufs) > 1 {
		c = appendSegmentSize(c, len(bufs[0]))
	}
	s.first[s.total] = at
	h := &s.messages[s.total].header
	h.Name, h.Namelen = (*byte)(unsafe.Pointer(&e.wire.raw)), e.wire.len
	h.Iov = &s.vectors[at]
	h.SetIovlen(len(bufs))
	h.Control = nil
	if len(c) > 0 {
		h.Control = &c[0]
	}
	h.SetControllen(len(c))
	s.total++
}

// segmented says whether any message was more than a packet.
func (s *sending) segmented() bool {
	for i := range s.total {
		if s.messages[i].header.Iovlen > 1 {
			return true
		}
	}
	return false
}

// sendSome sends what the kernel takes; false: it has no room for the rest. It
// makes the calls without telling Go's scheduler, as they do not block.
func (s *sending) sendSome(fd uintptr) bool {
	for s.sent < s.total {
		var n uintptr = 1
		var errno unix.Errno
		if s.total == 1 {
			_, _, errno = unix.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&s.messages[0].header)), unix.MSG_DONTWAIT)
		} else {
			n, _, errno = unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&s.messages[s.sent])), uintptr(s.total-s.sent), unix.MSG_DONTWAIT, 0, 0)
		}
		switch errno {
		case 0:
			s.sent += int(n)
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			s.failure = os.NewSyscallError("sending", errno)
			return true
		}
	}
	return true
}
