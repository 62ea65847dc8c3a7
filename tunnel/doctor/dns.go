package doctor

import "postroad/peers"

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
		peers.NotMX:         {Warning, 55, 55, "ask its operator for a new card"},
	}
	dnsRemarks = map[peers.RemarkKind]verdict{
		peers.DNSUnavailable: {Note, 15, 15, "see /etc/resolv.conf; what is in force does not depend on it"},
	}
)

// remarks makes findings of remarks of some kinds.
func remarks(kinds map[peers.RemarkKind]verdict) func(*Evidence) []Finding {
	return eachPeer(func(_ *Evidence, p *Peer) (all []Finding) {
		for _, r := range p.DNS {
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
