package top

import (
	"fmt"
	"math"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"postroad/cmd/postroad/show"
)

// View is what the terminal shows.
func (m Model) View() tea.View {
	v := tea.NewView(strings.Join(m.lines(), "\n"))
	v.AltScreen = true
	return v
}

// lines are those of the screen, as many as it has, none too wide.
func (m Model) lines() []string {
	body := m.table()
	for len(body) < m.room()+1 {
		body = append(body, "")
	}
	lines := append(m.head(), body...)
	return append(append(lines, m.detail()...), m.help())
}

// room is how many rows of peers there is room for.
func (m Model) room() int {
	return m.Screen.Height - len(m.head()) - 1 - m.detailHeight() - 1
}

// head says how it stands with all peers.
func (m Model) head() []string {
	lines := append([]string{m.title()}, m.sentence()...)
	if m.Screen.Height >= 16 {
		lines = append(lines, "")
	}
	return lines
}

func (m Model) title() string {
	if m.status == nil {
		return m.Screen.Paint(show.Bold, m.Screen.Fit("postroad top", m.Screen.Width))
	}
	out, in, connections := 0.0, 0.0, 0
	for _, t := range m.tracks {
		connections += t.Connections
		if !math.IsNaN(t.out + t.in) {
			out, in = out+t.out, in+t.in
		}
	}
	words := fmt.Sprintf("%s: %s, %s, out %s/s, in %s/s", show.Clean(m.status.Host), count(len(m.status.Peers), "peer"),
		count(connections, "SMTP connection"), show.Size(out), show.Size(in))
	if m.status.Uncounted != "" {
		words = strings.Replace(words, count(connections, "SMTP connection"), "SMTP connections not known", 1)
	}
	return m.Screen.Paint(show.Bold, m.Screen.Fit(words, m.Screen.Width))
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// sentence is the status' summary, or why there is none; the less room there is,
// the shorter.
func (m Model) sentence() []string {
	most := max(1, m.Screen.Height/6)
	var words string
	switch {
	case m.err != nil && m.status == nil:
		words = fmt.Sprintf("No answer yet (%v); trying again every %s.", m.err, m.Interval)
	case m.err != nil:
		words = fmt.Sprintf("NO ANSWER for %s (%v); trying again every %s. This is what was last seen:",
			show.Since(m.seen, m.now), m.err, m.Interval)
	case m.status == nil:
		words = "Asking the daemon..."
	default:
		words = m.status.Summary()
	}
	lines := strings.Split(show.Fold(show.Clean(words), m.Screen.Width, 2), "\n")
	if len(lines) > most {
		lines[most-1] = m.Screen.Fit(lines[most-1]+" "+strings.TrimLeft(lines[most], " "), m.Screen.Width)
		lines = lines[:most]
	}
	for i := range lines {
		lines[i] = m.paint(lines[i])
	}
	return lines
}

func (m Model) paint(words string) string {
	switch {
	case m.err != nil:
		return m.Screen.Paint(show.Bad, words)
	case m.status == nil:
		return words
	}
	return m.Screen.Sentence(m.status, words)
}

// help is the last line: where one is, and what one can do.
func (m Model) help() string {
	words := "q quit"
	if n := len(m.order); n > 0 {
		where := fmt.Sprintf("%d-%d of %d", m.first+1, min(n, m.first+max(1, m.room())), n)
		words = fmt.Sprintf("%s, in order of %s   q quit  s sort  j/k or arrows move", where, orders[m.by].name)
		if ansi.StringWidth(words) > m.Screen.Width {
			words = fmt.Sprintf("%s by %s  q quit  s sort", where, orders[m.by].name)
		}
	}
	return m.Screen.Paint(show.Dim, m.Screen.Fit(words, m.Screen.Width))
}
