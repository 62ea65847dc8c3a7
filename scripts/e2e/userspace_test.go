package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"postroad/scripts/lab"
)

// The tests named TestUserspace are for WireGuard within the daemon, with which
// mail waits while that is down.

// A UAPI socket that somebody deletes is made again, with the link.
func TestUserspaceDeletedDeviceSocketIsRepaired(t *testing.T) {
	needBackend(t, "userspace")
	ctx, r := newRoad(t)
	run(ctx, t, r.Alpha.Host, "rm", "/run/wireguard/postroad0.sock")
	must(t, r.alpha.Write("[host]\nmtu = 1400", r.bravo.Block()))
	_, err := r.alpha.Command(ctx, "reload")
	must(t, err)
	run(ctx, t, r.Alpha.Host, "wg", "show", "postroad0")
	must(t, inPlace(ctx, r.alpha))
	must(t, r.alpha.WaitState(ctx, r.Bravo.Name, "protected"))
}

// While a daemon is dead its mail waits, with a reason, and is delivered when it
// is back; nothing is in clear and nothing is lost.
func TestUserspaceMailWaitsWhileDaemonIsDead(t *testing.T) {
	needBackend(t, "userspace")
	ctx, r := newRoad(t)
	alpha, bravo := postfix(ctx, t, r.Alpha), postfix(ctx, t, r.Bravo)
	none := watch(ctx, t, r.Standard)
	for _, dead := range []*lab.Postroad{r.alpha, r.bravo} {
		must(t, dead.Kill())
		marker := "while-dead-" + dead.Site.Name
		id, err := alpha.Send(ctx, "alice@alpha.example", "bob@bravo.example", marker, "hello")
		must(t, err)
		if dead == r.alpha { // at once; a dead peer lets SYNs run into their time-out
			reason, err := alpha.WaitDeferred(ctx, id)
			must(t, err)
			if !strings.Contains(reason, "No route to host") {
				t.Errorf("Postfix gives another reason: %s", reason)
			}
		}
		must(t, dead.Start(ctx))
		must(t, alpha.Flush(ctx))
		_, err = bravo.WaitMail(ctx, "bob", marker)
		must(t, err)
	}
	none()
}

// 100 MB in one mail, while the daemon of either side is killed and started
// again: the connection goes on within a second, and the mail arrives unaltered.
func TestUserspaceLargeMailSurvivesKill(t *testing.T) {
	needBackend(t, "userspace")
	ctx, r := newRoad(t)
	large := []string{"message_size_limit = 0", "smtp_tls_security_level = none", lab.PreferIPv4}
	alpha, bravo := postfix(ctx, t, r.Alpha, large...), postfix(ctx, t, r.Bravo, large...)
	body := largeBody(100 << 20)
	none := watch(ctx, t, r.Standard)
	for _, victim := range []*lab.Postroad{r.alpha, r.bravo} {
		t.Run(victim.Site.Name, func(t *testing.T) {
			marker := "large-" + victim.Site.Name
			begin := sealedBytes(ctx, t, r)
			id, err := alpha.Send(ctx, "alice@alpha.example", "bob@bravo.example", marker, body)
			must(t, err)
			must(t, more(ctx, r, begin+20<<20, 30*time.Second))
			must(t, victim.Kill())
			at := sealedBytes(ctx, t, r)
			if at > begin+90<<20 {
				t.Fatal("the mail was through before the daemon was killed")
			}
			must(t, victim.Start(ctx))
			start := time.Now()
			check(t, more(ctx, r, at+1<<20, time.Second))
			t.Logf("figure: large mail goes on %s after the daemon of %s is ready again", time.Since(start).Round(time.Millisecond), victim.Site.Name)
			wantUnaltered(ctx, t, alpha, bravo, "bob@bravo.example", id, marker, body)
		})
	}
	none()
}

// badLink drops every twenty-fifth of the tunnels' packets, large ones made of many
// as a whole; with moved, bravo's come from another port, as behind a NAT that
// has forgotten the first. Slow leaves time to change things under a mail.
func badLink(moved, slow bool) string {
	rules := ""
	if slow {
		rules = "udp dport { 51825, 40000 } limit rate over 4 mbytes/second burst 300 kbytes drop\n"
	}
	rules += "udp dport { 51825, 40000 } numgen inc mod 25 == 0 counter name lost drop\n"
	if moved {
		rules += "ip saddr 198.51.100.20 udp sport 51825 udp sport set 40000 counter name moved\nip daddr 198.51.100.20 udp dport 40000 udp dport set 51825\n"
	}
	return "table inet bad\ndelete table inet bad\ntable inet bad {\ncounter lost { }\ncounter moved { }\nchain forward {\ntype filter hook forward priority 10\n" + rules + "}\n}\n"
}

// Mail arrives unaltered over a link that loses packets, and goes on when a peer's
// outer port changes in the middle of it.
func TestUserspaceMailOverABadLink(t *testing.T) {
	needBackend(t, "userspace")
	ctx, r := newRoad(t)
	large := []string{"message_size_limit = 0", "smtp_tls_security_level = none", lab.PreferIPv4}
	alpha, bravo := postfix(ctx, t, r.Alpha, large...), postfix(ctx, t, r.Bravo, large...)
	body := largeBody(20 << 20)
	none := watch(ctx, t, r.Standard)
	load := func(rules string) { run(ctx, t, r.Router, "sh", "-c", "printf '%s' '"+rules+"' | nft -f -") }
	for _, moved := range []bool{true, false} {
		load(badLink(!moved, true))
		marker, begin := fmt.Sprintf("moved-%v", moved), sealedBytes(ctx, t, r)
		id, err := bravo.Send(ctx, "alice@bravo.example", "alice@alpha.example", marker, body)
		must(t, err)
		must(t, more(ctx, r, begin+4<<20, 30*time.Second))
		load(badLink(moved, false))
		if sealedBytes(ctx, t, r) > begin+18<<20 {
			t.Error("the mail was through before the port changed")
		}
		wantUnaltered(ctx, t, bravo, alpha, "alice@alpha.example", id, marker, body)
		for counter, want := range map[string]bool{"lost": true, "moved": moved} {
			if out := run(ctx, t, r.Router, "nft", "list", "counter", "inet", "bad", counter); strings.Contains(out, "packets 0 ") == want {
				t.Errorf("moved %v: %s", moved, out)
			}
		}
	}
	none()
}

// A start is over soon, on a host that has nothing of ours yet: the guard stands,
// and so does all else. The best of three counts, as others use the machine too.
func TestUserspaceStartIsFast(t *testing.T) {
	needBackend(t, "userspace")
	ctx, l, alpha := newHalfRoad(t)
	took := time.Hour
	for range 3 {
		begin := time.Now()
		must(t, alpha.Start(ctx))
		took = min(took, time.Since(begin))
		must(t, alpha.Kill())
		forget(ctx, t, l.Alpha.Host)
	}
	t.Logf("figure: from start to ready, best of 3: %s", took.Round(time.Millisecond))
	if took > 500*time.Millisecond { // 0.2 s on an idle machine
		t.Errorf("it took %s", took)
	}
}

// Where the kernel has no WireGuard and the file asks for it, all stays as it was,
// and the reason is told.
func TestUserspaceGoesToKernelWhereItCan(t *testing.T) {
	needBackend(t, "userspace")
	ctx, r := newRoad(t)
	none := watch(ctx, t, r.Standard)
	_, kernelErr := r.Charlie.Run(ctx, "ip", "link", "add", "probe0", "type", "wireguard")
	must(t, r.alpha.Write("[host]\nbackend = \"kernel\"", r.bravo.Block()))
	_, err := r.alpha.Command(ctx, "reload")
	if kernelErr == nil {
		must(t, err)
		must(t, r.alpha.WaitState(ctx, r.Bravo.Name, "protected"))
	} else {
		exitStatus(t, err, 2)
		if !strings.Contains(fmt.Sprint(err), "the kernel has no WireGuard") {
			t.Errorf("reload says %v", err)
		}
		must(t, r.alpha.WaitState(ctx, r.Bravo.Name, "protected"))
	}
	none()
}

// A host without TUN, or with one that the daemon may not use, is told so in one
// line, and nothing is done. scripts/vm/missing takes kernel modules away.
func TestUserspaceMissingTUN(t *testing.T) {
	needBackend(t, "userspace")
	ctx, l, _ := newHalfRoad(t)
	snapshot := func() string {
		return run(ctx, t, l.Alpha.Host, "sh", "-c", "ip rule; ip route show table all; ip -6 route show table all; nft list ruleset; ip link; ls -R /var/lib")
	}
	before := snapshot()
	run(ctx, t, l.Alpha.Host, "mount", "-t", "tmpfs", "tmpfs", "/dev/net")
	_, err := l.Alpha.Run(ctx, "postroad", "run")
	exitStatus(t, err, 2)
	_, says, _ := strings.Cut(fmt.Sprint(err), `level=ERROR msg="not running" error=`)
	if !strings.Contains(says, "modprobe tun") || strings.Contains(says, "\n") {
		t.Errorf("not one clear line: %v", err)
	}
	if after := snapshot(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}
