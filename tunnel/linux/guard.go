package linux

import (
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"postroad/tunnel"
)

// The guard's sets. Those of peers' addresses count what they stop, so they
// come in pairs: what would go out to a peer, and what claims to come from one.
const (
	setPorts = "ports"
	setUDP   = "wireguard" // nft could not read "udp" back
	setOwn4  = "own4"
	setOwn6  = "own6"
	setOut4  = "out4"
	setOut6  = "out6"
	setIn4   = "in4"
	setIn6   = "in6"
	// Who calls this host, by the first packet of a handshake: see Callers.
	setCallers4 = "callers4"
	setCallers6 = "callers6"
)

// Chains that are not hooked: others send packets to them.
const (
	chainOwn       = "own"       // to our mail addresses only
	chainAllowed   = "allowed"   // what may come on the link
	chainOnward    = "onward"    // what may be forwarded to the link
	chainSelected  = "selected"  // what the policy selects only
	chainDatagrams = "datagrams" // UDP that we send
	chainClaims    = "claims"    // SMTP from a peer's address
	chainRefused   = "refused"   // packets to a peer's address
	chainDropped   = "dropped"   // the same, without an answer
	chainErrors    = "errors"    // ICMP past the link
	chainCalling   = "calling"   // decides nothing: remembers who calls
)

// A chain of the guard: where it stands, and its rules.
type chain struct {
	name     string
	kind     nftables.ChainType
	hook     *nftables.ChainHook // nil: not hooked
	priority nftables.ChainPriority
	rules    []rule
}

// A rule of the guard: a comment that says why it is there, for who reads
// `nft list table inet postroad`, and its expressions.
type rule struct {
	why   string
	exprs []expr.Any
}

// guardChains returns all chains of a guard. Together they keep this: SMTP with
// a peer is on the link or nowhere, what is on the link is SMTP, and all packets
// of a connection that is on the link go there, whatever their ports: a
// container answers from another port than the one that is published for it.
//
// Every packet of the host passes the hooked ones, and each byte of mail does so
// twice on its way out and twice on its way in: on the link, and encrypted, in
// UDP. So they let UDP go as soon as they can, and ask what costs more (a name, a
// connection, a set) of what gets so far.
func guardChains(g tunnel.Guard) []chain {
	on, off := interfaces{g.Link}, interfaces{g.Link, "lo"}
	return append([]chain{
		{"arriving", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, *nftables.ChainPriorityRaw, join(
			one("on the link", in(on), goTo(chainOwn)),
			one("a handshake is begun: remember by whom", udpSize(initiationSize), udpPort(dst), inSet(setUDP), udpBegins(initiationType), jump(chainCalling)),
			one("no SMTP", l4proto(unix.IPPROTO_UDP), accept()),
			one("from ourselves", in(interfaces{"lo"}), accept()),
			clearSMTP("clear SMTP from a peer", chainClaims),
		)},
		// The first look that knows connections, and the last at packets as the peer sent them: address translation comes next.
		{"tracked", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, *nftables.ChainPriorityMangle, join(
			one("on the link", in(on), goTo(chainAllowed)),
			one("no SMTP", l4proto(unix.IPPROTO_UDP), accept()),
			one("from ourselves", in(interfaces{"lo"}), accept()),
			one("what we forward follows its connection into the link", ctMarked(), setMark()),
		)},
		{"entering", nftables.ChainTypeFilter, nftables.ChainHookInput, *nftables.ChainPriorityFilter - 10, anyICMP("ICMP", goTo(chainErrors))},
		{"passing", nftables.ChainTypeFilter, nftables.ChainHookForward, 250, join(
			one("on the link", out(on), goTo(chainOnward)),
			one("no SMTP", l4proto(unix.IPPROTO_UDP), accept()),
			clearSMTP("clear SMTP to a peer", chainRefused),
			clearRest(chainRefused),
			anyICMP("ICMP", goTo(chainErrors)),
		)},
		// A chain of this type has packets find their way again whose mark it has set.
		{"sending", nftables.ChainTypeRoute, nftables.ChainHookOutput, 250, join(
			one("no SMTP", l4proto(unix.IPPROTO_UDP), goTo(chainDatagrams)),
			one("on the link: mark the connection", out(on), setCtMark(), accept()),
			one("to ourselves", out(interfaces{"lo"}), accept()),
			one("what we send follows its connection into the link", ctMarked(), setMark()),
			clearSMTP("clear SMTP to a peer", chainRefused), // but not clearRest: here packets that follow still show the way that they left
		)},
		// The last look, at packets as they go on the wire; reject is not allowed here.
		{"leaving", nftables.ChainTypeFilter, nftables.ChainHookPostrouting, 300, join(
			one("no SMTP", l4proto(unix.IPPROTO_UDP), accept()),
			each("on the link, or to ourselves", off, out, accept()),
			clearRest(chainDropped),
			clearSMTP("clear SMTP to a peer", chainDropped),
		)},
		{name: chainOwn, rules: join(
			// The mark lets reverse path filters that see no ports (nft's fib) find the way back.
			one("mark for reverse path filters", setMark()),
			one("only to our mail addresses", v4(), addr4(dst), notInSet(setOwn4), drop()),
			one("only to our mail addresses", v6(), addr6(dst), notInSet(setOwn6), drop()),
		)},
		{name: chainAllowed, rules: join(
			one("answer how large packets get through", udpTo(probedPort), setCtMark(), unreachable()),
			one("only what the policy selects", jump(chainSelected)),
			one("mark the connection", setCtMark()),
		)},
		{name: chainOnward, rules: join(
			one("all of its connections", ctMarked(), accept()),
			one("only what the policy selects", jump(chainSelected)),
			one("mark the connection", setCtMark()),
		)},
		{name: chainSelected, rules: join(
			one("SMTP", tcpPort(dst), inSet(setPorts), ret()),
			one("answers of SMTP connections", tcpPort(src), inSet(setPorts), ctState(expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), ret()),
			anyICMP("ICMP errors about connections on the link", aboutMarked(), ret()),
			one("nothing else", drop()),
		)},
		{name: chainCalling, rules: join(
			one("until the set's timeout, if there is room", v4(), addr4(src), update(setCallers4)),
			one("until the set's timeout, if there is room", v6(), addr6(src), update(setCallers6)),
		)},
		{name: chainDatagrams, rules: join(
			one("how large packets get through: mark the connection", udpTo(probedPort), out(on), setCtMark()),
			// The kernel's WireGuard lets routers fragment its packets, and copies ECN bits.
			one("the link's measuring packets: whole or not at all", v4(), ect1(), udpPort(src), inSet(setUDP), dontFragment()),
		)},
		{name: chainClaims, rules: withPeer("from a peer", src, setIn4, setIn6, reject())},
		{name: chainRefused, rules: withPeer("to a peer", dst, setOut4, setOut6, reject())},
		{name: chainDropped, rules: withPeer("to a peer", dst, setOut4, setOut6, drop())},
		{name: chainErrors, rules: join(
			each("on the link, or from ourselves", off, in, accept()),
			one("clear ICMP error about a connection on the link", aboutMarked(), drop()),
		)},
	}, natChains(g)...)
}

type interfaces []string

// join makes one list of rules out of several.
func join(lists ...[]rule) []rule {
	var all []rule
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

func one(why string, exprs ...[]expr.Any) []rule {
	r := rule{why: why}
	for _, e := range exprs {
		r.exprs = append(r.exprs, e...)
	}
	return []rule{r}
}

func each(why string, names interfaces, match func(interfaces) []expr.Any, verdict []expr.Any) []rule {
	var all []rule
	for _, n := range names {
		all = append(all, one(why, match(interfaces{n}), verdict)...)
	}
	return all
}

// clearSMTP sends SMTP by either port to a chain.
func clearSMTP(why, chain string) []rule {
	return join(
		one(why, tcpPort(dst), inSet(setPorts), jump(chain)),
		one(why, tcpPort(src), inSet(setPorts), jump(chain)))
}

// clearRest sends to a chain what else may go to a peer past the link and belongs
// to a connection on the link: ICMP errors, which quote it, and the answers of a
// container before their port is translated back.
func clearRest(chain string) []rule {
	return one("clear packet of a connection on the link", ctMarked(), jump(chain))
}

// withPeer matches packets with an address in a set. The set comes last: it counts
// what it matches.
func withPeer(why string, which end, set4, set6 string, verdict []expr.Any) []rule {
	return join(
		one(why, v4(), addr4(which), inSet(set4), verdict),
		one(why, v6(), addr6(which), inSet(set6), verdict))
}

// anyICMP matches ICMP of either family.
func anyICMP(why string, exprs ...[]expr.Any) []rule {
	return join(
		one(why, append([][]expr.Any{l4proto(unix.IPPROTO_ICMP)}, exprs...)...),
		one(why, append([][]expr.Any{l4proto(unix.IPPROTO_ICMPV6)}, exprs...)...))
}

// aboutMarked matches ICMP errors about connections that bear our mark: they quote
// what the connection carries.
func aboutMarked() []expr.Any {
	return append(ctState(expr.CtStateBitRELATED), ctMarked()...)
}
