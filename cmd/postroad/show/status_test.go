package show

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/charmbracelet/x/ansi"

	"postroad/peers"
	"postroad/tunnel"
)

var now = time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)

// example is a status with every state, and long and wide names.
func example() *tunnel.Status {
	s := &tunnel.Status{Host: "mx1.alpha.example", PublicKey: peers.PublicKey{1}, Link: "postroad0", Backend: peers.Kernel,
		ListenPort: 51825, File: tunnel.FileStatus{InForce: true}}
	add := func(name string, state tunnel.PeerState, reason string) *tunnel.PeerStatus {
		s.Peers = append(s.Peers, tunnel.PeerStatus{Name: name, Policy: peers.Require, State: state, Reason: reason,
			Since: now.Add(-3 * time.Minute), LastHandshake: now.Add(-12 * time.Second), Sent: 1 << 30, Received: 5000,
			Endpoint: netip.MustParseAddrPort("203.0.113.5:51825"), Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.5")}})
		return &s.Peers[len(s.Peers)-1]
	}
	add("mx.partner.example", tunnel.Protected, "").Connections = 2
	add("mx1.hospital-nord.example", tunnel.Idle, "no traffic").RefusedIn = 12
	add("backup.law.example", tunnel.Blocked, "handshakes are not answered").RefusedOut = 3
	p := add("mail.a-very-long-name-of-some-organisation.example", tunnel.Waiting, "it has never answered")
	p.LastHandshake, p.Endpoint = time.Time{}, netip.AddrPort{}
	open := add("mx.new.example", tunnel.Clear, "policy prefer: it has not answered yet")
	open.Policy, open.ByPolicy, open.ClearSeconds = peers.Prefer, true, 5000
	add("郵便.例え.example", tunnel.Clear, "nothing stops clear SMTP with 203.0.113.5")
	s.Domains = []tunnel.DomainStatus{
		{Domain: "partner.example", Peers: []string{"mx.partner.example"}, Open: []peers.OpenMX{
			{Host: "mx2.partner.example", Preference: 10, Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.7")}, First: true}}},
		{Domain: "law.example", Peers: []string{"backup.law.example"}, More: "3 more MX hosts", Failing: now.Add(-time.Hour), Error: "no answer"},
	}
	return s
}

func shown(t *testing.T, screen Screen) string {
	t.Helper()
	var b strings.Builder
	if err := Status(&b, example(), now, screen); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What it looks like is in testdata; UPDATE=1 writes it.
func TestStatus(t *testing.T) {
	for _, width := range []int{0, 140, 120, 80, 60, 40} {
		file := filepath.Join("testdata", fmt.Sprintf("status-%d.txt", width))
		got := shown(t, Screen{Width: width})
		if os.Getenv("UPDATE") != "" {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(file); err != nil || got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s(%v)", file, got, want, err)
		}
	}
}

// What is odd about names is said, of the host and of the peer.
func TestStatusOfNames(t *testing.T) {
	s := example()
	s.Peers[0].Names = []string{"mx.names.example"}
	s.Peers[0].DNS = []peers.Remark{{Kind: peers.AddressLeft, Words: "DNS no longer says\x1b so"}}
	var all, one strings.Builder
	if err := errors.Join(Status(&all, s, now, Screen{}), Peer(&one, s, now, Screen{})); err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{all.String(), one.String()} {
		if !strings.Contains(got, "DNS no longer says") || strings.Contains(got, "\x1b") {
			t.Errorf("it says\n%s", got)
		}
	}
	if !strings.Contains(one.String(), "mx.names.example") {
		t.Errorf("it does not name them:\n%s", one.String())
	}
}

// The zone of an address may be any text.
func TestEndpointSteersNoTerminal(t *testing.T) {
	s := example()
	s.Peers = s.Peers[:1]
	s.Peers[0].Endpoint = netip.AddrPortFrom(netip.MustParseAddr("fe80::1%\x1b[2J"), 1)
	var all, one strings.Builder
	if err := errors.Join(Status(&all, s, now, Screen{Width: 40}), Peer(&one, s, now, Screen{})); err != nil || strings.Contains(all.String()+one.String(), "\x1b") {
		t.Errorf("%v: it says\n%q\n%q", err, all.String(), one.String())
	}
}

// However narrow, no line is too wide; every peer is named and every state told;
// colours change nothing but colours.
func TestStatusFits(t *testing.T) {
	for width := 20; width < 250; width++ {
		plain := shown(t, Screen{Width: width})
		for line := range strings.Lines(plain) {
			if n := ansi.StringWidth(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("%d columns are too many for %d: %s", n, width, line)
			}
		}
		for _, p := range example().Peers {
			if !strings.Contains(plain, p.Name[:6]) || !strings.Contains(plain, string(p.State)) {
				t.Errorf("%d columns: no %s, %s:\n%s", width, p.Name, p.State, plain)
			}
		}
		coloured := shown(t, Screen{Width: width, Colour: true})
		if coloured == plain || ansi.Strip(coloured) != plain {
			t.Errorf("%d columns: colours change\n%s\nto\n%s", width, plain, coloured)
		}
		if ascii := shown(t, Screen{Width: width, ASCII: true}); strings.Contains(ascii, "…") {
			t.Errorf("%d columns: an ellipsis where there are none", width)
		}
	}
}

func TestPeerSentence(t *testing.T) {
	all := example().Peers
	for i, want := range []string{
		"All SMTP with mx.partner.example goes through the tunnel.",
		"All SMTP with mx1.hospital-nord.example goes through the tunnel; there was none lately.",
		"No SMTP with backup.law.example can flow in clear, but mail waits: handshakes are not answered",
		"No SMTP with mail.a-very-long-name-of-some-organisation.example can flow in clear, but mail waits: it has never answered",
		"SMTP with mx.new.example flows IN CLEAR: policy prefer: it has not answered yet",
		"SMTP with 郵便.例え.example can flow IN CLEAR: nothing stops clear SMTP with 203.0.113.5",
	} {
		if got := PeerSentence(all[i]); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestLargest(t *testing.T) {
	for want, p := range map[string]tunnel.PeerStatus{
		"-":                           {},
		"1420 bytes, not measured":    {MTU: 1420},
		"1408 bytes, measured 2m ago": {MTU: 1408, MTUMeasured: now.Add(-2 * time.Minute)},
		"1200 bytes, not measured: the peer does not answer": {MTU: 1200, MTUSilent: true},
	} {
		if got := Largest(p, now); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Whatever answers at the daemon's socket: what is shown of it steers no terminal
// and names every peer.
func FuzzStatus(f *testing.F) {
	whole, err := json.Marshal(example())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole, uint8(80), false)
	f.Add(whole, uint8(20), true)
	for _, text := range []string{
		"{}", "null", `{"peers":[{}],"domains":[{}]}`, `{"host":"\u001b[31m\r\n","link":"\u202e","file":{"errors":["\u0007"]},"peers":[{"name":"\u001b]0;x\u0007"}]}`,
		`{"peers":[{"name":"a","endpoint":"[fe80::1%\u001b[2J]:1","addresses":["fe80::1%\u001b[2J"],"state":"\u001b[2J","policy":"\u009b1m"}]}`,
		`{"peers":[{"clear_seconds":1e300,"since":"0000-01-01T00:00:00Z","last_handshake":"9999-12-31T23:59:59Z","sent_bytes":18446744073709551615,"mtu":-1}]}`,
		`{"domains":[{"domain":"a","unprotected_mx":[{"host":"\u001b[A","addresses":["::1%\u001bc"]}],"not_looked_at":"\u001bc","error":"\u001bc"}],"problem":"a\nb\u001bc"}`,
	} {
		f.Add([]byte(text), uint8(0), true)
		f.Add([]byte(text), uint8(60), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, width uint8, ascii bool) {
		s := &tunnel.Status{}
		if json.Unmarshal(data, s) != nil {
			return
		}
		screen := Screen{Width: int(width), ASCII: ascii}
		checkShown(t, s, screen, Status)
		for _, p := range s.Peers {
			one := *s
			one.Peers = []tunnel.PeerStatus{p}
			checkShown(t, &one, screen, Peer)
		}
	})
}

func checkShown(t *testing.T, s *tunnel.Status, screen Screen, show func(io.Writer, *tunnel.Status, time.Time, Screen) error) {
	t.Helper()
	var plain, coloured strings.Builder
	err := show(&plain, s, now, screen)
	screen.Colour = true
	if err := errors.Join(err, show(&coloured, s, now, screen)); err != nil {
		t.Fatal(err)
	}
	got := plain.String()
	if i := strings.IndexFunc(got, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 {
		t.Errorf("%q is shown of %+v", got[i:min(len(got), i+20)], s)
	}
	if ansi.Strip(coloured.String()) != got {
		t.Errorf("colours change\n%s\nto\n%s", got, coloured.String())
	}
	for _, p := range s.Peers {
		if name := Clean(p.Name); screen.Width == 0 && !strings.Contains(got, name) {
			t.Errorf("%q is not named:\n%s", name, got)
		}
	}
}
