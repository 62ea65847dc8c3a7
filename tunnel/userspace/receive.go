package userspace

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

const (
	// manySlots is how many packets a system call brings where the link delivers them one by one.
	manySlots = 64
	// fewSlots is how many it brings where the kernel puts packets together, up to slotSize in each: more would be
	// more than the processor's cache holds.
	fewSlots = 4
	slotSize = 1 << 16
	// patience is for how many calls in a row nothing must have been put together until we ask for many again.
	patience = 64
	// knownEndpoints is how many endpoints we remember; when there are more, we begin anew.
	knownEndpoints = 4096
)

// A message is a struct mmsghdr of recvmmsg(2) and sendmmsg(2).
type message struct {
	header unix.Msghdr
	len    uint32
}

// A receiver reads a socket, for one goroutine. It reads into slots of its own
// and copies each packet to where the device wants it: the kernel may have put
// more packets together than the device takes at once, and the slots stay in the
// processor's cache.
type receiver struct {
	socket   *socket
	work     *processors
	door     *admission
	roster   *roster               // nil: the device has all peers
	late     chan arrival          // what the roster gives back
	try      func(fd uintptr) bool // readSome, made once
	messages []message
	names    []wireAddr
	vectors  []unix.Iovec
	control  []byte
	data     []byte

	slots    int   // to read into at the next call
	single   int   // calls in a row in which nothing was put together
	got      int   // messages read
	next     int   // message to hand out next
	offset   int   // in its data, of the packet to hand out next
	failure  error // of the last call
	endpoint *endpoint
	segment  int // size of the packets in the message next, in bytes

	known map[origin]*endpoint
	last  origin // of endpoint
}

// An origin is what tells endpoints apart.
type origin struct {
	name wireAddr
	src  source
}

func newReceiver(s *socket, work *processors, door *admission) *receiver {
	r := &receiver{
		socket:   s,
		work:     work,
		door:     door,
		late:     make(chan arrival, manySlots),
		messages: make([]message, manySlots),
		names:    make([]wireAddr, manySlots),
		vectors:  make([]unix.Iovec, manySlots),
		control:  make([]byte, manySlots*controlSize),
		data:     make([]byte, manySlots*slotSize), // the kernel gives the memory when it is first used
		slots:    manySlots,
		known:    map[origin]*endpoint{},
	}
	r.try = r.readSome
	for i := range r.messages {
		r.vectors[i].Base = &r.data[i*slotSize]
		r.vectors[i].SetLen(slotSize)
		h := &r.messages[i].header
		h.Iov = &r.vectors[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&r.names[i].raw))
		h.Control = &r.control[i*controlSize]
		r.reset(i)
	}
	return r
}

// reset prepares a message that the kernel has filled for the next call.
func (r *receiver) reset(i int) {
	h := &r.messages[i].header
	h.Namelen = unix.SizeofSockaddrInet6
	h.SetControllen(controlSize)
	h.Flags = 0
}

// receive implements [conn.ReceiveFunc].
func (r *receiver) receive(bufs [][]byte, sizes []int, endpoints []conn.Endpoint) (int, error) {
	runtime.Gosched() // as in Read of the interface
	for r.next == r.got {
		if n := r.handOut(bufs, sizes, endpoints); n > 0 {
			return n, nil
		}
		if err := r.read(); err != nil {
			return 0, err
		}
	}
	n := 0
	for n < len(bufs) && r.next < r.got {
		packet := r.packet()
		if len(packet) > len(bufs[n]) {
			continue // it is larger than any that WireGuard sends
		}
		if !r.door.admits(packet, r.endpoint.DstIP(), time.Now) || r.roster.takes(packet, r) {
			continue
		}
		sizes[n], endpoints[n] = copy(bufs[n], packet), r.endpoint
		n++
	}
	r.work.moved(n)
	return n, nil
}

// again has a packet that was taken handed out. In a flood it may be lost.
func (r *receiver) again(a arrival) {
	select {
	case r.late <- a:
		_ = r.socket.conn.SetReadDeadline(time.Unix(1, 0)) // wakes who waits for packets; an error: it is closed
	default:
	}
}

// handOut hands out what was given back.
func (r *receiver) handOut(bufs [][]byte, sizes []int, endpoints []conn.Endpoint) (n int) {
	for n < len(bufs) {
		select {
		case a := <-r.late:
			sizes[n], endpoints[n] = copy(bufs[n], a.message), a.from
			n++
		default:
			return n
		}
	}
	return n
}

// packet returns the next of the packets that have been read.
func (r *receiver) packet() []byte {
	m := &r.messages[r.next]
	if r.offset == 0 {
		r.open(r.next)
	}
	begin := r.next*slotSize + r.offset
	end := min(r.offset+r.segment, int(m.len))
	packet := r.data[begin : r.next*slotSize+end]
	if r.offset = end; end == int(m.len) {
		r.next, r.offset = r.next+1, 0
	}
	return packet
}

// open finds out where a message came from, and of how many packets it was made.
func (r *receiver) open(i int) {
	m := &r.messages[i]
	src, segment := parseControl(r.control[i*controlSize:][:m.header.Controllen])
	if r.segment = segment; segment <= 0 {
		r.segment = int(m.len)
	}
	if r.segment < int(m.len) {
		r.slots, r.single = fewSlots, 0
	}
	name := r.names[i]
	name.len = m.header.Namelen
	from := origin{name, src}
	if r.endpoint != nil && from == r.last && !r.endpoint.cleared.Load() {
		return
	}
	e := r.known[from]
	if e == nil || e.cleared.Load() {
		if len(r.known) >= knownEndpoints {
			clear(r.known)
		}
		e = receivedFrom(name, src)
		r.known[from] = e
	}
	r.endpoint, r.last = e, from
}

// read waits for packets, and reads them.
func (r *receiver) read() error {
	for i := range r.got {
		r.reset(i)
	}
	r.got, r.next, r.offset, r.failure = 0, 0, 0, nil
	if r.single++; r.single > patience {
		r.slots = manySlots
	}
	err := r.socket.raw.Read(r.try)
	if errors.Is(err, os.ErrDeadlineExceeded) { // see again
		return r.socket.conn.SetReadDeadline(time.Time{})
	}
	if err != nil {
		return fmt.Errorf("%w: %w", net.ErrClosed, err) // it has no other reason
	}
	return r.failure
}

// readSome reads what is there; false: nothing is. It makes the call without
// telling Go's scheduler, as it does not block.
func (r *receiver) readSome(fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.messages[0])), uintptr(r.slots), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			r.got = int(n)
			return true
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			r.failure = os.NewSyscallError("recvmmsg", errno)
			return true
		}
	}
}
