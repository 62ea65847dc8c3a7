package e2e

import (
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
	install := installer(ctx, t, s.m.Host)
	root, err := filepath.Abs("../..")
	must(t, err)
	open := func(port string) string { // what scripts/install does about it, without the rest
		t.Helper()
		return run(ctx, t, s.m.Host, "bash", "-euc", "cd "+root+"; . scripts/packaging/service.sh; . scripts/firewall; set -o pipefail; open_firewall "+port)
	}
	says := func(out string, all ...string) {
		t.Helper()
		for _, want := range all {
			if !strings.Contains(out, want) {
				t.Errorf("does not say %q:\n%s", want, out)
			}
		}
	}
	says(open("51825"), "no firewall to open", "postroad doctor")

	run(ctx, t, s.m.Host, "sh", "-ec", "systemctl enable --now nftables ufw; ufw allow 25/tcp; ufw deny proto udp to any port 7; ufw --force enable")
	says(install("--open-firewall", "|| echo it fails"), "ufw: opened UDP port 51825, before all", "nftables.service: opened UDP port 51825, until",
		`after line 5: udp dport 51825 accept comment "postroad"`, "it fails") // as a line of the file is missing
	run(ctx, t, s.m.Host, "sed", "-i", "5a udp dport 51825 accept", "/etc/nftables.conf")
	s.alpha.Key = run(ctx, t, s.m.Host, "sh", "-c", "postroad pubkey <"+lab.KeyFile)
	must(t, s.bravo.Write("[host]", s.alpha.Block()))
	must(t, s.alpha.Write("[host]", s.bravo.Block()))
	must(t, s.systemctl(ctx, "reload", "postroad"))
	must(t, s.bravo.Start(ctx))
	s.protected(ctx, t)
	says(open("51825"), "ufw: UDP port 51825 is open already", "nftables.service: UDP port 51825 is open already")
	says(open("51824 || true"), "ufw: closed UDP port 51825", "ufw: opened UDP port 51824, before all", "nftables.service: closed", "nftables.service: opened UDP port 51824, until")

	run(ctx, t, s.m.Host, "sh", "-ec", "ufw disable; systemctl disable --now nftables; systemctl enable --now firewalld; firewall-cmd --permanent --add-service=smtp; firewall-cmd --reload")
	says(open("51825"), "firewalld: opened UDP port 51825 in zone public")
	says(open("51825"), "firewalld: UDP port 51825 is open already in zone public")
	must(t, s.bravo.Kill()) // what it says next is new to alpha: another port, of a NAT that has forgotten
	run(ctx, t, s.Router, "sh", "-ec", "nft flush chain ip nat post; nft add rule ip nat post ip saddr 198.51.100.20 udp sport 51999 snat to 198.51.100.20:40002")
	must(t, s.bravo.Write("[host]\nlisten_port = 51999", s.alpha.Block("endpoint = \"192.0.2.10:51999\"")))
	must(t, s.alpha.Write("[host]\nlisten_port = 51999", s.bravo.Block()))
	must(t, s.systemctl(ctx, "reload", "postroad"))
	says(open("51999"), "firewalld: closed 51825/udp in zone public", "firewalld: opened UDP port 51999 in zone public")
	run(ctx, t, s.m.Host, "firewall-cmd", "--reload")
	must(t, s.bravo.Start(ctx))
	s.protected(ctx, t)

	says(install("--uninstall"), "ufw: closed UDP port 51824", "firewalld: closed 51999/udp in zone public")
	const left = "ufw show added; firewall-cmd --list-all; firewall-cmd --permanent --list-all; firewall-cmd --permanent --get-services"
	out := run(ctx, t, s.m.Host, "sh", "-c", left)
	if strings.Contains(out, "51999") || strings.Contains(out, "5182") || strings.Contains(out, "postroad") || !strings.Contains(out, "ufw allow 25/tcp") || !strings.Contains(out, "ufw deny") {
		t.Errorf("left:\n%s", out)
	}
}
