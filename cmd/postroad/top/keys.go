package top

import (
	"cmp"
	"math"
	"strings"

	tea "charm.land/bubbletea/v2"

	"postroad/tunnel"
)

// key is the model after a key was pressed.
func (m Model) key(name string) (Model, tea.Cmd) {
	page := max(1, m.room()-1)
	switch name {
	case "q", "esc", "ctrl+c":
		return m, tea.Quit
	case "ctrl+z":
		return m, tea.Suspend
	case "s":
		m.by = (m.by + 1) % len(orders)
		return m.sorted(), nil
	case "up", "k":
		m.selected--
	case "down", "j":
		m.selected++
	case "pgup", "ctrl+b":
		m.selected -= page
	case "pgdown", "ctrl+f", "space":
		m.selected += page
	case "home", "g":
		m.selected = 0
	case "end", "G":
		m.selected = len(m.order) - 1
	}
	return m, nil
}

// An order is one that rows can be in.
type order struct {
	name    string
	compare func(a, b track) int // nil: that of the peers file
}

var orders = []order{
	{"file", nil},
	{"state", func(a, b track) int { return cmp.Compare(urgency(b.State), urgency(a.State)) }},
	{"traffic", func(a, b track) int { return cmp.Compare(traffic(b), traffic(a)) }},
	{"name", func(a, b track) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) }},
}

// urgency is how much a state wants an operator.
func urgency(s tunnel.PeerState) int {
	switch s {
	case tunnel.Protected:
		return 0
	case tunnel.Idle:
		return 1
	case tunnel.Waiting:
		return 2
	case tunnel.Blocked:
		return 3
	}
	return 4 // clear, and what this program does not know
}

// traffic is that of the samples kept, so that rows do not jump about.
func traffic(t track) (sum float64) {
	for _, r := range t.history {
		if !math.IsNaN(r) {
			sum += r
		}
	}
	return sum
}
