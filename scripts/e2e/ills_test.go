package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"postroad/scripts/lab"
)

// An ill is a wrong set-up of alpha and bravo, and the check that is to name its
// cause first when alpha asks the doctor.
type ill struct {
	name  string
	cause string // checks, any of which is the true cause, separated by |
	words string // that what the doctor says first has; empty: any

	// What is wrong from the beginning.
	host, theirHost string              // lines of alpha's, and of bravo's, [host]
	peer, theirPeer func(string) string // bravo's block in alpha's file, and alpha's in bravo's; nil: as it should be
	file            string              // alpha's whole peers file; empty: made of host and peer
	first           site                // commands, before the daemons start
	off, theirOff   bool                // the daemon is not started
	mail            string              // what serves SMTP on bravo; empty: a server that is well

	// What goes wrong when all is well.
	then func(context.Context, *patient) error
}

// A site is commands for a shell on each host.
type site struct{ alpha, bravo, router string }

// A patient is a pair of hosts that is to fall ill.
type patient struct {
	*lab.Standard
	alpha, bravo *lab.Postroad
}

// otherKey is the public key of nobody.
const otherKey = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="

const aPSK = "/etc/postroad/a.psk"

func swap(old, new string) func(string) string {
	return func(block string) string {
		if !strings.Contains(block, old) {
			panic(fmt.Sprintf("there is no %q in %q", old, block))
		}
		return strings.ReplaceAll(block, old, new)
	}
}

func with(line string) func(string) string {
	return func(block string) string { return block + line + "\n" }
}

func nobody(string) string { return "" }

// key gives the block another key.
func key(k string) func(string) string {
	return func(block string) string {
		var lines []string
		for line := range strings.Lines(block) {
			if strings.HasPrefix(line, "public_key") {
				line = fmt.Sprintf("public_key = %q\n", k)
			}
			lines = append(lines, line)
		}
		return strings.Join(lines, "")
	}
}

func psk(n int) string {
	return fmt.Sprintf("head -c 32 /dev/zero | tr '\\0' '\\%d' | base64 >%s; chmod 600 %s", n, aPSK, aPSK)
}

// onAlpha is what goes wrong by commands on a host.
func onAlpha(commands string) func(context.Context, *patient) error {
	return func(ctx context.Context, p *patient) error { return sh(ctx, p.Standard.Alpha.Host, commands) }
}

func onBravo(commands string) func(context.Context, *patient) error {
	return func(ctx context.Context, p *patient) error { return sh(ctx, p.Standard.Bravo.Host, commands) }
}

func sh(ctx context.Context, h *lab.Host, commands string) error {
	if commands == "" {
		return nil
	}
	_, err := h.Run(ctx, "sh", "-ec", commands)
	return err
}

// renewed starts a daemon again, after commands on its host.
func renewed(ctx context.Context, p *lab.Postroad, commands string) error {
	return errors.Join(p.Kill(), sh(ctx, p.Site.Host, commands), p.Start(ctx))
}

// dns has dnsmasq answer on the host, as its /etc/resolv.conf says.
func dns(records string) string {
	return "dnsmasq --no-resolv --no-hosts --listen-address=127.0.0.1 --bind-interfaces --user=root --pid-file= " + records
}

const (
	newKey   = "umask 077; postroad genkey >/etc/postroad/new && mv /etc/postroad/new /etc/postroad/private.key"
	portDrop = "nft add table inet fw; nft add chain inet fw in '{ type filter hook input priority 0; }'; nft add rule inet fw in udp dport 51825 drop"
	rawDrop  = "nft add table inet fw; nft add chain inet fw pre '{ type filter hook prerouting priority raw; }'; nft add rule inet fw pre udp dport 51825 drop"
	outDrop  = "nft add table inet fw; nft add chain inet fw out '{ type filter hook output priority 0; }'; nft add rule inet fw out udp sport 51825 drop"
	eth0Only = "nft add table inet fw; nft add chain inet fw in '{ type filter hook input priority 0; policy drop; }'; nft add rule inet fw in ct state established,related accept; " +
		"nft add rule inet fw in iifname eth0 tcp dport 25 accept; nft add rule inet fw in udp dport 51825 accept; nft add rule inet fw in meta l4proto { icmp, icmpv6 } accept"
	passing = "nft add table inet fw; nft add chain inet fw f '{ type filter hook forward priority 10; }'; "
	fromA   = "ip saddr 192.0.2.10"
	toA     = "ip daddr 192.0.2.10"
)

var ills = concat(keyIlls, fileIlls, daemonIlls, firewallIlls, wayIlls, hostIlls, mailIlls)

func concat(lists ...[]ill) (all []ill) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

var keyIlls = []ill{
	{name: "bravo has a wrong key for alpha", cause: "their-key-for-us", theirPeer: key(otherKey)},
	{name: "alpha has a wrong key for bravo", cause: "our-key-for-peer", words: otherKey, peer: key(otherKey)},
	{name: "each has a wrong key for the other", cause: "their-key-for-us|our-key-for-peer", peer: key(otherKey), theirPeer: key(otherKey)},
	{name: "bravo's key is given to another peer", cause: "our-key-for-peer", words: "swapped", peer: func(block string) string {
		return key(otherKey)(block) + "\n" + swap("mx.bravo.example", "mx.charlie.example")(swap("198.51.100.20", "203.0.113.30")(swap("2001:db8:b::20", "2001:db8:c::30")(block)))
	}},
	{name: "bravo gives alpha's key to another peer", cause: "smtp", words: "other addresses", theirPeer: func(block string) string {
		return key(otherKey)(block) + "\n" + swap("mx1.alpha.example", "mx.charlie.example")(swap("192.0.2.10", "203.0.113.30")(swap("2001:db8:a::10", "2001:db8:c::30")(block)))
	}},
	{name: "alpha has made a new key", cause: "their-key-for-us|unknown-there", words: "key", then: func(ctx context.Context, p *patient) error { return renewed(ctx, p.alpha, newKey) }},
	{name: "bravo has made a new key", cause: "our-key-for-peer", then: func(ctx context.Context, p *patient) error { return renewed(ctx, p.bravo, newKey) }},
	{name: "alpha's key file was changed and the daemon was not told", cause: "key-in-force", then: onAlpha(newKey)},
	{name: "only alpha has a preshared key", cause: "preshared-key", peer: with(`preshared_key_file = "` + aPSK + `"`), first: site{alpha: psk(1)}},
	{name: "only bravo has a preshared key", cause: "preshared-key", theirPeer: with(`preshared_key_file = "` + aPSK + `"`), first: site{bravo: psk(1)}},
	{name: "the preshared keys differ", cause: "preshared-key", first: site{alpha: psk(1), bravo: psk(2)},
		peer: with(`preshared_key_file = "` + aPSK + `"`), theirPeer: with(`preshared_key_file = "` + aPSK + `"`)},
	{name: "bravo does not know alpha", cause: "unknown-there", theirPeer: nobody},
	{name: "bravo knows charlie only", cause: "unknown-there", theirPeer: func(block string) string {
		return key(otherKey)(swap("mx1.alpha.example", "mx.charlie.example")(swap("192.0.2.10", "203.0.113.30")(swap("2001:db8:a::10", "2001:db8:c::30")(block))))
	}},
	{name: "the endpoint is IPv6 and bravo has a wrong key", cause: "their-key-for-us", peer: with(`endpoint = "[2001:db8:b::20]:51825"`),
		theirPeer: func(block string) string { return key(otherKey)(block) + "endpoint = \"[2001:db8:a::10]:51825\"\n" }},
}

const goodHost = "[host]\n"

func broken(name, words, file string) ill {
	return ill{name: name, cause: "peers-file", words: words, file: file, off: true}
}

func block(lines string) string { return goodHost + "[[peer]]\n" + lines + "\n" }

const (
	good        = "name = \"mx.bravo.example\"\npublic_key = \"" + otherKey + "\"\n"
	goodAddress = "addresses = [\"198.51.100.20\"]\n"
)

var fileIlls = []ill{
	{name: "the key file is world readable", cause: "peers-file", words: "private.key", first: site{alpha: "chmod 644 /etc/postroad/private.key"}, off: true},
	{name: "the key file is the group's to read", cause: "peers-file", words: "private.key", first: site{alpha: "chmod 640 /etc/postroad/private.key"}, off: true},
	{name: "the key file became world readable later", cause: "peers-file", words: "private.key", then: onAlpha("chmod 644 /etc/postroad/private.key")},
	{name: "the key file is missing", cause: "peers-file", words: "private.key", first: site{alpha: "rm /etc/postroad/private.key"}, off: true},
	{name: "the key file is empty", cause: "peers-file", words: "private.key", first: site{alpha: ": >/etc/postroad/private.key"}, off: true},
	{name: "the key file is no key", cause: "peers-file", words: "private.key", first: site{alpha: "echo hello >/etc/postroad/private.key"}, off: true},
	{name: "the key file is a folder", cause: "peers-file", words: "private.key", first: site{alpha: "rm /etc/postroad/private.key; mkdir /etc/postroad/private.key"}, off: true},
	{name: "the key file was lost while the daemon runs", cause: "peers-file", words: "private.key", then: onAlpha("rm /etc/postroad/private.key")},
	{name: "the preshared key file is missing", cause: "peers-file", words: "a.psk", peer: with(`preshared_key_file = "` + aPSK + `"`), off: true},
	{name: "the preshared key file is world readable", cause: "peers-file", words: "a.psk", peer: with(`preshared_key_file = "` + aPSK + `"`),
		first: site{alpha: psk(1) + "; chmod 644 " + aPSK}, off: true},
	{name: "the peers file is missing", cause: "peers-file", first: site{alpha: "rm /etc/postroad/postroad.toml"}, off: true},
	{name: "the peers file is a named pipe", cause: "peers-file", first: site{alpha: "rm /etc/postroad/postroad.toml; mkfifo /etc/postroad/postroad.toml"}, off: true},
	broken("the peers file is no TOML", ":4", "[host]\nlink = \"postroad0\"\n[[peer]\n"),
	broken("a key is misspelt", "addresses", block(good+`adresses = ["198.51.100.20"]`)),
	broken("an address is none", "addresses", block(good+`addresses = ["198.51.100.300"]`)),
	broken("an address is a network", "addresses", block(good+`addresses = ["198.51.100.0/24"]`)),
	broken("there are no addresses", "addresses", block(good+`addresses = []`)),
	broken("the public key is missing", "public_key", block("name = \"mx.bravo.example\"\n"+goodAddress)),
	broken("the public key lacks its end", "public_key", block("name = \"mx.bravo.example\"\npublic_key = \"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8D\"\n"+goodAddress)),
	broken("the endpoint has no port", "endpoint", block(good+goodAddress+`endpoint = "198.51.100.20"`)),
	broken("the policy is none", "policy", block(good+goodAddress+`policy = "maybe"`)),
	broken("two peers have one name", "name", block(good+goodAddress)+"[[peer]]\n"+good+"addresses = [\"198.51.100.21\"]\n"),
	broken("two peers have one address", "addresses", block(good+goodAddress)+"[[peer]]\nname = \"b\"\npublic_key = \"Wu33XFvgtSlDYNPKzcOYCCbuQaTZvRTEkYuP3XaVEEc=\"\n"+goodAddress),
	broken("the peer's address is this host's", "192.0.2.10", block(good+`addresses = ["192.0.2.10"]`)),
	broken("the private key is in the file", "private", "[host]\nPrivateKey = \"x\"\n"),
	broken("it is a file of wg-quick's", "", "[Interface]\nPrivateKey = x\n"),
	{name: "alpha has its own public key for bravo", cause: "peers-file", words: "own",
		first: site{alpha: `sed -i "s,^public_key.*,public_key = \"$(postroad pubkey </etc/postroad/private.key)\"," /etc/postroad/postroad.toml`}, off: true},
	{name: "the file was broken later and reload refused it", cause: "peers-file", then: onAlpha("echo nonsense >>/etc/postroad/postroad.toml; postroad reload || true")},
	{name: "the file has a new peer and was not reloaded", cause: "peers-file", words: "reload",
		then: onAlpha("printf '[[peer]]\\nname = \"mx.charlie.example\"\\npublic_key = \"" + otherKey + "\"\\naddresses = [\"203.0.113.30\"]\\n' >>/etc/postroad/postroad.toml")},
}

var daemonIlls = []ill{
	{name: "alpha's daemon was never started", cause: "daemon", off: true},
	{name: "alpha's daemon was killed", cause: "daemon", then: func(_ context.Context, p *patient) error { return p.alpha.Kill() }},
	{name: "alpha's daemon was stopped", cause: "daemon", then: func(ctx context.Context, p *patient) error { return p.alpha.Stop(ctx, unix.SIGTERM) }},
	{name: "alpha was taken down", cause: "daemon", then: onAlpha("postroad down || true")},
	{name: "alpha's daemon was killed and the guard was flushed", cause: "daemon", then: func(ctx context.Context, p *patient) error {
		return errors.Join(p.alpha.Kill(), sh(ctx, p.Standard.Alpha.Host, "nft flush ruleset"))
	}},
	{name: "alpha's daemon hangs", cause: "daemon", words: "answer", then: func(_ context.Context, p *patient) error { return p.alpha.Signal(unix.SIGSTOP) }},
	{name: "bravo's daemon was killed", cause: "their-daemon", then: func(ctx context.Context, p *patient) error {
		return errors.Join(p.bravo.Kill(), renewed(ctx, p.alpha, ""))
	}},
	{name: "bravo's daemon was stopped", cause: "their-daemon", then: func(ctx context.Context, p *patient) error {
		return errors.Join(p.bravo.Stop(ctx, unix.SIGTERM), renewed(ctx, p.alpha, ""))
	}},
	{name: "bravo has no postroad", cause: "their-daemon", theirOff: true},
	{name: "bravo has no postroad, the endpoint is IPv6", cause: "their-daemon", peer: with(`endpoint = "[2001:db8:b::20]:51825"`), theirOff: true},
	{name: "bravo has no postroad and sends in clear", cause: "clear-in", theirOff: true, then: onBravo(
		"(while :; do nc -w 1 192.0.2.10 25 || true; sleep 0.2; done) >/dev/null 2>&1 &")},
	{name: "another program has alpha's port", cause: "udp-port", words: "nc", first: site{alpha: "nc -u -l 51825 >/dev/null 2>&1 & sleep 0.2"}},
	{name: "another program has bravo's port", cause: "their-daemon|unknown-there", first: site{bravo: "nc -u -l 51825 >/dev/null 2>&1 & sleep 0.2"}},
	{name: "alpha and bravo listen at other ports than both believe", cause: "their-port-for-us|their-daemon", host: "listen_port = 51999", theirHost: "listen_port = 51998"},
	{name: "alpha calls a wrong port, and bravo nobody", cause: "their-daemon", peer: with(`endpoint = "198.51.100.20:51826"`),
		theirPeer: with(`endpoint = "203.0.113.30:51825"`)},
}

var firewallIlls = []ill{
	{name: "alpha drops UDP for all, in raw", cause: "our-firewall", first: site{alpha: rawDrop}},
	{name: "alpha drops what is not established, and bravo's firewall drops calls", cause: "our-firewall|their-firewall", first: site{alpha: portDrop, bravo: rawDrop}},
	{name: "alpha drops UDP", cause: "our-firewall", words: "nft insert rule inet fw in udp dport 51825 accept", first: site{alpha: portDrop}},
	{name: "alpha drops UDP while a session stands", cause: "our-firewall", words: "0 passed", then: onAlpha(portDrop)},
	{name: "alpha drops UDP later", cause: "our-firewall", then: func(ctx context.Context, p *patient) error {
		return renewed(ctx, p.alpha, portDrop)
	}},
	{name: "alpha drops UDP, and has ufw", cause: "our-firewall", words: "ufw allow 51825/udp",
		first: site{alpha: portDrop + "; mkdir -p /etc/ufw; echo ENABLED=yes >/etc/ufw/ufw.conf"}},
	{name: "alpha drops UDP, and has firewalld", cause: "our-firewall", words: "firewall-cmd --permanent --add-port=51825/udp",
		first: site{alpha: portDrop + "; mkdir -p /run/firewalld"}},
	{name: "alpha drops all from bravo", cause: "our-firewall",
		first: site{alpha: "nft add table inet fw; nft add chain inet fw in '{ type filter hook input priority 0; }'; nft add rule inet fw in ip saddr 198.51.100.20 drop"}},
	{name: "alpha refuses UDP with an ICMP error", cause: "our-firewall",
		first: site{alpha: "nft add table inet fw; nft add chain inet fw in '{ type filter hook input priority 0; }'; nft add rule inet fw in udp dport 51825 reject"}},
	{name: "alpha has a policy of drop", cause: "our-firewall",
		first: site{alpha: "nft add table inet fw; nft add chain inet fw in '{ type filter hook input priority 0; policy drop; }'; nft add rule inet fw in icmpv6 type nd-neighbor-advert accept"}},
	{name: "alpha drops IPv6 UDP, and the endpoint is IPv6", cause: "our-firewall", peer: with(`endpoint = "[2001:db8:b::20]:51825"`),
		theirPeer: with(`endpoint = "[2001:db8:a::10]:51825"`), first: site{alpha: portDrop}},
	{name: "alpha lets no UDP out", cause: "our-firewall", words: "nft insert rule inet fw out udp sport 51825 accept", first: site{alpha: outDrop}},
	{name: "alpha drops what comes through the link", cause: "our-firewall", words: "postroad0",
		then: onAlpha("nft add table inet fw; nft add chain inet fw in '{ type filter hook input priority 0; }'; nft add rule inet fw in iifname postroad0 drop")},
	{name: "alpha takes SMTP on its ordinary interface only", cause: "our-firewall", words: "nft insert rule inet fw in 'iifname postroad0 tcp dport { 25, 465, 587 } accept'",
		then: func(ctx context.Context, p *patient) error {
			return errors.Join(onAlpha(eth0Only)(ctx, p), onBravo("(while sleep 0.2; do nc -w 1 192.0.2.10 25 || true; done) >/dev/null 2>&1 </dev/null &")(ctx, p))
		}},
	{name: "bravo drops UDP to its port whatever the state", cause: "their-firewall", first: site{bravo: rawDrop}},
	{name: "bravo drops all from alpha", cause: "their-firewall",
		first: site{bravo: "nft add table inet fw; nft add chain inet fw pre '{ type filter hook prerouting priority raw; }'; nft add rule inet fw pre ip saddr 192.0.2.10 drop"}},
	{name: "the network drops alpha's tunnel", cause: "their-firewall", first: site{router: passing + "nft add rule inet fw f " + fromA + " udp dport 51825 drop"}},
	{name: "the network drops bravo's tunnel", cause: "their-firewall", first: site{router: passing + "nft add rule inet fw f " + toA + " udp dport 51825 drop"}},
	{name: "the network drops the tunnel both ways", cause: "their-firewall", first: site{router: passing + "nft add rule inet fw f udp dport 51825 drop"}},
	{name: "the network drops all UDP", cause: "their-firewall", first: site{router: passing + "nft add rule inet fw f meta l4proto udp drop"}},
	{name: "the network drops all UDP of IPv6", cause: "their-firewall", peer: with(`endpoint = "[2001:db8:b::20]:51825"`),
		theirPeer: with(`endpoint = "[2001:db8:a::10]:51825"`), first: site{router: passing + "nft add rule inet fw f meta l4proto udp drop"}},
	{name: "the network refuses the tunnel", cause: "their-firewall", first: site{router: passing + "nft add rule inet fw f udp dport 51825 reject with icmpx admin-prohibited"}},
	{name: "the network refuses the tunnel of IPv6", cause: "their-firewall", peer: with(`endpoint = "[2001:db8:b::20]:51825"`),
		theirPeer: with(`endpoint = "[2001:db8:a::10]:51825"`), first: site{router: passing + "nft add rule inet fw f udp dport 51825 reject with icmpx admin-prohibited"}},
	{name: "bravo refuses UDP as prohibited", cause: "their-firewall",
		first: site{bravo: "nft add table inet fw; nft add chain inet fw in '{ type filter hook input priority 0; }'; nft add rule inet fw in udp dport 51825 reject with icmpx admin-prohibited"}, theirPeer: nobody},
	{name: "alpha's filter refuses SMTP in the tunnel", cause: "smtp",
		then: onAlpha("nft add table inet fw; nft add chain inet fw out '{ type filter hook output priority 0; }'; nft add rule inet fw out oifname postroad0 tcp dport 25 reject with icmpx admin-prohibited")},
	{name: "bravo's filter drops SMTP from the tunnel", cause: "smtp", words: "firewall",
		then: onBravo("nft add table inet fw; nft add chain inet fw in '{ type filter hook input priority 0; }'; nft add rule inet fw in iifname postroad0 drop")},
}

var wayIlls = []ill{
	{name: "the endpoint's name does not resolve", cause: "endpoint", words: "resolve", peer: with(`endpoint = "nowhere.example:51825"`),
		theirPeer: with(`endpoint = "203.0.113.30:51825"`)},
	{name: "alpha has no route to bravo", cause: "endpoint", words: "route", first: site{alpha: "ip route del default; ip -6 route del default"}, theirPeer: with(`endpoint = "203.0.113.30:51825"`)},
	{name: "the endpoint is IPv6, and alpha has none", cause: "endpoint", peer: with(`endpoint = "[2001:db8:b::20]:51825"`),
		theirPeer: with(`endpoint = "203.0.113.30:51825"`), first: site{alpha: "ip -6 route del default"}},
	{name: "the endpoint is nobody's", cause: "unreachable", peer: with(`endpoint = "198.51.100.99:51825"`), theirPeer: with(`endpoint = "203.0.113.99:51825"`)},
	{name: "the endpoint is charlie's", cause: "their-daemon", peer: with(`endpoint = "203.0.113.30:51825"`), theirPeer: with(`endpoint = "203.0.113.30:51825"`)},
	{name: "the network knows no way to bravo", cause: "unreachable", first: site{router: "ip route add unreachable 198.51.100.20/32"}},
	{name: "bravo is off the network", cause: "unreachable", then: func(ctx context.Context, p *patient) error {
		return errors.Join(p.Standard.Bravo.Link.Down(ctx), renewed(ctx, p.alpha, ""))
	}},
	{name: "the network swallows all to bravo and from it", cause: "unreachable", first: site{router: "ip route add blackhole 198.51.100.20/32; ip route add blackhole 192.0.2.10/32"}},
	{name: "bravo's addresses are charlie's", cause: "dns-name|their-daemon", peer: func(b string) string {
		return swap("198.51.100.20", "203.0.113.30")(swap("2001:db8:b::20", "2001:db8:c::30")(b))
	}, theirPeer: with(`endpoint = "203.0.113.30:51825"`)},
	{name: "bravo's addresses are old", cause: "dns-name", peer: swap("198.51.100.20", "198.51.100.99"), first: site{alpha: "sed -i '/^2001.*bravo/d' /etc/hosts"}},
	{name: "bravo has an address that the file lacks", cause: "dns-name", peer: swap(`, "2001:db8:b::20"`, "")},
	{name: "a mail exchanger of bravo's domain is no peer", cause: "mx", words: "mx.charlie.example", peer: with(`domains = ["bravo.example"]`),
		first: site{alpha: dns("--mx-host=bravo.example,mx.bravo.example,10 --mx-host=bravo.example,mx.charlie.example,20")}},
	{name: "bravo is no mail exchanger of its domain", cause: "mx", peer: with(`domains = ["bravo.example"]`),
		first: site{alpha: dns("--mx-host=bravo.example,mx.charlie.example,10")}},
	{name: "bravo has moved", cause: "dns-name", first: site{alpha: "sed -i '/^2001.*bravo/d; s/^198.51.100.20/203.0.113.77/' /etc/hosts"}},
	{name: "DNS was poisoned for IPv6", cause: "dns-name", first: site{alpha: "sed -i 's/^2001:db8:b::20/2001:db8:c::77/' /etc/hosts"}},
}

var hostIlls = []ill{
	{name: "alpha has no TUN", cause: "kernel", words: "tun", first: site{alpha: "mount -t tmpfs tmpfs /dev/net"}, off: true},
	{name: "a foreign link has our name", cause: "link", first: site{alpha: "ip link add postroad0 type veth peer name other0"}},
	{name: "a rule before ours leads bravo elsewhere", cause: "policy-routing", words: `"100: from all to 198.51.100.20 lookup main"`, then: onAlpha("ip rule add priority 100 to 198.51.100.20 lookup main")},
	{name: "a rule of wg-quick's kind comes before ours", cause: "policy-routing", words: `"500: not from all fwmark 0xca6c lookup 51820"`,
		then: onAlpha("ip route add default via 192.0.2.1 dev eth0 table 51820; ip rule add priority 500 not fwmark 51820 lookup 51820")},
	{name: "an IPv6 rule before ours leads bravo elsewhere", cause: "policy-routing", then: onAlpha("ip -6 rule add priority 100 to 2001:db8:b::20 lookup main")},
	{name: "a VPN's table has all ports of SMTP", cause: "policy-routing",
		then: onAlpha("ip route add default via 192.0.2.1 dev eth0 table 77; ip rule add priority 1000 ipproto tcp dport 25 lookup 77")},
	{name: "alpha's clock went backwards", cause: "clock", then: onAlpha("touch -d '+2 days' /var/lib/postroad/selectors.json")},
	{name: "alpha's clock went backwards since the file was edited", cause: "clock", then: onAlpha("touch -d '+3 hours' /etc/postroad/postroad.toml")},
	{name: "networkd takes rules away", cause: "networkd", first: site{alpha: "rm -rf /etc/systemd/networkd.conf.d; mkdir -p /run/systemd/netif; touch /run/systemd/netif/state"}},
	{name: "networkd is told of routes only", cause: "networkd",
		first: site{alpha: "mkdir -p /run/systemd/netif /etc/systemd/networkd.conf.d; touch /run/systemd/netif/state; printf '[Network]\\nManageForeignRoutes=no\\n#ManageForeignRoutingPolicyRules=no\\n' >/etc/systemd/networkd.conf.d/x.conf"}},
	{name: "NetworkManager is not told of the link", cause: "networkmanager", first: site{alpha: "mkdir -p /run/NetworkManager/devices"}},
	{name: "NetworkManager is told of another link", cause: "networkmanager",
		first: site{alpha: "mkdir -p /run/NetworkManager/devices /etc/NetworkManager/conf.d; printf '[keyfile]\\nunmanaged-devices=interface-name:wg0\\n' >/etc/NetworkManager/conf.d/x.conf"}},
	{name: "alpha's own address is mistyped", cause: "own-addresses", host: `addresses = ["192.0.2.77", "2001:db8:a::10"]`},
	{name: "Postfix is bound to an address that bravo does not know", cause: "mta-source", words: "smtp_bind_address", host: `addresses = ["192.0.2.10", "2001:db8:a::10"]`,
		first: site{alpha: "ip address add 192.0.2.11/24 dev eth0; echo 'smtp_bind_address = 192.0.2.11' >>/etc/postfix/main.cf"}},
	{name: "Postfix is bound to an IPv6 address that bravo does not know", cause: "mta-source", words: "smtp_bind_address6", host: `addresses = ["192.0.2.10", "2001:db8:a::10"]`,
		first: site{alpha: "ip address add 2001:db8:a::11/64 dev eth0; echo 'smtp_bind_address6 = 2001:db8:a::11' >>/etc/postfix/main.cf"}},
	{name: "some MTA speaks from an address that bravo does not know", cause: "mta-source", host: `addresses = ["192.0.2.10", "2001:db8:a::10"]`,
		first: site{alpha: "ip address add 192.0.2.11/24 dev eth0"},
		then:  onAlpha("(sleep 60 | nc -s 192.0.2.11 198.51.100.20 25) >/dev/null 2>&1 & sleep 0.3")},
}

var mailIlls = []ill{
	{name: "bravo has no mail server", cause: "smtp", words: "listens", mail: ":"},
	{name: "bravo's mail server is on IPv4 only", cause: "smtp", words: "2001:db8:b::20", mail: "smtp-sink -u root 198.51.100.20:25 100"},
	{name: "bravo's mail server refuses EHLO", cause: "smtp", words: "does not speak", mail: "smtp-sink -u root -f ehlo 198.51.100.20:25 100 & smtp-sink -u root -6 -f ehlo 'inet:[2001:db8:b::20]:25' 100"},
	{name: "bravo's mail server hangs up", cause: "smtp", words: "does not speak", mail: "smtp-sink -u root -q connect 198.51.100.20:25 100 & smtp-sink -u root -6 -q connect 'inet:[2001:db8:b::20]:25' 100"},
	{name: "something else listens on bravo's port 25", cause: "smtp", words: "does not speak", mail: "while :; do echo hello | nc -N -l 198.51.100.20 25; done & while :; do echo hello | nc -6 -N -l 2001:db8:b::20 25; done"},
	{name: "bravo takes port 25 only", cause: "ports", theirHost: "ports = [25]"},
	{name: "bravo does not take port 587", cause: "ports", words: "587", theirHost: "ports = [25, 465]"},
	{name: "alpha takes a port that bravo does not", cause: "ports", words: "2525", host: "ports = [25, 2525]"},
	{name: "bravo knows alpha's IPv6 address only", cause: "smtp", words: "198.51.100.20", theirPeer: swap(`"192.0.2.10", `, "")},
	{name: "bravo knows alpha's IPv4 address only", cause: "smtp", words: "2001:db8:b::20", theirPeer: swap(`, "2001:db8:a::10"`, "")},
	{name: "bravo has a wrong address for alpha", cause: "smtp", words: "other addresses", theirPeer: func(b string) string {
		return swap("192.0.2.10", "192.0.2.99")(b) + "endpoint = \"192.0.2.10:51825\"\n"
	}},
	{name: "the path swallows large packets of IPv4", cause: "mtu", host: "mtu = 1420", theirHost: "mtu = 1420", then: func(ctx context.Context, p *patient) error {
		return sh(ctx, p.Router, passing+"nft add rule inet fw f meta length gt 1300 drop")
	}},
	{name: "the path swallows large packets of alpha's", cause: "mtu", host: "mtu = 1420", theirHost: "mtu = 1420", then: func(ctx context.Context, p *patient) error {
		return sh(ctx, p.Router, passing+"nft add rule inet fw f "+fromA+" meta length gt 1400 drop")
	}},
	{name: "alpha's link takes more than the path", cause: "mtu", host: "mtu = 1500", theirHost: "mtu = 1500", then: func(ctx context.Context, p *patient) error {
		return sh(ctx, p.Router, passing+"nft add rule inet fw f meta length gt 1500 drop; nft add rule inet fw f ip frag-off \\& 0x3fff != 0 drop")
	}},
}
