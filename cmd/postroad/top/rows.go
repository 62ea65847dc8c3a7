package top

import (
	"fmt"
	"math"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"postroad/cmd/postroad/show"
	"postroad/peers"
)

// longest is how much of a name is shown, in columns.
const longest = 32

const sparkTitle = "TRAFFIC"

// table is the header, and the rows that there is room for.
func (m Model) table() []string {
	if m.status == nil {
		return nil
	}
	shown := m.order[m.first:min(len(m.order), m.first+max(0, m.room()))]
	t := m.newTable(shown)
	t.Layout(m.Screen.Width - 2)
	if width := t.Width(sparkTitle); width > 0 {
		for i, key := range shown {
			t.Set(i, sparkTitle, spark(m.tracks[key].history, width, m.levels()))
		}
	}
	lines := []string{"  " + t.Header(m.Screen)}
	for i := range shown {
		lines = append(lines, m.row(t, i))
	}
	return lines
}

func (m Model) newTable(shown []peers.PublicKey) *show.Table {
	style := func(of func(track) ansi.Style) func(int) ansi.Style {
		return func(row int) ansi.Style {
			if m.err != nil {
				return show.Dim // it may no longer be so
			}
			return of(m.tracks[shown[row]])
		}
	}
	plain := style(func(track) ansi.Style { return nil })
	t := &show.Table{Columns: []show.Column{
		{Title: "PEER", Min: m.nameWidth(), Least: 14, Style: plain},
		{Title: "STATE", Min: 9, Style: style(func(t track) ansi.Style { return show.StateStyle(t.PeerStatus) })},
		{Title: "OUT/s", Min: 7, Right: true, Rank: 1, Style: plain},
		{Title: "IN/s", Min: 7, Right: true, Rank: 2, Style: plain},
		{Title: sparkTitle, Min: kept, Least: 10, Style: style(func(track) ansi.Style { return show.Quiet })},
		{Title: "SMTP", Right: true, Rank: 3, Style: plain},
		{Title: "HANDSHAKE", Right: true, Rank: 5, Style: plain},
		{Title: "REFUSED", Right: true, Rank: 4, Style: style(func(t track) ansi.Style { return show.RefusedStyle(t.PeerStatus) })},
	}}
	for _, key := range shown {
		p := m.tracks[key]
		t.Add(m.Screen.Fit(show.Clean(p.Name), longest), string(p.State), rate(p.out), rate(p.in), "",
			show.Connections(m.status, p.PeerStatus), show.Since(p.LastHandshake, m.now), show.Refused(p.RefusedOut, p.RefusedIn))
	}
	return t
}

// nameWidth is that of the longest name, so that scrolling moves no columns.
func (m Model) nameWidth() (width int) {
	for _, p := range m.peers() {
		width = max(width, ansi.StringWidth(p.Name))
	}
	return min(width, longest)
}

func (m Model) row(t *show.Table, i int) string {
	if m.first+i != m.selected {
		return "  " + t.Row(m.Screen, i)
	}
	mark := "▸ "
	if m.Screen.ASCII {
		mark = "> "
	}
	return m.Screen.Paint(show.Bold, mark) + t.Row(m.Screen, i)
}

func (m Model) levels() []rune {
	if m.Screen.ASCII {
		return ascii
	}
	return blocks
}

// rate is bytes a second.
func rate(r float64) string {
	if math.IsNaN(r) {
		return "-"
	}
	return show.Size(r)
}

// detail is what there is to say about the selected peer beside its row.
func (m Model) detail() []string {
	lines := make([]string, m.detailHeight())
	if len(lines) < 2 || m.selected >= len(m.order) {
		return lines
	}
	p := m.tracks[m.order[m.selected]]
	facts := []string{"since " + show.Since(p.Since, m.now), "handshake " + show.Since(p.LastHandshake, m.now),
		"endpoint " + show.Endpoint(p.PeerStatus), "policy " + show.Policy(p.PeerStatus),
		fmt.Sprintf("sent %s", show.Size(float64(p.Sent))), fmt.Sprintf("received %s", show.Size(float64(p.Received))),
		"refused " + show.Refused(p.RefusedOut, p.RefusedIn)}
	if p.ClearSeconds > 0 {
		facts = append(facts, "in clear "+show.InClear(p.PeerStatus))
	}
	sentence, style := show.Clean(show.PeerWords(m.status, p.PeerStatus)), show.StateStyle(p.PeerStatus)
	if m.err != nil {
		sentence, style = "Last seen: "+sentence, show.Dim
	}
	lines[len(lines)-2] = m.Screen.Paint(style, m.Screen.Fit(sentence, m.Screen.Width))
	lines[len(lines)-1] = m.Screen.Fit(show.Clean(strings.Join(facts, ", ")), m.Screen.Width)
	return lines
}

// detailHeight is how many lines the detail takes, a blank one before it.
func (m Model) detailHeight() int {
	switch {
	case m.Screen.Height >= 16:
		return 3
	case m.Screen.Height >= 9:
		return 2
	}
	return 0
}
