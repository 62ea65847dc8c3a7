package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// probeCommand is the first word of a command line that is for [probe].
const probeCommand = "probe"

// requestSize is the size of a request and of a response, in bytes.
const requestSize = 64

// latencies are the medians of what a probe saw, in microseconds.
type latencies struct {
	Count         int
	First, Second float64
}

// probe is the client and the server of the workloads about time. It runs in the hosts:
//
//	serve ADDRESS              greets who connects, and sends back what it gets
//	reach ADDRESS              waits until it is greeted
//	connect ADDRESS TIME       tells how long connecting takes, and until the greeting is there
//	exchange ADDRESS TIME      tells how long a request and its response take
func probe(args []string, stdout, stderr io.Writer) int {
	err := func() error {
		if len(args) < 2 {
			return fmt.Errorf("too few words: %q", args)
		}
		if args[0] == "serve" {
			return serve(args[1])
		}
		to, err := netip.ParseAddrPort(args[1])
		if err != nil {
			return err
		}
		if args[0] == "reach" {
			return reach(to, 25*time.Second)
		}
		length, err := time.ParseDuration(args[len(args)-1])
		if err != nil {
			return err
		}
		measure := connects
		if args[0] == "exchange" {
			measure = exchanges
		}
		l, err := measure(to, length)
		if err != nil {
			return err
		}
		return json.NewEncoder(stdout).Encode(l)
	}()
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailed
	}
	return 0
}

func serve(address string) error {
	l, err := net.Listen("tcp4", address)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			if _, err := c.Write([]byte{'!'}); err == nil {
				io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) // without splice(2)
			}
		}()
	}
}

// reach waits until a connection is greeted. What is lost on the way while a tunnel is being built is not waited for.
func reach(to netip.AddrPort, timeout time.Duration) error {
	for deadline := time.Now().Add(timeout); ; time.Sleep(20 * time.Millisecond) {
		err := func() error {
			c, err := net.DialTimeout("tcp4", to.String(), 300*time.Millisecond)
			if err != nil {
				return err
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(time.Second))
			_, err = io.ReadFull(c, make([]byte, 1))
			return err
		}()
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// A connection waits in the kernel, not in Go's runtime, whose own time is not to be measured.
type connection int

// dial returns a connection, and when it was there.
func dial(to netip.AddrPort) (connection, time.Time, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, time.Time{}, err
	}
	patience := unix.NsecToTimeval(int64(5 * time.Second))
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &patience)
	}
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	if err == unix.EINTR { // the runtime's signals: it goes on meanwhile (connect(2))
		err = connected(fd)
	}
	return connection(fd), time.Now(), err
}

// connected waits until a connection is there, or not.
func connected(fd int) error {
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		failure, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && failure != 0 {
			err = unix.Errno(failure)
		}
		return err
	}
}

// read fills a buffer.
func (c connection) read(b []byte) error {
	for len(b) > 0 {
		n, err := unix.Read(int(c), b)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		b = b[n:]
	}
	return nil
}

func (c connection) close() { unix.Close(int(c)) }

// connects opens connections for a time, one after the other.
func connects(to netip.AddrPort, length time.Duration) (latencies, error) {
	var opened, greeted []time.Duration
	for end := time.Now().Add(length); time.Now().Before(end); {
		begin := time.Now()
		c, at, err := dial(to)
		if err == nil {
			err = c.read(make([]byte, 1))
		}
		now := time.Now()
		c.close()
		if err != nil {
			return latencies{}, fmt.Errorf("connecting: %w", err)
		}
		opened, greeted = append(opened, at.Sub(begin)), append(greeted, now.Sub(begin))
	}
	return latencies{Count: len(opened), First: microseconds(opened), Second: microseconds(greeted)}, nil
}

// exchanges sends requests for a time.
func exchanges(to netip.AddrPort, length time.Duration) (latencies, error) {
	c, _, err := dial(to)
	defer c.close()
	if err == nil {
		err = c.read(make([]byte, 1))
	}
	var took []time.Duration
	buffer := make([]byte, requestSize)
	for end := time.Now().Add(length); err == nil && time.Now().Before(end); {
		begin := time.Now()
		if _, err = unix.Write(int(c), buffer); err == nil { // a socket that has room is not interrupted
			err = c.read(buffer)
		}
		took = append(took, time.Since(begin))
	}
	if err != nil {
		return latencies{}, fmt.Errorf("exchanging: %w", err)
	}
	return latencies{Count: len(took), First: microseconds(took)}, nil
}

// microseconds is the median of times.
func microseconds(times []time.Duration) float64 {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return float64(times[len(times)/2]) / 1e3
}
