package show

import (
	"fmt"
	"strings"
	"time"

	"postroad/tunnel"
)

// openHosts is how many of a domain's hosts are told one by one.
const openHosts = 5

// PeerWords says whether mail with a peer of s is protected, and which of its
// domains' mail can go elsewhere.
func PeerWords(s *tunnel.Status, p tunnel.PeerStatus) string {
	return tunnel.But(PeerSentence(p), s.OpenDomains(p.Name))
}

// domainLines are a line for each thing that is wrong with the domains of s.
func domainLines(s *tunnel.Status, now time.Time, screen Screen) string {
	var b strings.Builder
	say := func(first bool, words string) {
		style := Warn
		if first {
			style = Bad
		}
		b.WriteString(screen.Paint(style, Fold(Clean(words), screen.Width, 2)) + "\n")
	}
	for _, d := range s.Domains {
		for _, o := range d.Open[:min(len(d.Open), openHosts)] {
			say(o.First, o.Sentence(d.Domain))
		}
		if more := len(d.Open) - openHosts; more > 0 {
			say(false, fmt.Sprintf("mail for %s can go to %d more hosts in clear", d.Domain, more))
		}
		if d.More != "" {
			say(false, fmt.Sprintf("%s has %s than are looked at", d.Domain, d.More))
		}
		if d.Error != "" {
			say(false, fmt.Sprintf("DNS has not said for %s where mail for %s goes, and what was known is kept: %s", Since(d.Failing, now), d.Domain, d.Error))
		}
	}
	return b.String()
}
