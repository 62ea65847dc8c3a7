// Package peers knows who the mail peers are: it reads the peers file and the
// key files it names, and turns them into values that are valid as a whole.
package peers

import (
	"net/netip"
	"time"
)

// Defaults of the peers file.
const (
	DefaultFile       = "/etc/postroad/postroad.toml"
	DefaultKeyFile    = "/etc/postroad/private.key"
	DefaultListenPort = 51825
	DefaultLink       = "postroad0"
	DefaultMTU        = 1420 // of the link while the way to the peers is not known
	DefaultClearAfter = 3 * time.Minute

	DefaultKeepAddresses = 24 * time.Hour
)

// A Config is what a peers file says, checked as a whole: whoever holds one
// need not check it again.
type Config struct {
	Host  Host
	Peers []Peer // in the order of the file
}

// A Host is this mail host.
type Host struct {
	Name       string
	PrivateKey PrivateKey
	ListenPort uint16       // UDP
	Addresses  []netip.Addr // our mail addresses; empty: those of the routes to the peers
	Ports      []uint16     // TCP ports that count as SMTP, on either side; ascending, never empty
	Link       string       // name of the WireGuard interface
	Backend    Backend
	MTU        int            // bytes of the largest packet in the tunnels; zero: what is found to get through
	Domains    []string       // whose mail this host takes, in lower case; empty: the file does not say
	ClearAfter time.Duration  // how long a peer with policy prefer goes unanswered before its SMTP is in clear again
	Metrics    netip.AddrPort // TCP address at which metrics are read; zero: none

	KeepAddresses    time.Duration // how long an address that has left DNS stays a peer's
	PrivateAddresses bool          // whether names of the peers that do not say may have private addresses
}

// A Peer is another mail host, to and from which all SMTP is protected.
type Peer struct {
	Name         string
	PublicKey    PublicKey
	Endpoint     Endpoint      // zero: the first of Addresses that can be reached, DefaultListenPort
	Addresses    []netip.Addr  // those that the file gives, or after Resolve all that are known
	Names        []string      // DNS names whose addresses are the peer's too, in lower case; the file gives one or an address
	PresharedKey PresharedKey  // zero: none
	Keepalive    time.Duration // zero: off; else whole seconds up to 65535
	Policy       Policy

	PrivateAddresses bool // whether its names may have addresses of private ranges

	Domains []string // whose mail the peer takes, in lower case: their MX leads to it; empty: the file does not say
}

// An Endpoint is where a peer's tunnel is reached: UDP. The zero value means
// that the file names none.
type Endpoint struct {
	Host string // a DNS name or an IP address, the latter in netip's form without brackets
	Port uint16
}

// Addr returns the endpoint's address; ok is false where Host is a name.
func (e Endpoint) Addr() (addr netip.AddrPort, ok bool) {
	ip, err := netip.ParseAddr(e.Host)
	if err != nil {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(ip, e.Port), true
}

// A Policy says what happens to SMTP with a peer, in the sense of the
// security policy database of RFC 4301.
type Policy string

// The policies. Require is PROTECT: SMTP with the peer is inside the tunnel or
// not on the wire. Prefer is BYPASS while the peer does not answer, and PROTECT
// from when it does until it has not for Host.ClearAfter. Latch is BYPASS until
// the peer has answered once, and PROTECT ever after.
const (
	Require Policy = "require"
	Prefer  Policy = "prefer"
	Latch   Policy = "latch"
)

// MayBypass says whether there are peers with the policy whose SMTP goes in clear.
func (p Policy) MayBypass() bool { return p == Prefer || p == Latch }

// A Backend says which WireGuard carries the packets.
type Backend string

// The backends. Auto takes the best that this build and this host have.
const (
	Auto      Backend = "auto"
	Kernel    Backend = "kernel"
	Userspace Backend = "userspace"
)

// Allows says whether a link that was made by the backend made will do.
func (b Backend) Allows(made Backend) bool { return b == Auto || b == made }
