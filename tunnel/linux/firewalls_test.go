package linux

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"postroad/tunnel/doctor"
)

// allZones is what firewalld 1.3 says, less zones that nobody uses.
const allZones = `drop
  target: DROP
  icmp-block-inversion: no
  interfaces: 
  sources: 
  services: 
  ports: 
  protocols: 
  forward: yes
  masquerade: no
  forward-ports: 
  source-ports: 
  icmp-blocks: 
  rich rules: 

external
  target: default
  interfaces: eth1
  services: ssh smtp
  ports: 
  masquerade: yes
  rich rules: 

public (active)
  target: default
  interfaces: eth0 eth2
  sources: 
  services: dhcpv6-client smtp smtp-submission
  ports: 465/tcp 8000-8010/tcp
  masquerade: no
  rich rules: 
	rule family="ipv4" source address="203.0.113.0/24" port port="2525" protocol="tcp" accept

partners (active)
  target: ACCEPT
  interfaces: 
  sources: 198.51.100.0/24 2001:db8:b::20
  masquerade: no
`

func TestZones(t *testing.T) {
	z := zones{all: parseZones(allZones), fallback: "drop"}
	for link, want := range map[string]string{"eth0": "public", "eth2": "public", "postroad0": "drop"} {
		if got := z.of(link); got != want {
			t.Errorf("%s is in zone %s, want %s", link, got, want)
		}
	}
	for addr, want := range map[string]string{"198.51.100.20": "partners", "2001:db8:b::20": "partners", "192.0.2.1": "", "2001:db8:b::21": ""} {
		if got := z.from(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is in zone %q, want %q", addr, got, want)
		}
	}
	ports := []uint16{25, 465, 587, 2525}
	for name, want := range map[string][]uint16{"drop": nil, "external": {25}, "public": ports, "partners": ports} {
		if diff := cmp.Diff(want, z.named(name).takes(ports)); diff != "" {
			t.Errorf("zone %s (-want +got):\n%s", name, diff)
		}
	}
	for name, want := range map[string]bool{"drop": true, "external": true, "public": false, "partners": false} {
		if got := z.named(name).shut(51825); got != want {
			t.Errorf("zone %s is shut: %v, want %v", name, got, want)
		}
	}
	w := wanted{port: 51825, wires: []string{"eth0"}, mail: []netip.Addr{netip.MustParseAddr("198.51.100.20")}}
	want := "firewall-cmd --permanent --zone=public --add-port=51825/udp && firewall-cmd --permanent --zone=partners --add-port=51825/udp && firewall-cmd --reload"
	if got := reload(z.open(w)...); got != want {
		t.Errorf("opening: %s", got)
	}
	for _, nonsense := range []string{"", "\n", "  target: DROP\n", "FirewallD is not running\n"} {
		for _, zone := range parseZones(nonsense) {
			if zone.target != "" || len(zone.takes(ports)) > 0 {
				t.Errorf("%q is taken for a zone: %+v", nonsense, zone)
			}
		}
	}
}

func TestUfwAllow(t *testing.T) {
	const head = "Added user rules (see 'ufw status' for running firewall):\n"
	for added, want := range map[string]string{
		"": "ufw allow 51825/udp",
		head + "ufw allow 25/tcp\nufw deny out 53\nufw allow 151825/udp\nufw allow 51825/tcp\n":   "ufw allow 51825/udp",
		head + "ufw allow 25/tcp\nufw deny proto udp from any to any\n":                           "ufw prepend allow 51825/udp",
		head + "ufw limit in on eth0\n":                                                           "ufw prepend allow 51825/udp",
		head + "ufw deny 51825/udp\nufw allow 51825/udp\n":                                        "ufw delete allow 51825/udp && ufw prepend allow 51825/udp",
		head + "ufw allow 51825/udp comment 'tunnels'\n":                                          "ufw reload",
		head + "ufw reject 25/tcp\nufw allow 51825/udp comment 'x'\nufw route deny in on docker0": "ufw delete allow 51825/udp && ufw prepend allow 51825/udp",
	} {
		if got := ufwAllow(added, "51825/udp"); got != want {
			t.Errorf("%q: got %s, want %s", added, got, want)
		}
	}
}

func TestUfwShut(t *testing.T) {
	for added, want := range map[string]bool{
		"":                                                   false, // who knows
		"ufw allow 25/tcp\n":                                 true,
		"ufw allow 25,465,587/tcp\n":                         true,
		"ufw allow out 51825/udp\n":                          true,
		"ufw allow 51825/tcp\n":                              true,
		"ufw allow 151825/udp\n":                             true,
		"ufw allow proto udp to any port 53\n":               true,
		"ufw deny 51825/udp\n":                               true,
		"ufw allow OpenSSH\n":                                true,
		"ufw allow 25/tcp comment '51825/udp'":               true,
		"ufw allow 51825/udp\n":                              false,
		"ufw allow 51825\n":                                  false,
		"ufw allow 53,51825/udp comment 'x'\n":               false,
		"ufw allow 50000:52000/udp\n":                        false,
		"ufw allow from 198.51.100.20\n":                     false,
		"ufw allow in on eth0\n":                             false,
		"ufw allow proto udp from 2001:db8::1\n":             false,
		"ufw allow in on eth0 proto udp to any port 51825\n": false,
	} {
		if got := ufwShut(added, 51825); got != want {
			t.Errorf("%q: shut is %v, want %v", added, got, want)
		}
	}
}

func TestPlaceInNftablesConf(t *testing.T) {
	conf := strings.Join([]string{
		`#!/usr/sbin/nft -f`,
		`table ip other { # not this one`,
		`	chain input { type filter hook input priority 0; policy drop; }`,
		`}`,
		`table inet filter {`,
		`	set s { type ipv4_addr; }`,
		`	chain other { accept }`,
		`	chain input {`,
		`		comment "in"`,
		`		type filter hook input priority filter; policy drop;`,
		`	}`,
		`	chain output { type filter hook output priority filter; }`,
		`}`,
		`table mail { chain in { type filter hook input priority 0; } }`,
	}, "\n")
	inet, ip := nftables.TableFamilyINet, nftables.TableFamilyIPv4
	for _, test := range []struct {
		family nftables.TableFamily
		name   string
		chain  string
		want   int
	}{
		{inet, "filter", "input", 10}, {inet, "filter", "output", 12}, {inet, "filter", "other", 0}, {inet, "other", "input", 0},
		{ip, "other", "input", 3}, {inet, "filter", "", 0}, {inet, "filte", "input", 0},
	} {
		if got := placeOf(conf, table{family: test.family, name: test.name}, test.chain); got != test.want {
			t.Errorf("chain %s of table %s: line %d, want %d", test.chain, test.name, got, test.want)
		}
	}
}

// What is said of tables: by nft, and by iptables where it is iptables'.
func TestOpeningTables(t *testing.T) {
	w := wanted{port: 51825, link: "postroad0", smtp: []uint16{25, 587}}
	for _, test := range []struct {
		table table
		want  doctor.Firewall
	}{
		{table{family: nftables.TableFamilyINet, name: "fw", input: "in", strict: true, drops: true}, doctor.Firewall{
			Name: "the nft table inet fw", Strict: true, Drops: true,
			In:   doctor.Opening{Command: "nft insert rule inet fw in udp dport 51825 accept"},
			Link: doctor.Opening{Command: "nft insert rule inet fw in 'iifname postroad0 tcp dport { 25, 587 } accept'"},
		}},
		{table{family: nftables.TableFamilyIPv6, name: "f", output: "out"}, doctor.Firewall{
			Name: "the nft table ip6 f", Family: 6,
			Out: doctor.Opening{Command: "nft insert rule ip6 f out udp sport 51825 accept"},
		}},
		{table{family: nftables.TableFamilyIPv4, name: "filter", input: "INPUT", output: "OUTPUT", program: "iptables", drops: true}, doctor.Firewall{
			Name: "iptables", Family: 4, Drops: true,
			In:   doctor.Opening{Command: "iptables -I INPUT -p udp --dport 51825 -j ACCEPT"},
			Out:  doctor.Opening{Command: "iptables -I OUTPUT -p udp --sport 51825 -j ACCEPT"},
			Link: doctor.Opening{Command: "iptables -I INPUT -i postroad0 -p tcp -m multiport --dports 25,587 -j ACCEPT"},
		}},
	} {
		got := test.table.firewall(w)
		got.In.Lasting, got.Out.Lasting, got.Link.Lasting = "", "", ""
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// What nft's rules may let in, in the words that they are made of.
func TestRulesThatMayAccept(t *testing.T) {
	udp, tcp := l4proto(unix.IPPROTO_UDP), l4proto(unix.IPPROTO_TCP)
	dport := &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}
	is := func(port uint16) []expr.Any {
		return []expr.Any{dport, equal(binaryutil.BigEndian.PutUint16(port))}
	}
	among := []expr.Any{dport, &expr.Lookup{SourceRegister: 1, SetName: "__set0"}}
	for _, test := range []struct {
		name string
		rule [][]expr.Any
		want bool
	}{
		{"udp dport 51825 accept", [][]expr.Any{udp, is(51825), accept()}, true},
		{"udp dport 53 accept", [][]expr.Any{udp, is(53), accept()}, false},
		{"udp dport 51825 drop", [][]expr.Any{udp, is(51825), drop()}, false},
		{"udp dport { } accept", [][]expr.Any{udp, among, accept()}, true},
		{"tcp dport { } accept", [][]expr.Any{tcp, among, accept()}, false},
		{"tcp dport 51825 accept", [][]expr.Any{tcp, is(51825), accept()}, false},
		{"meta l4proto { } accept", [][]expr.Any{{load(expr.MetaKeyL4PROTO)}, {&expr.Lookup{SourceRegister: 1, SetName: "__set1"}}, accept()}, false},
		{"iifname lo accept", [][]expr.Any{in(interfaces{"lo"}), accept()}, false},
		{"iifname eth1 accept", [][]expr.Any{in(interfaces{"eth1"}), accept()}, true},
		{"ct state established accept", [][]expr.Any{ctState(expr.CtStateBitESTABLISHED), accept()}, false},
		{"ip saddr @partners accept", [][]expr.Any{v4(), addr4(src), inSet("partners"), accept()}, true},
		{"accept", [][]expr.Any{accept()}, true},
		{"drop", [][]expr.Any{drop()}, false},
	} {
		r := &nftables.Rule{}
		for _, exprs := range test.rule {
			r.Exprs = append(r.Exprs, exprs...)
		}
		if got := mayAccept(r, 51825); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}
