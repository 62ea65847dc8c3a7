package tunnel

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	driftGap    = 10 * time.Second // between two lines about drift
	blameFor    = 2 * time.Second  // that long after a change its maker is named
	maxCulprits = 5                // remembered, and named in a line
)

// A drift is what the loop repaired after somebody else had changed it, since it
// was told last. The zero value is ready.
type drift struct {
	what  map[StepKind]int
	steps int
	times int // passes that repaired something
	by    []string
	told  time.Time
}

// A cause is why a step is done.
type cause int

const (
	wanted   cause = iota // the wish is another than before
	repair                // somebody else has changed what stood
	occasion              // neither: a peer is greeted or made anew, or its endpoint set back after it roamed
)

// causes returns a function that says why the steps from have to want are done.
// What the steps from the wish before to that of now would not do repairs what no
// longer stands as it did. Nil before: all is done for the first time.
func causes(before *State, have Device, want State, now time.Time) func(Step) cause {
	if before == nil {
		return func(Step) cause { return wanted }
	}
	asked := sync.OnceValue(func() map[string]bool { // most passes do nothing and never ask
		all := map[string]bool{}
		for _, s := range Diff(*before, want, now) {
			all[s.String()] = true
		}
		return all
	})
	return func(s Step) cause {
		switch {
		case asked()[s.String()]:
			return wanted
		case s == (ForgetPaths{}), Kind(s) == GreetingStep, roamed(have, s):
			return occasion
		}
		return repair
	}
}

// roamed says whether a step only makes a peer anew, or sets back the endpoint of
// one that was heard of at another one, which nobody did wrong.
func roamed(have Device, s Step) bool {
	set, ok := s.(SetPeer)
	was := have.peer(set.Peer.PublicKey)
	return ok && was != nil && was.PresharedKey == set.Peer.PresharedKey && was.Keepalive == set.Peer.Keepalive &&
		slices.Equal(was.Allowed, set.Peer.Allowed)
}

// add notes the repairs of one pass.
func (d *drift) add(repairs []Step) {
	if len(repairs) == 0 {
		return
	}
	if d.what == nil {
		d.what = map[StepKind]int{}
	}
	d.times++
	d.steps += len(repairs)
	for _, s := range repairs {
		d.what[Kind(s)]++
	}
}

// blame notes who it was.
func (d *drift) blame(names []string) {
	for _, n := range names {
		if d.steps > 0 && !slices.Contains(d.by, n) && len(d.by) < maxCulprits {
			d.by = append(d.by, n)
		}
	}
}

// tell logs what was repaired: at once, and under a storm the sum now and then.
func (d *drift) tell(log *slog.Logger, now time.Time) {
	if d.due(now) > 0 || d.steps == 0 {
		return
	}
	attrs := []any{"what", d.words(), "steps", d.steps}
	if d.times > 1 {
		attrs = append(attrs, "times", d.times)
	}
	if len(d.by) > 0 {
		attrs = append(attrs, "by", strings.Join(d.by, ", "))
	}
	log.Warn("drift repaired", attrs...)
	*d = drift{told: now}
}

// due returns how long there is still to wait until something is to be told.
func (d *drift) due(now time.Time) time.Duration {
	if d.steps == 0 {
		return interval
	}
	return max(0, d.told.Add(driftGap).Sub(now))
}

// words lists what was repaired: "guard, link, 2 routes".
func (d *drift) words() string {
	var all []string
	for _, kind := range StepKinds {
		n, word := d.what[kind], string(kind)
		if kind == DeviceStep {
			word = "key or port of the link"
		}
		switch kind {
		case PeerStep, RouteStep, RuleStep:
			if n > 1 {
				word = fmt.Sprintf("%d %ss", n, kind)
			}
		}
		if n > 0 {
			all = append(all, word)
		}
	}
	return strings.Join(all, ", ")
}
