package show

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"postroad/tunnel"
)

// cards are for screens that are too narrow for a table.
func cards(s *tunnel.Status, now time.Time, screen Screen) string {
	var b strings.Builder
	for i, p := range s.Peers {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(card(s, p, now, screen))
	}
	return b.String()
}

func card(s *tunnel.Status, p tunnel.PeerStatus, now time.Time, screen Screen) string {
	b := screen.Paint(Bold, screen.Fit(Clean(p.Name), screen.Width)) + "\n"
	b += "  " + screen.Paint(StateStyle(p), Clean(string(p.State))) + " " + Since(p.Since, now) + "\n"
	if why := Why(p); why != "" {
		b += screen.Paint(StateStyle(p), Fold("  "+Clean(why), screen.Width, 2)) + "\n"
	}
	return b + pack(screen.Width, 2, gap, "  handshake "+Since(p.LastHandshake, now), "SMTP "+Connections(s, p),
		"sent "+Size(float64(p.Sent)), "received "+Size(float64(p.Received)),
		"refused "+Refused(p.RefusedOut, p.RefusedIn), "endpoint "+Endpoint(p), policyAndClear(p)) + "\n"
}

// policyAndClear is what a card says last.
func policyAndClear(p tunnel.PeerStatus) string {
	words := "policy " + Clean(Policy(p))
	if p.ClearSeconds > 0 {
		words += gap + "in clear " + InClear(p)
	}
	return words
}

// details is a line for each thing to know about a peer.
func details(s *tunnel.Status, p tunnel.PeerStatus, now time.Time, screen Screen) string {
	var b strings.Builder
	say := func(what, value string) {
		b.WriteString(screen.Paint(Dim, fmt.Sprintf("%-16s", what)) + " " + Fold(Clean(value), max(0, screen.Width-17), 2) + "\n")
	}
	say("state", fmt.Sprintf("%s for %s", p.State, Since(p.Since, now)))
	if why := Why(p); why != "" {
		say("reason", why)
	}
	say("policy", Policy(p))
	if p.Policy.MayBypass() || p.ClearSeconds > 0 {
		say("time in clear", InClear(p))
	}
	say("addresses", list(p.Addresses))
	if len(p.Names) > 0 {
		say("names", strings.Join(p.Names, " "))
	}
	for _, r := range p.DNS {
		say("DNS", r.Words)
	}
	say("public key", p.PublicKey.String())
	say("endpoint", Endpoint(p))
	say("last handshake", handshake(p, now))
	say("sent, received", Size(float64(p.Sent))+", "+Size(float64(p.Received)))
	say("SMTP connections", Connections(s, p))
	say("refused packets", fmt.Sprintf("%d out, %d in", p.RefusedOut, p.RefusedIn))
	say("largest packet", Largest(p, now))
	return b.String()
}

// Largest says how large packets to a peer are, and how that is known.
func Largest(p tunnel.PeerStatus, now time.Time) string {
	size := fmt.Sprintf("%d bytes", p.MTU)
	switch {
	case p.MTU == 0:
		return "-"
	case p.MTUSilent:
		return size + ", not measured: the peer does not answer"
	case p.MTUMeasured.IsZero():
		return size + ", not measured"
	}
	return size + ", measured " + Since(p.MTUMeasured, now) + " ago"
}

func handshake(p tunnel.PeerStatus, now time.Time) string {
	if p.LastHandshake.IsZero() {
		return "never"
	}
	return Since(p.LastHandshake, now) + " ago, at " + p.LastHandshake.Local().Format(time.DateTime)
}

func list(addrs []netip.Addr) string {
	all := make([]string, len(addrs))
	for i, a := range addrs {
		all[i] = a.String()
	}
	return strings.Join(all, " ")
}
