package linux

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"postroad/tunnel"
)

// observeRoutes reads the routes in our table that bear our protocol and are
// of one of the two kinds that we make.
func observeRoutes(link int) ([]tunnel.Route, error) {
	c, err := newAsker(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer c.close()
	var all []tunnel.Route
	for _, family := range families {
		routes, err := retry(func() ([]tunnel.Route, error) { return dumpRoutes(c, uint8(family), link) })
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EAFNOSUPPORT) { // no such table yet
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("listing routes: %w", err)
		}
		all = append(all, routes...)
	}
	slices.SortFunc(all, tunnel.CompareRoutes)
	return slices.Compact(all), nil
}

func dumpRoutes(c *asker, family uint8, link int) (all []tunnel.Route, err error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETROUTE, 0)
	req.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: family, Protocol: tunnel.Protocol}})
	req.AddData(nl.NewRtAttr(unix.RTA_TABLE, nl.Uint32Attr(tunnel.Table)))
	err = c.dump(req, func(data []byte) {
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
	var requests []*nl.NetlinkRequest
	var of []int // the steps that they are for
	for i, s := range steps {
		req, err := routeRequest(s, links)
		if errs[i] = err; req != nil && err == nil {
			requests, of = append(requests, req), append(of, i)
		}
	}
	return c.all(requests, func(i int, _ []byte, err error) {
		if _, removes := steps[of[i]].(tunnel.RemoveRoute); removes {
			err = unless(err, unix.ESRCH)
		}
		errs[of[i]] = err
	})
}

// routeRequest makes the request of a step; nil: there is nothing to do. Setting a
// route adds it or changes the source address and MTU of the one that is there;
// the twin, of another metric, is never touched by that.
func routeRequest(s tunnel.Step, links map[string]int) (*nl.NetlinkRequest, error) {
	set, sets := s.(tunnel.SetRoute)
	if sets {
		index, err := indexOf(set.Link, set.Route, links)
		req := nl.NewNetlinkRequest(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE|unix.NLM_F_ACK)
		addRoute(req, set.Route, index)
		return req, err
	}
	remove := s.(tunnel.RemoveRoute)
	index, err := indexOf(remove.Link, remove.Route, links)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, nil // it went with its link
	}
	req := nl.NewNetlinkRequest(unix.RTM_DELROUTE, unix.NLM_F_ACK)
	addRoute(req, remove.Route, index)
	return req, err
}

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

// addRoute puts a route into a request.
func addRoute(req *nl.NetlinkRequest, r tunnel.Route, link int) {
	msg := &nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_INET, Dst_len: uint8(r.Dst.BitLen()), Protocol: tunnel.Protocol}}
	if r.Dst.Is6() {
		msg.Family = unix.AF_INET6
	}
	req.AddData(msg)
	attr := func(kind int, value []byte) { req.AddData(nl.NewRtAttr(kind, value)) }
	attr(unix.RTA_DST, r.Dst.AsSlice())
	attr(unix.RTA_TABLE, nl.Uint32Attr(tunnel.Table))
	if r.Unreachable {
		msg.Type = unix.RTN_UNREACHABLE
		attr(unix.RTA_PRIORITY, nl.Uint32Attr(tunnel.TwinMetric))
		return
	}
	msg.Type, msg.Scope = unix.RTN_UNICAST, unix.RT_SCOPE_LINK
	attr(unix.RTA_OIF, nl.Uint32Attr(uint32(link)))
	attr(unix.RTA_PREFSRC, r.Src.AsSlice())
	if r.MTU > 0 {
		metrics := nl.NewRtAttr(unix.RTA_METRICS, nil)
		metrics.AddRtAttr(unix.RTAX_MTU, nl.Uint32Attr(uint32(r.MTU)))
		if r.Dst.Is6() { // below 1280 the kernel would not ask the other side for less (ip6_rt_min_advmss)
			metrics.AddRtAttr(unix.RTAX_ADVMSS, nl.Uint32Attr(uint32(r.MTU-60)))
		}
		req.AddData(metrics)
	}
}
