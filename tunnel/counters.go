package tunnel

import (
	"maps"
	"time"
)

// A StepKind says which layer a step is about.
type StepKind string

// The kinds of steps.
const (
	GuardStep    StepKind = "guard"
	LinkStep     StepKind = "link" // with its addresses
	DeviceStep   StepKind = "device"
	PeerStep     StepKind = "peer"
	RouteStep    StepKind = "route"
	RuleStep     StepKind = "rule"
	GreetingStep StepKind = "greeting" // nothing is changed: it goes with what made it necessary
)

// StepKinds are all of them.
var StepKinds = []StepKind{GuardStep, LinkStep, DeviceStep, PeerStep, RouteStep, RuleStep, GreetingStep}

// Kind returns what a step is about.
func Kind(s Step) StepKind {
	switch s.(type) {
	case ReplaceGuard, AddToGuard, TakeFromGuard, RemoveGuard:
		return GuardStep
	case CreateLink, SetLink, RemoveLink, AddAddress, RemoveAddress:
		return LinkStep
	case SetDevice:
		return DeviceStep
	case SetPeer, RemovePeer:
		return PeerStep
	case SetRoute, RemoveRoute, ForgetPaths:
		return RouteStep
	case AddRule, RemoveRule:
		return RuleStep
	}
	return GreetingStep
}

// Counters say what a loop has done since it began.
type Counters struct {
	Passes       uint64
	FailedPasses uint64
	PassTime     time.Duration // of all passes together
	LastPass     time.Time     // when it ended; zero: there was none

	// Changes are steps towards something new: the first state, another peers
	// file, another address of this host or of a peer's endpoint.
	Changes map[StepKind]uint64
	// Repairs are steps back to what was in place already: somebody else took it
	// away or changed it.
	Repairs map[StepKind]uint64
}

func newCounters() Counters {
	return Counters{Changes: map[StepKind]uint64{}, Repairs: map[StepKind]uint64{}}
}

// clone returns a copy that no pass changes.
func (c *Counters) clone() Counters {
	d := *c
	d.Changes, d.Repairs = maps.Clone(c.Changes), maps.Clone(c.Repairs)
	return d
}

// passed counts a pass that began at start.
func (c *Counters) passed(start time.Time, err error) {
	c.Passes++
	if err != nil {
		c.FailedPasses++
	}
	c.LastPass = time.Now()
	c.PassTime += c.LastPass.Sub(start)
}

// stepped counts a step that was done. A greeting repairs nothing.
func (c *Counters) stepped(s Step, repair bool) {
	if k := Kind(s); repair && k != GreetingStep {
		c.Repairs[k]++
	} else {
		c.Changes[k]++
	}
}

// settle notes that want is in place.
func (l *Loop) settle(want State) {
	for i := range want.Device.Peers {
		want.Device.Peers[i].Repoint, want.Device.Peers[i].Anew = false, false // done
	}
	l.settled = &want
}
