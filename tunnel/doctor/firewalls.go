package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// ourFirewalls are those of this host. What they drop is counted; how to open
// them is a matter of which are in use.
func ourFirewalls(e *Evidence) []Finding {
	return slices.Concat(eachPeer(dropsIncoming)(e), unanswered(dropsOutgoing)(e), inside(e), linkZone(e), shut(e))
}

// dropsIncoming compares what came to this host with what passed its filters. All
// that came may have come before a session that stands was cut off.
func dropsIncoming(e *Evidence, p *Peer) []Finding {
	port := e.Want.Device.ListenPort
	if p.Arrived <= p.Accepted || p.Accepted > 0 && (p.Answered || p.Seen.In.Responses+p.Seen.In.Initiations <= p.Accepted) {
		return nil
	}
	return found(Problem, 96, fmt.Sprintf("this host's firewall drops the peer's packets: %d came to UDP port %d, %d passed", p.Arrived, port, p.Accepted),
		opens(e, familyOf(p), Firewall.in, fmt.Sprintf("accept UDP port %d", port)))
}

// dropsOutgoing compares what WireGuard sends with what leaves.
func dropsOutgoing(e *Evidence, p *Peer) []Finding {
	port := e.Want.Device.ListenPort
	switch {
	case p.Seen.Out.All() == 0 && len(p.Seen.Refusals) == 0 && pathTo(e, p.Endpoint.Addr()) && !e.Host.PacketsLost && e.Have.Device.ListenPort == port:
		return found(Problem, 87, fmt.Sprintf("this host calls the peer, and nothing leaves: a filter drops UDP to %s", p.Endpoint),
			opens(e, familyOf(p), Firewall.out, fmt.Sprintf("allow outgoing UDP from port %d", port)))
	}
	return nil
}

// inside compares what came through the link with what passed.
func inside(e *Evidence) (all []Finding) {
	if e.Have.Link.Name == "" || e.Config == nil {
		return nil
	}
	link, ports := e.Have.Link.Name, numbers(e.Config.Host.Ports)
	if n := e.Host.Answers; n.None() {
		all = append(all, found(Problem, 89, fmt.Sprintf("this host's firewall drops what comes through %s: %d answers of mail servers came, none passed", link, n.Arrived),
			fmt.Sprintf("accept TCP from ports %s on interface %s in it (`nft list ruleset`): our guard lets nothing else through", ports, link))...)
	}
	if n := e.Host.Calls; n.None() {
		all = append(all, found(Problem, 90, fmt.Sprintf("this host's firewall drops SMTP that comes through %s: peers tried %d times, none passed", link, n.Arrived),
			opens(e, 0, Firewall.link, fmt.Sprintf("accept TCP ports %s on interface %s", ports, link)))...)
	}
	return all
}

// linkZone: firewalld binds what it lets in to zones, and zones to interfaces. A
// link that nobody has bound is in the default zone.
func linkZone(e *Evidence) (all []Finding) {
	for _, f := range e.Host.Firewalls {
		if f.Zones == nil || e.Config == nil || e.Host.Calls.None() { // which tells it better
			continue
		}
		if less := without(f.Zones.Wire.SMTP, f.Zones.Link.SMTP); len(less) > 0 {
			all = append(all, found(Problem, 88, fmt.Sprintf("firewalld drops SMTP that comes through %s: the link is in zone %s, which does not take port %s; zone %s, where the peers' packets come in, does",
				e.Config.Host.Link, f.Zones.Link.Name, numbers(less), f.Zones.Wire.Name),
				f.Name+": `"+f.Link.Command+"`")...)
		}
	}
	return all
}

// shut: what a firewall remembers of this host's own calls lets the answers in, so
// that all may be well although the port is not open.
func shut(e *Evidence) (all []Finding) {
	for _, f := range e.Host.Firewalls {
		if f.Shut && e.Config != nil && len(eachPeer(dropsIncoming)(e)) == 0 { // which tells it better
			all = append(all, found(Note, 30, fmt.Sprintf("nothing in %s opens UDP port %d: a peer that calls first gets no answer", f.Name, e.Config.Host.ListenPort),
				f.Name+": `"+f.In.Command+"`"+f.In.Lasting)...)
		}
	}
	return all
}

// without returns the ports that others lack.
func without(ports, others []uint16) (all []uint16) {
	for _, p := range ports {
		if !slices.Contains(others, p) {
			all = append(all, p)
		}
	}
	return all
}

func (f Firewall) in() Opening   { return f.In }
func (f Firewall) out() Opening  { return f.Out }
func (f Firewall) link() Opening { return f.Link }

// opens says how to open the firewalls in use that filter a family (0: both). The
// words are what has to be done where no command is known.
func opens(e *Evidence, family int, which func(Firewall) Opening, words string) string {
	var ways, unknown []string
	for _, f := range culprits(e.Host.Firewalls, family) {
		if o := which(f); o.Command != "" {
			ways = append(ways, f.Name+": `"+o.Command+"`"+o.Lasting)
		} else {
			unknown = append(unknown, f.Name)
		}
	}
	switch {
	case len(ways) > 0:
		return strings.Join(ways, "; and in ")
	case len(unknown) > 0:
		return fmt.Sprintf("%s in %s (`nft list ruleset`)", words, strings.Join(unknown, " and "))
	}
	return words + " in this host's firewall (`nft list ruleset`, `iptables -S`)"
}

// culprits are the firewalls that may have dropped something: the programs, and
// tables of nobody's that drop what they do not know; else those that drop
// anything; else all.
func culprits(all []Firewall, family int) []Firewall {
	for _, may := range []func(Firewall) bool{
		func(f Firewall) bool { return f.Manages || f.Strict },
		func(f Firewall) bool { return f.Drops },
		func(Firewall) bool { return true },
	} {
		var some []Firewall
		for _, f := range all {
			if may(f) && (f.Family == 0 || family == 0 || f.Family == family) {
				some = append(some, f)
			}
		}
		if len(some) > 0 {
			return some
		}
	}
	return nil
}

// familyOf is the family of a peer's endpoint; 0: it is not known.
func familyOf(p *Peer) int {
	switch a := p.Endpoint.Addr(); {
	case a.Is4():
		return 4
	case a.Is6():
		return 6
	}
	return 0
}

func numbers(ports []uint16) string { return strings.Trim(fmt.Sprint(ports), "[]") }
