package tunnel

import (
	"fmt"
	"net/netip"
	"strings"

	"postroad/peers"
)

// A Step is one change to the system, done whole or not at all. Its words are
// those of `postroad plan` and hold no secret.
type Step interface {
	fmt.Stringer
	step()
}

// A Plan is a list of steps in an order that never uncovers an address which
// is protected both before and after.
type Plan []Step

// The steps.
type (
	// ReplaceGuard puts the whole table in place of what there is, in one batch.
	ReplaceGuard struct{ Guard Guard }
	// AddToGuard adds elements to the sets of a sound guard.
	AddToGuard struct{ Guard Guard }
	// TakeFromGuard takes elements out of the sets of a sound guard.
	TakeFromGuard struct{ Guard Guard }
	// RemoveGuard removes the table.
	RemoveGuard struct{}

	// CreateLink makes the WireGuard interface, in place of one of ours if
	// there is one. It is down and has no peers.
	CreateLink struct{ Link Link }
	// SetLink sets MTU and reverse path filter, and brings the link up.
	SetLink struct{ Link Link }
	// RemoveLink removes the link with all routes and addresses on it.
	RemoveLink struct{ Name string }
	// AddAddress adds an address to the link.
	AddAddress struct {
		Link string
		Addr netip.Prefix
	}
	// RemoveAddress takes an address off the link.
	RemoveAddress struct {
		Link string
		Addr netip.Prefix
	}

	// SetDevice sets key and port, not the peers.
	SetDevice struct {
		Link       string
		PrivateKey peers.PrivateKey
		ListenPort uint16
	}
	// SetPeer adds a peer or changes it to what is given, all but the
	// endpoint, which stays where that is zero. Anew, it is removed first: its
	// packets wait, as routes and guard stay.
	SetPeer struct {
		Link string
		Peer DevicePeer
	}
	// RemovePeer removes a peer with its session.
	RemovePeer struct {
		Link string
		Key  peers.PublicKey
	}
	// GreetPeer begins a handshake. Whoever starts anew has lost his sessions,
	// and the other side goes on using its own for up to 26 s unless spoken to.
	GreetPeer struct {
		Link string
		Peer DevicePeer
	}

	// SetRoute adds a route, or replaces that to the same address of the same kind.
	SetRoute struct {
		Link  string
		Route Route
	}
	// RemoveRoute removes a route.
	RemoveRoute struct {
		Link  string
		Route Route
	}
	// ForgetPaths has open IPv6 connections look their route up again. A route
	// that appears in another table than the one they use does not make them,
	// and they would go on past it until their retransmissions run out.
	ForgetPaths struct{}
	// AddRule adds a rule.
	AddRule struct{ Rule Rule }
	// RemoveRule removes a rule.
	RemoveRule struct{ Rule Rule }
)

func (ReplaceGuard) step()  {}
func (AddToGuard) step()    {}
func (TakeFromGuard) step() {}
func (RemoveGuard) step()   {}
func (CreateLink) step()    {}
func (SetLink) step()       {}
func (RemoveLink) step()    {}
func (AddAddress) step()    {}
func (RemoveAddress) step() {}
func (SetDevice) step()     {}
func (SetPeer) step()       {}
func (RemovePeer) step()    {}
func (GreetPeer) step()     {}
func (SetRoute) step()      {}
func (RemoveRoute) step()   {}
func (ForgetPaths) step()   {}
func (AddRule) step()       {}
func (RemoveRule) step()    {}

func (s ReplaceGuard) String() string  { return "put guard in place: " + s.Guard.words() }
func (s AddToGuard) String() string    { return "add to guard: " + s.Guard.words() }
func (s TakeFromGuard) String() string { return "take from guard: " + s.Guard.words() }
func (s RemoveGuard) String() string   { return "remove guard" }
func (s CreateLink) String() string {
	return fmt.Sprintf("create link %s (backend %s)", s.Link.Name, s.Link.Backend)
}
func (s SetLink) String() string {
	return fmt.Sprintf("set link %s up, mtu %d, rp_filter loose", s.Link.Name, s.Link.MTU)
}
func (s RemoveLink) String() string { return "remove link " + s.Name }
func (s AddAddress) String() string { return fmt.Sprintf("add address %s to %s", s.Addr, s.Link) }
func (s RemoveAddress) String() string {
	return fmt.Sprintf("remove address %s from %s", s.Addr, s.Link)
}
func (s SetDevice) String() string {
	return fmt.Sprintf("set key %s and UDP port %d of %s", s.PrivateKey.Public(), s.ListenPort, s.Link)
}
func (s SetPeer) String() string {
	return fmt.Sprintf("set peer %s: %s", s.Peer.PublicKey, s.Peer.words())
}
func (s RemovePeer) String() string  { return fmt.Sprintf("remove peer %s", s.Key) }
func (s GreetPeer) String() string   { return fmt.Sprintf("greet peer %s", s.Peer.PublicKey) }
func (s SetRoute) String() string    { return "set route " + s.Route.words(s.Link) }
func (s RemoveRoute) String() string { return "remove route " + s.Route.words(s.Link) }
func (s ForgetPaths) String() string { return "have open connections look up their routes" }
func (s AddRule) String() string     { return "add rule " + s.Rule.String() }
func (s RemoveRule) String() string  { return "remove rule " + s.Rule.String() }

// String prints one step a line.
func (p Plan) String() string {
	var b strings.Builder
	for _, s := range p {
		fmt.Fprintln(&b, s)
	}
	return b.String()
}

func (g Guard) words() string {
	var parts []string
	for _, p := range []struct {
		what string
		list any
		n    int
	}{{"ports", g.Ports, len(g.Ports)}, {"peers", g.Peers, len(g.Peers)}, {"own", g.Own, len(g.Own)}, {"udp", g.UDP, len(g.UDP)}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%s %v", p.what, p.list))
		}
	}
	for _, a := range g.NAT.From {
		parts = append(parts, fmt.Sprintf("all else on the link from %s", a))
	}
	for _, i := range g.NAT.Inside {
		parts = append(parts, fmt.Sprintf("mail for %s to %s", i.Outer, i.Inner))
	}
	return strings.Join(parts, ", ")
}

func (p DevicePeer) words() string {
	w := fmt.Sprintf("allowed %v", p.Allowed)
	if p.Endpoint.IsValid() {
		w += ", endpoint " + p.Endpoint.String()
	}
	if p.Keepalive > 0 {
		w += ", keepalive " + p.Keepalive.String()
	}
	if !p.PresharedKey.IsZero() {
		w += ", preshared key"
	}
	if p.Anew {
		w += ", made anew"
	}
	return w
}

func (r Route) words(link string) string {
	if r.Unreachable {
		return fmt.Sprintf("unreachable %s table %d", r.Dst, Table)
	}
	words := fmt.Sprintf("%s dev %s src %s table %d", r.Dst, link, r.Src, Table)
	if r.MTU != 0 {
		words += fmt.Sprintf(" mtu %d", r.MTU)
	}
	return words
}

// String gives the rule as ip-rule(8) writes it.
func (r Rule) String() string {
	w := map[bool]string{false: "-4", true: "-6"}[r.IPv6] + fmt.Sprintf(" priority %d", r.Priority)
	if r.Mark != 0 {
		w += fmt.Sprintf(" fwmark %#x/%#x", r.Mark, r.Mark)
	}
	if r.SrcPort != 0 {
		w += fmt.Sprintf(" ipproto tcp sport %d", r.SrcPort)
	}
	if r.DstPort != 0 {
		w += fmt.Sprintf(" ipproto tcp dport %d", r.DstPort)
	}
	return w + fmt.Sprintf(" lookup %d", Table)
}
