package doctor

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"postroad/tunnel"
)

var proofChecks = []Check{
	{"clear-out", "No SMTP with the peer leaves in clear.", eachPeer(clearOut)},
	{"past-the-tunnel", "A packet sent past the tunnel is stopped.", eachPeer(pastTheTunnel)},
	{"clear-in", "The peer does not send SMTP in clear.", eachPeer(clearIn)},
	{"smtp", "An SMTP session with each address of the peer works.", eachPeer(smtp)},
	{"sources", "The peer answers to all mail addresses of this host.", eachPeer(sources)},
	{"ports", "The peer takes the same ports for SMTP as we do.", eachPeer(ports)},
	{"mtu", "Full packets get through the tunnel.", eachPeer(mtu)},
	{"mtu-unmeasured", "It is known how large packets to the peer can be.", eachPeer(unmeasured)},
}

func clearOut(e *Evidence, p *Peer) []Finding {
	n := p.Seen.ClearOut
	for _, proof := range p.Proofs {
		n -= proof.PastOut // that was us, on purpose
	}
	if n <= 0 || e.byPolicy(p.Peer) {
		return nil
	}
	return found(Problem, 100, fmt.Sprintf("%d packets of SMTP with it left IN CLEAR", n),
		"stop the mail server, and see `journalctl -u postroad` for who takes the protection away")
}

func pastTheTunnel(e *Evidence, p *Peer) (all []Finding) {
	weight := 100
	if e.Daemon == nil { // which is why
		weight = 91
	}
	for _, proof := range p.Proofs {
		if proof.Escaped {
			all = append(all, found(Problem, weight, fmt.Sprintf("a packet bound to the interface went past the tunnel to %s: the guard does not stop it", proof.Addr),
				"is the daemon running, and the table inet postroad there (`nft list table inet postroad`)?")...)
		}
	}
	return all
}

func clearIn(e *Evidence, p *Peer) []Finding {
	switch n := p.State.RefusedIn; {
	case e.byPolicy(p.Peer):
	case p.Seen.ClearIn > 0 && !p.Answered:
		return found(Problem, 93, fmt.Sprintf("it sends SMTP in clear (%d packets just now, refused): postroad does not run there, or not for this host", p.Seen.ClearIn),
			"have its operator install postroad and add your card (`postroad card`), or take the peer out until then (`postroad peer remove`)")
	case p.Seen.ClearIn > 0 || n > 0:
		return found(Warning, 50, fmt.Sprintf("clear SMTP from its addresses was refused: %d packets so far, %d of them just now", n, p.Seen.ClearIn),
			"if that goes on, the peer's steering fails, or somebody uses its address: have its operator run `postroad doctor`")
	}
	return nil
}

// smtp tells of sessions that fail although the tunnel stands.
func smtp(e *Evidence, p *Peer) (all []Finding) {
	for _, proof := range p.Proofs {
		if proof.Error == "" || len(proof.Unheard) > 0 || !p.Answered || e.byPolicy(p.Peer) || e.Have.Link.Name == "" {
			continue
		}
		all = append(all, smtpFails(e, p, proof)...)
	}
	return all
}

func smtpFails(e *Evidence, p *Peer, proof Proof) []Finding {
	switch proof.Kind {
	case Refused:
		return found(Problem, 82, fmt.Sprintf("the tunnel works, and no mail server listens at %s", proof.Addr),
			"ask its operator whether the mail server runs, and listens on that address")
	case Silence:
		return found(Problem, 81, fmt.Sprintf("the tunnel works, and SMTP with %s gets no answer: the peer may have other addresses for this host than %s, or its firewall drops TCP port 25 on its link",
			proof.Addr, list(ownOf(e))), "have its operator compare your card (`postroad card`) with its file, and accept SMTP from this host")
	case Stopped:
		if !slices.ContainsFunc(e.Have.Routes, func(r tunnel.Route) bool { return !r.Unreachable && r.Dst == proof.Addr }) {
			return found(Warning, 58, fmt.Sprintf("this host has no address to reach %s from: mail to it goes to the peer's other addresses, or waits", proof.Addr),
				"give this host an address of that family, or nothing: mail servers try the next one")
		}
		return found(Problem, 81, fmt.Sprintf("the tunnel works, and SMTP with %s is stopped: %s", proof.Addr, proof.Error),
			"a packet filter here, or at the peer, forbids it: `nft list ruleset`, chains with hook output and input")
	}
	return found(Problem, 80, fmt.Sprintf("the mail server at %s does not speak SMTP with us: %s", proof.Addr, proof.Error),
		"ask its operator what the mail server's log says")
}

// sources tells of our addresses that the peer does not answer to, and does to
// others. Its WireGuard drops what comes from addresses that it was not told of.
func sources(e *Evidence, p *Peer) (all []Finding) {
	var told []netip.Addr
	for _, proof := range p.Proofs {
		for _, a := range proof.Unheard {
			if slices.Contains(told, a) {
				continue
			}
			told = append(told, a)
			severity, weight := Warning, 59
			if proof.Error != "" || spokenFrom(e, a) {
				severity, weight = Problem, 92
			}
			all = append(all, found(severity, weight, fmt.Sprintf("it does not answer to %s, one of this host's mail addresses: its file has other addresses for this host, and mail that leaves from there waits", a),
				"have its operator add the address (`postroad card` has it), or take it out of host.addresses")...)
		}
	}
	return all
}

// spokenFrom says whether a mail server is set to speak from an address.
func spokenFrom(e *Evidence, a netip.Addr) bool {
	for _, bounds := range e.Host.OutOf {
		if slices.ContainsFunc(bounds, func(b Bound) bool { return b.Addr == a }) {
			return true
		}
	}
	return false
}

// ports: 25 works, and another gets no answer: who listens says yes or refuses,
// and the peer's link drops what it does not take for SMTP.
func ports(e *Evidence, p *Peer) []Finding {
	var silent []string
	for _, proof := range p.Proofs {
		for _, port := range proof.Ports {
			name := fmt.Sprint(port.Port)
			if proof.Error == "" && (port.Kind == Silence || port.Kind == Stopped) && !slices.Contains(silent, name) {
				silent = append(silent, name)
			}
		}
	}
	if len(silent) == 0 {
		return nil
	}
	return found(Warning, 57, fmt.Sprintf("it does not take port %s for SMTP, and this host does: connections to it wait", strings.Join(silent, ", ")),
		"give host.ports the same value on both sides")
}

func mtu(e *Evidence, p *Peer) []Finding {
	for _, r := range p.Seen.Refusals {
		if r.Reason == TooBig && r.MTU > 0 && !large(p) {
			return found(Problem, 84, fmt.Sprintf("full packets do not get through: the path to %s takes %d bytes, the tunnel's need %d", p.Endpoint.Addr(), r.MTU, outerMTU(e, p)),
				smaller(e, fmt.Sprintf("set host.mtu to %d on both sides", max(1280, r.MTU-80))))
		}
	}
	for _, proof := range p.Proofs {
		if proof.LargeDone && !proof.Large {
			return found(Problem, 83, fmt.Sprintf("small packets get through to %s and full ones do not: the path takes less than the %d bytes that the tunnel's need", proof.Addr, outerMTU(e, p)),
				smaller(e, "set host.mtu lower on both sides, such as 1280; the path's MTU less 80 is the most (`ping -M do -s SIZE` finds it)"))
		}
	}
	return nil
}

// outerMTU is how large the tunnel's packets to a peer get, in bytes.
func outerMTU(e *Evidence, p *Peer) int {
	return cmp.Or(p.State.MTU, e.Have.Link.MTU) + tunnel.Overhead(p.Endpoint.Addr())
}

// smaller says how packets get smaller: by measuring, where the file lets us.
func smaller(e *Evidence, setting string) string {
	if e.Config.Host.MTU == 0 {
		return "wait a minute while the daemon measures what gets through, then look again; if that does not help, " + setting
	}
	return "take host.mtu out of the peers file, so that the daemon measures what gets through; or " + setting
}

// unmeasured tells of packets that are smaller than they might be.
func unmeasured(_ *Evidence, p *Peer) []Finding {
	if !p.State.MTUSilent {
		return nil
	}
	return found(Note, 20, fmt.Sprintf("how large packets get through is not known, as it does not answer UDP to port 2525 in the tunnel: they are of %d bytes at most, which any path takes", p.State.MTU),
		"nothing, or have its operator update postroad; host.mtu sets a size without measuring")
}

// large says whether a full packet got through.
func large(p *Peer) bool {
	return slices.ContainsFunc(p.Proofs, func(proof Proof) bool { return proof.Large })
}

// anyWorks says whether SMTP works with an address of that family.
func anyWorks(p *Peer, v4 bool) bool {
	return slices.ContainsFunc(p.Proofs, func(proof Proof) bool { return proof.Addr.Is4() == v4 && proof.Error == "" })
}
