package doctor

import (
	"fmt"
	"net/netip"
	"time"

	"postroad/peers"
)

var handshakeChecks = []Check{
	{"endpoint", "There is a way to where the peer's tunnel is.", eachPeer(endpoint)},
	{"our-firewall", "This host's packet filters let the tunnel's packets through, and what is in them.", ourFirewalls},
	{"our-key-for-peer", "The key that the peer calls with is the one in the file.", unanswered(ourKey)},
	{"their-key-for-us", "The peer calls for our key.", unanswered(theirKey)},
	{"preshared-key", "Both have the same preshared key, or none.", unanswered(presharedKey)},
	{"their-port-for-us", "The peer calls the port that we listen on.", unanswered(theirPort)},
	{"their-clock", "The peer's clock agrees with ours, and has not gone backwards.", eachPeer(theirClock)},
	{"their-daemon", "Something listens where the peer's tunnel should be.", unanswered(theirDaemon)},
	{"their-firewall", "The peer's firewall, and all on the way, let the tunnel's packets through.", unanswered(theirFirewall)},
	{"unknown-there", "The peer has this host in its file.", unanswered(unknownThere)},
	{"unreachable", "The peer's host can be reached.", unanswered(unreachable)},
	{"no-answer", "The peer answers.", unanswered(noAnswer)},
}

func endpoint(e *Evidence, p *Peer) []Finding {
	switch addr := p.Endpoint; {
	case p.Answered || e.LookError != nil || e.Config == nil:
	case !addr.IsValid() && p.Peer.Endpoint.Host != "":
		return found(Problem, 95, fmt.Sprintf("its endpoint's name %s cannot be resolved", p.Peer.Endpoint.Host),
			fmt.Sprintf("see what `getent ahosts %s` says: mend the name in the file, or this host's DNS", p.Peer.Endpoint.Host))
	case addr.IsValid() && !pathTo(e, addr.Addr()):
		return found(Problem, 95, fmt.Sprintf("this host has no route to its endpoint %s", addr.Addr()),
			fmt.Sprintf("see `ip route get %s`; if this host lacks that address family, give the peer's endpoint with an address of the other", addr.Addr()))
	}
	return nil
}

func pathTo(e *Evidence, a netip.Addr) bool {
	_, ok := e.Facts.Paths[a]
	return ok
}

func ourKey(e *Evidence, p *Peer) []Finding {
	for _, c := range p.Seen.Calls {
		if !c.ForUs || c.Key == p.PublicKey || c.Key == (peers.PublicKey{}) {
			continue
		}
		if other := named(e.Config, c.Key); other != "" {
			return found(Problem, 95, fmt.Sprintf("it calls with the key that the file gives to %s: the two keys are swapped, or the addresses are", other),
				"put each key and address where it belongs, and compare fingerprints by telephone: `postroad fingerprint`")
		}
		return found(Problem, 94, fmt.Sprintf("the peer's address calls with the key %s, and the file has %s for it", c.Key, p.PublicKey),
			"ask its operator, over the telephone, for the right key (`postroad card`) before you change it: whoever has the other half gets your mail")
	}
	return nil
}

func theirKey(_ *Evidence, p *Peer) []Finding {
	for _, c := range p.Seen.Calls {
		if !c.ForUs {
			return found(Problem, 94, "it calls us, but for another public key than ours: it has a wrong key for this host",
				"send its operator a new card (`postroad card`), and compare fingerprints by telephone")
		}
	}
	return nil
}

// presharedKey: an answer to our call that came in and made no session can only
// be one that mixes in another preshared key.
func presharedKey(_ *Evidence, p *Peer) []Finding {
	const mend = "give both sides the same preshared_key_file (`wg genpsk` makes one), or neither"
	switch {
	case p.Seen.In.Responses == 0 && !p.PresharedKey.IsZero() && calledRight(p) && p.Seen.Out.Responses > 0:
		return found(Problem, 92, "its calls come in, and it takes none of our answers: the preshared keys differ, or a firewall drops what we send", mend)
	case p.Seen.In.Responses == 0 || p.Accepted == 0 || p.Accepted < p.Arrived:
		return nil
	}
	have := "the file has none for it"
	if !p.PresharedKey.IsZero() {
		have = "the file has one for it"
	}
	return found(Problem, 93, "it answers our calls, and the answers do not open: the preshared keys differ ("+have+")",
		mend)
}

func theirPort(e *Evidence, p *Peer) []Finding {
	port := e.Want.Device.ListenPort
	for _, c := range p.Seen.Calls {
		if c.ForUs && c.To.Port() != port {
			return found(Problem, 94, fmt.Sprintf("it calls us at UDP port %d, and we listen at %d", c.To.Port(), port),
				"give host.listen_port the port that the peers know, or send its operator a new card (`postroad card`)")
		}
	}
	return nil
}

// theirClock: a call that is for us, with the right key, came through and got
// no answer, is one that is no later than one seen before.
func theirClock(e *Evidence, p *Peer) []Finding {
	for _, c := range p.Seen.Calls {
		if !c.ForUs || c.Key != p.PublicKey {
			continue
		}
		if off := c.Time.Sub(e.Now); off > skewed || off < -skewed {
			severity, weight := Warning, 55
			if !p.Answered {
				severity, weight = Problem, 88
			}
			return found(severity, weight, fmt.Sprintf("its clock and ours are %s apart: its says %s", off.Abs().Round(time.Minute), c.Time.UTC().Format(time.DateTime+" MST")),
				"see which one is wrong (`timedatectl`) and set it; a clock that went backwards has its handshakes refused")
		}
		if !p.Answered && p.Seen.Out.Responses == 0 && p.Accepted > 0 && p.Accepted == p.Arrived {
			return found(Problem, 86, "it calls with the right key, and WireGuard here does not answer: its clock has gone backwards since it called last",
				"have its operator set the clock; the daemon here calls it every few seconds, and is let in")
		}
	}
	return nil
}

func theirDaemon(_ *Evidence, p *Peer) []Finding {
	if !refused(p, NobodyListens) {
		return nil
	}
	return found(Problem, 92, fmt.Sprintf("its host says that nobody listens at UDP port %d: postroad does not run there, or at another port", p.Endpoint.Port()),
		"ask its operator whether postroad runs there (`systemctl status postroad`), and at which port: the endpoint in the file must have it")
}

// theirFirewall: refused in so many words; or our answers do not get through; or
// no UDP does although the host is up.
func theirFirewall(_ *Evidence, p *Peer) []Finding {
	const mend = "have its operator accept UDP from this host at port %d in its firewall, and at its provider's"
	do := fmt.Sprintf(mend, p.Endpoint.Port())
	switch called := calledRight(p); {
	case p.Seen.In.Responses > 0 || refused(p, NobodyListens):
	case refused(p, Prohibited):
		return found(Problem, 92, "a firewall on its side refuses our packets: "+by(p, Prohibited)+" says so", do)
	case called && p.Seen.Out.Responses > 0 && !refused(p, Unreachable):
		return found(Problem, 91, "its calls come in, and our answers and calls do not get there: a firewall drops what we send", do+"; or else the preshared keys differ")
	case len(p.Seen.Calls) == 0 && p.Pings && !p.OtherUDP:
		return found(Problem, 80, fmt.Sprintf("its host is up, and nothing comes back from any UDP port of it: most likely its firewall drops what we send to port %d", p.Endpoint.Port()),
			do+"; or else postroad does not know this host there: has its operator added your card?")
	}
	return nil
}

// calledRight says whether the peer called with the keys that both should have.
func calledRight(p *Peer) bool {
	for _, c := range p.Seen.Calls {
		if c.ForUs && c.Key == p.PublicKey {
			return true
		}
	}
	return false
}

// unknownThere: its host refuses other UDP ports and not this one, so something
// listens, and does not want to know us. WireGuard answers no strangers.
func unknownThere(_ *Evidence, p *Peer) []Finding {
	if len(p.Seen.Calls) > 0 || p.Seen.In.All() > 0 || !p.OtherUDP || refused(p, NobodyListens) || refused(p, Prohibited) {
		return nil
	}
	return found(Problem, 85, fmt.Sprintf("WireGuard seems to listen at %s and does not answer: it does not know this host and its key, or has another key than the file says", p.Endpoint),
		"ask its operator whether your card is in force there (`postroad card` here, `postroad peer add` and `postroad doctor` there), and compare fingerprints by telephone")
}

func unreachable(_ *Evidence, p *Peer) []Finding {
	switch {
	case refused(p, Unreachable):
		return found(Problem, 90, fmt.Sprintf("its host cannot be reached: %s says that there is no way to %s", by(p, Unreachable), p.Endpoint.Addr()),
			"is the endpoint's address right? Is its host up? `traceroute` shows how far packets get")
	case silent(p) && !p.Pings:
		return found(Problem, 78, fmt.Sprintf("nothing at all comes back from %s, not even an answer to a ping", p.Endpoint.Addr()),
			"is the endpoint's address right, and its host up? If both are, a firewall drops everything: have its operator accept UDP port "+fmt.Sprint(p.Endpoint.Port()))
	}
	return nil
}

func silent(p *Peer) bool {
	return p.Seen.In.All() == 0 && len(p.Seen.Calls) == 0 && len(p.Seen.Refusals) == 0 && p.Seen.Out.All() > 0 && !p.OtherUDP
}

// noAnswer says at least that much where no check has found why.
func noAnswer(_ *Evidence, p *Peer) []Finding {
	return found(Problem, symptom, fmt.Sprintf("it has not answered: %d calls went to %s, %d came from it", p.Seen.Out.Initiations, p.Endpoint, p.Seen.In.Initiations),
		"have its operator run `postroad doctor` at the same time: each side sees what the other sends")
}

func refused(p *Peer, why Reason) bool { return by(p, why) != "" }

// by returns who refused a packet for that reason; empty: nobody.
func by(p *Peer, why Reason) string {
	for _, r := range p.Seen.Refusals {
		if r.Reason == why {
			return r.By.String()
		}
	}
	return ""
}
