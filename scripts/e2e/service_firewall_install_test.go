package e2e

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"postroad/scripts/lab"
)

// scripts/install opens the port if it is asked to, in whatever firewall is in
// use. It says what it did, and takes back what was its own.
func TestServiceFirewallInstall(t *testing.T) {
	ctx, s := newService(t)
	_, err := s.disk.Run(ctx, "dpkg", "--purge", "postroad")
	must(t, err)
	must(t, s.disk.WriteFile("/etc/nftables.conf", []byte(nftablesConf), 0o644))
	must(t, s.bravo.Kill())
	must(t, sh(ctx, s.Router, noForwarding))
	s.boot(ctx, t)
	install, do := installer(ctx, t, s.m.Host), s.installs(ctx, t)
	says(t, do("open_firewall 51825"), "no firewall to open", "postroad doctor")

	run(ctx, t, s.m.Host, "sh", "-ec", "systemctl enable --now nftables ufw; ufw allow 25/tcp; ufw deny proto udp to any port 7; ufw --force enable")
	says(t, install("--open-firewall", "|| echo it fails"), "ufw: opened UDP port 51825, before all", "nftables.service: opened UDP port 51825, until",
		`after line 5: udp dport 51825 accept comment "postroad"`, "it fails") // as a line of the file is missing
	run(ctx, t, s.m.Host, "sed", "-i", "5a udp dport 51825 accept", "/etc/nftables.conf")
	s.alpha.Key = run(ctx, t, s.m.Host, "sh", "-c", "postroad pubkey <"+lab.KeyFile)
	must(t, s.bravo.Write("[host]", s.alpha.Block()))
	must(t, s.alpha.Write("[host]", s.bravo.Block()))
	must(t, s.systemctl(ctx, "reload", "postroad"))
	must(t, s.bravo.Start(ctx))
	s.protected(ctx, t)
	says(t, do("open_firewall 51825"), "ufw: UDP port 51825 is open already", "nftables.service: UDP port 51825 is open already")
	says(t, do("open_firewall 51824 || true"), "ufw: closed UDP port 51825", "ufw: opened UDP port 51824, before all",
		"nftables.service: closed", "nftables.service: opened UDP port 51824, until")

	says(t, install("--uninstall"), "ufw: closed UDP port 51824", "nftables.service: closed")
	out := run(ctx, t, s.m.Host, "sh", "-c", "ufw show added; nft list chain inet filter input")
	if strings.Contains(out, "5182") || !strings.Contains(out, "ufw allow 25/tcp") || !strings.Contains(out, "ufw deny") {
		t.Errorf("left:\n%s", out)
	}
}

// The same with firewalld, which keeps nftables.service from running.
func TestServiceFirewallInstallFirewalld(t *testing.T) {
	ctx, f := newFirewalled(t, "systemctl enable --now firewalld; firewall-cmd --permanent --add-service=smtp; firewall-cmd --reload", nil)
	do := f.installs(ctx, t)
	f.waits(ctx, t)
	says(t, do("open_firewall 51824"), "firewalld: opened UDP port 51824 in zone public")
	f.waits(ctx, t)
	says(t, do("open_firewall 51825"), "firewalld: closed 51824/udp in zone public", "firewalld: opened UDP port 51825 in zone public")
	f.protected(ctx, t) // at once, and after a reload
	run(ctx, t, f.m.Host, "firewall-cmd", "--reload")
	says(t, do("open_firewall 51825"), "firewalld: UDP port 51825 is open already in zone public")
	says(t, do("close_firewall"), "firewalld: closed 51825/udp in zone public")
	out := run(ctx, t, f.m.Host, "sh", "-c", "firewall-cmd --list-all; firewall-cmd --permanent --list-all; firewall-cmd --permanent --get-services")
	if strings.Contains(out, "5182") || strings.Contains(out, "postroad") || !strings.Contains(out, " smtp") {
		t.Errorf("left:\n%s", out)
	}
}

// installs returns a function that does what scripts/install does about
// firewalls, without the rest.
func (s *service) installs(ctx context.Context, t *testing.T) func(words string) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	must(t, err)
	if _, err := s.m.Run(ctx, "test", "-e", root); err != nil {
		must(t, s.m.Share(root))
	}
	return func(words string) string {
		t.Helper()
		return run(ctx, t, s.m.Host, "bash", "-euc", "cd "+root+"; . scripts/packaging/service.sh; . scripts/firewall; set -o pipefail; "+words)
	}
}

func says(t *testing.T, out string, all ...string) {
	t.Helper()
	for _, want := range all {
		if !strings.Contains(out, want) {
			t.Errorf("does not say %q:\n%s", want, out)
		}
	}
}
