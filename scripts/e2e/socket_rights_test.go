package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"postroad/scripts/lab"
)

// A user is somebody who asks the daemon.
type user struct {
	name  string
	words []string // that run a command as him; none: root
}

// users returns root, a member of the group postroad, and a stranger.
func users(ctx context.Context, t *testing.T, h *lab.Host) (root, member, stranger user) {
	t.Helper()
	_, rest, _ := strings.Cut(run(ctx, t, h, "grep", "^postroad:", "/etc/group"), ":x:")
	gid, _, _ := strings.Cut(rest, ":")
	as := []string{"setpriv", "--reuid", "65534", "--regid", "65534"}
	return user{name: "root"},
		user{"a member", append(as, "--groups", gid)},
		user{"a stranger", append(as, "--clear-groups")}
}

// runs says what a user gets to see, on both outputs, and the exit status.
func (u user) runs(ctx context.Context, h *lab.Host, command string) (out string, err error) {
	words := append(append([]string(nil), u.words...), "sh", "-c", command+" 2>&1")
	return h.Run(ctx, words[0], words[1:]...)
}

// askDaemon tries what users may ask of the daemon on a host, all but root's down;
// status is the exit status of status there.
func askDaemon(ctx context.Context, t *testing.T, h *lab.Host, status int) {
	t.Helper()
	root, member, stranger := users(ctx, t, h)
	const keptOut = "only root may, and the members of the group postroad: try sudo, or `usermod -aG postroad USER`"
	post := func(path string) string {
		return `printf 'POST ` + path + ` HTTP/1.0\r\n\r\n' | nc -N -U /run/postroad/control.sock`
	}
	for _, test := range []struct {
		user          user
		command, says string
		status        int
	}{
		{root, "postroad metrics", "postroad_up 1", 0},
		{root, "postroad status", "STATE", status},
		{root, "postroad reload", "the peers file is in force", 0},
		{member, "postroad metrics", "postroad_up 1", 0},
		{member, "postroad status", "STATE", status},
		{member, "postroad status --json", `"public_key"`, status},
		{member, "postroad reload", "only root may reload: try sudo", 1},
		{member, "postroad down", "needs root", 1},
		{member, post("/reload"), "403 Forbidden", 0},
		{member, post("/down"), "only root may take the protection down", 0},
		{member, "touch /run/wireguard/postroad1.sock", "ermission denied", 1},
		{member, "ls /var/lib/postroad", "ermission denied", 2},
		{stranger, "postroad metrics", keptOut, 1},
		{stranger, "postroad status", keptOut, 1},
		{stranger, "postroad reload", keptOut, 1},
		{stranger, "postroad down", "needs root", 1},
		{stranger, post("/down"), "ermission denied", 1},
	} {
		out, err := test.user.runs(ctx, h, test.command)
		if says := out + fmt.Sprint(err); !strings.Contains(says, test.says) {
			t.Errorf("%s: %s: says %s", test.user.name, test.command, says)
		}
		if test.status == 0 {
			check(t, err)
		} else {
			exitStatus(t, err, test.status)
		}
	}
}

// Root may all, the group postroad may read, everybody else is told why not.
func TestSocketRights(t *testing.T) {
	ctx, l, alpha := newHalfRoad(t)
	run(ctx, t, l.Alpha.Host, "sh", "-c", "grep -q ^postroad: /etc/group || echo postroad:x:2525: >>/etc/group")
	must(t, alpha.Start(ctx))
	askDaemon(ctx, t, l.Alpha.Host, 1) // mail with bravo waits
	s, err := alpha.Status(ctx)
	must(t, err)
	if len(s.Peers) != 1 {
		t.Errorf("the refused have changed something: %+v", s)
	}
	private, err := l.Alpha.ReadFile(lab.KeyFile)
	must(t, err)
	for _, command := range []string{"postroad status --json", "postroad status", "postroad metrics"} {
		out, _ := user{}.runs(ctx, l.Alpha.Host, command)
		if strings.Contains(out, strings.TrimSpace(string(private))) {
			t.Errorf("%s tells the private key", command)
		}
	}
	_, err = alpha.Command(ctx, "down")
	must(t, err)
}
