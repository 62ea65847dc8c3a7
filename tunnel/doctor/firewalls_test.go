package doctor

import (
	"net/netip"
	"testing"
)

var (
	aUfw       = Firewall{Name: "ufw", Manages: true, In: Opening{Command: "ufw in"}, Out: Opening{Command: "ufw out"}, Link: Opening{Command: "ufw link"}}
	aFirewalld = Firewall{Name: "firewalld", Manages: true, In: Opening{Command: "fw in"}, Link: Opening{Command: "fw link"},
		Zones: &Zones{Link: Zone{Name: "drop"}, Wire: Zone{Name: "public", SMTP: []uint16{25}}}}
	strictTable = Firewall{Name: "the nft table inet mine", Strict: true, Drops: true, In: Opening{Command: "nft in", Lasting: ", and the file"}}
	someTable   = Firewall{Name: "the nft table inet f2b", Drops: true, In: Opening{Command: "nft f2b"}}
	idleTable   = Firewall{Name: "the nft table inet idle", In: Opening{Command: "nft idle"}}
	iptables4   = Firewall{Name: "iptables", Family: 4, Strict: true, In: Opening{Command: "iptables in"}}
	iptables6   = Firewall{Name: "ip6tables", Family: 6, Strict: true, In: Opening{Command: "ip6tables in"}}
)

// Which firewall is to be opened, and how, if the peer's packets do not pass.
func TestWhatOpens(t *testing.T) {
	for _, test := range []struct {
		name  string
		walls []Firewall
		six   bool // the endpoint is IPv6
		want  string
	}{
		{"nobody knows", nil, false, "accept UDP port 51825 in this host's firewall (`nft list ruleset`, `iptables -S`)"},
		{"a program", []Firewall{aUfw, someTable, idleTable}, false, "ufw: `ufw in`"},
		{"a program and a strict table", []Firewall{aUfw, strictTable, someTable}, false, "ufw: `ufw in`; and in the nft table inet mine: `nft in`, and the file"},
		{"two programs", []Firewall{aUfw, aFirewalld}, false, "ufw: `ufw in`; and in firewalld: `fw in`"},
		{"tables", []Firewall{someTable, strictTable, idleTable}, false, "the nft table inet mine: `nft in`, and the file"},
		{"tables that drop something", []Firewall{idleTable, someTable}, false, "the nft table inet f2b: `nft f2b`"},
		{"tables that drop nothing", []Firewall{idleTable}, false, "the nft table inet idle: `nft idle`"},
		{"the family's", []Firewall{iptables4, iptables6}, true, "ip6tables: `ip6tables in`"},
		{"the other family's", []Firewall{iptables4, iptables6}, false, "iptables: `iptables in`"},
		{"no command", []Firewall{{Name: "the nft table inet x", Strict: true}}, false, "accept UDP port 51825 in the nft table inet x (`nft list ruleset`)"},
	} {
		e := healthy()
		p := &e.Peers[0]
		unheard(p)
		if test.six {
			p.Endpoint = netip.MustParseAddrPort("[2001:db8:b::20]:51825")
		}
		p.Arrived, e.Host.Firewalls = 3, test.walls
		if f := Examine(e)[0]; f.Check != "our-firewall" || f.Do != test.want {
			t.Errorf("%s: got %+v, want %s", test.name, f, test.want)
		}
	}
}

// SMTP through the link has a way of its own through a firewall.
func TestWhatOpensTheLink(t *testing.T) {
	for _, test := range []struct {
		name  string
		calls Passed
		wall  Firewall
		do    string // empty: nothing is wrong
	}{
		{"peers' calls are dropped", Passed{Arrived: 2}, aUfw, "ufw: `ufw link`"},
		{"they pass", Passed{Arrived: 2, Accepted: 1}, aUfw, ""},
		{"nobody calls, and the link's zone is another", Passed{}, aFirewalld, "firewalld: `fw link`"},
		{"its zone drops calls", Passed{Arrived: 1}, aFirewalld, "firewalld: `fw link`"},
		{"both zones take it", Passed{}, Firewall{Name: "firewalld", Manages: true, Zones: &Zones{Link: Zone{SMTP: []uint16{25, 587}}, Wire: Zone{SMTP: []uint16{25}}}}, ""},
		{"no zone takes it", Passed{}, Firewall{Name: "firewalld", Manages: true, Zones: &Zones{}}, ""},
	} {
		e := healthy()
		e.Host.Calls, e.Host.Firewalls = test.calls, []Firewall{test.wall}
		all := Examine(e)
		switch {
		case test.do == "" && len(all) > 0, test.do != "" && len(all) != 1:
			t.Errorf("%s: got %+v", test.name, all)
		case test.do != "" && (all[0].Check != "our-firewall" || all[0].Do != test.do || all[0].Severity != Problem):
			t.Errorf("%s: got %+v, want %s", test.name, all[0], test.do)
		}
	}
}

// A port that is not open is worth a word, even while all is well.
func TestShutFirewall(t *testing.T) {
	e := healthy()
	wall := aUfw
	wall.Shut = true
	e.Host.Firewalls = []Firewall{wall}
	r := NewReport(e)
	if !r.Well || len(r.Findings) != 1 || r.Findings[0].Do != "ufw: `ufw in`" {
		t.Errorf("got %+v", r)
	}
	e.Peers[0].Arrived = 2
	if all := Examine(e); len(all) != 1 || all[0].Severity != Problem {
		t.Errorf("got %+v", all)
	}
}
