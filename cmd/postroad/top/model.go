package top

import (
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"

	"postroad/cmd/postroad/show"
	"postroad/peers"
	"postroad/tunnel"
)

// A Model is all there is to show. Give it Ask, Interval and Screen, the size of
// which follows the terminal's.
type Model struct {
	Ask      func() Sample // asks the daemon, and may take a while
	Interval time.Duration // between an answer and the next question
	Screen   show.Screen

	status   *tunnel.Status // the last; nil: none yet
	seen     time.Time      // when it came
	now      time.Time      // of the last sample
	err      error          // why the last sample has no status; nil: it has
	tracks   map[peers.PublicKey]track
	order    []peers.PublicKey // of the rows
	by       int               // index of orders
	selected int               // row
	first    int               // row shown
}

// A Sample is what came of asking the daemon.
type Sample struct {
	Status tunnel.Status
	Err    error // why there is no status
	At     time.Time
}

// due says that it is time to ask again.
type due struct{}

// Init asks for the first sample.
func (m Model) Init() tea.Cmd { return m.ask() }

func (m Model) ask() tea.Cmd { return func() tea.Msg { return m.Ask() } }

// Update is the model after something happened, and what to do next.
func (m Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case Sample:
		return m.take(msg).scrolled(), tea.Tick(m.Interval, func(time.Time) tea.Msg { return due{} })
	case due:
		return m, m.ask()
	case tea.WindowSizeMsg:
		if msg.Width > 0 && msg.Height > 0 {
			m.Screen.Width, m.Screen.Height = msg.Width, msg.Height
		}
		return m.scrolled(), nil
	case tea.KeyPressMsg:
		m, cmd := m.key(msg.String())
		return m.scrolled(), cmd
	}
	return m, nil
}

// take adds a sample. Where the daemon does not answer, what it said last stays.
func (m Model) take(s Sample) Model {
	m.now, m.err = s.At, s.Err
	tracks := make(map[peers.PublicKey]track, len(s.Status.Peers))
	if s.Err != nil {
		for key, t := range m.tracks {
			tracks[key] = t.miss()
		}
		m.tracks = tracks
		return m
	}
	for _, p := range s.Status.Peers {
		tracks[p.PublicKey] = m.tracks[p.PublicKey].next(p, s.At)
	}
	m.status, m.seen, m.tracks = &s.Status, s.At, tracks
	return m.sorted()
}

// sorted puts the rows in order; the peer that is selected stays so.
func (m Model) sorted() Model {
	var was peers.PublicKey
	if m.selected < len(m.order) {
		was = m.order[m.selected]
	}
	m.order = nil
	for _, p := range m.peers() {
		m.order = append(m.order, p.PublicKey)
	}
	if less := orders[m.by].compare; less != nil {
		slices.SortStableFunc(m.order, func(a, b peers.PublicKey) int { return less(m.tracks[a], m.tracks[b]) })
	}
	if i := slices.Index(m.order, was); i >= 0 && m.selected > 0 { // the first row is the first row, whoever is there
		m.selected = i
	}
	return m
}

func (m Model) peers() []tunnel.PeerStatus {
	if m.status == nil {
		return nil
	}
	return m.status.Peers
}

// scrolled keeps the selected row in view.
func (m Model) scrolled() Model {
	rows := max(1, m.room())
	m.selected = max(0, min(m.selected, len(m.order)-1))
	m.first = max(0, min(m.first, m.selected, len(m.order)-rows))
	m.first = max(m.first, m.selected-rows+1)
	return m
}
