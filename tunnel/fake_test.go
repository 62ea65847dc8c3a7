package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"postroad/peers"
)

// fake is a System with the kernel's semantics as far as plans lean on them:
// routes go with their link, want it up, and elements want a table.
type fake struct {
	mu       sync.Mutex
	state    State
	facts    Facts
	failAt   int // fails the n-th step from now, once; zero: none
	observed error
	done     []Step
	changed  func(by Culprit)
	hangs    chan struct{} // if it is there, a look takes until it is closed
	echoes   bool          // the watcher hears of what is done, as the kernel has it
	then     func(*State)  // is done once, by somebody else, right after the next step; nil: nothing

	callers     map[netip.Addr]time.Time
	connections map[netip.Addr]int
	asked       []uint16 // ports that connections were asked for
	uncounted   error
}

var _ System = (*fake)(nil)

var errInjected = errors.New("injected")

// hang makes every look wait until release is closed.
func (f *fake) hang(release chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hangs = release
}

func (f *fake) Observe(context.Context, Query) (State, Facts, error) {
	f.mu.Lock()
	hangs := f.hangs
	f.mu.Unlock()
	if hangs != nil {
		<-hangs
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return clone(f.state), f.facts, f.observed
}

func (f *fake) Watch(ctx context.Context, changed func(by Culprit)) error {
	f.mu.Lock()
	f.changed = changed
	f.mu.Unlock()
	<-ctx.Done()
	return nil
}

func (f *fake) Connections(_ context.Context, ports []uint16) (map[netip.Addr]int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = ports
	return f.connections, f.uncounted
}

// calls has a host begin a handshake, and not be let in.
func (f *fake) calls(from netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.callers = map[netip.Addr]time.Time{from: time.Now()}
}

func (f *fake) Callers(context.Context) (map[netip.Addr]time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.callers, nil
}

// damage changes the state behind the loop's back, as an operator would, and
// tells the watcher.
func (f *fake) damage(how func(*State)) { f.damageBy(Culprit{}, how) }

// damageBy is damage by somebody that the watcher knows.
func (f *fake) damageBy(by Culprit, how func(*State)) {
	f.mu.Lock()
	how(&f.state)
	changed := f.changed
	f.mu.Unlock()
	changed(by)
}

func (f *fake) look() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return clone(f.state)
}

// steps counts what was done.
func (f *fake) steps() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.done)
}

func (f *fake) Do(_ context.Context, steps []Step) []error {
	f.mu.Lock()
	defer f.mu.Unlock()
	errs := make([]error, len(steps))
	for i, s := range steps {
		errs[i] = f.doOne(s)
	}
	heard := f.echoes || f.then != nil
	if f.then != nil {
		f.then(&f.state)
		f.then = nil
	}
	if heard && f.changed != nil {
		f.changed(Culprit{})
	}
	return errs
}

func (f *fake) doOne(step Step) error {
	if f.failAt > 0 {
		if f.failAt--; f.failAt == 0 {
			return errInjected
		}
	}
	f.done = append(f.done, step)
	return f.do(step)
}

func (f *fake) do(step Step) error {
	s := &f.state
	switch step := step.(type) {
	case ReplaceGuard:
		s.Guard = clone(State{Guard: step.Guard}).Guard
		s.Guard.Sound, s.Guard.Ports, s.Guard.Peers = true, sorted(s.Guard.Ports), sortedAddrs(s.Guard.Peers)
	case AddToGuard:
		if !s.Guard.Sound {
			return errors.New("no table")
		}
		s.Guard.Ports = sorted(union(s.Guard.Ports, step.Guard.Ports))
		s.Guard.Own = sortedAddrs(union(s.Guard.Own, step.Guard.Own))
		s.Guard.UDP = sorted(union(s.Guard.UDP, step.Guard.UDP))
		s.Guard.Peers = sortedAddrs(union(s.Guard.Peers, step.Guard.Peers))
	case TakeFromGuard:
		for _, a := range step.Guard.Peers {
			if !slices.Contains(s.Guard.Peers, a) {
				return fmt.Errorf("no element %s", a)
			}
		}
		s.Guard.Ports = missing(s.Guard.Ports, step.Guard.Ports)
		s.Guard.Own = missing(s.Guard.Own, step.Guard.Own)
		s.Guard.UDP = missing(s.Guard.UDP, step.Guard.UDP)
		s.Guard.Peers = missing(s.Guard.Peers, step.Guard.Peers)
	case RemoveGuard:
		s.Guard = Guard{}
	case CreateLink:
		if s.Link.Foreign {
			return errors.New("exists")
		}
		f.dropLink()
		s.Link = Link{Name: step.Link.Name, Backend: madeFor(step.Link.Backend)}
	case RemoveLink:
		f.dropLink()
	default:
		return f.doOnLink(step)
	}
	return nil
}

// madeFor returns the backend that a wish for one leads to.
func madeFor(wish peers.Backend) peers.Backend {
	if wish == peers.Auto {
		return peers.Kernel
	}
	return wish
}

func (f *fake) dropLink() {
	f.state.Link, f.state.Device = Link{}, Device{}
	f.dropTunnelRoutes()
}

func (f *fake) dropTunnelRoutes() {
	f.state.Routes = slices.DeleteFunc(f.state.Routes, func(r Route) bool { return !r.Unreachable })
}

func (f *fake) doOnLink(step Step) error {
	s := &f.state
	on := func(name string) error {
		if name == "" || s.Link.Name != name {
			return fmt.Errorf("no link %q", name)
		}
		return nil
	}
	switch step := step.(type) {
	case SetLink:
		s.Link.Up, s.Link.MTU, s.Link.Loose = true, step.Link.MTU, true
		return on(step.Link.Name)
	case AddAddress:
		s.Link.Addrs = append(s.Link.Addrs, step.Addr)
		slices.SortFunc(s.Link.Addrs, netip.Prefix.Compare)
		return on(step.Link)
	case RemoveAddress:
		s.Link.Addrs = missing(s.Link.Addrs, []netip.Prefix{step.Addr})
		return on(step.Link)
	case SetDevice:
		s.Device.PrivateKey, s.Device.ListenPort = step.PrivateKey, step.ListenPort
		return on(step.Link)
	case SetPeer:
		f.setPeer(step.Peer)
		return on(step.Link)
	case RemovePeer:
		s.Device.Peers = slices.DeleteFunc(s.Device.Peers, func(p DevicePeer) bool { return p.PublicKey == step.Key })
		return on(step.Link)
	case GreetPeer:
		if !s.Link.Up {
			return errors.New("greeting on a link that is down")
		}
		return on(step.Link)
	default:
		return f.doRouting(step)
	}
}

// setPeer moves allowed addresses from other peers, as WireGuard does.
func (f *fake) setPeer(p DevicePeer) {
	d := &f.state.Device
	for i := range d.Peers {
		d.Peers[i].Allowed = missing(d.Peers[i].Allowed, p.Allowed)
		if d.Peers[i].PublicKey != p.PublicKey {
			continue
		}
		if !p.Anew {
			p.LastHandshake = d.Peers[i].LastHandshake
		}
		if !p.Endpoint.IsValid() {
			p.Endpoint = d.Peers[i].Endpoint
		}
	}
	d.Peers = slices.DeleteFunc(d.Peers, func(q DevicePeer) bool { return q.PublicKey == p.PublicKey })
	p.Repoint, p.Anew = false, false
	d.Peers = append(d.Peers, p)
	slices.SortFunc(d.Peers, func(a, b DevicePeer) int { return slices.Compare(a.PublicKey[:], b.PublicKey[:]) })
}

func (f *fake) doRouting(step Step) error {
	s := &f.state
	switch step := step.(type) {
	case SetRoute:
		if !step.Route.Unreachable && (s.Link.Name != step.Link || !s.Link.Up) {
			return errors.New("network is down")
		}
		s.Routes = slices.DeleteFunc(s.Routes, func(r Route) bool {
			return r.Dst == step.Route.Dst && r.Unreachable == step.Route.Unreachable
		})
		s.Routes = sortedRoutes(append(s.Routes, step.Route))
	case RemoveRoute:
		s.Routes = missing(s.Routes, []Route{step.Route})
	case ForgetPaths:
	case AddRule:
		s.Rules = sortedRules(append(s.Rules, step.Rule))
	case RemoveRule:
		s.Rules = missing(s.Rules, []Rule{step.Rule})
	default:
		return fmt.Errorf("unknown step %T", step)
	}
	return nil
}

func clone(s State) State {
	s.Guard.Ports, s.Guard.Own, s.Guard.Peers = slices.Clone(s.Guard.Ports), slices.Clone(s.Guard.Own), slices.Clone(s.Guard.Peers)
	s.Guard.UDP = slices.Clone(s.Guard.UDP)
	s.Link.Addrs, s.Rules, s.Routes = slices.Clone(s.Link.Addrs), slices.Clone(s.Rules), slices.Clone(s.Routes)
	s.Device.Peers = slices.Clone(s.Device.Peers)
	for i := range s.Device.Peers {
		s.Device.Peers[i].Allowed = slices.Clone(s.Device.Peers[i].Allowed)
	}
	return s
}

func sorted(p []uint16) []uint16 {
	slices.Sort(p)
	return p
}

// A packet is TCP from or to a peer's address; a zero port is some other one.
type packet struct {
	peer             netip.Addr
	srcPort, dstPort uint16
}

type fate string

const (
	tunnelled fate = "in the tunnel"
	refused   fate = "not on the wire"
	inClear   fate = "in clear"
)

// send says what becomes of an outgoing packet, walking rules, routes and guard
// as the kernel does.
func send(s State, p packet) fate {
	out := "wan"
	if selected(s, p) {
		switch kind := bestRoute(s, p.peer); {
		case kind == nil:
		case kind.Unreachable:
			return refused
		default:
			out = s.Link.Name
		}
	}
	g := s.Guard
	smtp := slices.Contains(g.Ports, p.srcPort) || slices.Contains(g.Ports, p.dstPort)
	switch {
	case g.Sound && smtp && slices.Contains(g.Peers, p.peer) && out != g.Link:
		return refused
	case out == "wan":
		return inClear
	}
	return tunnelled
}

func selected(s State, p packet) bool {
	return slices.ContainsFunc(s.Rules, func(r Rule) bool {
		return r.IPv6 == p.peer.Is6() && r.Mark == 0 &&
			(r.SrcPort == 0 || r.SrcPort == p.srcPort) && (r.DstPort == 0 || r.DstPort == p.dstPort)
	})
}

func bestRoute(s State, dst netip.Addr) *Route {
	var best *Route
	for i, r := range s.Routes {
		if r.Dst == dst && (best == nil || best.Unreachable) {
			best = &s.Routes[i]
		}
	}
	return best
}

// secondsAgo is a time for observed handshakes.
func secondsAgo(n int) time.Time { return time.Now().Add(-time.Duration(n) * time.Second) }
