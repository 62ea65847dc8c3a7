package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"postroad/scripts/lab"
)

// A user without the right gets one clear line.
func TestUnprivilegedUser(t *testing.T) {
	ctx, r := newRoad(t)
	for _, command := range []string{"run", "plan", "down", "status", "reload", "check"} {
		t.Run(command, func(t *testing.T) {
			_, err := r.Alpha.Run(ctx, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "postroad", command)
			if err == nil {
				t.Fatal("he may do that")
			}
			_, says, _ := strings.Cut(fmt.Sprint(err), "postroad: ")
			if says == "" || strings.Contains(says, "\n") || strings.Contains(says, "operation not permitted") {
				t.Errorf("not one clear line: %v", err)
			}
		})
	}
	must(t, r.alpha.WaitState(ctx, r.Bravo.Name, "protected"))
}

// Two daemons would undo each other's work.
func TestSecondDaemonIsRefused(t *testing.T) {
	ctx, r := newRoad(t)
	_, err := r.alpha.Command(ctx, "run")
	exitStatus(t, err, 1)
	if !strings.Contains(fmt.Sprint(err), "another postroad is running") {
		t.Errorf("says %v", err)
	}
	must(t, r.alpha.WaitState(ctx, r.Bravo.Name, "protected"))
}

// Nobody else's interface is adopted or deleted.
func TestForeignLinkIsLeftAlone(t *testing.T) {
	ctx, l, _ := newHalfRoad(t)
	run(ctx, t, l.Alpha.Host, "ip", "tuntap", "add", "postroad0", "mode", "tun")
	p, err := l.Alpha.Start("postroad", "run")
	must(t, err)
	must(t, eventuallySays(ctx, p, "is not ours"))
	none := watch(ctx, t, l)
	if reach(ctx, l.Alpha, l.Bravo.IPv4.String(), "25") {
		t.Error("SMTP flows although the link could not be made")
	}
	none()
	run(ctx, t, l.Alpha.Host, "ip", "link", "show", "postroad0")
	run(ctx, t, l.Alpha.Host, "ip", "link", "del", "postroad0")
	must(t, eventuallySays(ctx, p, "ready:"))
}

// Taking down deletes no interface that only bears our name, with a socket that
// a killed daemon left behind.
func TestDownLeavesForeignLink(t *testing.T) {
	ctx, r := newRoad(t)
	must(t, r.alpha.Kill())
	run(ctx, t, r.Alpha.Host, "sh", "-c", "ip link del postroad0 2>/dev/null; ip tuntap add postroad0 mode tun")
	_, err := r.alpha.Command(ctx, "down")
	must(t, err)
	run(ctx, t, r.Alpha.Host, "ip", "link", "show", "postroad0")
	if out := run(ctx, t, r.Alpha.Host, "sh", "-c", "ip rule; nft list ruleset"); strings.Contains(out, "2525") || strings.Contains(out, "postroad") {
		t.Errorf("left behind:\n%s", out)
	}
}

// The daemon does not start with a broken file; what stands goes on to stand.
func TestStartWithBrokenFile(t *testing.T) {
	ctx, r := newRoad(t)
	must(t, r.alpha.Kill())
	must(t, r.alpha.Write("[host]\nmtu = 1", r.bravo.Block()))
	none := watch(ctx, t, r.Standard)
	_, err := r.alpha.Command(ctx, "run")
	exitStatus(t, err, 2)
	if reach(ctx, r.Alpha, r.Bravo.IPv4.String(), "25") {
		t.Error("SMTP flows")
	}
	none()
	_, err = r.alpha.Command(ctx, "status")
	exitStatus(t, err, 1)
	if !strings.Contains(fmt.Sprint(err), "for 2 addresses stands") {
		t.Errorf("status says %v", err)
	}
}

// Where the tunnel cannot be made both layers stand all the same, and the reason
// is told: here another program has the port.
func TestTakenPortClosesAndTells(t *testing.T) {
	ctx, l, alpha := newHalfRoad(t)
	other, err := l.Alpha.Start("nc", "-u", "-l", "-p", "51825")
	must(t, err)
	p, err := l.Alpha.Start("postroad", "run")
	must(t, err)
	must(t, eventuallySays(ctx, p, "address already in use"))
	none := watch(ctx, t, l)
	for _, words := range [][]string{{"nft", "flush", "ruleset"}, damages(l.Bravo)["all rules"]} {
		run(ctx, t, l.Alpha.Host, words...)
		if reach(ctx, l.Alpha, l.Bravo.IPv4.String(), "25") {
			t.Error("SMTP flows")
		}
		must(t, lab.Eventually(ctx, time.Second, "both layers to be back", func() error {
			out, err := alpha.Command(ctx, "plan")
			if err == nil && (strings.Contains(out, "guard") || strings.Contains(out, "rule")) {
				err = errors.New(out)
			}
			return err
		}))
	}
	none()
	must(t, other.Kill())
	must(t, eventuallySays(ctx, p, "ready:"))
}

// A layer that cannot be put in place does not keep the other one down: here the
// guard's table belongs to somebody who lets nobody change it.
func TestRulesStandWhereTheGuardCannot(t *testing.T) {
	ctx, l, _ := newHalfRoad(t)
	owner := l.Alpha.Command(ctx, "nft", "-i")
	in, err := owner.StdinPipe()
	must(t, err)
	must(t, owner.Start())
	t.Cleanup(func() {
		in.Close()
		_ = owner.Wait()
	})
	_, err = fmt.Fprintln(in, "add table inet postroad { flags owner; }")
	must(t, err)
	must(t, lab.Eventually(ctx, 5*time.Second, "the table", func() error {
		_, err := l.Alpha.Run(ctx, "nft", "list", "table", "inet", "postroad")
		return err
	}))
	p, err := l.Alpha.Start("postroad", "run")
	must(t, err)
	must(t, eventuallySays(ctx, p, "put guard in place"))
	none := watch(ctx, t, l)
	for _, v6 := range []bool{false, true} {
		if reach(ctx, l.Alpha, l.Bravo.Addr(v6).String(), "25") {
			t.Errorf("SMTP flows (v6 %v)", v6)
		}
	}
	none()
}

// IPv6 that the administrator has switched off does not take IPv4 along.
func TestMailFlowsWithIPv6SwitchedOff(t *testing.T) {
	ctx, l := newLab(t)
	for _, conf := range []string{"all", "default"} {
		must(t, l.Alpha.Sysctl("net.ipv6.conf."+conf+".disable_ipv6", "1"))
	}
	alpha, err := l.Alpha.Postroad(ctx, binary)
	must(t, err)
	bravo, err := l.Bravo.Postroad(ctx, binary)
	must(t, err)
	must(t, alpha.Write("[host]\naddresses = [\"192.0.2.10\", \"2001:db8:a::10\"]", bravo.Block()))
	must(t, bravo.Write("[host]", alpha.Block()))
	must(t, alpha.Start(ctx))
	must(t, bravo.Start(ctx))
	listen(ctx, t, l.Bravo, "25")
	none := watch(ctx, t, l)
	must(t, alpha.WaitState(ctx, l.Bravo.Name, "protected"))
	if !reach(ctx, l.Alpha, l.Bravo.IPv4.String(), "25") {
		t.Error("IPv4 SMTP does not get through")
	}
	none()
}

// forget makes of a host what a reboot does: nothing of ours is in the kernel.
func forget(ctx context.Context, t *testing.T, h *lab.Host) {
	t.Helper()
	run(ctx, t, h, "sh", "-c", `nft flush ruleset; ip link del postroad0
		for f in -4 -6; do ip $f route flush table 2525; done; `+allRules)
}

// A daemon that cannot start after a reboot, whatever it is that is broken,
// leaves closed what the last good peers file protected.
func TestBrokenAtBootLeavesClosed(t *testing.T) {
	ctx, l, alpha := newHalfRoad(t)
	good, err := l.Alpha.ReadFile(lab.PeersFile)
	must(t, err)
	listen(ctx, t, l.Bravo, "25")
	listen(ctx, t, l.Bravo, "4000")
	must(t, alpha.Start(ctx))
	must(t, alpha.Kill())
	for name, damage := range map[string]string{
		"a broken file": "echo mtu = 1 >>" + lab.PeersFile,
		"no file":       "rm " + lab.PeersFile,
		"a pipe":        "rm " + lab.PeersFile + "; mkfifo " + lab.PeersFile, // which nobody writes into
		"no key":        "mv /etc/postroad/private.key /root/",
		"an open key":   "chmod 644 /etc/postroad/private.key",
	} {
		t.Run(name, func(t *testing.T) {
			forget(ctx, t, l.Alpha.Host)
			if !reach(ctx, l.Alpha, l.Bravo.IPv4.String(), "25") || !reach(ctx, l.Alpha, l.Bravo.IPv6.String(), "25") {
				t.Fatal("the control does not get through: something protects already")
			}
			run(ctx, t, l.Alpha.Host, "sh", "-c", damage)
			_, err := alpha.Command(ctx, "run")
			exitStatus(t, err, 2)
			if !strings.Contains(fmt.Sprint(err), "of the last good file") {
				t.Errorf("does not say what is closed: %v", err)
			}
			// Alpha's packets alone: bravo has no postroad, and closes the control's connections.
			c, err := l.Router.Capture(ctx, l.Alpha.Link.RouterInterface, fmt.Sprintf("tcp and (port 25 or port 4000) and (src host %s or src host %s)", l.Alpha.IPv4, l.Alpha.IPv6))
			must(t, err)
			if !reach(ctx, l.Alpha, l.Bravo.IPv4.String(), "4000") {
				t.Error("another port is closed, too")
			}
			if reach(ctx, l.Alpha, l.Bravo.IPv4.String(), "25") || reach(ctx, l.Alpha, l.Bravo.IPv6.String(), "25") {
				t.Error("SMTP flows")
			}
			run(ctx, t, l.Alpha.Host, "nft", "flush", "ruleset") // the other layer stands, too
			if reach(ctx, l.Alpha, l.Bravo.IPv4.String(), "25") || reach(ctx, l.Alpha, l.Bravo.IPv6.String(), "25") {
				t.Error("SMTP flows without the guard")
			}
			must(t, c.Stop(ctx))
			clear, err := c.Count(ctx, "port 25")
			must(t, err)
			if control, err := c.Count(ctx, "port 4000"); err != nil || control == 0 || clear > 0 {
				t.Errorf("%d packets of SMTP in clear, %d of the control (%v)", clear, control, err)
			}
			run(ctx, t, l.Alpha.Host, "rm", "-f", lab.PeersFile)
			must(t, l.Alpha.WriteFile(lab.PeersFile, good, 0o644))
			run(ctx, t, l.Alpha.Host, "sh", "-c", "mv /root/private.key /etc/postroad/ 2>/dev/null; chmod 600 /etc/postroad/private.key")
		})
	}
	must(t, alpha.Start(ctx))
	check(t, inPlace(ctx, alpha))

	// What was taken down on purpose is not closed by a start that fails later.
	_, err = alpha.Command(ctx, "down")
	must(t, err)
	must(t, l.Alpha.WriteFile(lab.PeersFile, []byte("[host"), 0o644))
	_, err = alpha.Command(ctx, "run")
	exitStatus(t, err, 2)
	if !reach(ctx, l.Alpha, l.Bravo.IPv4.String(), "25") {
		t.Error("closed although it was taken down")
	}
}
