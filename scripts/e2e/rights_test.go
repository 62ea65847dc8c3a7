package e2e

import (
	"fmt"
	"strings"
	"testing"
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
	ctx, l := newLab(t)
	alpha, err := l.Alpha.Postroad(ctx, binary)
	must(t, err)
	bravo, err := l.Bravo.Postroad(ctx, binary)
	must(t, err)
	must(t, alpha.Write("[host]", bravo.Block()))
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
