// Package linux is the only code that touches the kernel: links, addresses,
// rules and routes over netlink, the guard over nftables, WireGuard over its
// generic netlink family or, where it runs within the process, its UAPI.
package linux

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"postroad/tunnel"
	"postroad/tunnel/userspace"
)

// A Kernel is the network namespace that the process is in. It is not for use
// by several goroutines at once, but for Watch.
type Kernel struct {
	log      *slog.Logger
	reader   bool
	device   *userspace.Device // nil: none, or not ours
	fellBack bool              // it was said that the kernel's WireGuard cannot be used
	link     atomic.Int64      // index of our link as it was seen last; zero: none. Watch reads it
}

var _ tunnel.System = (*Kernel)(nil)

// New returns the system of the daemon, which owns the link.
func New(log *slog.Logger) *Kernel { return &Kernel{log: log} }

// NewReader returns a system for looking on: it takes the daemon's link for
// ours although another process made it.
func NewReader(log *slog.Logger) *Kernel { return &Kernel{log: log, reader: true} }

// Close removes a link that lives in this process; all else stays, and with it
// the tunnels that the kernel carries.
func (k *Kernel) Close() {
	if k.device != nil {
		k.device.Close()
		k.device = nil
	}
}

// Hurry has all processors used until done is called, as far as it is this process
// that carries packets, for which it uses one if that is enough.
func (k *Kernel) Hurry() (done func()) {
	if k.device == nil {
		return func() {}
	}
	return k.device.Hurry()
}

// Observe implements tunnel.System.
func (k *Kernel) Observe(_ context.Context, q tunnel.Query) (s tunnel.State, f tunnel.Facts, err error) {
	index := 0
	if s.Link, index, err = k.observeLink(q.Link); err != nil {
		return s, f, err
	}
	k.link.Store(int64(index))
	link, ours := s.Link.Name, s.Link.Name != "" && !s.Link.Foreign
	var looks errgroup.Group // with many peers each of them takes its time
	looks.Go(func() (err error) {
		s.Guard, err = observeGuard(q.Link)
		return err
	})
	looks.Go(func() (err error) {
		if ours {
			s.Device, ours, err = observeDevice(link, len(q.Remotes))
		}
		return err
	})
	looks.Go(func() (err error) {
		if s.Rules, err = observeRules(); err == nil {
			s.Routes, err = observeRoutes(index, 2*len(q.Remotes))
		}
		return err
	})
	looks.Go(func() (err error) {
		f, err = observeFacts(q, link)
		return err
	})
	if err := looks.Wait(); err != nil {
		return s, f, err
	}
	s.Link.Foreign = s.Link.Name != "" && !ours // another's, or ours with its socket deleted: to be made anew
	s.Past, err = past(s, f.Others)
	return s, f, err
}

// Do implements tunnel.System. What there may be many of goes to the kernel in
// batches.
func (k *Kernel) Do(_ context.Context, steps []tunnel.Step) []error {
	switch steps[0].(type) {
	case tunnel.SetPeer:
		return doPeers(steps, setPeer)
	case tunnel.RemovePeer:
		return doPeers(steps, removePeer)
	case tunnel.GreetPeer:
		if k.device != nil {
			return k.greet(steps)
		}
		return k.greetKernels(steps)
	case tunnel.SetRoute, tunnel.RemoveRoute:
		return doRoutes(steps)
	}
	errs := make([]error, len(steps))
	for i, s := range steps {
		errs[i] = k.do(s)
	}
	return errs
}

func (k *Kernel) do(s tunnel.Step) error {
	switch s := s.(type) {
	case tunnel.ReplaceGuard:
		return replaceGuard(s.Guard)
	case tunnel.AddToGuard:
		return changeGuard(s.Guard, addToSet)
	case tunnel.TakeFromGuard:
		return changeGuard(s.Guard, takeFromSet)
	case tunnel.RemoveGuard:
		return removeGuard()
	case tunnel.CreateLink:
		return k.createLink(s.Link)
	case tunnel.SetLink:
		return k.setLink(s.Link)
	case tunnel.RemoveLink:
		return k.removeLink(s.Name)
	case tunnel.AddAddress:
		return addAddress(s.Link, s.Addr)
	case tunnel.RemoveAddress:
		return removeAddress(s.Link, s.Addr)
	case tunnel.SetDevice:
		return setDevice(s)
	case tunnel.ForgetPaths:
		return forgetPaths()
	case tunnel.AddRule:
		return addRule(s.Rule)
	case tunnel.RemoveRule:
		return removeRule(s.Rule)
	}
	return fmt.Errorf("no way to do %T", s)
}

// families are those that rules and routes are kept for.
var families = []int{netlink.FAMILY_V4, netlink.FAMILY_V6}

// unless returns err, or nil if it is one of the given ones.
func unless(err error, fine ...error) error {
	for _, f := range fine {
		if errors.Is(err, f) {
			return nil
		}
	}
	return err
}

// retry repeats a dump that the kernel says was disturbed.
func retry[T any](dump func() (T, error)) (v T, err error) {
	for range 10 {
		if v, err = dump(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return v, err
}

// ipv6Disabled says whether new links get no IPv6. Where /proc/sys cannot be
// read they are taken to have it.
func ipv6Disabled() bool {
	for _, conf := range []string{"all", "default"} {
		text, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + conf + "/disable_ipv6")
		if err == nil && strings.TrimSpace(string(text)) == "1" {
			return true
		}
	}
	return false
}

// hasIPv6 says whether the kernel has IPv6 at all (it has not with ipv6.disable=1).
func hasIPv6() bool {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	return !errors.Is(err, unix.EAFNOSUPPORT)
}
