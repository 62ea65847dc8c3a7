package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postroad/scripts/lab"
)

// A newer package in the middle of a large mail: the mail arrives, in one
// connection, nothing is in clear, and the peers file stays as it was edited.
func TestServiceUpgrade(t *testing.T) {
	for _, kind := range []string{"deb", "rpm"} {
		t.Run(kind, func(t *testing.T) {
			ctx, s := newService(t)
			if kind == "rpm" {
				s.becomeRPM(ctx, t)
			}
			s.boot(ctx, t)
			s.protected(ctx, t)
			large := []string{"message_size_limit = 0", "smtp_tls_security_level = none", lab.PreferIPv4}
			alpha, bravo := postfix(ctx, t, s.Alpha, large...), postfix(ctx, t, s.Bravo, large...)
			none := watch(ctx, t, s.Standard)
			stop := hammer587(ctx, t, s.Standard)
			body := largeBody(60 << 20)
			file, err := s.m.ReadFile(lab.PeersFile)
			must(t, err)
			r := &road{Standard: s.Standard}
			begin := sealedBytes(ctx, t, r)
			id, err := alpha.Send(ctx, "alice@alpha.example", "bob@bravo.example", "upgrade", body)
			must(t, err)
			must(t, more(ctx, r, begin+5<<20, 30*time.Second))
			s.upgrade(ctx, t, kind)
			wantUnaltered(ctx, t, alpha, bravo, "bob@bravo.example", id, "upgrade", body)
			stop()
			none()
			if now, err := s.m.ReadFile(lab.PeersFile); err != nil || string(now) != string(file) {
				t.Errorf("the peers file is another one (%v):\n%s", err, now)
			}
			s.protected(ctx, t)
			s.remove(ctx, t, kind)
		})
	}
}

// hammer587 tries SMTP on a port that the mail under way does not use.
func hammer587(ctx context.Context, t *testing.T, l *lab.Standard) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		script := "while :; do nc -n -z -w 1 " + l.Bravo.IPv4.String() + " 587; nc -n -z -w 1 " + l.Bravo.IPv6.String() + " 587; done"
		_, _ = l.Alpha.Run(ctx, "bash", "-c", script)
	}()
	return func() { cancel(); <-done }
}

// becomeRPM has the machine, still switched off, have the other kind of package.
func (s *service) becomeRPM(ctx context.Context, t *testing.T) {
	t.Helper()
	_, err := s.disk.Run(ctx, "dpkg", "--purge", "postroad")
	must(t, err)
	_, err = s.disk.Run(ctx, "rpm", "-i", "--nodeps", "/root/old.rpm")
	must(t, err)
	s.introduce(ctx, t) // its key is another one
	_, err = s.bravo.Command(ctx, "reload")
	must(t, err)
}

// upgrade installs the newer package while the service runs.
func (s *service) upgrade(ctx context.Context, t *testing.T, kind string) {
	t.Helper()
	words := map[string][]string{"deb": {"dpkg", "--force-confold", "-i", "/root/new.deb"}, "rpm": {"rpm", "-U", "--nodeps", "/root/new.rpm"}}[kind]
	pid := s.pid(ctx, t)
	if out := run(ctx, t, s.m.Host, "postroad", "version"); !strings.Contains(out, "9.0.1") {
		t.Errorf("before the upgrade it is %s", out)
	}
	run(ctx, t, s.m.Host, words...)
	if out := run(ctx, t, s.m.Host, "postroad", "version"); !strings.Contains(out, "9.0.2") {
		t.Errorf("after the upgrade it is %s", out)
	}
	if now := s.pid(ctx, t); now == pid || now == "0" {
		t.Errorf("the daemon is process %s, and was %s: it was not started again", now, pid)
	}
}

// remove removes the package: the protection goes, keys and peers file stay; a
// purge takes these, too.
func (s *service) remove(ctx context.Context, t *testing.T, kind string) {
	t.Helper()
	words := map[string][]string{"deb": {"dpkg", "-r", "postroad"}, "rpm": {"rpm", "-e", "postroad"}}[kind]
	out := run(ctx, t, s.m.Host, words...)
	if !strings.Contains(out, "IN CLEAR") || !strings.Contains(out, s.Bravo.IPv4.String()) {
		t.Errorf("does not say what flows in clear:\n%s", out)
	}
	left := run(ctx, t, s.m.Host, "sh", "-c", "ip rule; ip -6 rule; nft list ruleset; ip link; pgrep -l postroad; ls /usr/sbin/postroad /usr/lib/systemd/system/postroad.service 2>/dev/null; true")
	if strings.Contains(left, "2525") || strings.Contains(left, "postroad") {
		t.Errorf("left behind:\n%s", left)
	}
	run(ctx, t, s.m.Host, "test", "-s", lab.KeyFile)
	run(ctx, t, s.m.Host, "sh", "-c", "test -s "+lab.PeersFile+" || test -s "+lab.PeersFile+".rpmsave")
	if kind == "deb" {
		run(ctx, t, s.m.Host, "dpkg", "--purge", "postroad")
		run(ctx, t, s.m.Host, "sh", "-c", "! test -e /etc/postroad && ! test -e /var/lib/postroad")
	}
}

// installer returns a function that runs scripts/install on a host, with Go and
// the source of the machine.
func installer(ctx context.Context, t *testing.T, h *lab.Host) func(words ...string) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	must(t, err)
	folders := []string{root}
	for _, name := range []string{"GOROOT", "GOMODCACHE", "GOCACHE"} {
		out, err := exec.Command("go", "env", name).Output()
		must(t, err)
		folders = append(folders, strings.TrimSpace(string(out)))
	}
	for _, folder := range folders {
		must(t, h.Share(folder))
	}
	return func(words ...string) string {
		t.Helper()
		script := fmt.Sprintf("PATH=%s/bin:$PATH GOMODCACHE=%s GOCACHE=%s GOPROXY=off %s/scripts/install %s",
			folders[1], folders[2], folders[3], root, strings.Join(words, " "))
		return run(ctx, t, h, "sh", "-c", script)
	}
}

// scripts/install on a machine with systemd: a first time, again over a running
// service, and away.
func TestServiceInstallScript(t *testing.T) {
	ctx, s := newService(t)
	_, err := s.disk.Run(ctx, "dpkg", "--purge", "postroad")
	must(t, err)
	s.boot(ctx, t)
	install := installer(ctx, t, s.m.Host)
	out := install()
	key := run(ctx, t, s.m.Host, "sh", "-c", "postroad pubkey <"+lab.KeyFile)
	for _, want := range []string{"the service runs", "UDP port 51825", "postroad card", "postroad peer add --apply", "postroad status"} {
		if !strings.Contains(out, want) {
			t.Errorf("does not say %q:\n%s", want, out)
		}
	}
	s.alpha.Key = key
	must(t, s.bravo.Write("[host]", s.alpha.Block()))
	_, err = s.bravo.Command(ctx, "reload")
	must(t, err)
	must(t, s.alpha.Write("[host]", s.bravo.Block()))
	must(t, s.systemctl(ctx, "reload", "postroad"))
	s.protected(ctx, t)

	none := watch(ctx, t, s.Standard)
	stop := hammer(ctx, t, s.Standard)
	pid := s.pid(ctx, t)
	install()
	if now := s.pid(ctx, t); now == pid || now == "0" {
		t.Errorf("the daemon was not started again: %s, then %s", pid, now)
	}
	s.protected(ctx, t) // with the same key and peers
	stop()
	none()

	if out := install("--uninstall"); !strings.Contains(out, "IN CLEAR") || !strings.Contains(out, "Kept: /etc/postroad") {
		t.Errorf("--uninstall says:\n%s", out)
	}
	left := func() string {
		return run(ctx, t, s.m.Host, "sh", "-c", "ip rule; ip -6 rule; nft list ruleset; ip link; find /usr/local /etc /var/lib /run -name '*postroad*'; getent passwd postroad; true")
	}
	if got := left(); strings.Contains(got, "2525") || strings.Contains(got, "table inet") || strings.Contains(got, "/usr/local/") || !strings.Contains(got, lab.PeersFile) {
		t.Errorf("left after --uninstall:\n%s", got)
	}
	run(ctx, t, s.m.Host, "test", "-s", lab.KeyFile)
	install("--purge")
	if got := left(); strings.Contains(got, "postroad") {
		t.Errorf("left after --purge:\n%s", got)
	}
}

// Without systemd, say in a container, scripts/install says so, and how to run
// the daemon; a package is installed all the same.
func TestServiceWithoutSystemd(t *testing.T) {
	ctx, s := newService(t)
	_, err := s.disk.Run(ctx, "sh", "-c", "dpkg --force-confold -i /root/new.deb && postroad check && test -L /etc/systemd/system/sysinit.target.wants/postroad.service")
	must(t, err)

	h := s.Charlie.Host // whose /usr is the machine's
	run(ctx, t, h, "sh", "-c", "mkdir -p /run/local/u /run/local/w && mount -t overlay overlay -o lowerdir=/usr/local,upperdir=/run/local/u,workdir=/run/local/w /usr/local")
	install := installer(ctx, t, h)
	out := install()
	for _, want := range []string{"systemd does not run this host", "/usr/local/sbin/postroad run"} {
		if !strings.Contains(out, want) {
			t.Errorf("does not say %q:\n%s", want, out)
		}
	}
	if _, err := h.Run(ctx, "test", "-e", "/var/lib/postroad"); err == nil {
		t.Error("the lab has made the folder for the daemon's memory: this shows nothing")
	}
	charlie := &lab.Postroad{Site: s.Charlie}
	must(t, charlie.Write("[host]", s.bravo.Block()))
	p, err := h.Start("/usr/local/sbin/postroad", "run")
	must(t, err)
	must(t, eventuallySays(ctx, p, "ready:"))
	if out := install(); !strings.Contains(out, "please restart it") {
		t.Errorf("does not say that the old daemon runs on:\n%s", out)
	}
	run(ctx, t, h, "test", "-s", "/var/lib/postroad/selectors.json") // no systemd made the folder
	if out := install("--purge"); !strings.Contains(out, "IN CLEAR") {
		t.Errorf("--purge says:\n%s", out)
	}
	exitStatus(t, p.Wait(ctx), 3)
	run(ctx, t, h, "sh", "-c", "! test -e /etc/postroad && ! test -e /usr/local/sbin/postroad")
}
