package e2e

import (
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

// A UAPI socket that somebody deletes is made again, with the link.
func TestDeletedDeviceSocketIsRepaired(t *testing.T) {
	ctx, r := newRoad(t)
	run(ctx, t, r.Alpha.Host, "rm", "/run/wireguard/postroad0.sock")
	must(t, r.alpha.Write("[host]\nmtu = 1400", r.bravo.Block()))
	_, err := r.alpha.Command(ctx, "reload")
	must(t, err)
	run(ctx, t, r.Alpha.Host, "wg", "show", "postroad0")
	must(t, inPlace(ctx, r.alpha))
	must(t, r.alpha.WaitState(ctx, r.Bravo.Name, "protected"))
}

// Taking down deletes no interface that only bears our name, with a socket that
// a killed daemon left behind.
func TestDownLeavesForeignLink(t *testing.T) {
	ctx, r := newRoad(t)
	must(t, r.alpha.Kill())
	run(ctx, t, r.Alpha.Host, "ip", "tuntap", "add", "postroad0", "mode", "tun")
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

// What this version cannot do is said, and nothing flows meanwhile.
func TestKernelBackendIsRefused(t *testing.T) {
	ctx, r := newRoad(t)
	none := watch(ctx, t, r.Standard)
	must(t, r.alpha.Write("[host]\nbackend = \"kernel\"", r.bravo.Block()))
	_, err := r.alpha.Command(ctx, "reload")
	exitStatus(t, err, 1)
	if !strings.Contains(fmt.Sprint(err), `set host.backend to "auto" or "userspace"`) {
		t.Errorf("reload says %v", err)
	}
	none()
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
