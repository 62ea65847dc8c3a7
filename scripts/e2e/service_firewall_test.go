package e2e

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"postroad/scripts/lab"
)

// The tests named TestServiceFirewall are of real firewalls, as Debian has them,
// on a machine with systemd. They let SMTP in, and no UDP port.

// A firewalled is a service whose alpha has a firewall. Bravo is behind a NAT that
// changes its port and forwards nothing: whoever calls alpha is a stranger to a
// firewall that remembers what went out, and alpha's own calls get nowhere.
type firewalled struct{ *service }

const noForwarding = `
nft add table ip nat
nft add chain ip nat post '{ type nat hook postrouting priority srcnat; }'
nft add rule ip nat post ip saddr 198.51.100.20 udp sport 51825 snat to 198.51.100.20:40001
nft add table ip closed
nft add chain ip closed forward '{ type filter hook forward priority 0; }'
nft add rule ip closed forward ip daddr 198.51.100.20 udp dport 51825 ct state new drop
`

// newFirewalled boots alpha, has commands switch its firewall on, and only then
// starts bravo's daemon.
func newFirewalled(t *testing.T, commands string, files map[string]string) (context.Context, *firewalled) {
	t.Helper()
	ctx, s := newService(t)
	must(t, s.bravo.Kill())
	must(t, sh(ctx, s.Router, noForwarding))
	for path, text := range files {
		must(t, s.disk.WriteFile(path, []byte(text), 0o644))
	}
	s.boot(ctx, t)
	run(ctx, t, s.m.Host, "sh", "-ec", commands)
	must(t, s.bravo.Start(ctx))
	return ctx, &firewalled{s}
}

// backticked finds the first command that the doctor gives.
var backticked = regexp.MustCompile("`([^`]+)`")

// cured asks the doctor, wants the check and the command first, and runs that.
// What else the doctor says is returned.
func (f *firewalled) cured(ctx context.Context, t *testing.T, check, command string) (do string) {
	t.Helper()
	r, err := examine(ctx, f.alpha)
	must(t, err)
	if len(r.Findings) == 0 || r.Findings[0].Check != check {
		t.Fatalf("want %s first, got %+v", check, r.Findings)
	}
	do = r.Findings[0].Do
	m := backticked.FindStringSubmatch(do)
	if m == nil || m[1] != command {
		t.Fatalf("want the command %q, got %+v", command, r.Findings)
	}
	run(ctx, t, f.m.Host, "sh", "-ec", m[1])
	return do
}

// waits fails unless the tunnel waits for bravo.
func (f *firewalled) waits(ctx context.Context, t *testing.T) {
	t.Helper()
	must(t, f.alpha.WaitState(ctx, f.Bravo.Name, "waiting"))
}

// A longSession is an SMTP connection that goes on until it is told to end. It fails
// if an answer takes more than a minute: TCP doubles the time between its tries while a firewall is down.
const longSession = `
exec 3<>/dev/tcp/$1/25
read -r -t 60 answer <&3
until [ -e /run/session.stop ]; do
	printf 'NOOP\r\n' >&3
	read -r -t 60 answer <&3
	[ "${answer:0:3}" = 250 ]
	echo . >>/run/session.$1
	sleep 0.05
done
printf 'QUIT\r\n' >&3
read -r -t 60 answer <&3
[ "${answer:0:3}" = 221 ]
`

// sessions begins one each way over each family. The function that it returns
// wants each of them to have gone on since, and ends them.
func (f *firewalled) sessions(ctx context.Context, t *testing.T) (goOn func(what string), end func()) {
	t.Helper()
	type one struct {
		from *lab.Site
		to   string
		proc *lab.Proc
		said int
	}
	var all []*one
	for _, ends := range [][2]*lab.Site{{f.Alpha, f.Bravo}, {f.Bravo, f.Alpha}} {
		for _, v6 := range []bool{false, true} {
			o := &one{from: ends[0], to: ends[1].Addr(v6).String()}
			var err error
			o.proc, err = o.from.Start("bash", "-euc", longSession, "bash", o.to)
			must(t, err)
			all = append(all, o)
		}
	}
	goOn = func(what string) {
		t.Helper()
		for _, o := range all {
			must(t, lab.Eventually(ctx, time.Minute, "the session with "+o.to+" to go on after "+what, func() error {
				data, err := o.from.ReadFile("/run/session." + o.to)
				if err == nil && strings.Count(string(data), ".") < o.said+3 {
					err = errors.New("it does not: " + o.proc.Output())
				}
				return err
			}))
			data, err := o.from.ReadFile("/run/session." + o.to)
			must(t, err)
			o.said = strings.Count(string(data), ".")
		}
	}
	return goOn, func() {
		t.Helper()
		must(t, f.Alpha.WriteFile("/run/session.stop", nil, 0o644))
		must(t, f.Bravo.WriteFile("/run/session.stop", nil, 0o644))
		for _, o := range all {
			if err := o.proc.Wait(ctx); err != nil {
				t.Errorf("the session with %s: %v: %s", o.to, err, o.proc.Output())
			}
		}
	}
}

// endures has mail flow while the firewall is shaken: what there is to be repaired
// is, within a second, connections go on, and nothing is in clear.
func (f *firewalled) endures(ctx context.Context, t *testing.T, shakes ...string) {
	t.Helper()
	alpha := postfix(ctx, t, f.Alpha, "smtpd_junk_command_limit = 100000")
	const patient = "smtp_accept_max_nonmail = 100000"
	bravo, err := f.Bravo.Exim(ctx, patient)
	must(t, err)
	none := watch(ctx, t, f.Standard)
	knocks, err := f.Alpha.Start("bash", "-c", fmt.Sprintf("while sleep 0.2; do nc -n -z -w 1 %s 587; nc -n -z -w 1 %s 587; done", f.Bravo.IPv4, f.Bravo.IPv6))
	must(t, err)
	goOn, end := f.sessions(ctx, t)
	goOn("the beginning")
	for _, shake := range shakes {
		run(ctx, t, f.m.Host, "sh", "-ec", shake)
		must(t, inPlace(ctx, f.alpha))
		goOn(shake)
		f.protected(ctx, t)
	}
	must(t, knocks.Kill())
	for _, v6 := range []bool{false, true} {
		family := map[bool][]string{false: {lab.PreferIPv4, lab.EximIPv4}, true: {lab.PreferIPv6, ""}}[v6]
		must(t, alpha.Set(ctx, family[0]))
		must(t, bravo.Set(ctx, patient, family[1]))
		f.mail(ctx, t, alpha, f.Alpha, "alice", bravo, f.Bravo, "bob", v6)
		f.mail(ctx, t, bravo, f.Bravo, "bob", alpha, f.Alpha, "alice", v6)
	}
	end()
	none()
	r, err := examine(ctx, f.alpha)
	must(t, err)
	if !r.Well {
		t.Errorf("the doctor complains: %+v", r.Findings)
	}
}

// mail sends one and waits for it.
func (f *firewalled) mail(ctx context.Context, t *testing.T, from lab.MailServer, fromSite *lab.Site, sender string,
	to lab.MailServer, toSite *lab.Site, recipient string, v6 bool) {
	t.Helper()
	marker := fmt.Sprintf("%s %s v6=%v", t.Name(), sender, v6)
	_, err := from.Send(ctx, sender+"@"+fromSite.Domain(), recipient+"@"+toSite.Domain(), marker, "hello")
	must(t, err)
	mail, err := to.WaitMail(ctx, recipient, marker)
	must(t, err)
	if !lab.ReceivedFrom(mail, fromSite.Addr(v6)) {
		t.Errorf("not from %s:\n%s", fromSite.Addr(v6), mail)
	}
}

// nftablesConf is a hand-written ruleset, like many.
const nftablesConf = `#!/usr/sbin/nft -f
flush ruleset
table inet filter {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		iif lo accept
		meta l4proto { icmp, icmpv6 } accept
		tcp dport { 25, 465, 587 } accept
	}
	chain output {
		type filter hook output priority filter;
	}
}
`

func TestServiceFirewallNftables(t *testing.T) {
	ctx, f := newFirewalled(t, "systemctl enable --now nftables.service", map[string]string{"/etc/nftables.conf": nftablesConf})
	f.waits(ctx, t)
	do := f.cured(ctx, t, "our-firewall", "nft insert rule inet filter input udp dport 51825 accept")
	f.protected(ctx, t)
	m := regexp.MustCompile("the line `(.*)` after line ([0-9]+) of (/etc/nftables.conf)").FindStringSubmatch(do)
	if m == nil {
		t.Fatalf("does not say what goes where in the file: %s", do)
	}
	run(ctx, t, f.m.Host, "sed", "-i", m[2]+"a"+m[1], m[3])
	f.endures(ctx, t, "systemctl reload nftables", "systemctl restart nftables", "systemctl stop nftables", "systemctl start nftables", "nft flush ruleset; nft -f /etc/nftables.conf")
	if rules := run(ctx, t, f.m.Host, "nft", "list", "chain", "inet", "filter", "input"); !strings.Contains(rules, "udp dport 51825 accept") {
		t.Errorf("the port is not open any more:\n%s", rules)
	}
	f.shut(ctx, t, "nftables.service", "sed -i /51825/d /etc/nftables.conf; systemctl reload nftables")
}

func TestServiceFirewallUfw(t *testing.T) {
	ctx, f := newFirewalled(t, "systemctl enable --now ufw; ufw allow 25,465,587/tcp; ufw default deny outgoing; ufw allow out 25,465,587/tcp; ufw --force enable", nil)
	f.waits(ctx, t)
	f.cured(ctx, t, "our-firewall", "ufw allow 51825/udp")
	f.protected(ctx, t)
	f.endures(ctx, t, "ufw reload", "systemctl restart ufw", "ufw disable", "ufw --force enable")
	if rules := run(ctx, t, f.m.Host, "ufw", "status"); !strings.Contains(rules, "51825/udp") {
		t.Errorf("the port is not open any more:\n%s", rules)
	}
	f.shut(ctx, t, "ufw", "ufw delete allow 51825/udp")
	for _, others := range []string{ // that the doctor gives when something else is wrong
		"ufw allow out proto udp from any port 51825",
		"ufw allow in on postroad0 proto tcp to any port 25,465,587",
		"ufw prepend allow 51825/udp",
		"ufw delete allow 51825/udp && ufw prepend allow 51825/udp",
		"sed -i s/^IPV6=.*/IPV6=no/ /etc/default/ufw; sed -i s/^IPV6=.*/IPV6=yes/ /etc/default/ufw && ufw reload && ufw allow 51825/udp",
	} {
		run(ctx, t, f.m.Host, "sh", "-ec", others)
	}
}

func TestServiceFirewallFirewalld(t *testing.T) {
	ctx, f := newFirewalled(t, `
		firewall-offline-cmd --set-default-zone=drop
		firewall-offline-cmd --zone=public --add-interface=eth0
		firewall-offline-cmd --zone=public --add-service=smtp
		firewall-offline-cmd --zone=public --add-port=465/tcp
		firewall-offline-cmd --zone=public --add-port=587/tcp
		systemctl enable --now firewalld
		firewall-cmd --state`, nil)
	f.waits(ctx, t)
	f.cured(ctx, t, "our-firewall", "firewall-cmd --permanent --zone=public --add-port=51825/udp && firewall-cmd --reload")
	f.protected(ctx, t)
	f.cured(ctx, t, "our-firewall", "firewall-cmd --permanent --zone=public --change-interface=postroad0 && firewall-cmd --reload")
	if rules := run(ctx, t, f.m.Host, "nft", "list", "table", "inet", "firewalld"); !strings.Contains(rules, "fib saddr . mark . iif oif missing drop") {
		t.Errorf("firewalld's reverse path filter of IPv6 is not there: this shows less than it should\n%s", rules)
	}
	f.endures(ctx, t, "firewall-cmd --reload", "systemctl restart firewalld; firewall-cmd --state", "systemctl stop firewalld", "systemctl start firewalld; firewall-cmd --state")
	if ports := run(ctx, t, f.m.Host, "firewall-cmd", "--zone=public", "--list-ports"); !strings.Contains(ports, "51825/udp") {
		t.Errorf("the port is not open any more: %s", ports)
	}
	f.shut(ctx, t, "firewalld", "firewall-cmd --zone=public --remove-port=51825/udp")
}

// shut has the port closed again, while the tunnel stands: all is well, and the
// doctor has a word to say about that firewall.
func (f *firewalled) shut(ctx context.Context, t *testing.T, name, closes string) {
	t.Helper()
	run(ctx, t, f.m.Host, "sh", "-ec", closes)
	r, err := examine(ctx, f.alpha)
	must(t, err)
	if words := fmt.Sprint(r.Findings); !r.Well || !strings.Contains(words, "nothing in "+name+" opens UDP port 51825") {
		t.Errorf("the doctor says %+v", r)
	}
}
