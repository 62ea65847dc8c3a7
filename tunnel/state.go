// Package tunnel decides what protects the mail: it turns the peers file into
// a wished State, compares it with the State that the system has, and plans
// the steps from one to the other. It is pure but for the Loop, and knows no
// operating system.
package tunnel

import (
	"net/netip"
	"slices"
	"time"

	"postroad/peers"
)

// Marks by which what is ours is known again. Nothing that does not bear them
// is ever changed or deleted.
const (
	Table        = 2525       // routing table
	Protocol     = 125        // of our rules and routes, see rtnetlink(7)
	MarkPriority = 2500       // of the rule for marked packets, see inFront
	PortPriority = 2510       // of the rules for ports, see inFront
	Mark         = 0x02000000 // the one bit of packet and connection marks that we use
	LinkGroup    = 2525       // of the kernel's WireGuard links that we made, see ip-link(8)
	GuardTable   = "postroad" // nft table, family inet
)

// TwinMetric is that of the unreachable route behind every tunnel route: the
// largest that both families take, so that it counts only when the other is gone.
const TwinMetric = 4294967294

// LinkAddress stands on the link whatever else does: a link without any IPv4
// address fails even the loose reverse path filter (fib_validate_source).
var LinkAddress = netip.MustParsePrefix("169.254.25.25/32")

// A State is all that is ours in a host's network. The wished and the observed
// one share the type; slices are sorted and without duplicates.
type State struct {
	Guard  Guard
	Link   Link
	Device Device
	Rules  []Rule
	Routes []Route

	// Past holds the peers' addresses whose SMTP somebody else's rules take past
	// our table, and how, in words. Observed only.
	Past map[netip.Addr]string
}

// A Guard is the packet filter that stops clear SMTP whatever the routes say.
type Guard struct {
	Sound bool         // the table is there and its chains are those of this program
	Link  string       // the one interface that SMTP with peers may use
	Ports []uint16     // what counts as SMTP
	Own   []netip.Addr // our addresses that peers may reach through the link
	Peers []netip.Addr // addresses whose SMTP is stopped anywhere but on the link
	UDP   []uint16     // ports that our link sends from: its measuring packets are not to be fragmented
	NAT   NAT          // what addresses are translated to on the link

	// Refused holds what the guard stopped. Observed only.
	Refused map[netip.Addr]Refused
}

// NAT says how addresses are translated on the link, for containers, for machines
// whose mail this host forwards, and for a host behind a 1:1 NAT. The zero
// value is not at all.
type NAT struct {
	From   []netip.Addr // one of Own for each family: the source of all that leaves with an address that is not in Own
	Inside []Inside     // where packets for addresses of Own go that no other interface has
}

// Inside is a mail address that the world knows, and the one that the host has
// on the interface to the world, as a cloud's 1:1 NAT maps the one to the other.
type Inside struct{ Outer, Inner netip.Addr }

// Equal says whether both translate alike.
func (n NAT) Equal(m NAT) bool {
	return slices.Equal(n.From, m.From) && slices.Equal(n.Inside, m.Inside)
}

// Refused counts the clear SMTP packets that the guard stopped for one address.
type Refused struct {
	In, Out uint64 // packets
}

// A Link is the WireGuard interface. The zero value is none.
type Link struct {
	Name    string        // observed: that of our link, which somebody may have renamed
	Backend peers.Backend // wish: what may make it; observed: what made it
	Foreign bool          // observed only: a link of this name exists, and is not ours
	Up      bool
	MTU     int  // bytes
	Loose   bool // reverse path filter 2, RFC 3704's loose mode
	Addrs   []netip.Prefix
}

// A Device is what WireGuard knows.
type Device struct {
	PrivateKey peers.PrivateKey
	ListenPort uint16
	Peers      []DevicePeer // sorted by public key
}

// A DevicePeer is a peer as WireGuard knows it.
type DevicePeer struct {
	PublicKey    peers.PublicKey
	PresharedKey peers.PresharedKey // zero: none
	Endpoint     netip.AddrPort     // zero: not known
	Allowed      []netip.Addr
	Keepalive    time.Duration // zero: off

	Repoint bool // wish only: take Endpoint even if the peer has roamed
	Anew    bool // wish only: if there ever was a handshake, forget it and all that came of it

	LastHandshake time.Time // observed only; zero: never
	Received      int64     // observed only, bytes
	Sent          int64     // observed only, bytes
}

// A Rule sends packets to our routing table. One with neither ports nor mark
// selects all packets, which is never wished but can be observed where a
// kernel (before 4.17) ignores ports.
type Rule struct {
	IPv6     bool
	Priority int
	Mark     uint32 // with itself as mask; zero: any
	SrcPort  uint16 // TCP; zero: any
	DstPort  uint16 // TCP; zero: any
}

// A Route is one to a peer's address in our routing table.
type Route struct {
	Dst         netip.Addr
	Unreachable bool       // the twin that stays when the link goes
	Src         netip.Addr // our address to use; zero for the twin
	MTU         int        // bytes of the largest packet; zero: the link's, and for the twin
}

// Facts are what a wish needs to know of the host, beside the peers file.
type Facts struct {
	NoLinkIPv6 bool                     // the link cannot have IPv6: the administrator has switched it off
	IPv6       bool                     // the kernel has it
	Local      []LocalAddr              // global addresses on links other than ours
	Paths      map[netip.Addr]Path      // the way to a remote address outside the tunnel; absent: none
	Endpoints  map[string][]netip.Addr  // what endpoint names resolve to; absent: not known
	Others     []OtherRule              // rules that come, or would come, before ours
	Repoint    map[peers.PublicKey]bool // peers whose endpoint the operator has changed
	Bypass     map[peers.PublicKey]bool // peers whose SMTP is to go in clear: their policy says so
	MTUs       map[peers.PublicKey]int  // bytes of the largest packet to a peer; absent: not known
	Held       []netip.Addr             // addresses that stay closed though no peer is known to have them
}

// A LocalAddr is an address of this host.
type LocalAddr struct {
	Addr netip.Addr
	Link string
}

// A Path is the way that packets take to an address outside the tunnel.
type Path struct {
	Src  netip.Addr
	Link string
	MTU  int // bytes, of the interface
	PMTU int // bytes that the way takes as far as the kernel knows, by its routes and by what routers said
}
