package tunnel

import (
	"context"
	"log/slog"
	"time"

	"postroad/peers"
)

// A tracker remembers what one look at the system cannot tell: since when a
// peer's state holds, and whether what we send stays unanswered.
type tracker struct {
	log    *slog.Logger
	peers  map[peers.PublicKey]*memory
	judged []PeerStatus // what was completed last
}

type memory struct {
	state      PeerState
	reason     string
	since      time.Time
	sent       int64
	unanswered bool
	called     time.Time // when we spoke to it last, as far as the loop had a part in it
}

// update completes what Judge found and logs every change.
func (t *tracker) update(all []PeerStatus, now time.Time) {
	seen := make(map[peers.PublicKey]*memory, len(all))
	for i := range all {
		s := &all[i]
		m := t.peers[s.PublicKey]
		if m == nil {
			m = &memory{sent: s.Sent, called: now} // a plan has greeted it
		}
		m.notice(s, now)
		if m.state != s.State {
			t.logChange(m, s)
			m.state, m.since = s.State, now
		}
		m.reason, s.Since = s.Reason, m.since
		seen[s.PublicKey] = m
	}
	t.peers, t.judged = seen, all
}

// notice turns idle into blocked where packets go out and nobody answers.
func (m *memory) notice(s *PeerStatus, now time.Time) {
	switch fresh := now.Sub(s.LastHandshake) < sessionLife; {
	case fresh || s.Sent < m.sent:
		m.unanswered = false
	case s.Sent > m.sent:
		m.unanswered = true
	}
	m.sent = s.Sent
	if m.unanswered && s.State == Idle {
		s.State, s.Reason = Blocked, "handshakes are not answered"
	}
}

// unheard returns the peers that do not answer and are to be spoken to again,
// and takes it that they are.
func (t *tracker) unheard(now time.Time) map[peers.PublicKey]bool {
	due := map[peers.PublicKey]bool{}
	for key, m := range t.peers {
		if (m.state == Waiting || m.unanswered) && now.Sub(m.called) >= callInterval {
			m.called, due[key] = now, true
		}
	}
	return due
}

func (t *tracker) logChange(m *memory, s *PeerStatus) {
	level := slog.LevelInfo
	if s.State == Blocked || s.State == Clear {
		level = slog.LevelWarn
	}
	attrs := []any{"peer", s.Name, "state", s.State}
	if s.Reason != "" {
		attrs = append(attrs, "reason", s.Reason)
	}
	if m.state != "" {
		attrs = append(attrs, "was", m.state)
	}
	t.log.Log(context.Background(), level, "peer "+string(s.State), attrs...)
}
