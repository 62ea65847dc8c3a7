package tunnel

import (
	"slices"
	"sync"
	"time"
)

// A Culprit is who changed something of ours. The zero value: it is not known, it
// was we, or nothing of ours was changed.
type Culprit struct {
	Name  string // in words for a log line
	Guard bool   // the guard was changed; else rules, routes or addresses
}

// culprits are who changed something lately. The zero value is ready, and for use
// by several goroutines.
type culprits struct {
	mu  sync.Mutex
	all []sighting
}

type sighting struct {
	Culprit
	at time.Time
}

// add notes somebody.
func (c *culprits) add(who Culprit, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = slices.DeleteFunc(c.all, func(s sighting) bool { return s.Culprit == who || now.Sub(s.at) > blameFor })
	if who.Name != "" && len(c.all) < maxCulprits {
		c.all = append(c.all, sighting{who, now})
	}
}

// take returns, and forgets, who changed the guard or else the rest lately.
func (c *culprits) take(guard bool, now time.Time) (names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = slices.DeleteFunc(c.all, func(s sighting) bool {
		if s.Guard == guard && now.Sub(s.at) <= blameFor {
			names = append(names, s.Name)
		}
		return s.Guard == guard
	})
	return names
}
