package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"postroad/scripts/lab"
)

// Hosts with several addresses, whose mail servers speak from one that is not
// the first: Postfix listens on it only, Exim is told of it.
func TestNeighboursBind(t *testing.T) {
	ctx, l := newLab(t)
	second := map[*lab.Site][]netip.Addr{
		l.Alpha: {netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("2001:db8:a::11")},
		l.Bravo: {netip.MustParseAddr("198.51.100.21"), netip.MustParseAddr("2001:db8:b::21")},
	}
	all := map[*lab.Site][]netip.Addr{}
	for s, addrs := range second {
		run(ctx, t, s.Host, "sh", "-ec", fmt.Sprintf("ip addr add %s/24 dev eth0; ip addr add %s/64 dev eth0 nodad", addrs[0], addrs[1]))
		all[s] = append([]netip.Addr{s.IPv4, s.IPv6}, addrs...)
	}
	alpha, err := l.Alpha.Postroad(ctx, binary)
	must(t, err)
	bravo, err := l.Bravo.Postroad(ctx, binary)
	must(t, err)
	none := watchSMTP(ctx, t, l, nil)
	p := &post{l: l, alpha: postfix(ctx, t, l.Alpha, "inet_interfaces = 192.0.2.11, 2001:db8:a::11")}
	p.bravo, err = l.Bravo.Exim(ctx)
	must(t, err)
	bothWays := func(t *testing.T, fromAlpha, fromBravo []netip.Addr) {
		t.Helper()
		for i, v6 := range []bool{false, true} {
			must(t, p.alpha.Set(ctx, fmt.Sprintf("relayhost = [%s]:25", l.Bravo.Addr(v6))))
			arrives(ctx, t, p.alpha, "alice@alpha.example", p.bravo, "bob@bravo.example", fromAlpha[i])
			must(t, p.bravo.Set(ctx, lab.EximSource(second[l.Bravo][i].String()),
				lab.EximRoute(second[l.Alpha][i].String(), 25)))
			arrives(ctx, t, p.bravo, "bob@bravo.example", p.alpha, "alice@alpha.example", fromBravo[i])
		}
	}
	t.Run("declared", func(t *testing.T) {
		must(t, alpha.Write("[host]\naddresses = "+tomlList(all[l.Alpha]), bravo.BlockOf(all[l.Bravo]...)))
		must(t, bravo.Write("[host]\naddresses = "+tomlList(all[l.Bravo]), alpha.BlockOf(all[l.Alpha]...)))
		must(t, alpha.Start(ctx))
		must(t, bravo.Start(ctx))
		must(t, alpha.WaitState(ctx, l.Bravo.Name, "protected"))
		bothWays(t, second[l.Alpha], second[l.Bravo])
	})
	t.Run("not known to the peer", func(t *testing.T) {
		must(t, bravo.Write("[host]\naddresses = "+tomlList(all[l.Bravo]), alpha.Block()))
		must(t, alpha.Write("[host]\naddresses = "+tomlList(all[l.Alpha]), bravo.BlockOf(l.Bravo.IPv4))) // the doctor takes its time for each
		for _, p := range []*lab.Postroad{alpha, bravo} {
			_, err := p.Command(ctx, "reload")
			must(t, err)
		}
		if reach(ctx, l.Alpha, "-s", "192.0.2.11", l.Bravo.IPv4.String(), "25") {
			t.Error("bravo answers to an address that it does not know")
		}
		r, err := examine(ctx, alpha)
		must(t, err)
		if !slices.ContainsFunc(r.Findings, func(f finding) bool {
			return f.Check == "sources" && f.Severity == "problem" && strings.Contains(f.What, "192.0.2.11")
		}) {
			t.Errorf("the doctor says %+v", r.Findings)
		}
	})
	t.Run("not declared", func(t *testing.T) {
		must(t, alpha.Write("[host]\naddresses = "+tomlList(all[l.Alpha][:2]), bravo.BlockOf(all[l.Bravo]...)))
		_, err := alpha.Command(ctx, "reload")
		must(t, err)
		for i, v6 := range []bool{false, true} {
			must(t, p.alpha.Set(ctx, fmt.Sprintf("relayhost = [%s]:25", l.Bravo.Addr(v6))))
			arrives(ctx, t, p.alpha, "alice@alpha.example", p.bravo, "bob@bravo.example", all[l.Alpha][i])
		}
	})
	none()
}

// tomlList writes a list as TOML has it.
func tomlList(addrs []netip.Addr) string {
	var all []string
	for _, a := range addrs {
		all = append(all, fmt.Sprintf("%q", a))
	}
	return "[" + strings.Join(all, ", ") + "]"
}
