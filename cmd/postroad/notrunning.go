package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/spf13/cobra"

	"postroad/peers"
	"postroad/tunnel"
	"postroad/tunnel/linux"
)

// notRunning adds what can be seen in the kernel without the daemon.
func (o *options) notRunning(cmd *cobra.Command, err error) error {
	if !linux.Privileged() {
		return failed(err)
	}
	have, _, seeErr := linux.NewReader(slog.New(slog.DiscardHandler)).Observe(cmd.Context(), tunnel.Query{Link: o.linkName()})
	c, fileErr := peers.Load(o.file)
	switch {
	case seeErr != nil:
		return failed(errors.Join(err, seeErr))
	case fileErr != nil && len(closedTo(have)) == 0:
		return failed(fmt.Errorf("%w; nothing of it stands in the kernel: SMTP with peers flows IN CLEAR", err))
	case fileErr != nil:
		return failed(fmt.Errorf("%w; what it put in place for %d addresses stands, and the peers file is broken: postroad check", err, len(closedTo(have))))
	}
	c, _ = o.resolve(cmd.Context(), c)
	for _, p := range c.Peers {
		for _, a := range p.Addresses {
			if !tunnel.Closed(have, a, c.Host.Ports) {
				return failed(fmt.Errorf("%w; SMTP with %s (%s) can flow IN CLEAR", err, p.Name, a))
			}
		}
	}
	what := "waits"
	if have.Link.Backend == peers.Kernel && have.Link.Up {
		what = "goes on through the kernel's WireGuard"
	}
	return failed(fmt.Errorf("%w; the protection stands: SMTP with %d addresses of peers %s", err, len(closedTo(have)), what))
}

// closedTo returns the addresses that something of ours stands for.
func closedTo(s tunnel.State) []netip.Addr {
	all := slices.Clone(s.Guard.Peers)
	for _, r := range s.Routes {
		all = append(all, r.Dst)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}
