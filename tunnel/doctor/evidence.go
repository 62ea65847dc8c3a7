package doctor

import (
	"net/netip"
	"time"

	"postroad/peers"
	"postroad/tunnel"
)

// Evidence is all that an examination found. Checks read it and look at
// nothing else.
type Evidence struct {
	Now       time.Time
	File      string        // path of the peers file
	FileError error         // why it is not sound; nil: it is
	Config    *peers.Config // of the file, or else what the daemon remembers; nil: neither
	Missing   error         // what the host lacks; nil: nothing

	Daemon      *tunnel.Status // nil: it does not run or does not answer
	DaemonError error          // why

	Have, Want tunnel.State
	Facts      tunnel.Facts
	LookError  error // why Have could not be read

	Host  Host
	Peers []Peer // those that are examined, in the order of the file
}

// Host is what was found of this host beside what is ours.
type Host struct {
	PortOwner   string             // program that has our UDP port where our device has not; empty: none, or not known
	Networkd    bool               // systemd-networkd runs, and takes foreign rules and routes away
	NetManager  bool               // NetworkManager runs, and is not told to leave the link alone
	Firewalls   []Firewall         // that are in use
	Future      []string           // files of ours that were changed later than now: the clock went backwards
	Unsynced    bool               // the clock is not synchronised (adjtimex(2))
	OutOf       map[string][]Bound // addresses that MTAs are set to speak from, by the program's name
	Speaking    []netip.AddrPort   // local ends of SMTP connections with peers, also of those that are being made
	PacketsLost bool               // the capture missed some
	Answers     Passed             // of mail servers, that came through the link
	Calls       Passed             // SMTP connections that peers began through the link
}

// Passed counts packets before and after all packet filters of this host.
type Passed struct{ Arrived, Accepted int }

// None says that some arrived, and none passed.
func (p Passed) None() bool { return p.Arrived > 0 && p.Accepted == 0 }

// A Bound is an address that an MTA is set to speak from.
type Bound struct {
	Setting string // of the MTA
	Addr    netip.Addr
}

// A Firewall is one that this host uses beside our guard, and how to open it.
type Firewall struct {
	Name    string // ufw, firewalld, nftables.service, or a table: "the nft table inet filter"
	Manages bool   // it is a program, or a service, that loads its own tables
	Family  int    // 4 or 6: it filters nothing else; 0: it filters both
	Strict  bool   // it drops what it does not know
	Drops   bool   // it drops something
	Shut    bool   // nothing in its settings opens our UDP port, as far as they tell
	Flushes bool   // its reload flushes everybody's tables

	In   Opening // of our UDP port for the peers
	Out  Opening // for what goes out of our UDP port
	Link Opening // for SMTP that comes through the link

	Zones *Zones // firewalld's; nil: it has none, or they could not be read
}

// An Opening is how to open a firewall for something.
type Opening struct {
	Command string // empty: none is known
	Lasting string // what else to do, in words, so that it outlives a restart; empty: nothing
}

// Zones are the two of firewalld's zones that SMTP with peers has to do with.
type Zones struct {
	Link Zone // of our link
	Wire Zone // of the interface that leads to the peers
}

// A Zone is one of firewalld's.
type Zone struct {
	Name string
	SMTP []uint16 // those of host.ports that it lets in
}

// A Peer is what was found of one peer.
type Peer struct {
	peers.Peer
	State    tunnel.PeerStatus
	Answered bool           // there is a session, or one was made during the examination
	Endpoint netip.AddrPort // where we call it; zero: not known
	Seen     Seen
	Arrived  int  // UDP packets of its endpoint that came to this host
	Accepted int  // those of them that passed the packet filters
	Pings    bool // its endpoint's address answers ICMP echo requests
	OtherUDP bool // its host says of another UDP port that nobody listens there
	DNS      []peers.Remark
	Proofs   []Proof // one for each address
}

// Seen counts what went by on the wire, outside of the tunnel.
type Seen struct {
	Out, In  Messages
	Calls    []Call    // from the peer
	Refusals []Refusal // of what we sent, latest last
	Refused  []Refusal // by this host, of what the peer sent
	ClearOut int       // packets of SMTP in clear
	ClearIn  int
}

// Messages counts WireGuard's messages by type.
type Messages struct{ Initiations, Responses, Cookies, Data int }

// All counts them whatever their type.
func (m Messages) All() int { return m.Initiations + m.Responses + m.Cookies + m.Data }

// A Call is a handshake initiation that came in.
type Call struct {
	From, To netip.AddrPort
	ForUs    bool            // it was made for our public key
	Key      peers.PublicKey // the sender's; zero: it was not for us
	Time     time.Time       // on the sender's clock; zero: as above
}

// A Refusal is an ICMP error about a packet of the tunnel.
type Refusal struct {
	By     netip.Addr // who says so
	Reason Reason
	MTU    int // bytes; zero but for TooBig
}

// A Reason is why a packet did not get through.
type Reason string

// The reasons.
const (
	NobodyListens Reason = "nobody listens on that port"
	Prohibited    Reason = "a firewall refuses it"
	Unreachable   Reason = "no way to that host"
	TooBig        Reason = "packet too big"
)

// A Proof is the result of an SMTP session with one address of a peer, and of
// an attempt to get a packet past the tunnel to it, while the wire was watched.
type Proof struct {
	Addr      netip.Addr
	Ports     []PortProof  // in the order of the host's ports
	Greeting  string       // the first line that the peer's MTA said; empty: none
	Error     string       // why the session did not work; empty: it did
	Kind      Failure      // of the error
	Large     bool         // a full packet got through, and was answered
	LargeDone bool         // that was tried
	Past      string       // what stopped the packet past the tunnel
	Escaped   bool         // nothing stopped it
	PastOut   int          // packets that so got out
	Encrypted int          // packets with the peer's endpoint, both ways, meanwhile
	Clear     int          // packets of SMTP in clear with the address, both ways
	Routed    bool         // the kernel's routes lead SMTP with the address into the link
	Via       string       // where they lead it instead
	Unheard   []netip.Addr // those of our mail addresses that it does not answer to; empty if it answers to none
}

// A PortProof is what became of a connection to one of the ports.
type PortProof struct {
	Port uint16
	Kind Failure
}

// A Failure is how a connection failed.
type Failure string

// The failures of a connection.
const (
	Works    Failure = ""        // it did not
	Silence  Failure = "silence" // nobody answered
	Refused  Failure = "refused" // nobody listens there
	Stopped  Failure = "stopped" // no route, or a packet filter forbids it
	Broken   Failure = "broken"  // it was made, and what was said was no SMTP
	NotTried Failure = "not tried"
)
