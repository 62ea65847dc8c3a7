package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"postroad/scripts/lab"
)

// A wg is a WireGuard that is not ours, made by wg-quick(8): the kernel's where
// there is one, or else wireguard-go.
type wg struct {
	host            *lab.Host
	link            string
	private, public string
}

func newWG(ctx context.Context, t *testing.T, h *lab.Host, link string) *wg {
	t.Helper()
	private := run(ctx, t, h, "wg", "genkey")
	public := run(ctx, t, h, "sh", "-c", "echo "+private+" | wg pubkey")
	return &wg{h, link, private, public}
}

// configure writes wg-quick's file: lines of [Interface], and of [Peer].
func (w *wg) configure(t *testing.T, peer *wg, mine, theirs string) {
	t.Helper()
	text := fmt.Sprintf("[Interface]\nPrivateKey = %s\n%s\n[Peer]\nPublicKey = %s\n%s\n", w.private, mine, peer.public, theirs)
	must(t, w.host.WriteFile("/etc/wireguard/"+w.link+".conf", []byte(text), 0o600))
}

// quick runs wg-quick: up or down.
func (w *wg) quick(ctx context.Context, t *testing.T, what string) {
	t.Helper()
	run(ctx, t, w.host, "sh", "-ec", fmt.Sprintf("wg-quick %s %s >/run/wg-quick.log 2>&1 || { cat /run/wg-quick.log >&2; false; }", what, w.link))
}

// identity is what a link of WireGuard is and knows: another one of the same name
// has another number.
func identity(ctx context.Context, t *testing.T, h *lab.Host, link string) string {
	t.Helper()
	return run(ctx, t, h, "sh", "-ec", "ip address show dev "+link+"; wg showconf "+link)
}

// Hosts that also speak plain WireGuard, with each other at that and on the
// ordinary port: neither notices the other's life.
func TestNeighboursWireGuard(t *testing.T) {
	ctx, l := newLab(t)
	a, b := newWG(ctx, t, l.Alpha.Host, "wg0"), newWG(ctx, t, l.Bravo.Host, "wg0")
	a.configure(t, b, "Address = 10.9.0.1/24, fd00:9::1/64\nListenPort = 51820", "AllowedIPs = 10.9.0.2/32, fd00:9::2/128\nEndpoint = 198.51.100.20:51820")
	b.configure(t, a, "Address = 10.9.0.2/24, fd00:9::2/64\nListenPort = 51820", "AllowedIPs = 10.9.0.1/32, fd00:9::1/128\nEndpoint = 192.0.2.10:51820")
	a.quick(ctx, t, "up")
	b.quick(ctx, t, "up")
	r := pave(ctx, t, l)
	p := newPost(ctx, t, l)
	none := watch(ctx, t, l)
	through := func(t *testing.T) { // wg0: pings, and SMTP between addresses that are no peers'
		t.Helper()
		for _, to := range []string{"10.9.0.2", "fd00:9::2"} {
			if _, err := l.Alpha.Run(ctx, "ping", "-n", "-c", "1", "-W", "5", to); err != nil {
				t.Errorf("%s cannot be reached through wg0: %v", to, err)
			}
			if !reach(ctx, l.Alpha, to, "25") {
				t.Errorf("SMTP with %s does not get through wg0", to)
			}
		}
	}
	t.Run("side by side", func(t *testing.T) {
		through(t)
		p.bothWays(ctx, t, false)
		if got := run(ctx, t, l.Alpha.Host, "wg", "show", "interfaces"); !strings.Contains(got, "wg0") || !strings.Contains(got, "postroad0") {
			t.Errorf("wg show lists %s", got)
		}
	})
	same := func(t *testing.T, link, before string) {
		t.Helper()
		if after := identity(ctx, t, l.Alpha.Host, link); after != before {
			t.Errorf("%s was\n%s\nand is now\n%s", link, before, after)
		}
	}
	t.Run("postroad is started again", func(t *testing.T) {
		before := identity(ctx, t, l.Alpha.Host, "wg0")
		must(t, r.alpha.Kill())
		through(t)
		must(t, r.alpha.Start(ctx))
		must(t, r.alpha.WaitState(ctx, r.Bravo.Name, "protected"))
		through(t)
		p.bothWays(ctx, t, true)
		same(t, "wg0", before)
	})
	t.Run("wg0 is started again", func(t *testing.T) {
		before := identity(ctx, t, l.Alpha.Host, "postroad0")
		a.quick(ctx, t, "down")
		p.bothWays(ctx, t, false)
		a.quick(ctx, t, "up")
		through(t)
		same(t, "postroad0", before)
	})
	none()
	before := identity(ctx, t, l.Alpha.Host, "wg0")
	_, err := r.alpha.Command(ctx, "down")
	must(t, err)
	through(t)
	same(t, "wg0", before)
}
