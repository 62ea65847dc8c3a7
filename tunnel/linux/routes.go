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
// of one of the two kinds that we make: about as many as is said.
func observeRoutes(link, about int) ([]tunnel.Route, error) {
	c, err := newAsker(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer c.close()
	all := make([]tunnel.Route, 0, about)
	for _, family := range families {
		routes, err := retry(func() ([]tunnel.Route, error) { return appendRoutes(all, c, uint8(family), link) })
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EAFNOSUPPORT) { // no such table yet
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("listing routes: %w", err)
		}
		all = routes
	}
	slices.SortFunc(all, tunnel.CompareRoutes)
	return slices.Compact(all), nil
}

func appendRoutes(all []tunnel.Route, c *asker, family uint8, link int) ([]tunnel.Route, error) {
	req := appendRouteHeader(nil, unix.RTM_GETROUTE, unix.NLM_F_DUMP, unix.RtMsg{Family: family, Protocol: tunnel.Protocol}, netip.Addr{})
	req = appendNumber(req, unix.RTA_TABLE, tunnel.Table)
	err := c.dump(req, func(data []byte) {
		if r, ok := parseRoute(data); ok && r.table == tunnel.Table && r.protocol == tunnel.Protocol {
			if t, ok := r.ours(link); ok {
				all = append(all, t)
			}
		}
	})
	return all, err
}

// A route is what we read of one.
type route struct {
	kind, protocol uint8
	table, metric  uint32
	dst            netip.Addr // zero: that of a wider prefix
	src            netip.Addr // zero: none
	link           int        // index; zero: none
	mtu            int        // bytes; zero: none
}

// parseRoute reads a message of rtnetlink(7) about a route.
func parseRoute(data []byte) (r route, ok bool) {
	if len(data) < unix.SizeofRtMsg {
		return r, false
	}
	bits := int(data[1])
	r.table, r.protocol, r.kind = uint32(data[4]), data[5], data[7]
	whole := attributes(data[unix.SizeofRtMsg:], func(kind uint16, value []byte) {
		switch kind {
		case unix.RTA_DST:
			if a, ok := netip.AddrFromSlice(value); ok && bits == a.BitLen() {
				r.dst = a
			}
		case unix.RTA_PREFSRC:
			r.src, _ = netip.AddrFromSlice(value)
		case unix.RTA_METRICS:
			attributes(value, func(kind uint16, value []byte) {
				if kind == unix.RTAX_MTU {
					r.mtu = int(number(value))
				}
			})
		case unix.RTA_TABLE:
			r.table = number(value)
		case unix.RTA_PRIORITY:
			r.metric = number(value)
		case unix.RTA_OIF:
			r.link = int(number(value))
		}
	})
	return r, whole
}

// ours returns the route as we know it, if it is of a kind that we make.
func (r *route) ours(link int) (tunnel.Route, bool) {
	switch {
	case !r.dst.IsValid():
	case r.kind == unix.RTN_UNREACHABLE && r.metric == tunnel.TwinMetric:
		return tunnel.Route{Dst: r.dst, Unreachable: true}, true
	case r.kind == unix.RTN_UNICAST && r.link == link && link != 0:
		return tunnel.Route{Dst: r.dst, Src: r.src, MTU: r.mtu}, true
	}
	return tunnel.Route{}, false
}

// doRoutes sets or removes the routes of steps of one kind.
func doRoutes(steps []tunnel.Step) []error {
	errs := make([]error, len(steps))
	if err := sendRoutes(steps, errs); err != nil {
		for i := range errs {
			errs[i] = err
		}
	}
	return errs
}

func sendRoutes(steps []tunnel.Step, errs []error) error {
	c, err := newAsker(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer c.close()
	links := map[string]int{}
	var requests []int // by the steps that they are for
	for i, s := range steps {
		link, route := routeOf(s)
		_, err := indexOf(link, route, links)
		switch {
		case removes(s) && errors.As(err, new(netlink.LinkNotFoundError)): // it went with its link
		case err != nil:
			errs[i] = err
		default:
			requests = append(requests, i)
		}
	}
	request := func(b []byte, i int) []byte { return appendRouteRequest(b, steps[requests[i]], links) }
	return c.all(len(requests), request, func(i int, _ []byte, err error) {
		if removes(steps[requests[i]]) {
			err = unless(err, unix.ESRCH)
		}
		errs[requests[i]] = err
	})
}

func routeOf(s tunnel.Step) (link string, r tunnel.Route) {
	if set, ok := s.(tunnel.SetRoute); ok {
		return set.Link, set.Route
	}
	remove := s.(tunnel.RemoveRoute)
	return remove.Link, remove.Route
}

func removes(s tunnel.Step) bool { _, is := s.(tunnel.RemoveRoute); return is }

// indexOf returns the index of the link that a route needs; zero: none.
func indexOf(name string, r tunnel.Route, known map[string]int) (int, error) {
	if index, ok := known[name]; r.Unreachable || ok {
		return index, nil
	}
	l, err := netlink.LinkByName(name)
	if err != nil {
		return 0, err
	}
	known[name] = l.Attrs().Index
	return l.Attrs().Index, nil
}

// appendRouteRequest appends the request of a step. Setting a route adds it or
// changes the source address and MTU of the one that is there; the twin, of
// another metric, is never touched by that.
func appendRouteRequest(b []byte, s tunnel.Step, links map[string]int) []byte {
	link, r := routeOf(s)
	kind, flags := uint16(unix.RTM_NEWROUTE), uint16(unix.NLM_F_CREATE|unix.NLM_F_REPLACE|unix.NLM_F_ACK)
	if removes(s) {
		kind, flags = unix.RTM_DELROUTE, unix.NLM_F_ACK
	}
	msg := unix.RtMsg{Dst_len: uint8(r.Dst.BitLen()), Protocol: tunnel.Protocol, Type: unix.RTN_UNICAST, Scope: unix.RT_SCOPE_LINK}
	if r.Unreachable {
		msg.Type, msg.Scope = unix.RTN_UNREACHABLE, unix.RT_SCOPE_UNIVERSE
	}
	b = appendRouteHeader(b, kind, flags, msg, r.Dst)
	b = appendNumber(b, unix.RTA_TABLE, tunnel.Table)
	if r.Unreachable {
		return appendNumber(b, unix.RTA_PRIORITY, tunnel.TwinMetric)
	}
	b = appendNumber(b, unix.RTA_OIF, uint32(links[link]))
	if r.Src.IsValid() { // one that is observed may have none
		b = appendAddr(b, unix.RTA_PREFSRC, r.Src)
	}
	if r.MTU > 0 {
		metrics := appendNumber(nil, unix.RTAX_MTU, uint32(r.MTU))
		if r.Dst.Is6() { // below 1280 the kernel would not ask the other side for less (ip6_rt_min_advmss)
			metrics = appendNumber(metrics, unix.RTAX_ADVMSS, uint32(r.MTU-60))
		}
		b = appendAttribute(b, unix.RTA_METRICS, metrics...)
	}
	return b
}

// appendRouteHeader appends the beginning of a request about the route to an
// address, which may be none.
func appendRouteHeader(b []byte, kind, flags uint16, m unix.RtMsg, dst netip.Addr) []byte {
	switch {
	case dst.Is4():
		m.Family = unix.AF_INET
	case dst.Is6():
		m.Family = unix.AF_INET6
	}
	b = appendHeader(b, kind, flags, m.Family, m.Dst_len, m.Src_len, m.Tos, m.Table, m.Protocol, m.Scope, m.Type, 0, 0, 0, 0)
	if dst.IsValid() {
		b = appendAddr(b, unix.RTA_DST, dst)
	}
	return b
}

func appendAddr(b []byte, kind uint16, a netip.Addr) []byte {
	if a.Is4() {
		four := a.As4()
		return appendAttribute(b, kind, four[:]...)
	}
	sixteen := a.As16()
	return appendAttribute(b, kind, sixteen[:]...)
}
