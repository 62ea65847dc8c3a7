package doctor

import (
	"slices"

	"postroad/peers"
)

var dnsChecks = []Check{
	{"dns-name", "The peer's name leads to its addresses.", remarks(nameRemarks)},
	{"mx", "All mail exchangers of the peer's domains are protected.", remarks(mxRemarks)},
	{"dns", "DNS answers.", remarks(dnsRemarks)},
}

// A verdict says how bad a remark is: while the peer answers, and while not.
type verdict struct {
	severity         Severity
	answered, silent int
	do               string
}

var (
	nameRemarks = map[peers.RemarkKind]verdict{
		peers.NameElsewhere: {Problem, 90, 93, "has the peer moved? Ask its operator for a new card; mail to where the name leads goes in clear"},
		peers.NameHasMore:   {Problem, 60, 82, "ask its operator for a new card: mail to an address that the file does not give goes in clear"},
		peers.NameNotFound:  {Note, 30, 30, "if its MX has another name, nothing is wrong"},
	}
	mxRemarks = map[peers.RemarkKind]verdict{
		peers.MXUnprotected: {Warning, 56, 56, "add that host as a peer, or know that mail to it goes in clear"},
		peers.MXFirst:       {Problem, 58, 58, "ask its operator which host takes its mail, and add that one as a peer: until then mail goes in clear"},
		peers.MXNotLookedAt: {Note, 20, 20, "ask its operator whether all of them are peers"},
		peers.NotMX:         {Warning, 55, 55, "ask its operator for a new card"},
	}
	dnsRemarks = map[peers.RemarkKind]verdict{
		peers.NameUnresolved: {Problem, 91, 91, "is the name spelt right, and does it resolve here (`getent ahosts NAME`)? Or give the peer's IP addresses"},
		peers.NameFailing:    {Warning, 45, 45, "see /etc/resolv.conf, and whether the name resolves here (`getent ahosts NAME`)"},
		peers.AddressLeft:    {Note, 25, 25, "right where the peer has moved; host.keep_addresses says for how long"},
		peers.AddressTaken:   {Warning, 58, 58, "ask the operators of both peers whose it is, and give it in the addresses of that one"},
		peers.AddressRefused: {Warning, 50, 57, "ask its operator; addresses of a network of your own need private_addresses = true"},
		peers.AddressExcess:  {Problem, 61, 61, "ask its operator for the addresses of its mail hosts, and give those"},
		peers.DNSUnavailable: {Note, 15, 15, "see /etc/resolv.conf; what is in force does not depend on it"},
	}
)

// remarks makes findings of remarks of some kinds.
func remarks(kinds map[peers.RemarkKind]verdict) func(*Evidence) []Finding {
	return eachPeer(func(_ *Evidence, p *Peer) (all []Finding) {
		for _, r := range slices.Concat(p.DNS, p.State.DNS) {
			v, ok := kinds[r.Kind]
			if !ok {
				continue
			}
			weight := v.silent
			if p.Answered {
				weight = v.answered
			}
			all = append(all, found(v.severity, weight, r.Words, v.do)...)
		}
		return all
	})
}
