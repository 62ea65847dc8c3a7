package linux

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"postroad/tunnel/doctor"
)

// A prover has SMTP sessions with peers.
type prover struct {
	name    string        // what we say in EHLO
	ports   []uint16      // of SMTP
	full    int           // bytes of a TCP segment that fills a packet in the tunnel, and some more
	timeout time.Duration // of connecting
}

// maxSaid is how much a mail server may say in a session, in bytes.
const maxSaid = 64 << 10

// How long a mail server may take: some make strangers wait before they greet.
const (
	greetTimeout = 20 * time.Second
	replyTimeout = 8 * time.Second
)

// prove has an SMTP session with an address: EHLO, a full packet, QUIT. Only
// where that works are the other ports tried.
func (v prover) prove(ctx context.Context, p *doctor.Proof) {
	first := v.first()
	p.Kind, p.Error = v.session(ctx, netip.AddrPortFrom(p.Addr, first), p)
	for _, port := range v.ports {
		kind := doctor.NotTried
		switch {
		case port == first:
			kind = p.Kind
		case p.Error == "":
			kind = v.connects(ctx, netip.Addr{}, netip.AddrPortFrom(p.Addr, port))
		}
		p.Ports = append(p.Ports, doctor.PortProof{Port: port, Kind: kind})
	}
}

// first is the port that counts.
func (v prover) first() uint16 {
	if slices.Contains(v.ports, 25) {
		return 25
	}
	return v.ports[0]
}

// maxSources is how many of our addresses are tried: each that is not answered
// to takes its time.
const maxSources = 16

// proveSources connects to an address from each of our own of its family, to tell
// those that are not answered to from those that are.
func (v prover) proveSources(ctx context.Context, p *doctor.Proof, own []netip.Addr) {
	own = slices.DeleteFunc(slices.Clone(own), func(a netip.Addr) bool { return a.Is4() != p.Addr.Is4() })
	if len(own) < 2 || p.Error != "" && p.Kind != doctor.Silence {
		return
	}
	own = own[:min(len(own), maxSources)]
	kinds := make([]doctor.Failure, len(own))
	var all sync.WaitGroup
	for i, a := range own {
		all.Go(func() { kinds[i] = v.connects(ctx, a, netip.AddrPortFrom(p.Addr, v.first())) })
	}
	all.Wait()
	if !slices.Contains(kinds, doctor.Works) { // then it is not for the source
		return
	}
	for i, a := range own {
		if kinds[i] == doctor.Silence {
			p.Unheard = append(p.Unheard, a)
		}
	}
}

// connects tries a connection, from one of our addresses or from the usual one.
func (v prover) connects(ctx context.Context, from netip.Addr, to netip.AddrPort) doctor.Failure {
	d := net.Dialer{Timeout: v.timeout}
	if from.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	c, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return failure(err)
	}
	c.Close()
	return doctor.Works
}

// session returns how it failed; Works and "": it did not.
func (v prover) session(ctx context.Context, to netip.AddrPort, p *doctor.Proof) (doctor.Failure, string) {
	c, err := (&net.Dialer{Timeout: v.timeout}).DialContext(ctx, "tcp", to.String())
	if err != nil {
		return failure(err), cause(err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if err := v.talk(c, p); err != nil {
		return doctor.Broken, cause(err)
	}
	return doctor.Works, ""
}

func (v prover) talk(c net.Conn, p *doctor.Proof) (err error) {
	r := bufio.NewReader(io.LimitReader(c, maxSaid))
	if p.Greeting, err = expect(c, r, "", "220"); err != nil {
		return err
	}
	if _, err := expect(c, r, "EHLO "+v.name, "250"); err != nil {
		return err
	}
	// RFC 5321, section 4.1.1.9, lets NOOP have an argument. Whatever is answered to one
	// that is too long shows that it has come.
	p.LargeDone = true
	if _, err := say(c, r, "NOOP "+strings.Repeat("x", v.full)); err != nil {
		return nil // small packets got through: the session works
	}
	p.Large = true
	_, _ = say(c, r, "QUIT") // what is to be shown is shown
	return nil
}

// expect is say where only a reply that begins so will do.
func expect(c net.Conn, r *bufio.Reader, words, want string) (string, error) {
	reply, err := say(c, r, words)
	if err == nil && !strings.HasPrefix(reply, want) {
		err = fmt.Errorf("it says %q", reply)
	}
	return reply, err
}

// say sends a line, if there is one, and returns the last line of the reply.
func say(c net.Conn, r *bufio.Reader, words string) (string, error) {
	timeout := replyTimeout
	if words == "" {
		timeout = greetTimeout
	}
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return "", err
	}
	if words != "" {
		if _, err := io.WriteString(c, words+"\r\n"); err != nil {
			return "", err
		}
	}
	for range 100 { // a reply has an end
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		if line = strings.TrimRight(line, "\r\n"); len(line) < 4 || line[3] != '-' {
			return line, nil
		}
	}
	return "", errors.New("the reply does not end")
}

// sendPast tries to get a SYN out on an interface, past the routes. What stops
// it is no answer: that must be seen on the wire.
func sendPast(ctx context.Context, to netip.AddrPort, iface string) error {
	d := net.Dialer{Timeout: time.Second, Control: func(_, _ string, c syscall.RawConn) (err error) {
		controlErr := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), iface) })
		return errors.Join(err, controlErr)
	}}
	c, err := d.DialContext(ctx, "tcp", to.String())
	if err == nil {
		c.Close()
	}
	return err
}

func failure(err error) doctor.Failure {
	var timeout net.Error
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return doctor.Refused
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.Canceled):
		return doctor.Silence
	}
	return doctor.Stopped
}

// cause leaves out what the caller says anyway.
func cause(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var call interface{ Unwrap() error }
	if errors.As(err, &call) && errors.As(err, new(syscall.Errno)) {
		err = call.Unwrap()
	}
	return err.Error()
}
