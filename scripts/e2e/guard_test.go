package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postroad/scripts/lab"
)

// reach says whether TCP connections come about: two in a row, as nc was seen
// to take an ICMP error that comes at once for a connection.
func reach(ctx context.Context, from *lab.Site, words ...string) bool {
	for range 2 {
		if _, err := from.Run(ctx, "nc", append([]string{"-n", "-z", "-w", "2"}, words...)...); err != nil {
			return false
		}
	}
	return true
}

// listen accepts connections on a port, on both families.
func listen(ctx context.Context, t *testing.T, s *lab.Site, port string) {
	t.Helper()
	for _, addr := range []string{"0.0.0.0:", "[::]:"} {
		_, err := s.Sink(ctx, addr+port)
		must(t, err)
	}
}

// Other ports between the same hosts, and SMTP with other hosts, go as if
// postroad were not there: on the wire, in clear, both ways.
func TestEverythingElseIsLeftAlone(t *testing.T) {
	ctx, r := newRoad(t)
	sites := []*lab.Site{r.Alpha, r.Bravo, r.Charlie}
	for _, s := range sites {
		for _, port := range []string{"22", "443", "25"} {
			listen(ctx, t, s, port)
		}
	}
	w, err := r.WatchClear(ctx, 22, 443)
	must(t, err)

	for _, from := range sites {
		for _, to := range sites {
			for _, v6 := range []bool{false, true} {
				for _, port := range []string{"22", "443"} {
					if from != to && !reach(ctx, from, to.Addr(v6).String(), port) {
						t.Errorf("%s cannot reach %s port %s (v6 %v)", from.Name, to.Name, port, v6)
					}
				}
				if from != to && !reach(ctx, from, to.Addr(v6).String(), "25") {
					t.Errorf("%s cannot reach %s port 25 (v6 %v)", from.Name, to.Name, v6)
				}
			}
		}
	}
	n, err := w.Finish(ctx)
	must(t, err)
	if n < 8*3 { // two hosts, two ways, two ports, two families: each at least a handshake
		t.Errorf("only %d packets of SSH and HTTPS between the peers on the wire: they took another way", n)
	}
	run(ctx, t, r.Alpha.Host, "ping", "-c", "1", "-W", "2", r.Bravo.IPv4.String())
	run(ctx, t, r.Alpha.Host, "ping", "-c", "1", "-W", "2", r.Bravo.IPv6.String())
}

// Clear SMTP that comes from a peer's address is refused at once, softly, and
// counted; so is what we send while only the guard stands.
func TestClearSMTPIsRefusedAndCounted(t *testing.T) {
	ctx, r := newRoad(t)
	listen(ctx, t, r.Alpha, "25")
	listen(ctx, t, r.Bravo, "25")
	_, err := r.bravo.Command(ctx, "down")
	must(t, err)
	for _, v6 := range []bool{false, true} {
		refusedAtOnce(ctx, t, r.Bravo, r.Alpha.Addr(v6).String())
	}
	must(t, counted(ctx, r.alpha, r.Bravo.Name, func(p lab.PeerStatus) uint64 { return p.RefusedIn }))

	none := watch(ctx, t, r.Standard)
	must(t, r.alpha.Signal(unix.SIGSTOP)) // so that it does not repair
	run(ctx, t, r.Alpha.Host, damages(r.Bravo)["all rules"]...)
	for _, v6 := range []bool{false, true} {
		refusedAtOnce(ctx, t, r.Alpha, r.Bravo.Addr(v6).String())
	}
	must(t, r.alpha.Signal(unix.SIGCONT))
	must(t, counted(ctx, r.alpha, r.Bravo.Name, func(p lab.PeerStatus) uint64 { return p.RefusedOut }))
	none()
}

// refusedAtOnce fails the test unless SMTP is refused as an MTA likes it: at
// once, with an error that makes it try again later.
func refusedAtOnce(ctx context.Context, t *testing.T, from *lab.Site, to string) {
	t.Helper()
	_, err := from.Run(ctx, "nc", "-n", "-v", "-z", "-w", "5", to, "25")
	if err == nil && reach(ctx, from, to, "25") {
		t.Errorf("clear SMTP from %s to %s got through", from.Name, to)
	} else if text := fmt.Sprint(err); err != nil && !strings.Contains(text, "No route to host") && !strings.Contains(text, "Permission denied") {
		t.Errorf("not refused at once: %v", err)
	}
}

func counted(ctx context.Context, p *lab.Postroad, peer string, counter func(lab.PeerStatus) uint64) error {
	return lab.Eventually(ctx, 5*time.Second, "a count of refused packets", func() error {
		s, err := p.Peer(ctx, peer)
		if err == nil && counter(s) == 0 {
			err = errors.New("it is 0")
		}
		return err
	})
}

// The tunnel opens nothing that was closed: a peer that sends what he likes into
// it reaches SMTP on our mail addresses, and nothing else.
func TestLinkCarriesOnlySMTP(t *testing.T) {
	ctx, r := newRoad(t)
	for _, port := range []string{"22", "25"} {
		listen(ctx, t, r.Alpha, port)
	}
	run(ctx, t, r.Alpha.Host, "ip", "addr", "add", "10.9.9.9/32", "dev", "lo") // an internal address
	// Bravo sends all that goes to alpha through the tunnel, without a guard of its own.
	must(t, r.bravo.Write("[host]\nports = [22, 25]", r.alpha.Block()))
	_, err := r.bravo.Command(ctx, "reload")
	must(t, err)
	must(t, r.bravo.WaitState(ctx, r.Alpha.Name, "protected"))
	for _, v6 := range []bool{false, true} {
		to := r.Alpha.Addr(v6).String()
		if !reach(ctx, r.Bravo, to, "25") {
			t.Errorf("SMTP does not get through (v6 %v)", v6)
		}
		if reach(ctx, r.Bravo, to, "22") {
			t.Errorf("SSH got through the tunnel (v6 %v)", v6)
		}
		if reach(ctx, r.Bravo, "-p", "25", to, "22") {
			t.Errorf("SSH got through the tunnel from port 25 (v6 %v)", v6)
		}
	}
	run(ctx, t, r.Bravo.Host, "ip", "route", "add", "10.9.9.9", "dev", "postroad0", "src", r.Bravo.IPv4.String())
	must(t, lab.Eventually(ctx, 20*time.Second, "an attempt", func() error {
		run(ctx, t, r.Bravo.Host, "wg", "set", "postroad0", "peer", r.alpha.Key,
			"allowed-ips", fmt.Sprintf("%s/32,%s/128,10.9.9.9/32", r.Alpha.IPv4, r.Alpha.IPv6))
		if reach(ctx, r.Bravo, "10.9.9.9", "25") {
			t.Error("an internal address can be reached through the tunnel")
		}
		if !strings.Contains(run(ctx, t, r.Bravo.Host, "wg", "show", "postroad0", "allowed-ips"), "10.9.9.9") {
			return errors.New("bravo's daemon has repaired bravo meanwhile")
		}
		return nil
	}))
}

// ICMP errors about tunnelled connections quote them, so they take the tunnel.
func TestICMPErrorsTakeTheTunnel(t *testing.T) {
	ctx, r := newRoad(t)
	run(ctx, t, r.Alpha.Host, "sh", "-c", `nft -f - <<-EOT
		table inet admin {
			chain input {
				type filter hook input priority 0
				tcp dport 25 reject with icmpx port-unreachable
			}
		}
	EOT`)
	c, err := r.Router.Capture(ctx, r.Alpha.Link.RouterInterface, "icmp or (icmp6 and ip6[40] < 128)")
	must(t, err)
	for _, v6 := range []bool{false, true} {
		check(t, lab.Eventually(ctx, 5*time.Second, "the error to come through the tunnel", func() error {
			_, err := r.Bravo.Run(ctx, "nc", "-n", "-v", "-z", "-w", "2", r.Alpha.Addr(v6).String(), "25")
			if err == nil || !strings.Contains(err.Error(), "Connection refused") {
				return fmt.Errorf("v6 %v: %v", v6, err)
			}
			return nil
		}))
	}
	// The control: an error about a connection of no peer's is on the wire.
	_, _ = r.Charlie.Run(ctx, "nc", "-n", "-z", "-w", "5", r.Alpha.IPv4.String(), "25")
	must(t, lab.Eventually(ctx, 5*time.Second, "the control", func() error {
		n, err := c.Count(ctx, "host "+r.Charlie.IPv4.String())
		if err == nil && n == 0 {
			err = errors.New("it was not captured")
		}
		return err
	}))
	must(t, c.Stop(ctx))
	if n, err := c.Count(ctx, fmt.Sprintf("host %s or host %s", r.Bravo.IPv4, r.Bravo.IPv6)); err != nil || n > 0 {
		t.Errorf("%d ICMP errors to the peer in clear (%v)", n, err)
	}
}

// Operators save the whole ruleset, and have it loaded at each boot: with the
// guard in it, it loads, and is the guard.
func TestUserspaceSavedRulesetLoads(t *testing.T) {
	needBackend(t, "userspace")
	ctx, r := newRoad(t)
	none := watch(ctx, t, r.Standard)
	run(ctx, t, r.Alpha.Host, "sh", "-c", "nft list ruleset >/run/saved && (echo flush ruleset && cat /run/saved) | nft -f -")
	must(t, lab.Eventually(ctx, 10*time.Second, "the guard to be in place", func() error { return inPlace(ctx, r.alpha) }))
	must(t, r.alpha.Kill())
	run(ctx, t, r.Alpha.Host, "sh", "-c", "nft flush ruleset && nft -f /run/saved")
	listen(ctx, t, r.Bravo, "25")
	if reach(ctx, r.Alpha, r.Bravo.IPv4.String(), "25") {
		t.Error("a connection came about without a daemon")
	}
	must(t, r.alpha.Start(ctx))
	if !reach(ctx, r.Alpha, r.Bravo.IPv4.String(), "25") {
		t.Error("no connection comes about with the daemon")
	}
	none()
}

// Every hook of the guard refuses alone: with the daemon stopped and all rules
// gone nothing gets out or in, by either port, sent or forwarded, over either
// family, and the last chain holds where the one before is empty.
func TestEveryHookOfTheGuardRefuses(t *testing.T) {
	ctx, r := newRoad(t)
	for _, s := range []*lab.Site{r.Alpha, r.Bravo} {
		for _, port := range []string{"25", "4000"} {
			listen(ctx, t, s, port)
		}
	}
	inner, err := r.Host(ctx, "inner.alpha.example")
	must(t, err)
	_, err = r.Connect(ctx, r.Alpha.Host, inner, "10.1.0.2/24", "2001:db8:1::2/64")
	must(t, err)
	run(ctx, t, r.Router, "ip", "route", "add", "10.1.0.0/24", "via", r.Alpha.IPv4.String())
	run(ctx, t, r.Router, "ip", "route", "add", "2001:db8:1::/64", "via", r.Alpha.IPv6.String())
	_, err = r.bravo.Command(ctx, "down")
	must(t, err)
	must(t, r.alpha.Signal(unix.SIGSTOP))
	run(ctx, t, r.Alpha.Host, damages(r.Bravo)["all rules"]...)

	behind := &lab.Site{Host: inner}
	c, err := r.Router.Capture(ctx, r.Bravo.Link.RouterInterface, "tcp and (port 25 or port 587)")
	must(t, err)
	for _, v6 := range []bool{false, true} {
		alpha, bravo := r.Alpha.Addr(v6).String(), r.Bravo.Addr(v6).String()
		if !reach(ctx, r.Alpha, bravo, "4000") || !reach(ctx, r.Bravo, alpha, "4000") || !reach(ctx, behind, bravo, "4000") {
			t.Fatalf("the control does not get through (v6 %v)", v6)
		}
		for name, got := range map[string]bool{
			"to port 25":              reach(ctx, r.Alpha, bravo, "25"),
			"from port 587":           reach(ctx, r.Alpha, "-p", "587", bravo, "4000"),
			"from within, to port 25": reach(ctx, behind, bravo, "25"),
		} {
			if got {
				t.Errorf("clear SMTP %s got out (v6 %v)", name, v6)
			}
		}
	}
	run(ctx, t, r.Alpha.Host, "sh", "-c", "nft flush chain inet postroad sending; nft flush chain inet postroad passing")
	for _, v6 := range []bool{false, true} {
		bravo := r.Bravo.Addr(v6).String()
		if reach(ctx, r.Alpha, bravo, "25") || reach(ctx, r.Alpha, "-p", "587", bravo, "4000") || reach(ctx, behind, bravo, "25") {
			t.Errorf("clear SMTP got out past the last chain (v6 %v)", v6)
		}
	}
	must(t, c.Stop(ctx))
	if n, err := c.Count(ctx, "tcp"); err != nil || n > 0 {
		lines, _ := c.Lines(ctx, 10)
		t.Errorf("%d packets in clear (%v):\n%s", n, err, strings.Join(lines, "\n"))
	}
	for _, v6 := range []bool{false, true} {
		alpha := r.Alpha.Addr(v6).String()
		if reach(ctx, r.Bravo, alpha, "25") || reach(ctx, r.Bravo, "-p", "587", alpha, "4000") {
			t.Errorf("clear SMTP got in (v6 %v)", v6)
		}
	}
}
