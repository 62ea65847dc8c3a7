package tunnel

import (
	"context"
	"errors"
	"time"

	"postroad/peers"
)

const (
	greetedAtOnce = 32                     // peers: WireGuard within the process takes some 100 µs for each
	greetGap      = 100 * time.Millisecond // at least between two times
)

// greetings are peers that are still to be spoken to. A handshake costs much of
// a processor's time on both sides: with many peers a start does not wait for all,
// and what else there is to do comes in between. The zero value is none.
type greetings struct {
	queue  []peers.PublicKey
	queued map[peers.PublicKey]bool
	due    <-chan time.Time // nil: there are none
}

// add has peers spoken to later.
func (g *greetings) add(steps []Step) {
	for _, s := range steps {
		if key := s.(GreetPeer).Peer.PublicKey; !g.queued[key] {
			if g.queued == nil {
				g.queued = map[peers.PublicKey]bool{}
			}
			g.queued[key] = true
			g.queue = append(g.queue, key)
		}
	}
	if len(g.queue) > 0 && g.due == nil {
		g.due = time.After(greetGap)
	}
}

// next returns those whose turn it is.
func (g *greetings) next() []peers.PublicKey {
	some := g.queue[:min(len(g.queue), greetedAtOnce)]
	g.queue = g.queue[len(some):]
	for _, key := range some {
		delete(g.queued, key)
	}
	return some
}

// greet speaks to peers: to the first at once, to the others in their turn.
func (l *Loop) greet(ctx context.Context, steps []Step) error {
	now := min(len(steps), greetedAtOnce)
	l.greetings.add(steps[now:])
	if now == 0 {
		return nil
	}
	return errors.Join(l.System.Do(ctx, steps[:now])...)
}

// greetNext speaks to the next of those who wait for it, as the wish is by now. If
// the link is down, all are spoken to when it is up again; if it fails, a look will
// show what is wrong, and peers that do not answer are spoken to again.
func (l *Loop) greetNext(ctx context.Context) {
	if !l.up {
		l.greetings = greetings{}
		return
	}
	start := time.Now()
	var steps []Step
	for _, key := range l.greetings.next() {
		if p := l.wished.Device.peer(key); p != nil {
			steps = append(steps, GreetPeer{l.wished.Link.Name, *p})
		}
	}
	if len(steps) > 0 {
		if do(ctx, l.System, steps, func(s Step) { l.counters.stepped(s, false) }) != nil {
			l.Poke()
		}
	}
	l.greetings.due = nil
	if len(l.greetings.queue) > 0 {
		l.greetings.due = time.After(max(greetGap, time.Since(start)))
	}
}

// putOff takes what greets more peers than are spoken to at once out of a plan.
func putOff(plan Plan) (now Plan, later []Step) {
	greeted := 0
	for _, s := range plan {
		if _, greets := s.(GreetPeer); greets {
			if greeted++; greeted > greetedAtOnce {
				later = append(later, s)
				continue
			}
		}
		now = append(now, s)
	}
	return now, later
}

// callsPerSecond bounds how often peers that do not answer are spoken to: each
// call makes WireGuard try for 90 seconds. Of many, each has its turn less often.
const callsPerSecond = 8

// calls are how many calls may be made. The zero value is as many as peers can be
// called in turn within callInterval.
type calls struct {
	made float64 // and not yet made up for by time
	at   time.Time
}

// take returns how many of n calls may be made now, and takes it that they are.
func (c *calls) take(n int, now time.Time) int {
	c.made = max(0, c.made-now.Sub(c.at).Seconds()*callsPerSecond)
	c.at = now
	n = min(n, int(callsPerSecond*callInterval.Seconds()-c.made))
	c.made += float64(n)
	return n
}
