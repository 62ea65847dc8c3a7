package top

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"postroad/cmd/postroad/show"
	"postroad/peers"
	"postroad/tunnel"
)

// start is when the fake clock begins.
var start = time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)

// peer is the n-th of a status.
func peer(n int, sent, received int64) tunnel.PeerStatus {
	return tunnel.PeerStatus{Name: fmt.Sprintf("mx%d.partner.example", n), PublicKey: peers.PublicKey{byte(n), byte(n >> 8)},
		Policy: peers.Require, State: tunnel.Protected, Since: start.Add(-time.Hour), LastHandshake: start.Add(-time.Minute),
		Endpoint: netip.MustParseAddrPort("203.0.113.5:51825"), Sent: sent, Received: received}
}

func status(all ...tunnel.PeerStatus) tunnel.Status {
	return tunnel.Status{Host: "mx1.alpha.example", File: tunnel.FileStatus{InForce: true}, Peers: all}
}

func newModel(width, height int) Model {
	return Model{Interval: time.Second, Screen: show.Screen{Width: width, Height: height}}
}

// after is the model after messages.
func after(m Model, messages ...tea.Msg) Model {
	for _, msg := range messages {
		next, _ := m.Update(msg)
		m = next.(Model)
	}
	return m
}

func at(seconds int, s tunnel.Status) Sample {
	return Sample{Status: s, At: start.Add(time.Duration(seconds) * time.Second)}
}

func gone(seconds int) Sample {
	return Sample{Err: errors.New("postroad is not running"), At: start.Add(time.Duration(seconds) * time.Second)}
}

func press(keys string) (all []tea.Msg) {
	for _, k := range keys {
		all = append(all, tea.KeyPressMsg{Code: k, Text: string(k)})
	}
	return all
}

func screen(m Model) string { return m.View().Content }

func TestRates(t *testing.T) {
	m := after(newModel(80, 24), at(0, status(peer(1, 5000, 100))))
	one := func() track { return m.tracks[peers.PublicKey{1}] }
	wants := func(what string, out, in float64) {
		t.Helper()
		same := func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
		if !same(one().out, out) || !same(one().in, in) {
			t.Errorf("%s: out %v, in %v, want %v, %v", what, one().out, one().in, out, in)
		}
	}
	wants("nothing to compare with", unknown, unknown)
	m = after(m, at(2, status(peer(1, 9000, 100))))
	wants("in two seconds", 2000, 0)
	m = after(m, at(3, status(peer(1, 70, 50))))
	wants("counters began anew", unknown, unknown)
	m = after(m, at(4, status(peer(1, 170, 60))))
	wants("and went on", 100, 10)
	m = after(m, at(4, status(peer(1, 270, 60))))
	wants("no time passed", unknown, unknown)
	m = after(m, gone(5), at(600, status(peer(1, 1<<40, 1<<40))))
	wants("after the daemon was away", unknown, unknown)
	if n := len(one().history); n != 7 {
		t.Errorf("%d samples, want 7", n)
	}
	for i := range 200 {
		m = after(m, at(700+i, status(peer(1, 1<<40+int64(i), 1<<40))))
	}
	if n := len(one().history); n != kept {
		t.Errorf("%d samples kept, want %d", n, kept)
	}
}

// A peer that is gone from the file is gone from the rows; one that is back
// begins anew.
func TestPeersComeAndGo(t *testing.T) {
	m := after(newModel(80, 24), at(0, status(peer(1, 0, 0), peer(2, 0, 0))), at(1, status(peer(2, 500, 0))))
	if s := screen(m); strings.Contains(s, "mx1.partner") || !strings.Contains(s, "500 B") {
		t.Errorf("got:\n%s", s)
	}
	m = after(m, at(2, status(peer(1, 1<<30, 0), peer(2, 500, 0))))
	if out := m.tracks[peers.PublicKey{1}].out; !math.IsNaN(out) {
		t.Errorf("a rate of %v out of nothing", out)
	}
}

func TestSpark(t *testing.T) {
	for _, test := range []struct {
		rates []float64
		width int
		want  string
	}{
		{nil, 4, "    "},
		{[]float64{0, 0}, 4, "  ▁▁"},
		{[]float64{1, 70000, 35000}, 3, "▂█▅"},
		{[]float64{9e9, 1, 1024, 512}, 3, "▂█▅"}, // what is not shown does not count
		{[]float64{148}, 1, "▃"},                 // a keepalive alone is little
		{[]float64{unknown, 2048, unknown}, 3, " █ "},
	} {
		if got := spark(test.rates, test.width, blocks); got != test.want {
			t.Errorf("%v: %q, want %q", test.rates, got, test.want)
		}
	}
}

// The selected peer stays so whatever the order, and is always in view.
func TestSortAndScroll(t *testing.T) {
	var all []tunnel.PeerStatus
	for n := range 2000 {
		all = append(all, peer(n, 0, 0))
	}
	all[1500].State = tunnel.Blocked
	m := after(newModel(80, 24), at(0, status(all...)))
	all[700].Sent = 5000
	m = after(m, at(1, status(all...)))
	selected := func() string { return m.tracks[m.order[m.selected]].Name }
	for _, step := range []struct {
		keys, want string
	}{
		{"jjj", "mx3.partner.example"},
		{"kk", "mx1.partner.example"},
		{"G", "mx1999.partner.example"},
		{"j", "mx1999.partner.example"},
		{"g", "mx0.partner.example"},
		{"k", "mx0.partner.example"},
		{"s", "mx1500.partner.example"},    // state: the first row is whoever is first
		{"s", "mx700.partner.example"},     // traffic
		{"j", "mx0.partner.example"},       // and then as in the file
		{"s", "mx0.partner.example"},       // name: stays selected
		{"ss", "mx1500.partner.example"},   // around to state: it was in the first row
		{"Gsss", "mx1999.partner.example"}, // stays selected
	} {
		m = after(m, press(step.keys)...)
		if got := selected(); got != step.want {
			t.Errorf("after %q: %s, want %s", step.keys, got, step.want)
		}
		if !strings.Contains(screen(m), "▸ "+selected()[:14]) {
			t.Errorf("after %q %s is not in view:\n%s", step.keys, selected(), screen(m))
		}
	}
}

func TestQuit(t *testing.T) {
	for _, msg := range []tea.Msg{tea.KeyPressMsg{Code: 'q', Text: "q"}, tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl}} {
		_, cmd := newModel(80, 24).Update(msg)
		if cmd == nil {
			t.Errorf("%v: nothing", msg)
		} else if _, quits := cmd().(tea.QuitMsg); !quits {
			t.Errorf("%v: %v", msg, cmd())
		}
	}
}

// The next question waits for the answer to the last.
func TestAsks(t *testing.T) {
	asked := 0
	m := newModel(80, 24)
	m.Interval = time.Millisecond
	m.Ask = func() Sample { asked++; return at(asked, status(peer(1, 0, 0))) }
	msg := m.Init()()
	for range 3 {
		next, tick := m.Update(msg)
		next, ask := next.Update(tick())
		m, msg = next.(Model), ask()
	}
	if asked != 4 {
		t.Errorf("asked %d times", asked)
	}
}

// Whatever the size, the screen is filled and not more, and no line is too wide.
func TestEverySize(t *testing.T) {
	s := status(peer(1, 0, 0), peer(2, 0, 0), peer(3, 0, 0))
	s.Peers[1].State, s.Peers[1].Reason, s.Peers[1].Name = tunnel.Blocked, "handshakes are not answered", strings.Repeat("long.", 30)+"example"
	for _, sample := range []Sample{at(1, s), at(1, status()), gone(1)} {
		for width := 1; width <= 150; width++ {
			for _, height := range []int{1, 3, 5, 8, 9, 10, 12, 16, 24, 50} {
				m := after(newModel(1, 1), tea.WindowSizeMsg{Width: width, Height: height}, sample)
				lines := strings.Split(screen(m), "\n")
				if len(lines) != height && height >= 5 {
					t.Fatalf("%dx%d: %d lines", width, height, len(lines))
				}
				for _, line := range lines {
					if n := ansi.StringWidth(line); n > width && width >= 39 {
						t.Fatalf("%dx%d: %d columns: %q", width, height, n, line)
					}
				}
			}
		}
	}
}

// Two thousand peers are drawn within a frame.
func BenchmarkTwoThousandPeers(b *testing.B) {
	var all []tunnel.PeerStatus
	for n := range 2000 {
		all = append(all, peer(n, 0, 0))
	}
	m := newModel(120, 50)
	for b.Loop() {
		m = after(m, at(1, status(all...)), tea.KeyPressMsg{Code: 'j', Text: "j"})
		_ = screen(m)
	}
}

// golden compares with a file in testdata, or writes it with UPDATE=1.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func TestViews(t *testing.T) {
	s := status(peer(1, 0, 0), peer(2, 0, 0), peer(3, 0, 0), peer(4, 0, 0))
	s.Peers[0].Connections = 2
	s.Peers[1].State, s.Peers[1].RefusedIn = tunnel.Idle, 12
	s.Peers[2].State, s.Peers[2].Reason = tunnel.Blocked, "handshakes are not answered"
	s.Peers[3].State, s.Peers[3].Reason, s.Peers[3].LastHandshake = tunnel.Waiting, "it has never answered", time.Time{}
	s.Peers[3].Name = "mail.a-very-long-name-of-some-organisation.example"
	for _, size := range []struct{ width, height int }{{120, 30}, {80, 24}, {40, 10}} {
		m := newModel(size.width, size.height)
		for i := range 90 {
			s.Peers[0].Sent += int64(1000 * (i % 20))
			s.Peers[0].Received += 10
			all := s
			all.Peers = append([]tunnel.PeerStatus(nil), s.Peers...)
			if i == 80 {
				m = after(m, gone(i))
			} else {
				m = after(m, at(i, all))
			}
		}
		name := fmt.Sprintf("%dx%d", size.width, size.height)
		golden(t, name, screen(m))
		golden(t, name+"-gone", screen(after(m, gone(95))))
		plain := screen(m)
		m.Screen.Colour = true
		if got := screen(m); got == plain || ansi.Strip(got) != plain {
			t.Errorf("%s: colours move things, or there are none:\n%s", name, got)
		}
	}
}
