package tunnel

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"postroad/peers"
)

// A PeerState says what happens to SMTP with a peer.
type PeerState string

// The states of a peer. In all but Clear its SMTP is inside the tunnel or not
// on the wire.
const (
	Protected PeerState = "protected" // the tunnel is up and has answered lately
	Idle      PeerState = "idle"      // it has answered, not lately: the next packet wakes it
	Waiting   PeerState = "waiting"   // the peer has never answered; mail waits
	Blocked   PeerState = "blocked"   // something is amiss; mail waits
	Clear     PeerState = "clear"     // nothing stops SMTP in clear, see PeerStatus.ByPolicy
)

// PeerStates are all of them.
var PeerStates = []PeerState{Protected, Idle, Waiting, Blocked, Clear}

// sessionLife is REJECT_AFTER_TIME: without a new handshake a session carries
// nothing after it (WireGuard's whitepaper, section 6.1).
const sessionLife = 180 * time.Second

// A PeerStatus is what there is to know about one peer. Its JSON is stable.
type PeerStatus struct {
	Name          string          `json:"name"`
	PublicKey     peers.PublicKey `json:"public_key"`
	Policy        peers.Policy    `json:"policy"`
	Addresses     []netip.Addr    `json:"addresses"`
	Names         []string        `json:"names,omitempty"` // DNS names whose addresses are among them
	DNS           []peers.Remark  `json:"dns,omitempty"`   // what is odd about the peer's names
	State         PeerState       `json:"state"`
	Reason        string          `json:"reason,omitempty"`        // why it is not protected
	ByPolicy      bool            `json:"clear_by_policy"`         // the state is Clear, and the policy says so
	Latched       bool            `json:"latched"`                 // the policy is latch, and the peer has answered once: it is as require
	ClearSeconds  float64         `json:"clear_seconds"`           // spent in Clear, since the loop began to look
	Since         time.Time       `json:"since,omitzero"`          // of the state; zero: not known
	LastHandshake time.Time       `json:"last_handshake,omitzero"` // zero: never
	Endpoint      netip.AddrPort  `json:"endpoint,omitzero"`       // zero: not known
	Received      int64           `json:"received_bytes"`
	Sent          int64           `json:"sent_bytes"`
	RefusedIn     uint64          `json:"refused_in_packets"`
	RefusedOut    uint64          `json:"refused_out_packets"`
	Connections   int             `json:"smtp_connections"`      // now; means nothing with Status.Uncounted
	MTU           int             `json:"mtu,omitempty"`         // bytes of the largest packet to it; zero: there is no way to it
	MTUMeasured   time.Time       `json:"mtu_measured,omitzero"` // when that size was seen to cross last; zero: never
	MTUSilent     bool            `json:"mtu_silent,omitempty"`  // it was tried, and the peer does not answer such packets
}

// Judge says how each peer of c stands, in the order of the file.
func Judge(c *peers.Config, have, want State, now time.Time) []PeerStatus {
	all := make([]PeerStatus, len(c.Peers))
	lost := len(missing(want.Rules, have.Rules)) > 0
	for i, p := range c.Peers {
		device := have.Device.peer(p.PublicKey)
		s := PeerStatus{Name: p.Name, PublicKey: p.PublicKey, Policy: p.Policy, Addresses: append([]netip.Addr{}, p.Addresses...), Names: p.Names}
		if d := device; d != nil {
			s.LastHandshake, s.Endpoint, s.Received, s.Sent = d.LastHandshake, d.Endpoint, d.Received, d.Sent
		}
		for _, a := range p.Addresses {
			s.RefusedIn += have.Guard.Refused[a].In
			s.RefusedOut += have.Guard.Refused[a].Out
		}
		s.MTU = usedMTU(p, have)
		s.State, s.Reason = judge(p, have, want, device, lost, now)
		s.ByPolicy = s.State == Clear && bypass(p, want)
		all[i] = s
	}
	return all
}

// judge says how a peer stands. Lost says that not all rules are there.
func judge(p peers.Peer, have, want State, device *DevicePeer, lost bool, now time.Time) (PeerState, string) {
	if len(p.Addresses) == 0 {
		return Blocked, "its address is not known: DNS has not said that of " + strings.Join(p.Names, ", ")
	}
	open := bypass(p, want)
	for _, a := range p.Addresses {
		switch closed := Closed(have, a, want.Guard.Ports); {
		case !closed && open:
			return Clear, whyClear(p, handshake(device))
		case !closed:
			return Clear, fmt.Sprintf("nothing stops clear SMTP with %s", a)
		}
	}
	if open {
		return Blocked, "its policy lets it go in clear, and it is still stopped"
	}
	if why := amiss(p, have, want, device, lost); why != "" {
		return Blocked, why
	}
	switch {
	case device.LastHandshake.IsZero() && !device.Endpoint.IsValid():
		return Waiting, "the address of its endpoint is not known"
	case device.LastHandshake.IsZero():
		return Waiting, "it has never answered"
	case now.Sub(device.LastHandshake) < sessionLife:
		return Protected, ""
	default:
		return Idle, "no traffic"
	}
}

// amiss says what keeps a peer's mail from the tunnel. Empty: nothing.
func amiss(p peers.Peer, have, want State, device *DevicePeer, lost bool) string {
	switch {
	case have.Link.Name == "":
		return "the link is not there"
	case !have.Link.Up:
		return "the link is down"
	case device == nil:
		return "the link does not know the peer"
	case have.Device.ListenPort != want.Device.ListenPort:
		return "the UDP port is not open"
	case lost:
		return "a rule is missing"
	}
	if _, ok := have.tunnelRoute(p.Addresses); !ok {
		return "no address of ours to reach it from"
	}
	for _, a := range p.Addresses {
		if way := have.Past[a]; way != "" {
			return fmt.Sprintf("SMTP with %s is routed %s", a, way)
		}
	}
	return ""
}

// Closed says whether SMTP on all the given ports with a peer's address is
// inside the tunnel or not on the wire in state s: by the guard, or else by
// rules for both sides' ports and a route that answers them.
func Closed(s State, peer netip.Addr, ports []uint16) bool {
	return guarded(s.Guard, peer, ports) || steered(s, peer, ports)
}

func guarded(g Guard, peer netip.Addr, ports []uint16) bool {
	return g.Sound && g.guards(peer) && len(missing(ports, g.Ports)) == 0
}

func steered(s State, peer netip.Addr, ports []uint16) bool {
	if len(s.routesTo(peer)) == 0 {
		return false
	}
	if s.Past[peer] != "" {
		return false
	}
	for _, r := range wantRules(ports, true) {
		if r.Mark == 0 && r.IPv6 == peer.Is6() && !selects(s.Rules, r) {
			return false
		}
	}
	return true
}
