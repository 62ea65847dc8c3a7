package tunnel

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postroad/peers"
)

// A DomainStatus says where mail for a domain of a peer's can go in clear. Its
// JSON is stable.
type DomainStatus struct {
	Domain  string         `json:"domain"`
	Peers   []string       `json:"peers"`                  // names of those that say to take its mail
	Open    []peers.OpenMX `json:"unprotected_mx"`         // MX hosts to which mail can go in clear, the preferred ones first
	More    string         `json:"not_looked_at,omitzero"` // what there is more than is looked at
	Looked  time.Time      `json:"looked_up,omitzero"`     // when DNS last said all of it; zero: never
	Failing time.Time      `json:"failing_since,omitzero"` // since when it does not, and what was known is kept; zero: it does
	Error   string         `json:"error,omitempty"`        // why it does not
}

// First says whether mail for the domain normally goes in clear.
func (d DomainStatus) First() bool {
	return slices.ContainsFunc(d.Open, func(o peers.OpenMX) bool { return o.First })
}

// judgeDomains says of every domain of the peers where its mail can go in clear.
func (l *Loop) judgeDomains() []DomainStatus {
	if l.own == nil { // before the first look
		return []DomainStatus{}
	}
	return judgeDomains(l.resolved.Peers, l.own, l.domains.answers())
}

// judgeDomains says of every domain of the peers, in the order of the file, where
// its mail can go in clear. Own are this host's addresses.
func judgeDomains(all []peers.Peer, own []netip.Addr, answers map[string]answer) (judged []DomainStatus) {
	at := map[string]int{}
	judged = []DomainStatus{}
	if !slices.ContainsFunc(all, func(p peers.Peer) bool { return len(p.Domains) > 0 }) {
		return judged
	}
	protected := map[netip.Addr]bool{}
	for _, a := range own {
		protected[a] = true
	}
	for _, p := range all {
		for _, a := range p.Addresses {
			protected[a] = true
		}
	}
	for _, p := range all {
		for _, domain := range p.Domains {
			if i, ok := at[domain]; ok {
				judged[i].Peers = append(judged[i].Peers, p.Name)
				continue
			}
			at[domain] = len(judged)
			judged = append(judged, judgeDomain(domain, p.Name, answers[domain], func(a netip.Addr) bool {
				return protected[a] || a.IsLoopback() // of a hosts file, for this host's own name
			}))
		}
	}
	return judged
}

func judgeDomain(domain, peer string, a answer, protected func(netip.Addr) bool) DomainStatus {
	s := DomainStatus{Domain: domain, Peers: []string{peer}, Open: append([]peers.OpenMX{}, a.Open(protected)...), More: a.Overflow(), Looked: a.looked, Failing: a.failing}
	if err := a.Failed(); err != nil {
		s.Error = err.Error()
	}
	return s
}

// Sentence says where mail for the domain can go in clear, without a full stop.
// Empty: nowhere, as far as is known.
func (d DomainStatus) Sentence() string {
	if len(d.Open) == 0 {
		return ""
	}
	words := d.Open[0].Sentence(d.Domain)
	switch more := len(d.Open) - 1; more {
	case 0:
		return words
	case 1:
		return words + " and to 1 more host"
	default:
		return fmt.Sprintf("%s and to %d more hosts", words, more)
	}
}

// OpenDomains says which domains' mail can go in clear, the worst first: those of
// a peer, or of all if that is empty. Empty: none.
func (s *Status) OpenDomains(peer string) string {
	const most = 3
	open := slices.DeleteFunc(slices.Clone(s.Domains), func(d DomainStatus) bool {
		return len(d.Open) == 0 || peer != "" && !slices.Contains(d.Peers, peer)
	})
	slices.SortStableFunc(open, func(a, b DomainStatus) int { return cmp.Compare(b.rank(), a.rank()) })
	var all []string
	for _, d := range open[:min(len(open), most)] {
		all = append(all, d.Sentence())
	}
	if more := len(open) - most; more > 0 {
		all = append(all, fmt.Sprintf("%d more domains likewise", more))
	}
	return strings.Join(all, "; ")
}

// But adds to a sentence about peers what [Status.OpenDomains] says.
func But(sentence, open string) string {
	switch {
	case open == "":
		return sentence
	case strings.HasSuffix(sentence, "."):
		return sentence + " But " + open + "."
	}
	return sentence + "; " + open
}

// rank says how much a domain matters.
func (d DomainStatus) rank() int {
	if d.First() {
		return 1
	}
	return 0
}
