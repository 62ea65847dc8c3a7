package tunnel

import (
	"slices"
	"time"
)

// A clock notices that the system's clock is set forward, by more than a look
// takes to come. WireGuard dates handshakes by that clock, and counts the age of
// its sessions by another; what was dated before counts as if the clock had been
// right then. Otherwise every session would seem to have ended, and SMTP with
// peers whose policy is prefer go in clear beside a tunnel that works. By a clock
// that is set back they seem to last, which holds mail back at most.
type clock struct {
	wall  time.Time     // at the last look; zero: there was none
	up    time.Duration // how long the process had run then
	steps []clockStep
}

// A clockStep is one time that the clock was set.
type clockStep struct {
	before time.Time // what is dated no later was dated before
	by     time.Duration
	up     time.Duration // how long the process had run when we noticed
}

// look is to be called at every look, with the time by the system's clock and how
// long the process has run, by one that nobody sets.
func (c *clock) look(wall time.Time, up time.Duration) {
	elapsed := up - c.up
	by := wall.Sub(c.wall) - elapsed
	switch {
	case c.wall.IsZero() || by.Abs() <= max(interval, elapsed):
	case by > 0:
		c.steps = append(c.steps, clockStep{c.wall.Add(elapsed), by, up})
	default:
		c.takeBack(-by)
	}
	c.wall, c.up = wall, up
	c.steps = slices.DeleteFunc(c.steps, func(s clockStep) bool { return s.by == 0 || up-s.up > sessionLife }) // what was alive then has ended
}

// takeBack undoes what was set forward last: else what is dated from now on, as if
// before that, would seem to be in the future.
func (c *clock) takeBack(by time.Duration) {
	for i := len(c.steps) - 1; i >= 0; i-- {
		s := &c.steps[i]
		taken := min(by, s.by)
		s.by, by = s.by-taken, by-taken
	}
}

// correct dates what WireGuard has dated.
func (c *clock) correct(at time.Time) time.Time {
	for _, s := range c.steps {
		if !at.IsZero() && !at.After(s.before) {
			at = at.Add(s.by)
		}
	}
	return at
}
