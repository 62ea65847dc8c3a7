package tunnel

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"postroad/peers"
)

// A Status is all there is to say about a host. Its JSON is stable.
type Status struct {
	Host       string          `json:"host"`
	PublicKey  peers.PublicKey `json:"public_key"`
	Link       string          `json:"link"`
	Backend    peers.Backend   `json:"backend"`
	ListenPort uint16          `json:"listen_port"`
	File       FileStatus      `json:"file"`
	Problem    string          `json:"problem,omitempty"`                // why the last pass failed
	Uncounted  string          `json:"smtp_connections_error,omitempty"` // why SMTP connections could not be counted
	Peers      []PeerStatus    `json:"peers"`
	Domains    []DomainStatus  `json:"domains,omitempty"` // of the peers, in the order of the file
}

// A FileStatus says whether the peers file on disk is the one in force.
type FileStatus struct {
	InForce bool      `json:"in_force"`
	Loaded  time.Time `json:"loaded"`           // when the one in force was read
	Errors  []string  `json:"errors,omitempty"` // of the one on disk
}

// Closed says whether no SMTP with any peer can be on the wire in clear, but with
// those that are in clear by policy.
func (s *Status) Closed() bool { return s.count(Clear) == s.byPolicy() }

// byPolicy counts the peers whose SMTP flows in clear because their policy says so.
func (s *Status) byPolicy() (n int) {
	for i := range s.Peers {
		if s.Peers[i].ByPolicy {
			n++
		}
	}
	return n
}

// Well says whether mail flows, or would, with every peer, protected, and the
// file on disk is in force.
func (s *Status) Well() bool {
	return s.Problem == "" && s.File.InForce && s.count(Protected)+s.count(Idle) == len(s.Peers)
}

func (s *Status) count(state PeerState) (n int) {
	for i := range s.Peers {
		if s.Peers[i].State == state {
			n++
		}
	}
	return n
}

// Summary says in a sentence or two whether mail is protected, and which can go
// where no peer is.
func (s *Status) Summary() string {
	return But(s.summary(), s.OpenDomains(""))
}

func (s *Status) summary() string {
	switch {
	case !s.Closed():
		return "SMTP with some peers can flow IN CLEAR: " + s.amiss(unprotected)
	case len(s.Peers) == 0 && s.Well():
		return "There are no peers; nothing is protected."
	case s.Well():
		return "All SMTP with peers goes through the tunnel."
	}
	var why []string
	if n := s.count(Waiting) + s.count(Blocked); n > 0 {
		why = append(why, fmt.Sprintf("mail waits with %d of %d peers: %s", n, len(s.Peers), s.amiss(waits)))
	}
	if s.Problem != "" {
		why = append(why, "problem: "+strings.ReplaceAll(s.Problem, "\n", "; "))
	}
	if !s.File.InForce {
		why = append(why, "the peers file on disk is NOT in force")
	}
	if n := s.byPolicy(); n > 0 {
		open := fmt.Sprintf("SMTP with %d of %d peers flows IN CLEAR by policy: %s", n, len(s.Peers), s.amiss(isByPolicy))
		return strings.Join(append([]string{open}, why...), "; ")
	}
	return "No SMTP with peers can flow in clear, but not all is well: " + strings.Join(why, "; ")
}

func unprotected(p *PeerStatus) bool { return p.State == Clear && !p.ByPolicy }
func isByPolicy(p *PeerStatus) bool  { return p.ByPolicy }
func waits(p *PeerStatus) bool       { return p.State == Blocked || p.State == Waiting }

// amiss names some of the peers that are so, and why.
func (s *Status) amiss(so func(*PeerStatus) bool) string {
	const most = 3
	var all []string
	more := 0
	for i := range s.Peers {
		switch p := &s.Peers[i]; {
		case !so(p):
		case len(all) < most:
			all = append(all, p.Name+" ("+p.Reason+")")
		default:
			more++
		}
	}
	if more > 0 {
		all = append(all, fmt.Sprintf("%d more", more))
	}
	return strings.Join(all, ", ")
}

// connections adds how many SMTP connections there are with each peer. That
// they could not be counted says nothing about protection.
func (s *Status) connections(counted map[netip.Addr]int, err error) {
	if err != nil {
		s.Uncounted = err.Error()
		return
	}
	for i := range s.Peers {
		for _, a := range s.Peers[i].Addresses {
			s.Peers[i].Connections += counted[a]
		}
	}
}
