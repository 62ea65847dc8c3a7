package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	// askedAtOnce is how many requests go to the kernel together. Their answers,
	// of about 1 KiB of the socket's buffer each, must all find room in it.
	askedAtOnce = 128
	askBuffer   = 1 << 20 // bytes
)

// An asker is a netlink socket for requests and items of which there are many. The
// libraries take a socket, several system calls and a large buffer for each
// request, and a dozen allocations for each item.
type asker struct {
	fd      int
	buffer  []byte                                   // of a datagram that is received
	out     []byte                                   // requests
	receive func() ([]syscall.NetlinkMessage, error) // the messages of one datagram, valid until the next
}

// newAsker opens one of a protocol of netlink(7). It must be closed.
func newAsker(protocol int) (*asker, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, fmt.Errorf("opening netlink: %w", err)
	}
	a := &asker{fd: fd, buffer: make([]byte, nl.RECEIVE_BUFFER_SIZE)}
	a.receive = a.fromKernel
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1), // the kernel filters dumps by table, not we
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &nl.SocketTimeoutTv))
	if err != nil {
		a.close()
		return nil, fmt.Errorf("setting up netlink: %w", err)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, askBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, askBuffer) // who only looks may have no right to more
	}
	return a, nil
}

func (a *asker) close() { unix.Close(a.fd) }

// all has the kernel answer n requests, each of which makes it answer once, and
// calls answer with what it says to each: the content of a message, or why not.
// Request appends the i-th.
func (a *asker) all(n int, request func(b []byte, i int) []byte, answer func(i int, data []byte, err error)) error {
	for start := 0; start < n; start += askedAtOnce {
		if err := a.some(start, min(start+askedAtOnce, n), request, answer); err != nil {
			return err
		}
	}
	return nil
}

// some is all for as many as go at once. The kernel numbers no answer but with
// the request's number, and gives them in the order of the requests.
func (a *asker) some(start, end int, request func(b []byte, i int) []byte, answer func(i int, data []byte, err error)) error {
	a.out = a.out[:0]
	for i := start; i < end; i++ {
		at := len(a.out)
		a.out = request(a.out, i)
		finish(a.out[at:], i-start)
	}
	if err := a.send(a.out); err != nil {
		return err
	}
	return a.answers(end-start, func(i int, data []byte, err error) { answer(start+i, data, err) })
}

// answers waits for the answers to so many requests, one to each.
func (a *asker) answers(n int, answer func(i int, data []byte, err error)) error {
	answered := make([]bool, n)
	for open := n; open > 0; {
		messages, err := a.receive()
		if err != nil {
			return err
		}
		for _, m := range messages {
			if i := m.Header.Seq; i >= uint32(n) || answered[i] {
				return errors.New("netlink answers what was not asked")
			}
			answered[m.Header.Seq] = true
			answer(int(m.Header.Seq), m.Data, refusalIn(m))
			open--
		}
	}
	return nil
}

// dump has the kernel list what a request asks for, and calls each with every
// item. [netlink.ErrDumpInterrupted] says that it changed meanwhile.
func (a *asker) dump(request []byte, each func(data []byte)) error {
	finish(request, 0)
	if err := a.send(request); err != nil {
		return err
	}
	return a.items(each)
}

// items calls each with those of a dump until its end.
func (a *asker) items(each func(data []byte)) error {
	var disturbed error
	for {
		messages, err := a.receive()
		if err != nil {
			return err
		}
		for _, m := range messages {
			if m.Header.Flags&unix.NLM_F_DUMP_INTR != 0 {
				disturbed = netlink.ErrDumpInterrupted
			}
			if err := refusalIn(m); err != nil {
				return err
			}
			if m.Header.Type == unix.NLMSG_DONE {
				return disturbed
			}
			each(m.Data)
		}
	}
}

func (a *asker) send(data []byte) error {
	err := unix.Sendto(a.fd, data, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	return os.NewSyscallError("sending to netlink", err)
}

// fromKernel is how an asker receives.
func (a *asker) fromKernel() ([]syscall.NetlinkMessage, error) {
	for {
		n, from, err := unix.Recvfrom(a.fd, a.buffer, unix.MSG_TRUNC)
		sender, ok := from.(*unix.SockaddrNetlink)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, os.NewSyscallError("receiving from netlink", err)
		case n > len(a.buffer):
			return nil, errors.New("receiving from netlink: a message is too large")
		case !ok || sender.Pid != 0: // not from the kernel
			continue
		}
		return syscall.ParseNetlinkMessage(a.buffer[:n])
	}
}

// appendHeader appends the header of a request, see netlink(7), and the one of its
// protocol. Its attributes are to follow.
func appendHeader(b []byte, kind, flags uint16, header ...byte) []byte {
	b = binary.NativeEndian.AppendUint16(append(b, 0, 0, 0, 0), kind)
	b = binary.NativeEndian.AppendUint16(b, flags|unix.NLM_F_REQUEST)
	return append(append(b, make([]byte, 8)...), header...)
}

// appendAttribute appends an attribute, whose value may be longer by zeros.
func appendAttribute(b []byte, kind uint16, value ...byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofRtAttr+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	return append(b, make([]byte, (unix.RTA_ALIGNTO-len(value)%unix.RTA_ALIGNTO)%unix.RTA_ALIGNTO)...)
}

// appendNumber appends an attribute of four bytes.
func appendNumber(b []byte, kind uint16, n uint32) []byte {
	return appendAttribute(b, kind, binary.NativeEndian.AppendUint32(make([]byte, 0, 4), n)...)
}

// finish writes length and number into a request's header.
func finish(request []byte, number int) {
	binary.NativeEndian.PutUint32(request, uint32(len(request)))
	binary.NativeEndian.PutUint32(request[8:], uint32(number))
}

// refusalIn returns the error that a message is.
func refusalIn(m syscall.NetlinkMessage) error {
	if m.Header.Type != unix.NLMSG_ERROR && m.Header.Type != unix.NLMSG_DONE || len(m.Data) < 4 {
		return nil
	}
	if errno := int32(binary.NativeEndian.Uint32(m.Data)); errno < 0 {
		return syscall.Errno(-errno)
	}
	return nil
}

// attributes calls each with the attributes in data, and says whether they made
// sense.
func attributes(data []byte, each func(kind uint16, value []byte)) bool {
	for len(data) >= unix.SizeofRtAttr {
		size := int(binary.NativeEndian.Uint16(data))
		if size < unix.SizeofRtAttr || size > len(data) {
			return false
		}
		each(binary.NativeEndian.Uint16(data[2:])&^uint16(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), data[unix.SizeofRtAttr:size])
		data = data[min((size+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1), len(data)):]
	}
	return true
}

// attribute returns the first of a kind, if all make sense. Nil and no error: there
// is none. The libraries' own crash where the last one is not padded.
func attribute(data []byte, kind uint16) (found []byte, err error) {
	if !attributes(data, func(k uint16, value []byte) {
		if k == kind && found == nil {
			found = value
		}
	}) {
		return nil, errors.New("the kernel's attributes make no sense")
	}
	return found, nil
}

// number reads a value of four bytes; another is zero.
func number(value []byte) uint32 {
	if len(value) != 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(value)
}
