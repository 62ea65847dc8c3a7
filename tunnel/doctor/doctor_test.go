package doctor

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"postroad/peers"
	"postroad/tunnel"
)

var (
	bravoKey  = peers.PublicKey{1}
	bravoAddr = netip.MustParseAddr("198.51.100.20")
	own       = netip.MustParseAddr("192.0.2.10")
	noon      = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
)

// healthy is the evidence of a host where all is well.
func healthy() *Evidence {
	c := &peers.Config{
		Host: peers.Host{Name: "mx1.alpha.example", Link: "postroad0", Backend: peers.Auto, Ports: []uint16{25}, ListenPort: 51825, MTU: 1420,
			Addresses: []netip.Addr{own}},
		Peers: []peers.Peer{{Name: "bravo", PublicKey: bravoKey, Addresses: []netip.Addr{bravoAddr}, Policy: peers.Require}},
	}
	f := tunnel.Facts{IPv6: true, Local: []tunnel.LocalAddr{{Addr: own, Link: "eth0"}},
		Paths: map[netip.Addr]tunnel.Path{bravoAddr: {Src: own, Link: "eth0"}}}
	want := tunnel.Want(c, f)
	have := tunnel.Want(c, f)
	have.Guard.Sound = true
	status := &tunnel.Status{PublicKey: c.Host.PrivateKey.Public(), File: tunnel.FileStatus{InForce: true},
		Peers: []tunnel.PeerStatus{{Name: "bravo", PublicKey: bravoKey, Addresses: []netip.Addr{bravoAddr}}}}
	return &Evidence{Now: noon, File: "/etc/postroad/postroad.toml", Config: c, Daemon: status, Have: have, Want: want, Facts: f,
		Peers: []Peer{{Peer: c.Peers[0], Answered: true, Endpoint: netip.AddrPortFrom(bravoAddr, 51825), Pings: true, OtherUDP: true,
			Proofs: []Proof{{Addr: bravoAddr, Routed: true, Greeting: "220 hello", Past: "no route to host", Encrypted: 20, Large: true, LargeDone: true,
				Ports: []PortProof{{Port: 25}}}}}}}
}

func TestAllIsWell(t *testing.T) {
	r := NewReport(healthy())
	if !r.Well || len(r.Findings) != 0 {
		t.Errorf("got %+v", r)
	}
	if words := r.Proofs[0].String(); !strings.Contains(words, "20 encrypted packets, 0 in clear; a packet past the tunnel was stopped (no route to host)") {
		t.Errorf("the proof says %q", words)
	}
}

// call is one of bravo's, with the right key for the right host.
func call(after time.Duration) Call {
	return Call{From: netip.AddrPortFrom(bravoAddr, 51825), To: netip.AddrPortFrom(own, 51825), ForUs: true, Key: bravoKey, Time: noon.Add(after)}
}

// unheard turns bravo into one that has not answered.
func unheard(p *Peer) {
	p.Answered, p.Proofs = false, []Proof{{Addr: bravoAddr, Routed: true, Error: "timeout", Kind: Silence, Past: "no route to host"}}
	p.Seen.Out.Initiations = 2
}

// TestChecks is the table of what a lab cannot have go wrong, or not in time; the
// rest is tried on real hosts (scripts/e2e).
func TestChecks(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(*Evidence, *Peer)
		first  string // check
		words  string
		bad    Severity
	}{
		{"nothing protects bravo", func(e *Evidence, _ *Peer) { e.Have.Guard, e.Have.Rules = tunnel.Guard{}, nil }, "guard", "IN CLEAR with 198.51.100.20", Problem},
		{"the guard was edited", func(e *Evidence, _ *Peer) { e.Have.Guard.Sound = false }, "guard", "nft table", Problem},
		{"the rules are gone", func(e *Evidence, _ *Peer) { e.Have.Rules = nil }, "steering", "6 rules", Problem},
		{"the kernel cannot be read", func(e *Evidence, _ *Peer) { e.LookError = errors.New("no netlink") }, "guard", "no netlink", Problem},
		{"the reverse path filter is strict", func(e *Evidence, _ *Peer) { e.Have.Link.Loose = false }, "reverse-path", "strict", Warning},
		{"the daemon has a problem", func(e *Evidence, _ *Peer) { e.Daemon.Problem = "no memory" }, "daemon", "no memory", Problem},
		{"the link went", func(e *Evidence, _ *Peer) { e.Have.Link = tunnel.Link{} }, "link", "not there", Problem},
		{"the link is down", func(e *Evidence, _ *Peer) { e.Have.Link.Up = false }, "link", "down", Problem},
		{"nftables.service flushes", func(e *Evidence, _ *Peer) { e.Host.Firewalls = []Firewall{{Name: "nftables.service", Flushes: true}} }, "flushing", "nftables.service", Note},
		{"nobody keeps the clock", func(e *Evidence, _ *Peer) { e.Host.Unsynced = true }, "clock", "synchronised", Note},
		{"bravo's clock is an hour slow", func(_ *Evidence, p *Peer) { p.Seen.Calls = []Call{call(-time.Hour)} }, "their-clock", "1h0m0s apart", Warning},
		{"bravo's clock is a day fast, and it has not answered", func(_ *Evidence, p *Peer) { unheard(p); p.Seen.Calls = []Call{call(24 * time.Hour)} }, "their-clock", "24h0m0s", Problem},
		{"bravo's clock is nine minutes slow", func(_ *Evidence, p *Peer) { p.Seen.Calls = []Call{call(-9 * time.Minute)} }, "", "", ""},
		{"bravo's clock went backwards a little", func(_ *Evidence, p *Peer) {
			unheard(p)
			p.Seen.Calls, p.Seen.In.Initiations, p.Arrived, p.Accepted = []Call{call(0)}, 1, 1, 1
		}, "their-clock", "backwards", Problem},
		{"it has not answered, and nothing is known", func(e *Evidence, p *Peer) {
			unheard(p)
			e.Host.PacketsLost, p.Seen.Out = true, Messages{}
			p.OtherUDP = false
			p.Pings = false
		},
			"no-answer", "at the same time", Problem},
		{"SMTP left in clear", func(_ *Evidence, p *Peer) { p.Seen.ClearOut = 3 }, "clear-out", "3 packets", Problem},
		{"a packet got past", func(_ *Evidence, p *Peer) { p.Seen.ClearOut, p.Proofs[0].PastOut, p.Proofs[0].Escaped = 1, 1, true }, "past-the-tunnel", "198.51.100.20", Problem},
		{"somebody uses bravo's address", func(_ *Evidence, p *Peer) { p.State.RefusedIn = 7 }, "clear-in", "7 packets", Warning},
		{"the path says what it takes", func(_ *Evidence, p *Peer) {
			p.Proofs[0].Large, p.Seen.Refusals = false, []Refusal{{By: own, Reason: TooBig, MTU: 1400}}
		}, "mtu", "host.mtu to 1320", Problem},
		{"the path says what it takes, and the size is not in the file", func(e *Evidence, p *Peer) {
			c := *e.Config
			e.Config, c.Host.MTU = &c, 0
			p.State.MTU, p.Proofs[0].Large, p.Seen.Refusals = 1440, false, []Refusal{{By: own, Reason: TooBig, MTU: 1400}}
		}, "mtu", "takes 1400 bytes, the tunnel's need 1500", Problem},
		{"bravo answers no measuring packets", func(_ *Evidence, p *Peer) { p.State.MTU, p.State.MTUSilent = 1200, true }, "mtu-unmeasured", "1200 bytes", Note},
		{"an exchanger is no peer", func(_ *Evidence, p *Peer) { p.DNS = []peers.Remark{{Kind: peers.MXUnprotected, Words: "mx2 in clear"}} }, "mx", "mx2 in clear", Warning},
		{"bravo is no exchanger", func(_ *Evidence, p *Peer) { p.DNS = []peers.Remark{{Kind: peers.NotMX, Words: "no MX"}} }, "mx", "no MX", Warning},
		{"DNS is silent", func(_ *Evidence, p *Peer) { p.DNS = []peers.Remark{{Kind: peers.DNSUnavailable, Words: "timeout"}} }, "dns", "timeout", Note},
		{"bravo is given by a name that DNS does not know", func(_ *Evidence, p *Peer) {
			p.State.DNS = []peers.Remark{{Kind: peers.NameUnresolved, Words: "not said yet"}}
		}, "dns", "not said yet", Problem},
		{"DNS gives more addresses than are taken", func(_ *Evidence, p *Peer) {
			p.State.DNS = []peers.Remark{{Kind: peers.AddressExcess, Words: "too many"}}
		}, "dns", "too many", Problem},
		{"bravo's name is not in DNS", func(_ *Evidence, p *Peer) { p.DNS = []peers.Remark{{Kind: peers.NameNotFound, Words: "no name"}} }, "dns-name", "no name", Note},
		{"we have no IPv4 address", func(e *Evidence, p *Peer) {
			e.Have.Routes = slices.DeleteFunc(e.Have.Routes, func(r tunnel.Route) bool { return !r.Unreachable })
			e.Want.Routes = e.Have.Routes
			p.Proofs[0].Error, p.Proofs[0].Kind = "no route to host", Stopped
		}, "smtp", "no address to reach 198.51.100.20 from", Warning},
	} {
		e := healthy()
		test.damage(e, &e.Peers[0])
		r := NewReport(e)
		if test.first == "" {
			if !r.Well {
				t.Errorf("%s: got %+v", test.name, r.Findings)
			}
			continue
		}
		if len(r.Findings) == 0 || r.Well != (test.bad == Note) {
			t.Errorf("%s: all is well: %v: %+v", test.name, r.Well, r.Findings)
			continue
		}
		if f := r.Findings[0]; f.Check != test.first || f.Severity != test.bad || !strings.Contains(f.What+f.Do, test.words) {
			t.Errorf("%s: want %s (%s, %q), got %+v", test.name, test.first, test.bad, test.words, r.Findings)
		}
	}
}

func TestChecksAreNamedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Checks() {
		if seen[c.Name] || c.Name == "" || !strings.HasSuffix(c.About, ".") || c.look == nil {
			t.Errorf("%q is not whole, or twice", c.Name)
		}
		seen[c.Name] = true
	}
}
