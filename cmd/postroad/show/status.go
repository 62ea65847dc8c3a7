package show

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"postroad/tunnel"
)

// Status writes all there is to say about a host: a sentence, what else there is
// to know of it, and its peers: as a table, or as cards where that is too wide.
func Status(w io.Writer, s *tunnel.Status, now time.Time, screen Screen) error {
	var b strings.Builder
	b.WriteString(head(s, s.Summary(), now, screen))
	if len(s.Peers) > 0 {
		b.WriteString("\n" + peerTable(s, now, screen))
	}
	b.WriteString(dns(s, screen))
	if lines := domainLines(s, now, screen); lines != "" {
		b.WriteString("\n" + lines)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// dns is what there is to say of the names of peers.
func dns(s *tunnel.Status, screen Screen) string {
	var b strings.Builder
	for _, p := range s.Peers {
		for _, r := range p.DNS {
			b.WriteString("\n" + Fold(Clean(p.Name+": "+r.Words), screen.Width, 2))
		}
	}
	if b.Len() > 0 {
		b.WriteString("\n")
	}
	return b.String()
}

// Peer writes all there is to say about the one peer of s, and its domains.
func Peer(w io.Writer, s *tunnel.Status, now time.Time, screen Screen) error {
	p := s.Peers[0]
	_, err := io.WriteString(w, head(s, PeerWords(s, p), now, screen)+"\n"+details(s, p, now, screen)+domainLines(s, now, screen))
	return err
}

// PeerSentence says whether mail with a peer is protected.
func PeerSentence(p tunnel.PeerStatus) string {
	switch p.State {
	case tunnel.Protected:
		return fmt.Sprintf("All SMTP with %s goes through the tunnel.", p.Name)
	case tunnel.Idle:
		return fmt.Sprintf("All SMTP with %s goes through the tunnel; there was none lately.", p.Name)
	case tunnel.Clear:
		if p.ByPolicy {
			return fmt.Sprintf("SMTP with %s flows IN CLEAR: %s", p.Name, p.Reason)
		}
		return fmt.Sprintf("SMTP with %s can flow IN CLEAR: %s", p.Name, p.Reason)
	}
	return fmt.Sprintf("No SMTP with %s can flow in clear, but mail waits: %s", p.Name, p.Reason)
}

func head(s *tunnel.Status, sentence string, now time.Time, screen Screen) string {
	lines := []string{
		screen.Sentence(s, Fold(Clean(sentence), screen.Width, 2)),
		pack(screen.Width, 2, ", ", "host "+Clean(s.Host), fmt.Sprintf("public key %s", s.PublicKey),
			fmt.Sprintf("UDP port %d", s.ListenPort), Clean(fmt.Sprintf("link %s (%s)", s.Link, cmp.Or(s.Backend, "not there")))),
	}
	if !s.File.InForce {
		lines = append(lines, screen.Paint(Bad, Fold(fmt.Sprintf("The peers file on disk is NOT in force; the one read %s ago is:",
			Since(s.File.Loaded, now)), screen.Width, 2)))
		for _, e := range s.File.Errors {
			lines = append(lines, Fold("  "+Clean(e), screen.Width, 4))
		}
	}
	if s.Uncounted != "" {
		lines = append(lines, Fold(Clean("SMTP connections could not be counted: "+s.Uncounted), screen.Width, 2))
	}
	return strings.Join(lines, "\n") + "\n"
}

// Why is the reason for which a peer's mail does not flow. Empty: it does, or would.
func Why(p tunnel.PeerStatus) string {
	if p.State == tunnel.Protected || p.State == tunnel.Idle {
		return ""
	}
	return p.Reason
}

// Policy is the peer's, and whether it is latched.
func Policy(p tunnel.PeerStatus) string {
	if p.Latched {
		return string(p.Policy) + " (latched)"
	}
	return string(p.Policy)
}

// InClear says how long SMTP with a peer was in clear since the daemon began to look.
func InClear(p tunnel.PeerStatus) string {
	if p.ClearSeconds == 0 {
		return "none"
	}
	return Age(time.Duration(p.ClearSeconds * float64(time.Second)))
}

// Connections says how many there are, or that it is not known.
func Connections(s *tunnel.Status, p tunnel.PeerStatus) string {
	if s.Uncounted != "" {
		return "?"
	}
	return fmt.Sprint(p.Connections)
}

// Endpoint is where a peer's tunnel is, or "-" where that is not known.
func Endpoint(p tunnel.PeerStatus) string {
	if !p.Endpoint.IsValid() {
		return "-"
	}
	return Clean(p.Endpoint.String()) // which may have a zone
}
