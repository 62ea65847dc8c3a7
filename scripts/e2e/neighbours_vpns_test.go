package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"postroad/scripts/lab"
)

// Other VPNs of alpha's with policy routing of their own, that take all of its
// traffic to charlie, from where it goes on with charlie's addresses: before and
// after postroad. SMTP with bravo is in our tunnel, which is in theirs.
func TestNeighboursVPNs(t *testing.T) {
	ctx, l := newLab(t)
	full, exit := newVPNs(ctx, t, l)
	alpha, err := l.Alpha.Postroad(ctx, binary)
	must(t, err)
	bravo, err := l.Bravo.Postroad(ctx, binary)
	must(t, err)
	must(t, alpha.Write(`[host]`, bravo.Block()))
	must(t, bravo.Write("[host]", alpha.Block()))
	full.quick(ctx, t, "up")
	must(t, errors.Join(alpha.Start(ctx), bravo.Start(ctx)))
	p := newPost(ctx, t, l)
	none := watchSMTP(ctx, t, l, map[string]*lab.Host{"wg0": l.Charlie.Host})
	mail := func(t *testing.T, v6 bool) {
		t.Helper()
		must(t, alpha.WaitState(ctx, l.Bravo.Name, "protected"))
		p.bothWays(ctx, t, v6)
	}
	t.Run("full tunnel is there", func(t *testing.T) {
		before := vpnBytes(ctx, t, l)
		mail(t, false)
		if sent := vpnBytes(ctx, t, l) - before; sent < 1000 {
			t.Errorf("the VPN has carried %d bytes: the mail took another way", sent)
		}
	})
	t.Run("full tunnel goes", func(t *testing.T) {
		full.quick(ctx, t, "down")
		mail(t, true)
	})
	t.Run("full tunnel comes", func(t *testing.T) {
		full.quick(ctx, t, "up") // its rules land before ours
		mail(t, true)
		if rules := run(ctx, t, l.Alpha.Host, "ip", "rule"); strings.Index(rules, "lookup 51820") < strings.LastIndex(rules, "lookup 2525") {
			t.Errorf("rules of the VPN's come before ours:\n%s", rules)
		}
		full.quick(ctx, t, "down")
		check(t, inPlace(ctx, alpha))
		if rules := run(ctx, t, l.Alpha.Host, "ip", "rule"); !strings.Contains(rules, "2510:\tfrom all ipproto tcp dport 25 ") {
			t.Errorf("our rules are not back:\n%s", rules)
		}
	})
	t.Run("exit node of tailscale's kind", func(t *testing.T) {
		exit.quick(ctx, t, "up")
		mail(t, false)
		must(t, alpha.Kill())
		must(t, alpha.Start(ctx))
		mail(t, true)
		exit.quick(ctx, t, "down")
	})
	t.Run("a rule that is meant to come first", func(t *testing.T) {
		run(ctx, t, l.Alpha.Host, "sh", "-ec", `ip rule add priority 100 to 198.51.100.0/24 lookup main
			ip -6 rule add priority 100 to 2001:db8:b::/64 lookup main`)
		for _, v6 := range []bool{false, true} {
			refusedAtOnce(ctx, t, l.Alpha, l.Bravo.Addr(v6).String())
		}
		must(t, alpha.WaitState(ctx, l.Bravo.Name, "blocked"))
		s, err := alpha.Peer(ctx, l.Bravo.Name)
		must(t, err)
		if !strings.Contains(s.Reason, `"100: from all to 198.51.100.0/24 lookup main"`) {
			t.Errorf("does not name the rule: %s", s.Reason)
		}
		run(ctx, t, l.Alpha.Host, "sh", "-ec", "ip rule del priority 100; ip -6 rule del priority 100")
		mail(t, false)
	})
	none()
}

// newVPNs starts charlie's end of a VPN, and makes alpha's ready: as a full tunnel
// of wg-quick's, and with the rules of tailscale.
func newVPNs(ctx context.Context, t *testing.T, l *lab.Standard) (full, exit *wg) {
	t.Helper()
	full, server := newWG(ctx, t, l.Alpha.Host, "wg0"), newWG(ctx, t, l.Charlie.Host, "wg0")
	server.configure(t, full, "Address = 10.8.0.1/24, fd00:8::1/64\nListenPort = 51820", "AllowedIPs = 10.8.0.2/32, fd00:8::2/128")
	const mine, theirs = "Address = 10.8.0.2/24, fd00:8::2/64\n", "AllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = 203.0.113.30:51820"
	full.configure(t, server, mine, theirs)
	exit = &wg{full.host, "tailscale0", full.private, full.public}
	exit.configure(t, server, mine+tailscale(), theirs)
	server.quick(ctx, t, "up")
	run(ctx, t, l.Charlie.Host, "sh", "-ec", `sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
		nft add table inet exit; nft add chain inet exit p '{ type nat hook postrouting priority 100; }'
		nft add rule inet exit p iifname wg0 oifname eth0 masquerade`)
	return full, exit
}

// tailscale is its policy routing, in wg-quick's words: what bears its mark goes
// out as ever, and all else by its table.
func tailscale() string {
	text := "Table = 52\nFwMark = 0x80000\n"
	for _, f := range []string{"-4", "-6"} {
		for _, r := range []string{"5210 fwmark 0x80000/0xff0000 lookup main", "5230 fwmark 0x80000/0xff0000 lookup default",
			"5250 fwmark 0x80000/0xff0000 unreachable", "5270 lookup 52"} {
			text += fmt.Sprintf("PostUp = ip %s rule add priority %s\nPreDown = ip %s rule del priority %.4s\n", f, r, f, r)
		}
	}
	return text
}

// watchSMTP looks for SMTP in clear wherever it could be: with any address on
// alpha's wire and bravo's, and on interfaces elsewhere.
func watchSMTP(ctx context.Context, t *testing.T, l *lab.Standard, elsewhere map[string]*lab.Host) (none func()) {
	t.Helper()
	onWires := watch(ctx, t, l)
	const filter = "tcp and (port 25 or port 465 or port 587) and not host 203.0.113.25" // but for the canary
	more := map[string]*lab.Host{l.Bravo.Link.RouterInterface: l.Router, l.Alpha.Link.RouterInterface: l.Router}
	maps.Copy(more, elsewhere)
	var all []*lab.Capture
	for iface, host := range more {
		c, err := host.Capture(ctx, iface, filter)
		must(t, err)
		all = append(all, c)
	}
	return func() {
		t.Helper()
		onWires()
		for _, c := range all {
			must(t, c.Stop(ctx))
			if lines, err := c.Lines(ctx, 10); err != nil || len(lines) > 0 {
				t.Errorf("SMTP in clear (%v): %q", err, lines)
			}
		}
	}
}

// vpnBytes is what charlie's end of the VPN has received.
func vpnBytes(ctx context.Context, t *testing.T, l *lab.Standard) (n int) {
	t.Helper()
	out := run(ctx, t, l.Charlie.Host, "sh", "-c", "wg show wg0 transfer | cut -f 2")
	if _, err := fmt.Sscan(out, &n); err != nil {
		t.Fatalf("reading %q: %v", out, err)
	}
	return n
}
