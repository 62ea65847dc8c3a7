package linux

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"postroad/tunnel"
)

// observeOthers reads the rules that are not ours, and come before where ours
// begin to be, but for the one to the addresses of this host.
func observeOthers() (all []tunnel.OtherRule, err error) {
	for _, family := range families {
		rules, err := retry(func() ([]netlink.Rule, error) { return netlink.RuleList(family) })
		if errors.Is(err, unix.EAFNOSUPPORT) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("listing rules: %w", err)
		}
		for _, r := range rules {
			ours := r.Table == tunnel.Table && r.Protocol == tunnel.Protocol
			if !ours && r.Priority <= tunnel.PortPriority && r.Table != unix.RT_TABLE_LOCAL {
				all = append(all, tunnel.OtherRule{IPv6: family == netlink.FAMILY_V6, Priority: r.Priority, Text: ruleText(r)})
			}
		}
	}
	return all, nil
}

// ruleText writes a rule as `ip rule` does, so that it can be found there.
func ruleText(r netlink.Rule) string {
	w := []string{fmt.Sprintf("%d:", r.Priority)}
	word := func(show bool, format string, a ...any) {
		if show {
			w = append(w, fmt.Sprintf(format, a...))
		}
	}
	end := func(n *net.IPNet) string {
		if n == nil {
			return "all"
		}
		p, _ := prefix(n)
		if p.IsSingleIP() {
			return p.Addr().String()
		}
		return p.String()
	}
	word(r.Invert, "not")
	word(true, "from %s", end(r.Src))
	word(r.Dst != nil, "to %s", end(r.Dst))
	switch {
	case r.Mark != 0 && r.Mask != nil && *r.Mask != 0xffffffff:
		word(true, "fwmark %#x/%#x", r.Mark, *r.Mask)
	case r.Mark != 0:
		word(true, "fwmark %#x", r.Mark)
	}
	word(r.IifName != "", "iif %s", r.IifName)
	word(r.OifName != "", "oif %s", r.OifName)
	word(r.UIDRange != nil, "uidrange")
	word(r.IPProto == unix.IPPROTO_TCP, "ipproto tcp")
	word(r.Sport != nil, "sport %s", portText(r.Sport))
	word(r.Dport != nil, "dport %s", portText(r.Dport))
	word(r.Table != 0, "lookup %s", tableName(r.Table))
	word(r.SuppressPrefixlen >= 0, "suppress_prefixlength %d", r.SuppressPrefixlen)
	return strings.Join(w, " ")
}

func portText(r *netlink.RulePortRange) string {
	switch {
	case r == nil:
		return ""
	case r.Start == r.End:
		return fmt.Sprint(r.Start)
	}
	return fmt.Sprintf("%d-%d", r.Start, r.End)
}

func tableName(n int) string {
	switch n {
	case unix.RT_TABLE_MAIN:
		return "main"
	case unix.RT_TABLE_DEFAULT:
		return "default"
	}
	return fmt.Sprint(n)
}

// past asks the kernel where SMTP goes to the addresses that we have tunnel
// routes for, and tells of those for which that is not the tunnel. Where nobody's
// rule comes before ours, nobody need be asked.
func past(s tunnel.State, others []tunnel.OtherRule) (map[netip.Addr]string, error) {
	names := map[bool][]string{}
	for _, o := range others {
		if ours := firstOf(s.Rules, o.IPv6); ours != nil && o.Priority <= ours.Priority {
			names[o.IPv6] = append(names[o.IPv6], fmt.Sprintf("%q", o.Text))
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	links, err := interfaceTable()
	if err != nil {
		return nil, err
	}
	all := map[netip.Addr]string{}
	for six, quoted := range names {
		to := tunnelled(s.Routes, six)
		err = errors.Join(err, smtpWays(to, firstOf(s.Rules, six).DstPort, links, func(i int, way string, err error) {
			if err == nil && way != s.Link.Name {
				all[to[i]] = fmt.Sprintf("to %s instead of into the tunnel, by a rule before ours: %s", way, strings.Join(quoted, ", "))
			}
		}))
	}
	return all, err
}

// tunnelled returns the addresses of a family that have a route into the tunnel.
func tunnelled(routes []tunnel.Route, ipv6 bool) (all []netip.Addr) {
	for _, r := range routes {
		if !r.Unreachable && r.Dst.Is6() == ipv6 {
			all = append(all, r.Dst)
		}
	}
	return all
}

// firstOf returns our first rule for packets to a port; nil: none.
func firstOf(rules []tunnel.Rule, ipv6 bool) *tunnel.Rule {
	i := slices.IndexFunc(rules, func(r tunnel.Rule) bool { return r.IPv6 == ipv6 && r.DstPort != 0 })
	if i < 0 {
		return nil
	}
	return &rules[i]
}
