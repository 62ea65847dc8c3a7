package doctor

import (
	"fmt"
	"net/netip"
)

// A Report is the outcome of an examination. Its JSON is stable.
type Report struct {
	Well     bool      `json:"well"`     // nothing is wrong; notes are no complaint
	Findings []Finding `json:"findings"` // the likeliest cause first
	Proofs   []Shown   `json:"proofs"`   // one for each address of the peers examined
}

// Shown is what an SMTP session with an address of a peer, and an attempt to get
// a packet past the tunnel to it, have shown.
type Shown struct {
	Peer      string     `json:"peer"`
	Address   netip.Addr `json:"address"`
	Greeting  string     `json:"greeting,omitempty"` // the first line that the mail server said
	Error     string     `json:"error,omitempty"`    // why the session did not work
	Encrypted int        `json:"encrypted_packets"`  // with the peer's endpoint, both ways, on the wire meanwhile
	Clear     int        `json:"clear_packets"`      // of SMTP with the address, both ways, on the wire meanwhile
	Stopped   bool       `json:"stopped_past_tunnel"`
	StoppedBy string     `json:"stopped_by,omitempty"` // what whoever sends past the tunnel is told
}

// NewReport examines the evidence.
func NewReport(e *Evidence) Report {
	r := Report{Findings: Examine(e), Proofs: []Shown{}}
	r.Well = Well(r.Findings)
	for _, p := range e.Peers {
		for _, x := range p.Proofs {
			r.Proofs = append(r.Proofs, Shown{Peer: p.Name, Address: x.Addr, Greeting: x.Greeting, Error: x.Error,
				Encrypted: x.Encrypted, Clear: x.Clear, Stopped: !x.Escaped && x.Past != "", StoppedBy: x.Past})
		}
	}
	return r
}

// String says it in a line.
func (s Shown) String() string {
	session := fmt.Sprintf("SMTP session (%s)", s.Greeting)
	if s.Error != "" {
		session = "no SMTP session: " + s.Error
	}
	past := "not tried past the tunnel: no way there"
	switch {
	case s.Stopped && s.StoppedBy == "i/o timeout": // IPv6 does not tell
		past = "a packet past the tunnel was stopped"
	case s.Stopped:
		past = "a packet past the tunnel was stopped (" + s.StoppedBy + ")"
	case s.StoppedBy != "":
		past = "a packet past the tunnel was NOT stopped"
	}
	return fmt.Sprintf("%s %s: %s; %d encrypted packets, %d in clear; %s", s.Peer, s.Address, session, s.Encrypted, s.Clear, past)
}
