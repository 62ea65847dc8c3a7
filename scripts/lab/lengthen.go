package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// Lengthen puts a second router between the router and a site, whose own wire then leads to that one, and returns the wire
// between the two: what does not fit it, neither end of the path can see from its own interface.
func (s *Standard) Lengthen(ctx context.Context, site *Site) (*Link, error) {
	far, err := s.Host(ctx, "far.router.example")
	if err != nil {
		return nil, err
	}
	w := site.Link
	end := far.nextInterface()
	move := fmt.Sprintf("link set %s netns %d name %s", w.RouterInterface, far.Pid(), end)
	if _, err := w.Router.runIn(ctx, unix.CLONE_NEWNET, "", "ip", strings.Fields(move)...); err != nil {
		return nil, err
	}
	w.Router, w.RouterInterface = far, end
	between, err := s.Connect(ctx, s.Router, far, "172.31.0.2/30", "2001:db8:ff::2/126")
	err = errors.Join(err, w.Up(ctx), far.forward())
	for _, own := range []struct{ prefix, via string }{
		{fmt.Sprintf("%s/24", site.IPv4), "172.31.0.2"},
		{fmt.Sprintf("%s/64", site.IPv6), "2001:db8:ff::2"},
	} {
		prefix, parseErr := netip.ParsePrefix(own.prefix)
		err = errors.Join(err, parseErr, w.addressRouter(ctx, own.prefix),
			s.Router.quiet(ctx, "ip", "route", "replace", prefix.Masked().String(), "via", own.via))
	}
	if err != nil {
		return nil, fmt.Errorf("lengthening the way to %s: %w", site.Name, err)
	}
	return between, nil
}
