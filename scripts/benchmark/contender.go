package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"postroad/scripts/lab"
)

// A contender is a way to carry SMTP between two hosts.
type contender struct {
	name    string
	bare    bool                                               // it protects nothing
	local   bool                                               // it takes connections on its own host: alpha connects to itself
	version func() string                                      // what it calls its version
	lacks   func() error                                       // why it cannot be measured here; nil: it can
	up      func(context.Context, *stage) ([]*lab.Proc, error) // sets it up on both hosts, and returns its processes
	settle  func(context.Context, *stage, []*lab.Proc) error   // waits until it is as fast as it gets; nil: it is as soon as it answers
}

// contenders are all there are, in the order of the tables.
func contenders(o options) []contender {
	all := []contender{none()}
	binaries := o.postroad
	if len(binaries) == 0 {
		binaries = []string{filepath.Join(o.tools, "postroad")}
	}
	for i, b := range binaries {
		name := "postroad"
		if i > 0 {
			name = fmt.Sprintf("postroad:%d", i+1)
		}
		all = append(all, postroad(name, "userspace", b))
	}
	return append(all, upstream(filepath.Join(o.tools, "wireguard")), openvpn(), nebula(o.tools), tinc(), ssh(), stunnel(),
		postroadKernel(binaries[0]), kernelWireGuard(), statefulWireGuard(), kernelESP())
}

func none() contender {
	return contender{
		name:    "none",
		bare:    true,
		version: func() string { return "no protection" },
		lacks:   func() error { return nil },
		up:      func(context.Context, *stage) ([]*lab.Proc, error) { return nil, nil },
	}
}

// need returns a lacks that looks for programs.
func need(programs ...string) func() error {
	return func() error {
		var errs []error
		for _, p := range programs {
			if _, err := exec.LookPath(p); err != nil {
				errs = append(errs, fmt.Errorf("there is no %s here", filepath.Base(p)))
			}
		}
		return errors.Join(errs...)
	}
}

// says returns a version that asks a program, and takes the first words of its answer.
func says(words int, program string, args ...string) func() string {
	return func() string {
		out, _ := exec.Command(program, args...).CombinedOutput() // some tell it with exit status 1
		f := strings.Fields(string(out))
		return strings.Join(f[:min(words, len(f))], " ")
	}
}

// A trial is a contender that is up on a stage.
type trial struct {
	*stage
	contender
	daemons []*lab.Proc
	meter   meter
	target  netip.Addr // where alpha connects to
}

// raise sets a contender up and waits until a connection is answered through it.
func (s *stage) raise(ctx context.Context, c contender) (*trial, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second*lab.Patience())
	defer cancel()
	t := &trial{stage: s, contender: c, target: s.Bravo.IPv4}
	if c.local {
		t.target = netip.MustParseAddr("127.0.0.1")
	}
	var err error
	if t.daemons, err = c.up(ctx, s); err != nil {
		return nil, err
	}
	if _, err := s.probe(ctx, "reach", t.address(probePort)); err != nil {
		for _, d := range t.daemons {
			err = fmt.Errorf("%w\n%s", err, lastLines(d.Output(), 5))
		}
		return nil, err
	}
	if c.settle != nil {
		err = c.settle(ctx, s, t.daemons)
	}
	return t, err
}

// address is where alpha connects to for a server of bravo's.
func (t *trial) address(port int) string { return fmt.Sprintf("%s:%d", t.target, port) }

// lastLines returns the end of a text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
