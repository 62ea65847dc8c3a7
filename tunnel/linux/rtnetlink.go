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
	// routesAtOnce is how many requests go to the kernel together. Their answers,
	// of about 1 KiB of the socket's buffer each, must all find room in it.
	routesAtOnce = 128
	routeBuffer  = 1 << 20 // bytes
)

// A routing is a connection to the kernel's routing, for requests of which there
// are many: the library takes a socket, several system calls and a buffer of 64
// KiB for each.
type routing struct {
	fd     int
	buffer []byte
}

// newRouting opens one. It must be closed.
func newRouting() (*routing, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening netlink: %w", err)
	}
	r := &routing{fd, make([]byte, nl.RECEIVE_BUFFER_SIZE)}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1), // the kernel filters dumps by table, not we
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &nl.SocketTimeoutTv))
	if err != nil {
		r.close()
		return nil, fmt.Errorf("setting up netlink: %w", err)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, routeBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, routeBuffer) // who only looks may have no right to more
	}
	return r, nil
}

func (r *routing) close() { unix.Close(r.fd) }

// all has the kernel answer requests, each of which makes it answer once, and
// calls answer with what it says to each: the content of a message, or why not.
func (r *routing) all(requests []*nl.NetlinkRequest, answer func(i int, data []byte, err error)) error {
	for start := 0; start < len(requests); start += routesAtOnce {
		some := requests[start:min(start+routesAtOnce, len(requests))]
		if err := r.some(some, func(i int, data []byte, err error) { answer(start+i, data, err) }); err != nil {
			return err
		}
	}
	return nil
}

// some is all for as many as go at once. The kernel numbers no answer but with
// the request's number, and gives them in the order of the requests.
func (r *routing) some(requests []*nl.NetlinkRequest, answer func(i int, data []byte, err error)) error {
	var send []byte
	for i, req := range requests {
		req.Seq = uint32(i)
		send = append(send, req.Serialize()...)
	}
	if err := r.send(send); err != nil {
		return err
	}
	for open := len(requests); open > 0; {
		messages, err := r.receive()
		if err != nil {
			return err
		}
		for _, m := range messages {
			if m.Header.Seq >= uint32(len(requests)) {
				return errors.New("netlink answers what was not asked")
			}
			answer(int(m.Header.Seq), m.Data, refusalIn(m))
			open--
		}
	}
	return nil
}

// dump has the kernel list what a request asks for, and calls each with every
// item. [netlink.ErrDumpInterrupted] says that it changed meanwhile.
func (r *routing) dump(req *nl.NetlinkRequest, each func(data []byte)) error {
	req.Flags |= unix.NLM_F_DUMP
	if err := r.send(req.Serialize()); err != nil {
		return err
	}
	var disturbed error
	for {
		messages, err := r.receive()
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

func (r *routing) send(data []byte) error {
	err := unix.Sendto(r.fd, data, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	return os.NewSyscallError("sending to netlink", err)
}

// receive returns the messages of one datagram, valid until the next.
func (r *routing) receive() ([]syscall.NetlinkMessage, error) {
	for {
		n, from, err := unix.Recvfrom(r.fd, r.buffer, unix.MSG_TRUNC)
		sender, ok := from.(*unix.SockaddrNetlink)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, os.NewSyscallError("receiving from netlink", err)
		case n > len(r.buffer):
			return nil, errors.New("receiving from netlink: a message is too large")
		case !ok || sender.Pid != 0: // not from the kernel
			continue
		}
		return syscall.ParseNetlinkMessage(r.buffer[:n])
	}
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
