package linux

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"postroad/tunnel"
)

// observeRoutes reads the routes in our table that bear our protocol and are
// of one of the two kinds that we make.
func observeRoutes(link int) ([]tunnel.Route, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening netlink: %w", err)
	}
	defer h.Close()
	if err := h.SetStrictCheck(true); err != nil { // the kernel filters by table, not we
		return nil, fmt.Errorf("asking for strict checks: %w", err)
	}
	var all []tunnel.Route
	for _, family := range families {
		filter := &netlink.Route{Table: tunnel.Table, Protocol: tunnel.Protocol}
		routes, err := retry(func() ([]netlink.Route, error) {
			return h.RouteListFiltered(family, filter, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
		})
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EAFNOSUPPORT) { // no such table yet
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("listing routes: %w", err)
		}
		for _, r := range routes {
			if t, ok := fromRoute(r, link); ok {
				all = append(all, t)
			}
		}
	}
	slices.SortFunc(all, tunnel.CompareRoutes)
	return slices.Compact(all), nil
}

func fromRoute(r netlink.Route, link int) (tunnel.Route, bool) {
	p, ok := prefix(r.Dst)
	if !ok || !p.IsSingleIP() {
		return tunnel.Route{}, false
	}
	src, _ := netip.AddrFromSlice(r.Src)
	switch {
	case r.Type == unix.RTN_UNREACHABLE && r.Priority == tunnel.TwinMetric:
		return tunnel.Route{Dst: p.Addr(), Unreachable: true}, true
	case r.Type == unix.RTN_UNICAST && r.LinkIndex == link && link != 0:
		return tunnel.Route{Dst: p.Addr(), Src: src.Unmap(), MTU: r.MTU}, true
	}
	return tunnel.Route{}, false
}

func toRoute(link string, r tunnel.Route) (*netlink.Route, error) {
	n := &netlink.Route{Dst: ipNet(netip.PrefixFrom(r.Dst, r.Dst.BitLen())), Table: tunnel.Table, Protocol: tunnel.Protocol}
	if r.Unreachable {
		n.Type, n.Priority = unix.RTN_UNREACHABLE, tunnel.TwinMetric
		return n, nil
	}
	l, err := netlink.LinkByName(link)
	if err != nil {
		return nil, err
	}
	n.Type, n.Scope, n.LinkIndex, n.Src = unix.RTN_UNICAST, netlink.SCOPE_LINK, l.Attrs().Index, r.Src.AsSlice()
	if n.MTU = r.MTU; r.Dst.Is6() && r.MTU > 0 {
		n.AdvMSS = r.MTU - 60 // below 1280 the kernel would not ask the other side for less (ip6_rt_min_advmss)
	}
	return n, nil
}

// setRoute adds a route or changes the source address of the one that is there;
// the twin, of another metric, is never touched by that.
func setRoute(link string, r tunnel.Route) error {
	n, err := toRoute(link, r)
	if err != nil {
		return err
	}
	return netlink.RouteReplace(n)
}

func removeRoute(link string, r tunnel.Route) error {
	n, err := toRoute(link, r)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil // it went with its link
	}
	if err != nil {
		return err
	}
	return unless(netlink.RouteDel(n), unix.ESRCH)
}
