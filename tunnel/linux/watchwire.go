package linux

import (
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"postroad/peers"
	"postroad/tunnel/doctor"
	"postroad/tunnel/userspace"
)

// A wire sorts what goes by on it by peer.
type wire struct {
	key       peers.PrivateKey // this host's
	public    peers.PublicKey
	smtp      []uint16
	endpoints map[netip.Addr]*doctor.Seen // where peers' tunnels are, or may be
	addresses map[netip.Addr]*doctor.Seen // their mail addresses
	exchange  map[netip.Addr]int          // packets of the tunnel with an endpoint, both ways
	clear     map[netip.Addr]int          // packets of SMTP with a mail address, both ways

	mu sync.Mutex
}

// see takes a packet. It is called from one goroutine; others ask by [wire.look].
func (w *wire) see(p *packet, outgoing bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch p.proto {
	case unix.IPPROTO_TCP:
		w.tcp(p, outgoing)
	case unix.IPPROTO_UDP:
		w.udp(p, outgoing)
	default:
		w.icmp(p, outgoing)
	}
}

// look calls f while nothing changes.
func (w *wire) look(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *wire) tcp(p *packet, outgoing bool) {
	if !slices.Contains(w.smtp, p.src.Port()) && !slices.Contains(w.smtp, p.dst.Port()) {
		return
	}
	if s := w.addresses[p.dst.Addr()]; s != nil && outgoing {
		s.ClearOut++
		w.clear[p.dst.Addr()]++
	}
	if s := w.addresses[p.src.Addr()]; s != nil && !outgoing {
		s.ClearIn++
		w.clear[p.src.Addr()]++
	}
}

// WireGuard's message types, and their sizes in bytes (its whitepaper, section 5.4).
const (
	initiationType, initiationSize = 1, 148
	responseType, responseSize     = 2, 92
	cookieType, cookieSize         = 3, 64
	dataType, dataMinimum          = 4, 32
)

func (w *wire) udp(p *packet, outgoing bool) {
	remote := p.src.Addr()
	if outgoing {
		remote = p.dst.Addr()
	}
	s := w.endpoints[remote]
	if s == nil || !isWireGuard(p) {
		return
	}
	w.exchange[remote]++
	if outgoing {
		tally(&s.Out, p)
		return
	}
	tally(&s.In, p)
	if p.payload[0] == initiationType && len(p.payload) == initiationSize && len(s.Calls) < maxCalls {
		s.Calls = append(s.Calls, w.call(p))
	}
}

// maxCalls is how many are kept of one peer: they can be forged.
const maxCalls = 100

func isWireGuard(p *packet) bool {
	if len(p.payload) < 4 || p.payload[1]|p.payload[2]|p.payload[3] != 0 {
		return false
	}
	switch p.payload[0] {
	case initiationType:
		return p.size == initiationSize
	case responseType:
		return p.size == responseSize
	case cookieType:
		return p.size == cookieSize
	case dataType:
		return p.size >= dataMinimum && p.size%16 == 0
	}
	return false
}

func tally(m *doctor.Messages, p *packet) {
	switch p.payload[0] {
	case initiationType:
		m.Initiations++
	case responseType:
		m.Responses++
	case cookieType:
		m.Cookies++
	case dataType:
		m.Data++
	}
}

// call reads who sent an initiation.
func (w *wire) call(p *packet) doctor.Call {
	c := doctor.Call{From: p.src, To: p.dst, ForUs: userspace.For(w.public, p.payload)}
	if i, err := userspace.Open(w.key.Bytes(), p.payload); err == nil {
		c.Key, c.Time = i.Sender, i.Time
	}
	return c
}

// icmp notes errors about packets of the tunnel, whoever sent them.
func (w *wire) icmp(p *packet, outgoing bool) {
	why := reason(p)
	if p.about == nil || p.about.proto != unix.IPPROTO_UDP || why == "" {
		return
	}
	r := doctor.Refusal{By: p.src.Addr(), Reason: why, MTU: p.mtu}
	if s := w.endpoints[p.about.dst.Addr()]; s != nil && !outgoing && p.about.dst.Port() != probePort && len(s.Refusals) < maxCalls {
		s.Refusals = append(s.Refusals, r)
	}
	if s := w.endpoints[p.about.src.Addr()]; s != nil && outgoing && len(s.Refused) < maxCalls {
		s.Refused = append(s.Refused, r)
	}
}

// reason reads an ICMP error (RFC 792; RFC 1812, section 5.2.7.1; RFC 4443,
// section 3.1); empty: it refuses nothing.
func reason(p *packet) doctor.Reason {
	if p.proto == unix.IPPROTO_ICMPV6 {
		switch {
		case p.icmpType == 2:
			return doctor.TooBig
		case p.icmpType == 1 && p.icmpCode == 4:
			return doctor.NobodyListens
		case p.icmpType == 1 && (p.icmpCode == 1 || p.icmpCode == 5 || p.icmpCode == 6):
			return doctor.Prohibited
		case p.icmpType == 1:
			return doctor.Unreachable
		}
		return ""
	}
	if p.icmpType != 3 {
		return ""
	}
	switch p.icmpCode {
	case 3:
		return doctor.NobodyListens
	case 4:
		return doctor.TooBig
	case 9, 10, 13:
		return doctor.Prohibited
	}
	return doctor.Unreachable
}
