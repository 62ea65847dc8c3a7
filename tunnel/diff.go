package tunnel

import (
	"net/netip"
	"slices"
	"time"
)

// roamAfter is how old a handshake must be before a peer's endpoint is set
// back to what the file says: REKEY_AFTER_TIME and a bit (WireGuard's
// whitepaper, section 6.1), when a peer that is heard from would have made anew.
const roamAfter = 135 * time.Second

// Diff returns the steps that turn have into want. They tighten first and
// loosen last: in every prefix of the plan an address that have and want both
// protect is protected. Both layers, the guard and the rules with the unreachable
// routes, stand before the link is touched: that is the step that can fail.
func Diff(have, want State, now time.Time) Plan {
	if makesLink(have.Link, want.Link) {
		have.Link, have.Device = Link{}, Device{}
		have.Routes = slices.DeleteFunc(slices.Clone(have.Routes), func(r Route) bool { return !r.Unreachable })
	}
	var p Plan
	p = append(p, tightenGuard(have.Guard, want.Guard)...)
	p = append(p, addRoutes(have.Routes, want, true)...)
	p = append(p, addRules(have.Rules, want.Rules)...)
	p = append(p, tightenLink(have.Link, want)...)
	p = append(p, setPeers(have.Device, want, now)...)
	p = append(p, raiseLink(have.Link, want.Link)...)
	p = append(p, addRoutes(have.Routes, want, false)...)
	p = append(p, greetPeers(have, want, now)...)
	p = append(p, removeRules(have.Rules, want.Rules)...)
	p = append(p, removeRoutes(have, want)...)
	p = append(p, loosenLink(have, want)...)
	return append(p, loosenGuard(have.Guard, want.Guard)...)
}

// makesLink says whether a link must be made: none is there, or another backend's.
func makesLink(have, want Link) bool {
	return want.Name != "" && (have.Name != want.Name || have.Foreign || !want.Backend.Allows(have.Backend))
}

// replacesGuard says whether it takes more than elements to turn have into want.
func replacesGuard(have, want Guard) bool {
	return !have.Sound || have.Link != want.Link || !have.NAT.Equal(want.NAT)
}

func tightenGuard(have, want Guard) Plan {
	if want.Link == "" {
		return nil
	}
	if replacesGuard(have, want) {
		all := want
		all.Ports = union(have.Ports, want.Ports)
		all.Peers = union(have.Peers, want.Peers)
		return Plan{ReplaceGuard{all}}
	}
	more := guardLess(want, have)
	if more.empty() {
		return nil
	}
	return Plan{AddToGuard{more}}
}

func loosenGuard(have, want Guard) Plan {
	if want.Link == "" {
		if have.Link == "" && !have.Sound {
			return nil
		}
		return Plan{RemoveGuard{}}
	}
	less := guardLess(have, want)
	if replacesGuard(have, want) {
		less.Own, less.UDP = nil, nil // ReplaceGuard put in place what want says
	}
	if less.empty() {
		return nil
	}
	return Plan{TakeFromGuard{less}}
}

func tightenLink(have Link, want State) Plan {
	var p Plan
	if have.Name == "" && want.Link.Name != "" {
		p = append(p, CreateLink{want.Link})
	}
	for _, a := range missing(want.Link.Addrs, have.Addrs) {
		p = append(p, AddAddress{want.Link.Name, a})
	}
	return p
}

func setPeers(have Device, want State, now time.Time) Plan {
	var p Plan
	w, link := want.Device, want.Link.Name
	if link == "" {
		return nil
	}
	if have.PrivateKey != w.PrivateKey || have.ListenPort != w.ListenPort {
		p = append(p, SetDevice{link, w.PrivateKey, w.ListenPort})
	}
	for i, peer := range w.Peers {
		if set, ok := changePeer(have.peerAt(i, peer.PublicKey), peer, now); ok {
			p = append(p, SetPeer{link, set})
		}
	}
	return p
}

// changePeer returns what to set of a peer, and whether there is anything.
func changePeer(have *DevicePeer, want DevicePeer, now time.Time) (DevicePeer, bool) {
	if have == nil {
		return want, true
	}
	moved := want.Endpoint.IsValid() && have.Endpoint != want.Endpoint &&
		(want.Repoint || now.Sub(have.LastHandshake) > roamAfter)
	want.Anew = want.Anew && !have.LastHandshake.IsZero()
	switch {
	case moved:
	case want.Anew:
		want.Endpoint = have.Endpoint // wherever it has roamed to
	default:
		want.Endpoint = netip.AddrPort{}
	}
	same := have.PresharedKey == want.PresharedKey && have.Keepalive == want.Keepalive &&
		slices.Equal(have.Allowed, want.Allowed)
	return want, moved || want.Anew || !same
}

func raiseLink(have, want Link) Plan {
	if want.Name == "" || have.Up && have.MTU == want.MTU && have.Loose == want.Loose {
		return nil
	}
	return Plan{SetLink{want}}
}

// greetPeers speaks to the peers that cannot know that we are there: those that
// are new, made anew or reached at another place, and all when the link was down.
func greetPeers(have, want State, now time.Time) Plan {
	var p Plan
	for i, peer := range want.Device.Peers {
		set, _ := changePeer(have.Device.peerAt(i, peer.PublicKey), peer, now)
		if set.Endpoint.IsValid() || peer.Endpoint.IsValid() && !have.Link.Up {
			p = append(p, GreetPeer{want.Link.Name, peer})
		}
	}
	return p
}

// addRoutes sets what is missing, the twins or the tunnel routes.
func addRoutes(have []Route, want State, twins bool) Plan {
	var p Plan
	forget := false
	for _, r := range lacking(want.Routes, have, CompareRoutes) {
		if r.Unreachable == twins {
			p = append(p, SetRoute{want.Link.Name, r})
			forget = forget || r.Dst.Is6()
		}
	}
	if forget {
		p = append(p, ForgetPaths{})
	}
	return p
}

// removeRoutes removes what SetRoute has not replaced, tunnel routes first.
func removeRoutes(have, want State) Plan {
	var tunnel, twins Plan
	for _, r := range lacking(have.Routes, want.Routes, CompareRoutes) {
		step := RemoveRoute{have.Link.Name, r}
		switch {
		case slices.ContainsFunc(want.routesTo(r.Dst), func(w Route) bool { return w.Unreachable == r.Unreachable }):
		case r.Unreachable:
			twins = append(twins, step)
		default:
			tunnel = append(tunnel, step)
		}
	}
	return append(tunnel, twins...)
}

func addRules(have, want []Rule) Plan {
	var p Plan
	for _, r := range missing(want, have) {
		p = append(p, AddRule{r})
	}
	return p
}

func removeRules(have, want []Rule) Plan {
	var p Plan
	for _, r := range missing(have, want) {
		p = append(p, RemoveRule{r})
	}
	return p
}

func loosenLink(have, want State) Plan {
	if have.Link.Name == "" || have.Link.Foreign {
		return nil
	}
	if want.Link.Name == "" {
		return Plan{RemoveLink{have.Link.Name}}
	}
	var p Plan
	for i, peer := range have.Device.Peers {
		if want.Device.peerAt(i, peer.PublicKey) == nil {
			p = append(p, RemovePeer{have.Link.Name, peer.PublicKey})
		}
	}
	for _, a := range missing(have.Link.Addrs, want.Link.Addrs) {
		p = append(p, RemoveAddress{have.Link.Name, a})
	}
	return p
}

// guardLess returns the elements of a that b has not.
func guardLess(a, b Guard) Guard {
	return Guard{Sound: a.Sound, Link: a.Link, Ports: missing(a.Ports, b.Ports),
		Own: missing(a.Own, b.Own), Peers: lacking(a.Peers, b.Peers, netip.Addr.Compare), UDP: missing(a.UDP, b.UDP)}
}

func (g Guard) empty() bool { return len(g.Ports)+len(g.Own)+len(g.Peers)+len(g.UDP) == 0 }

// missing returns the elements of want that have lacks, in want's order.
func missing[T comparable](want, have []T) []T {
	has := func(x T) bool { return slices.Contains(have, x) }
	if len(have) > 16 {
		set := make(map[T]bool, len(have))
		for _, x := range have {
			set[x] = true
		}
		has = func(x T) bool { return set[x] }
	}
	var out []T
	for _, x := range want {
		if !has(x) {
			out = append(out, x)
		}
	}
	return out
}

// union returns a and what else b has.
func union[T comparable](a, b []T) []T {
	return append(slices.Clone(a), missing(b, a)...)
}
