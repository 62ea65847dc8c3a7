package e2e

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postroad/scripts/lab"
)

// booted is a service whose alpha is on and protected, with SMTP being tried
// both ways all the time; the function ends that, and the claim that nothing was
// in clear.
func booted(t *testing.T) (ctx context.Context, s *service, none func()) {
	t.Helper()
	ctx, s = newService(t)
	s.boot(ctx, t)
	s.protected(ctx, t)
	unseen := watch(ctx, t, s.Standard)
	stop := hammer(ctx, t, s.Standard)
	return ctx, s, func() {
		t.Helper()
		stop()
		unseen()
	}
}

// systemctl runs it on alpha.
func (s *service) systemctl(ctx context.Context, words ...string) error {
	_, err := s.m.Run(ctx, "systemctl", words...)
	return err
}

// Stopping, restarting, killing and hanging: what fails is started again, what
// is stopped stays so, and nothing of it opens a window.
func TestServiceLife(t *testing.T) {
	ctx, s, none := booted(t)
	t.Run("kill -9", func(t *testing.T) {
		run(ctx, t, s.m.Host, "kill", "-9", s.pid(ctx, t))
		s.wait(ctx, t, "NRestarts", "1")
		s.protected(ctx, t)
	})
	t.Run("kill", func(t *testing.T) { // not systemd's own doing: a failure like any other
		run(ctx, t, s.m.Host, "kill", s.pid(ctx, t))
		s.wait(ctx, t, "NRestarts", "2")
		s.protected(ctx, t)
	})
	t.Run("hang", func(t *testing.T) {
		must(t, s.m.WriteFile("/run/systemd/system/postroad.service.d/watchdog.conf", []byte("[Service]\nWatchdogSec=1\n"), 0o644))
		must(t, s.systemctl(ctx, "daemon-reload"))
		must(t, s.systemctl(ctx, "restart", "postroad"))
		run(ctx, t, s.m.Host, "kill", "-STOP", s.pid(ctx, t))
		s.wait(ctx, t, "NRestarts", "1")
		s.protected(ctx, t)
		journal, err := s.m.Journal(ctx, "postroad.service")
		must(t, err)
		if !strings.Contains(journal, "Watchdog timeout") {
			t.Errorf("it was not the watchdog:\n%s", journal)
		}
		must(t, s.stays(ctx, t, 3*time.Second)) // one that does not hang is left alone
	})
	t.Run("restart", func(t *testing.T) {
		must(t, s.systemctl(ctx, "restart", "postroad"))
		s.protected(ctx, t)
	})
	t.Run("stop", func(t *testing.T) {
		must(t, s.systemctl(ctx, "stop", "postroad"))
		if reach(ctx, s.Alpha, s.Bravo.IPv4.String(), "25") {
			t.Error("SMTP flows")
		}
		if got := s.show(ctx, t, "Result"); got != "success" {
			t.Errorf("the result of stopping is %q", got)
		}
		must(t, s.systemctl(ctx, "start", "postroad"))
		s.protected(ctx, t)
	})
	none()
}

// stays fails unless the same process runs for that long.
func (s *service) stays(ctx context.Context, t *testing.T, d time.Duration) error {
	t.Helper()
	pid, end := s.pid(ctx, t), time.Now().Add(d)
	return lab.Eventually(ctx, 2*d, "time to pass", func() error {
		if now := s.pid(ctx, t); now != pid {
			t.Fatalf("process %s became %s", pid, now)
		}
		if time.Now().Before(end) {
			return errors.New("it is too early")
		}
		return nil
	})
}

// A reload waits until the file is in force, and fails if it is broken, which
// changes nothing.
func TestServiceReload(t *testing.T) {
	ctx, s, none := booted(t)
	pid := s.pid(ctx, t)
	good, err := s.m.ReadFile(lab.PeersFile)
	must(t, err)
	must(t, s.m.WriteFile(lab.PeersFile, []byte("[host]\nmtu = 1\n"), 0o644))
	if err := s.systemctl(ctx, "reload", "postroad"); err == nil {
		t.Error("a broken file was reloaded")
	}
	if got := s.show(ctx, t, "StatusText"); !strings.Contains(got, "NOT in force") {
		t.Errorf("systemctl status says %q", got)
	}
	journal, err := s.m.Journal(ctx, "postroad.service")
	must(t, err)
	if !strings.Contains(journal, "mtu: 1 is out of range") {
		t.Errorf("the journal does not say what is wrong:\n%s", journal)
	}
	third := "[[peer]]\nname = \"third.example\"\npublic_key = \"HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=\"\naddresses = [\"203.0.113.99\"]\n"
	must(t, s.m.WriteFile(lab.PeersFile, append(good, third...), 0o644))
	must(t, s.systemctl(ctx, "reload", "postroad"))
	if _, err := s.alpha.Peer(ctx, "third.example"); err != nil { // at once: reload has waited
		t.Error(err)
	}
	must(t, s.m.WriteFile(lab.PeersFile, good, 0o644))
	must(t, s.systemctl(ctx, "reload", "postroad"))
	if got := s.show(ctx, t, "StatusText"); got != "All SMTP with peers goes through the tunnel." {
		t.Errorf("systemctl status says %q", got)
	}
	if now := s.pid(ctx, t); now != pid {
		t.Error("the daemon was started again meanwhile")
	}
	none()
}

// Networkd deletes others' rules and routes when it configures a link anew. The
// package keeps it from that; where its drop-in is missing, the daemon is faster
// than a second.
func TestServiceWithNetworkd(t *testing.T) {
	ctx, s, none := booted(t)
	repairs := func() int {
		journal, err := s.m.Journal(ctx, "postroad.service")
		must(t, err)
		return len(regexp.MustCompile(`msg="drift repaired" what="[^"]* rules?[",]`).FindAllString(journal, -1)) // the routes go anyway, with the address that they name
	}
	configure := func() {
		must(t, s.systemctl(ctx, "restart", "systemd-networkd"))
		must(t, s.networkd(ctx))
		run(ctx, t, s.m.Host, "networkctl", "reconfigure", "eth0")
		must(t, s.networkd(ctx))
	}
	before := repairs()
	configure()
	must(t, inPlace(ctx, s.alpha))
	s.protected(ctx, t)
	if out := run(ctx, t, s.m.Host, "ip", "rule"); strings.Count(out, "lookup 2525") != 7 || repairs() != before {
		t.Errorf("networkd took rules away, %d of them; the rules now:\n%s", repairs()-before, out)
	}
	run(ctx, t, s.m.Host, "rm", "/usr/lib/systemd/networkd.conf.d/50-postroad.conf")
	configure()
	must(t, lab.Eventually(ctx, 15*time.Second, "networkd to take rules away", func() error {
		if repairs() == before {
			return errors.New("it has not")
		}
		return nil
	}))
	must(t, inPlace(ctx, s.alpha))
	s.protected(ctx, t)
	none()
}

// networkd waits until networkd is done.
func (s *service) networkd(ctx context.Context) error {
	return lab.Eventually(ctx, 10*time.Second, "networkd to be done", func() error {
		out, err := s.m.Run(ctx, "networkctl", "status", "eth0")
		if err == nil && !strings.Contains(out, "(configured)") {
			err = errors.New(out)
		}
		return err
	})
}

// Others flush the whole ruleset.
func TestServiceWithNftables(t *testing.T) {
	ctx, s, none := booted(t)
	for range 5 {
		run(ctx, t, s.m.Host, "nft", "flush", "ruleset")
		must(t, inPlace(ctx, s.alpha))
		must(t, s.systemctl(ctx, "restart", "nftables.service")) // its file begins with a flush
		must(t, inPlace(ctx, s.alpha))
	}
	s.protected(ctx, t)
	none()
}

// A broken file keeps a service from starting, once and for all; what the last
// good one protected is closed, also after a reboot.
func TestServiceWithBrokenFile(t *testing.T) {
	ctx, s := newService(t)
	s.hammered(ctx, t)
	s.boot(ctx, t)
	s.protected(ctx, t)
	must(t, s.m.WriteFile(lab.PeersFile, []byte("[host]\nmtu = 1\n"), 0o644))
	if err := s.systemctl(ctx, "restart", "postroad"); err == nil {
		t.Error("it starts with a broken file")
	}
	refused := func() {
		t.Helper()
		s.wait(ctx, t, "ActiveState", "failed")
		for property, want := range map[string]string{"ExecMainStatus": "2", "NRestarts": "0", "Result": "exit-code"} {
			if got := s.show(ctx, t, property); got != want {
				t.Errorf("%s is %s, want %s", property, got, want)
			}
		}
		if reach(ctx, s.Alpha, s.Bravo.IPv4.String(), "25") || reach(ctx, s.Alpha, s.Bravo.IPv6.String(), "25") {
			t.Error("SMTP flows")
		}
	}
	refused()
	s.poweroff(ctx, t)
	var none func()
	must(t, s.Renew(ctx, s.Alpha))
	none = watch(ctx, t, s.Standard)
	var err error
	s.m, err = s.Alpha.Boot(ctx, s.disk)
	must(t, err)
	if err := s.m.Up(ctx); err == nil || !strings.Contains(err.Error(), "postroad.service") {
		t.Errorf("systemd does not tell that postroad failed: %v", err)
	}
	refused()
	none()

	// Without its key, too, it says what is wrong.
	must(t, s.m.WriteFile(lab.PeersFile, lab.PeersText("[host]", s.bravo.Block()), 0o644))
	run(ctx, t, s.m.Host, "mv", lab.KeyFile, "/root/")
	_ = s.systemctl(ctx, "restart", "postroad")
	refused()
	journal, err := s.m.Journal(ctx, "postroad.service")
	must(t, err)
	if !strings.Contains(journal, "private_key_file: opening key file") || !strings.Contains(journal, "no such file or directory: write the key there") {
		t.Errorf("the journal does not say what is wrong:\n%s", journal)
	}
	run(ctx, t, s.m.Host, "mv", "/root/private.key", lab.KeyFile)
	must(t, s.systemctl(ctx, "restart", "postroad"))
	s.protected(ctx, t)
}

// What `postroad down` took away is not put back by systemd.
func TestServiceDown(t *testing.T) {
	ctx, s := newService(t)
	s.boot(ctx, t)
	s.protected(ctx, t)
	_, err := s.alpha.Command(ctx, "down")
	must(t, err)
	s.wait(ctx, t, "ActiveState", "inactive")
	if got := s.show(ctx, t, "Result") + s.show(ctx, t, "NRestarts"); got != "success0" {
		t.Errorf("result and restarts: %s", got)
	}
	if out := run(ctx, t, s.m.Host, "sh", "-c", "ip rule; ip -6 rule; nft list ruleset; ip link"); strings.Contains(out, "2525") || strings.Contains(out, "postroad") {
		t.Errorf("left behind:\n%s", out)
	}
}

// The service runs as nobody in particular, with the one right it needs, and
// never gets at the file with the key.
func TestServiceRights(t *testing.T) {
	ctx, s := newService(t)
	s.boot(ctx, t)
	s.protected(ctx, t)
	pid := s.pid(ctx, t)
	threads := strings.Fields(run(ctx, t, s.m.Host, "sh", "-c", "echo /proc/"+pid+"/task/*/status"))
	for _, thread := range threads {
		status := run(ctx, t, s.m.Host, "cat", thread)
		for name, want := range map[string]string{
			"CapPrm": "0000000000001000", "CapEff": "0000000000001000", "CapBnd": "0000000000001000", // CAP_NET_ADMIN alone
			"CapInh": "0000000000001000", "CapAmb": "0000000000001000",
			"NoNewPrivs": "1", "Seccomp": "2",
		} {
			_, value, _ := strings.Cut(status, "\n"+name+":\t")
			if value, _, _ = strings.Cut(value, "\n"); value != want {
				t.Errorf("%s: %s is %q, want %q", thread, name, value, want)
			}
		}
	}
	if len(threads) < 2 {
		t.Errorf("threads: %s", threads)
	}
	if out := run(ctx, t, s.m.Host, "grep", "^Max core file size", "/proc/"+pid+"/limits"); !slices.Equal(strings.Fields(out)[4:6], []string{"0", "0"}) {
		t.Errorf("it may dump core: %s", out)
	}
	user := run(ctx, t, s.m.Host, "stat", "-c", "%U", "/proc/"+s.pid(ctx, t))
	if user != "postroad" {
		t.Errorf("it runs as %q", user)
	}
	if out := run(ctx, t, s.m.Host, "stat", "-c", "%U:%G %a", lab.KeyFile, "/etc/postroad", "/run/wireguard"); out != "root:root 600\nroot:root 755\nroot:root 1770" {
		t.Errorf("owners and modes:\n%s", out)
	}
	askDaemon(ctx, t, s.m.Host, 0)
	must(t, s.m.WriteFile(lab.PeersFile, lab.PeersText("[host]\n"+metricsKey, s.bravo.Block()), 0o644))
	must(t, s.systemctl(ctx, "reload", "postroad"))
	if out, err := get(ctx, s.m.Host, "GET", "/metrics", "9525"); err != nil || !strings.Contains(out, "\npostroad_up 1\n") ||
		!strings.Contains(out, "\nprocess_resident_memory_bytes ") {
		t.Errorf("metrics: %s (%v)", out, err)
	}
	if out := run(ctx, t, s.m.Host, "wg", "show", "postroad0", "peers"); out != s.bravo.Key {
		t.Errorf("wg show postroad0 peers: %q", out)
	}
	score := run(ctx, t, s.m.Host, "sh", "-c", "systemd-analyze security postroad.service --no-pager | tail -n 1")
	t.Logf("figure: systemd-analyze security: %s", score)
	var level float64
	if _, err := fmt.Sscan(score[strings.LastIndex(score, ": ")+1:], &level); err != nil || level > 1.7 {
		t.Errorf("exposure %v, want at most 1.7 (%v)", level, err)
	}
}
