package tunnel

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"postroad/peers"
)

// reasonGap is how long there is between a peer's line and one that tells only of
// another reason.
const reasonGap = time.Minute

// background is for logging, which nothing cancels.
var background = context.Background()

// A tracker remembers what one look at the system cannot tell: since when a
// peer's state holds, and whether what we send stays unanswered.
type tracker struct {
	log    *slog.Logger
	peers  map[peers.PublicKey]*memory
	judged []PeerStatus // what was completed last
	calls  calls
}

// manyAtOnce is how many peers may be new at one look to have a line each: a
// journal keeps some thousand lines, and drops what comes after.
const manyAtOnce = 500

// aboveInfo is a handler of what is more than information.
type aboveInfo struct{ slog.Handler }

func (h aboveInfo) Enabled(ctx context.Context, l slog.Level) bool {
	return l > slog.LevelInfo && h.Handler.Enabled(ctx, l)
}

type memory struct {
	name       string
	state      PeerState
	since      time.Time
	told       time.Time // when state or reason was logged last
	reason     string    // that was logged
	sent       int64
	unanswered bool
	silent     bool // there is no session with a peer whose policy asks for one
	byPolicy   bool // see PeerStatus
	looked     time.Time
	clear      time.Duration // spent in Clear
	called     time.Time     // when we spoke to it last, as far as the loop had a part in it
	in, out    refusal
}

// update completes what Judge found and logs every change.
func (t *tracker) update(all []PeerStatus, now time.Time) {
	seen := make(map[peers.PublicKey]*memory, len(all))
	log := t.log
	if n := len(all) - len(t.peers); n > manyAtOnce {
		t.log.Info("many new peers: not a line for each", "peers", n)
		log = slog.New(aboveInfo{t.log.Handler()})
	}
	for i := range all {
		s := &all[i]
		m := t.peers[s.PublicKey]
		if m == nil {
			m = &memory{sent: s.Sent, called: now} // a plan has greeted it
		}
		m.name = s.Name
		m.count(s, now)
		m.notice(s, now)
		m.logState(log, s, now)
		m.in.look(s.RefusedIn)
		m.out.look(s.RefusedOut)
		m.logRefused(t.log, now, false)
		s.Since = m.since
		seen[s.PublicKey] = m
		delete(t.peers, s.PublicKey)
	}
	t.end(now)
	t.peers, t.judged = seen, all
}

// end logs what is left to tell of the peers that are remembered.
func (t *tracker) end(now time.Time) {
	for _, m := range t.peers {
		m.logRefused(t.log, now, true)
	}
}

// due returns how long there is still to wait until something is to be told.
func (t *tracker) due(now time.Time) time.Duration {
	wait := interval
	for _, m := range t.peers {
		wait = min(wait, m.in.due(now), m.out.due(now))
	}
	return wait
}

// count counts the time in clear: up to now the peer was in the state of the look
// before.
func (m *memory) count(s *PeerStatus, now time.Time) {
	if m.state == Clear {
		m.clear += now.Sub(m.looked)
	}
	m.looked, s.ClearSeconds = now, m.clear.Seconds()
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
	m.silent = s.Policy.MayBypass() && !alive(s.LastHandshake, now)
	if m.unanswered && s.State == Idle {
		s.State, s.Reason = Blocked, "handshakes are not answered"
	}
}

// unheard returns the peers that do not answer, or are shut out when they call, and
// are to be spoken to again, and takes it that they are. Of too many it is those
// that were not for longest.
func (t *tracker) unheard(shut map[peers.PublicKey]bool, now time.Time) map[peers.PublicKey]bool {
	var quiets []peers.PublicKey
	for key, m := range t.peers {
		quiet, gap := m.state == Waiting || m.unanswered, callInterval
		if m.silent {
			quiet, gap = true, policyCallInterval
		}
		if shut[key] {
			quiet, gap = true, callBackGap
		}
		if quiet && now.Sub(m.called) >= gap {
			quiets = append(quiets, key)
		}
	}
	slices.SortFunc(quiets, func(a, b peers.PublicKey) int { return t.peers[a].called.Compare(t.peers[b].called) })
	due := map[peers.PublicKey]bool{}
	for _, key := range quiets[:t.calls.take(len(quiets), now)] {
		t.peers[key].called, due[key] = now, true
	}
	return due
}

// logState logs that the state is another, or since a while the reason.
func (m *memory) logState(log *slog.Logger, s *PeerStatus, now time.Time) {
	was := m.state
	if was != s.State || m.byPolicy != s.ByPolicy {
		m.state, m.byPolicy, m.since = s.State, s.ByPolicy, now
	} else if m.reason == s.Reason || now.Sub(m.told) < reasonGap {
		return
	}
	m.reason, m.told = s.Reason, now
	attrs := []any{"peer", s.Name, "state", s.State}
	if s.Reason != "" {
		attrs = append(attrs, "reason", s.Reason)
	}
	if was != "" && was != s.State {
		attrs = append(attrs, "was", was)
	}
	log.Log(background, stateLevel(was, s), "peer "+string(s.State), attrs...)
}

// stateLevel is how much a change of state matters. That a peer falls idle and
// wakes up changes nothing: its mail is protected.
func stateLevel(was PeerState, s *PeerStatus) slog.Level {
	switch is := s.State; {
	case s.ByPolicy:
		return slog.LevelWarn
	case is == Clear:
		return slog.LevelError
	case is == Blocked, is == Waiting && was != "":
		return slog.LevelWarn
	case is == Idle && was == Protected, is == Protected && was == Idle:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

func (m *memory) logRefused(log *slog.Logger, now time.Time, end bool) {
	m.in.tell(log, m.name, "in", now, end)
	m.out.tell(log, m.name, "out", now, end)
}
