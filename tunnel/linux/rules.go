package linux

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"postroad/tunnel"
)

// observeRules reads the rules that bear our protocol, lead to our table, and
// have no selectors that ours never have.
func observeRules() ([]tunnel.Rule, error) {
	var all []tunnel.Rule
	for _, family := range families {
		rules, err := retry(func() ([]netlink.Rule, error) { return netlink.RuleList(family) })
		if errors.Is(err, unix.EAFNOSUPPORT) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("listing rules: %w", err)
		}
		for _, r := range rules {
			if t := fromRule(family, r); reflect.DeepEqual(*toRule(t), r) {
				all = append(all, t)
			}
		}
	}
	slices.SortFunc(all, tunnel.CompareRules)
	return all, nil
}

func fromRule(family int, r netlink.Rule) tunnel.Rule {
	t := tunnel.Rule{IPv6: family == netlink.FAMILY_V6, Priority: r.Priority, Mark: r.Mark}
	if r.Sport != nil {
		t.SrcPort = r.Sport.Start
	}
	if r.Dport != nil {
		t.DstPort = r.Dport.Start
	}
	return t
}

func toRule(r tunnel.Rule) *netlink.Rule {
	n := netlink.NewRule() // a zero Rule is refused
	n.Family, n.Priority, n.Table, n.Protocol = netlink.FAMILY_V4, r.Priority, tunnel.Table, tunnel.Protocol
	if r.IPv6 {
		n.Family = netlink.FAMILY_V6
	}
	if r.Mark != 0 {
		mask := r.Mark
		n.Mark, n.Mask = r.Mark, &mask
	}
	if r.SrcPort != 0 {
		n.IPProto, n.Sport = unix.IPPROTO_TCP, netlink.NewRulePortRange(r.SrcPort, r.SrcPort)
	}
	if r.DstPort != 0 {
		n.IPProto, n.Dport = unix.IPPROTO_TCP, netlink.NewRulePortRange(r.DstPort, r.DstPort)
	}
	return n
}

func addRule(r tunnel.Rule) error {
	return unless(netlink.RuleAdd(toRule(r)), unix.EEXIST)
}

// removeRule names every attribute: by priority alone the kernel would delete
// whoever's rule comes first.
func removeRule(r tunnel.Rule) error {
	return unless(netlink.RuleDel(toRule(r)), unix.ENOENT)
}

// forgetPaths adds a rule and takes it away again: a change of rules is what
// makes the kernel void all cached IPv6 routes. The rule says what another one
// says already, so that it changes nothing if we die before it is gone.
func forgetPaths() error {
	r := tunnel.Rule{IPv6: true, Priority: tunnel.MarkPriority + 1, Mark: tunnel.Mark}
	if err := addRule(r); err != nil {
		return err
	}
	return removeRule(r)
}
