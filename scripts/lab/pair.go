package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// A Pair is two mail hosts on one wire, with nothing between them: eth0 of each is an end of one veth pair. What is measured
// there is the hosts and no router.
//
//	alpha  mx1.alpha.example  192.0.2.10
//	bravo  mx.bravo.example   192.0.2.20
type Pair struct {
	*Lab
	Alpha, Bravo *Site // without Link and IPv6
}

// NewPair boots a pair.
func NewPair(ctx context.Context) (*Pair, error) {
	l, err := New(ctx)
	if err != nil {
		return nil, err
	}
	p := &Pair{Lab: l}
	if err := p.build(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("joining two hosts: %w", err), l.Close())
	}
	return p, nil
}

func (p *Pair) build(ctx context.Context) (err error) {
	if p.Alpha, err = p.end(ctx, "mx1.alpha.example", "192.0.2.10"); err != nil {
		return err
	}
	if p.Bravo, err = p.end(ctx, "mx.bravo.example", "192.0.2.20"); err != nil {
		return err
	}
	wire := fmt.Sprintf("link add %s type veth peer name %s netns %d", p.Alpha.nextInterface(), p.Bravo.nextInterface(), p.Bravo.Pid())
	if _, err := p.Alpha.runIn(ctx, unix.CLONE_NEWNET, "", "ip", strings.Fields(wire)...); err != nil {
		return err
	}
	for _, s := range p.Sites() {
		script := fmt.Sprintf("link set eth0 up\naddress add %s/24 dev eth0\n", s.IPv4)
		_, errHost := s.run(ctx, script, "ip", "-batch", "-")
		err = errors.Join(err, errHost)
	}
	return err
}

func (p *Pair) end(ctx context.Context, name, addr string) (*Site, error) {
	host, err := p.Host(ctx, name)
	return &Site{Host: host, IPv4: netip.MustParseAddr(addr)}, err
}

// Sites are the two hosts.
func (p *Pair) Sites() []*Site { return []*Site{p.Alpha, p.Bravo} }
