package linux

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// snapLength is how much is read of a packet, in bytes: a handshake initiation
// and all headers before it.
const snapLength = 320

// A capture reads what goes by on all interfaces but the given ones.
type capture struct {
	fd     int
	except map[int]bool // interface indexes
	see    func(p *packet, outgoing bool)
	done   chan struct{}
	once   sync.Once
}

// startCapture calls see, from one goroutine, for every packet from now on.
func startCapture(except []string, see func(p *packet, outgoing bool)) (*capture, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening a packet socket (root, or CAP_NET_RAW): %w", err)
	}
	c := &capture{fd: fd, except: map[int]bool{}, see: see, done: make(chan struct{})}
	for _, name := range except {
		if i, err := net.InterfaceByName(name); err == nil {
			c.except[i.Index] = true
		}
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20) // what is lost all the same is counted
	all := unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL)}
	if err := unix.Bind(fd, &all); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("binding a packet socket: %w", err)
	}
	return c, nil
}

// run reads until ctx ends and what came before that is read.
func (c *capture) run(ctx context.Context) error {
	defer close(c.done)
	buffer := make([]byte, snapLength)
	for {
		ended := ctx.Err() != nil
		n, from, err := unix.Recvfrom(c.fd, buffer, 0)
		switch {
		case errors.Is(err, unix.EAGAIN) && ended:
			return nil
		case errors.Is(err, unix.EAGAIN):
			c.wait()
			continue
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ENETDOWN): // some interface went down
			continue
		case err != nil:
			return fmt.Errorf("capturing packets: %w", err)
		}
		if l, ok := from.(*unix.SockaddrLinklayer); ok && !c.except[l.Ifindex] {
			if p := parsePacket(slices.Clone(buffer[:n])); p != nil {
				c.see(p, l.Pkttype == unix.PACKET_OUTGOING)
			}
		}
	}
}

// wait waits for a packet, and not for long, so that the end is noticed.
func (c *capture) wait() {
	fds := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}
	_, _ = unix.Poll(fds, int((20 * time.Millisecond).Milliseconds()))
}

// close waits for run, and says how many packets the kernel could not keep.
func (c *capture) close() (lost int) {
	<-c.done
	stats, err := unix.GetsockoptTpacketStats(c.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err == nil {
		lost = int(stats.Drops)
	}
	c.once.Do(func() { unix.Close(c.fd) })
	return lost
}

// htons gives a number in network byte order, as packet(7) wants protocols.
func htons(v uint16) uint16 { return v<<8 | v>>8 }
