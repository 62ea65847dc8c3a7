package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"postroad/scripts/lab"
)

// cloud is a router's 1:1 NAT, as clouds have it: the world knows alpha by its
// public addresses, alpha itself has others.
const cloud = `
ip address add 10.0.0.1/24 dev %[1]s
ip address add fd00:a::1/64 dev %[1]s nodad
nft -f - <<-EOT
	table inet cloud {
		chain in {
			type nat hook prerouting priority dstnat
			ip daddr 192.0.2.10 dnat ip to 10.0.0.10
			ip6 daddr 2001:db8:a::10 dnat ip6 to fd00:a::10
		}
		chain out {
			type nat hook postrouting priority srcnat
			ip saddr 10.0.0.10 oifname != %[1]s snat ip to 192.0.2.10
			ip6 saddr fd00:a::10 oifname != %[1]s snat ip6 to 2001:db8:a::10
		}
	}
EOT
`

// private is how alpha is set up behind it.
const private = `
ip address flush dev eth0 scope global
ip address add 10.0.0.10/24 dev eth0
ip address add fd00:a::10/64 dev eth0 nodad
ip route replace default via 10.0.0.1
ip -6 route replace default via fd00:a::1
`

// newCloudRoad lays a road whose alpha is behind a 1:1 NAT.
func newCloudRoad(t *testing.T) (context.Context, *road) {
	t.Helper()
	ctx, l, alpha := newHalfRoad(t, fmt.Sprintf("addresses = [%q, %q]", "192.0.2.10", "2001:db8:a::10"))
	run(ctx, t, l.Router, "sh", "-ec", fmt.Sprintf(cloud, l.Alpha.Link.RouterInterface))
	run(ctx, t, l.Alpha.Host, "sh", "-ec", private)
	bravo := &lab.Postroad{Site: l.Bravo}
	key := run(ctx, t, l.Bravo.Host, "sh", "-c", "postroad pubkey <"+lab.KeyFile)
	bravo.Key = key
	r := &road{l, alpha, bravo}
	t.Cleanup(func() {
		for _, p := range []*lab.Postroad{alpha, bravo} {
			if t.Failed() && p.Proc != nil {
				t.Logf("%s:\n%s", p.Site.Name, p.Output())
			}
		}
	})
	must(t, bravo.Write("[host]", alpha.Block()))
	must(t, alpha.Start(ctx))
	must(t, bravo.Start(ctx))
	must(t, alpha.WaitState(ctx, l.Bravo.Name, "protected"))
	must(t, bravo.WaitState(ctx, l.Alpha.Name, "protected"))
	return ctx, r
}

// Behind a 1:1 NAT a mail server that is bound to the private addresses works as
// well as one that is bound to all, and so does one in a container, whoever
// sets up his rules last. The doctor has nothing to complain of.
func TestNAT(t *testing.T) {
	ctx, r := newCloudRoad(t)
	none := watch(ctx, t, r.Standard)
	c, err := r.Router.Capture(ctx, r.Alpha.Link.RouterInterface, "tcp and (port 25 or port 465 or port 587) and (host 10.0.0.10 or host fd00:a::10)")
	must(t, err)
	bravo := exim(ctx, t, r.Bravo)
	for _, bound := range []struct{ name, settings string }{
		{"bound to the private address", "inet_interfaces = 10.0.0.10, fd00:a::10"},
		{"bound to all", "inet_interfaces = all"},
	} {
		alpha := postfix(ctx, t, r.Alpha, bound.settings)
		t.Run(bound.name, func(t *testing.T) { bothWays(ctx, t, r, alpha, bravo) })
		if out, err := r.alpha.Command(ctx, "doctor"); err != nil || strings.Contains(out, "warning:") {
			t.Errorf("the doctor, %s: %v\n%s", bound.name, err, out)
		}
		must(t, alpha.Stop(ctx))
	}
	_, alpha := contain(ctx, t, r, lab.Docker)
	t.Run("container", func(t *testing.T) { bothWays(ctx, t, r, alpha, bravo) })
	run(ctx, t, r.Alpha.Host, "nft", "delete", "table", "inet", "postroad")
	must(t, inPlace(ctx, r.alpha))
	t.Run("container that was first", func(t *testing.T) { bothWays(ctx, t, r, alpha, bravo) })
	none()
	must(t, c.Stop(ctx))
	if n, err := c.Count(ctx, "not host 203.0.113.25"); err != nil || n > 0 {
		lines, _ := c.Lines(ctx, 10)
		t.Errorf("%d packets of SMTP in clear before the router (%v):\n%s", n, err, strings.Join(lines, "\n"))
	}
}

// A gateway that forwards another machine's mail, with and without masquerading
// for it, is to peers what the machine itself would be.
func TestGateway(t *testing.T) {
	ctx, r := newRoad(t)
	none := watch(ctx, t, r.Standard)
	inside := behind(ctx, t, r)
	wire, err := r.Connect(ctx, r.Alpha.Host, inside.Host, "10.1.0.2/24", "fd00:1::2/64")
	must(t, err)
	run(ctx, t, r.Alpha.Host, "sh", "-c", fmt.Sprintf(`nft -f - <<-EOT
		table inet gateway {
			chain in {
				type nat hook prerouting priority dstnat
				iifname != %[1]s tcp dport 25 dnat ip to 10.1.0.2
				iifname != %[1]s tcp dport 25 dnat ip6 to fd00:1::2
			}
			chain out {
				type nat hook postrouting priority srcnat
			}
		}
	EOT`, wire.RouterInterface))
	alpha, bravo := postfix(ctx, t, inside), exim(ctx, t, r.Bravo)
	t.Run("without masquerading", func(t *testing.T) { bothWays(ctx, t, r, alpha, bravo) })
	run(ctx, t, r.Alpha.Host, "nft", "add", "rule", "inet", "gateway", "out", "oifname", "!=", wire.RouterInterface, "masquerade")
	t.Run("with masquerading", func(t *testing.T) { bothWays(ctx, t, r, alpha, bravo) })
	none()
}
