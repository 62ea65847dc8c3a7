package tunnel

import "time"

const (
	idleShare  = 50 // times as long as a pass took is waited for the next if nothing happens
	restShare  = 10 // the same while a peer is shut out
	stormShare = 4  // the same under a storm of events
)

// patience is how long to wait for the next look. WireGuard sends no event when a
// peer answers: while one is about to, one has to look.
func (l *Loop) patience() time.Duration {
	wait := interval
	for _, m := range l.tracker.peers {
		switch m.state {
		case Clear:
			return openInterval
		case Waiting, Blocked:
			wait = shortInterval
		}
	}
	return wait
}

// A pace says when the next pass is due. The zero value is ready.
type pace struct {
	last    time.Time     // pass
	took    time.Duration // that pass
	gap     time.Duration // to keep after it
	backoff time.Duration // after a failed pass
}

// poked returns how long to wait after an event: nothing, unless events follow
// one upon the other.
func (p *pace) poked(now time.Time) time.Duration {
	return max(0, p.last.Add(p.gap).Sub(now))
}

// passed returns how long to wait for the next pass if nothing happens: as long as
// patience says, but right after something was done, peers have just been greeted.
// Passes that find nothing to do space themselves out, those that repair do not.
func (p *pace) passed(now time.Time, steps int, err error, patience time.Duration) time.Duration {
	if steps > 0 || now.Sub(p.last) > p.gap+p.took+time.Second {
		p.gap = 0
	}
	p.last, p.gap = now, min(max(2*p.gap, minGap), max(maxGap, p.took*stormShare))
	switch {
	case err != nil:
		p.backoff = min(max(2*p.backoff, minBackoff), maxBackoff)
		p.gap = max(p.gap, minBackoff) // its own events must not wake it at once
		return p.backoff
	case steps > 0 && patience < interval:
		p.backoff = 0
		return soon
	}
	p.backoff = 0
	return p.seldom(patience)
}

// rested says whether the last pass is long enough ago for one that anybody can have
// us make, by calling in a peer's name.
func (p *pace) rested(now time.Time) bool { return now.Sub(p.last) >= p.took*restShare }

// seldom makes a wait long enough for passes not to take much of a processor's
// time, with however many peers.
func (p *pace) seldom(wait time.Duration) time.Duration { return max(wait, p.took*idleShare) }
