package show

import (
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"postroad/tunnel"
)

// peerTable is a table of peers that fits the screen. The reasons of those whose
// mail waits are its last column, or lines below where that is too wide.
func peerTable(s *tunnel.Status, now time.Time, screen Screen) string {
	t := newPeerTable(s, now)
	if !t.Layout(screen.Width) {
		return cards(s, now, screen)
	}
	lines := []string{t.Header(screen)}
	for i, p := range s.Peers {
		lines = append(lines, t.Row(screen, i))
		if why := Why(p); why != "" && t.Width(reason) == 0 {
			lines = append(lines, screen.Paint(StateStyle(p), Fold("  "+Clean(why), screen.Width, 2)))
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

const reason = "REASON"

func newPeerTable(s *tunnel.Status, now time.Time) *Table {
	state := func(row int) ansi.Style { return StateStyle(s.Peers[row]) }
	t := &Table{Columns: []Column{
		{Title: "PEER", Least: 24},
		{Title: "STATE", Style: state},
		{Title: "SINCE", Right: true, Rank: 4},
		{Title: "HANDSHAKE", Right: true},
		{Title: "SMTP", Right: true},
		{Title: "SENT", Right: true, Rank: 2},
		{Title: "RECEIVED", Right: true, Rank: 3},
		{Title: "REFUSED", Right: true, Rank: 1, Style: func(row int) ansi.Style { return RefusedStyle(s.Peers[row]) }},
		{Title: "ENDPOINT", Rank: 5},
		{Title: "POLICY", Rank: 6},
		{Title: reason, Rank: 7, Style: state},
	}}
	wasClear := slices.ContainsFunc(s.Peers, func(p tunnel.PeerStatus) bool { return p.ClearSeconds > 0 })
	if wasClear { // which is rare
		t.Columns = slices.Insert(t.Columns, len(t.Columns)-1, Column{Title: "IN CLEAR", Right: true, Rank: 1})
	}
	for _, p := range s.Peers {
		cells := []string{p.Name, string(p.State), Since(p.Since, now), Since(p.LastHandshake, now), Connections(s, p),
			Size(float64(p.Sent)), Size(float64(p.Received)), Refused(p.RefusedOut, p.RefusedIn), Endpoint(p), Policy(p)}
		if wasClear {
			cells = append(cells, InClear(p))
		}
		t.Add(append(cells, Why(p))...)
	}
	return t
}

// RefusedStyle draws the eye to peers of which clear packets were refused.
func RefusedStyle(p tunnel.PeerStatus) ansi.Style {
	if p.RefusedOut+p.RefusedIn > 0 {
		return Warn
	}
	return nil
}
