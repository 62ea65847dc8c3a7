// Package top is the live view of a daemon's peers: a pure model of what it has
// said, one sample after the other, and what that looks like on a terminal.
package top

import (
	"math"
	"time"

	"postroad/tunnel"
)

// kept is how many samples of traffic are remembered: the widest sparkline.
const kept = 60

// unknown is a rate that is not known. Nothing equals it.
var unknown = math.NaN()

// A track is what was seen of a peer. The zero value is nothing.
type track struct {
	tunnel.PeerStatus
	at      time.Time // of the status; zero: what comes next has nothing to be compared with
	out, in float64   // bytes a second, or unknown
	history []float64 // out and in together, the newest last
}

// next is the track with one more sample. Counters that begin anew, as those of
// a new link do, tell no rate.
func (t track) next(p tunnel.PeerStatus, at time.Time) track {
	n := track{PeerStatus: p, at: at, out: unknown, in: unknown}
	passed := at.Sub(t.at).Seconds()
	if !t.at.IsZero() && passed > 0 && p.Sent >= t.Sent && p.Received >= t.Received {
		n.out, n.in = float64(p.Sent-t.Sent)/passed, float64(p.Received-t.Received)/passed
	}
	n.history = push(t.history, n.out+n.in)
	return n
}

// miss is the track with a sample that could not be had.
func (t track) miss() track {
	return track{PeerStatus: t.PeerStatus, out: unknown, in: unknown, history: push(t.history, unknown)}
}

// push returns a new history; the old one is left alone.
func push(history []float64, rate float64) []float64 {
	old := history[max(0, len(history)-kept+1):]
	return append(append(make([]float64, 0, kept), old...), rate)
}
