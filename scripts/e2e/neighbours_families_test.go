package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"postroad/scripts/lab"
)

// A host with one address family only, and a peer with both, which tries the
// wrong one first: that one is closed at once, so that mail takes the other. The
// families come and go while the daemons run.
func TestNeighboursFamilies(t *testing.T) {
	ctx, l := newLab(t)
	r := &road{Standard: l}
	var err error
	r.alpha, err = l.Alpha.Postroad(ctx, binary)
	must(t, err)
	r.bravo, err = l.Bravo.Postroad(ctx, binary)
	must(t, err)
	p := newPost(ctx, t, l)
	families(ctx, t, l.Alpha, true, false)
	must(t, r.alpha.Write("[host]", r.bravo.Block()))
	must(t, r.bravo.Write("[host]", r.alpha.BlockOf(l.Alpha.IPv4)))
	must(t, errors.Join(r.alpha.Start(ctx), r.bravo.Start(ctx)))
	none := watch(ctx, t, l)
	oneFamily := func(t *testing.T, v6 bool) {
		t.Helper()
		must(t, r.alpha.WaitState(ctx, l.Bravo.Name, "protected"))
		must(t, r.bravo.WaitState(ctx, l.Alpha.Name, "protected"))
		noWay(ctx, t, l.Alpha, l.Bravo.Addr(!v6))
		// Postfix tries the wrong family first.
		preference := map[bool]string{true: lab.PreferIPv4, false: lab.PreferIPv6}[v6]
		must(t, p.alpha.Set(ctx, preference, "relayhost = [mx.bravo.example]:25"))
		arrives(ctx, t, p.alpha, "alice@alpha.example", p.bravo, "bob@bravo.example", l.Alpha.Addr(v6))
		logged(ctx, t, p.alpha, fmt.Sprintf("connect to mx.bravo.example[%s]:25: ", l.Bravo.Addr(!v6)))
		p.toAlpha(ctx, t, v6)
	}
	t.Run("IPv4 only", func(t *testing.T) { oneFamily(t, false) })
	t.Run("IPv6 switched off", func(t *testing.T) {
		must(t, l.Alpha.Sysctl("net.ipv6.conf.all.disable_ipv6", "1"))
		must(t, r.alpha.WaitState(ctx, l.Bravo.Name, "protected"))
		p.toBravo(ctx, t, false)
		must(t, r.alpha.Kill())
		must(t, r.alpha.Start(ctx))
		oneFamily(t, false)
		must(t, l.Alpha.Sysctl("net.ipv6.conf.all.disable_ipv6", "0"))
	})
	t.Run("IPv6 comes", func(t *testing.T) {
		families(ctx, t, l.Alpha, true, true)
		must(t, r.bravo.Write("[host]", r.alpha.Block()))
		_, err := r.bravo.Command(ctx, "reload")
		must(t, err)
		must(t, inPlace(ctx, r.alpha))
		p.bothWays(ctx, t, true)
	})
	t.Run("IPv4 goes", func(t *testing.T) {
		families(ctx, t, l.Alpha, false, true)
		must(t, r.bravo.Write("[host]", r.alpha.BlockOf(l.Alpha.IPv6)))
		_, err := r.bravo.Command(ctx, "reload")
		must(t, err)
		oneFamily(t, true)
	})
	t.Run("IPv6 only from the start", func(t *testing.T) {
		must(t, errors.Join(r.alpha.Kill(), r.bravo.Kill()))
		forget(ctx, t, l.Alpha.Host)
		must(t, errors.Join(r.alpha.Start(ctx), r.bravo.Start(ctx)))
		oneFamily(t, true)
	})
	t.Run("none in common", func(t *testing.T) {
		must(t, r.alpha.Write("[host]", r.bravo.BlockOf(l.Bravo.IPv4)))
		_, err := r.alpha.Command(ctx, "reload")
		must(t, err)
		must(t, r.alpha.WaitState(ctx, l.Bravo.Name, "blocked"))
		s, err := r.alpha.Peer(ctx, l.Bravo.Name)
		must(t, err)
		if !strings.Contains(s.Reason, "no address of ours to reach it from") {
			t.Errorf("the reason is %q", s.Reason)
		}
		noWay(ctx, t, l.Alpha, l.Bravo.IPv4)
	})
	none()
}

// noWay fails the test unless the kernel itself says that there is no way for
// SMTP to an address. No answer, which takes an MTA minutes, would be ETIMEDOUT.
func noWay(ctx context.Context, t *testing.T, from *lab.Site, to netip.Addr) {
	t.Helper()
	_, err := from.Run(ctx, "nc", "-n", "-v", "-z", "-w", "60", to.String(), "25")
	for _, words := range []string{"No route to host", "Network is unreachable", "Cannot assign requested address"} {
		if err != nil && strings.Contains(err.Error(), words) {
			return
		}
	}
	t.Errorf("SMTP from %s to %s is not refused at once: %v", from.Name, to, err)
}

// families gives a host addresses and routes of some families, and none of the
// others.
func families(ctx context.Context, t *testing.T, s *lab.Site, v4, v6 bool) {
	t.Helper()
	script := "ip -4 address flush dev eth0; ip -6 route flush default; ip -6 address flush dev eth0 scope global\n"
	if v4 {
		script += fmt.Sprintf("ip address add %s/24 dev eth0; ip route add default via 192.0.2.1\n", s.IPv4)
	}
	if v6 {
		script += fmt.Sprintf("ip address add %s/64 dev eth0 nodad; ip route add default via 2001:db8:a::1\n", s.IPv6)
	}
	run(ctx, t, s.Host, "sh", "-ec", script)
}
