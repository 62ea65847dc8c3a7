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

// Chains that are not hooked: packets on the link are sent to them.
const (
	chainOwn      = "own"      // to our mail addresses only
	chainAllowed  = "allowed"  // what the policy selects only
	chainSelected = "selected" // what that is
	chainCalling  = "calling"  // decides nothing: remembers who calls
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
func guardChains(g tunnel.Guard) []chain {
	on, off := interfaces{g.Link}, interfaces{g.Link, "lo"}
	return append([]chain{
		{"arriving", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, *nftables.ChainPriorityRaw, join(
			one("on the link", in(on), jump(chainOwn)),
			one("from ourselves", in(interfaces{"lo"}), accept()),
			one("a handshake is begun: remember by whom", udpSize(initiationSize), udpPort(dst), inSet(setUDP), udpBegins(initiationType), jump(chainCalling)),
			one("no SMTP: one look at each packet of the tunnels", notTCP(), accept()),
			clearSMTP("clear SMTP from a peer", src, setIn4, setIn6, reject()),
		)},
		// The first look that knows connections, and the last at packets as the peer sent them: address translation comes next.
		{"tracked", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, *nftables.ChainPriorityMangle, join(
			one("on the link", in(on), jump(chainAllowed)),
			one("from ourselves", in(interfaces{"lo"}), accept()),
			one("what we forward follows its connection into the link", ctMarked(), setMark()),
		)},
		{"entering", nftables.ChainTypeFilter, nftables.ChainHookInput, *nftables.ChainPriorityFilter - 10, join(
			each("on the link, or from ourselves", off, in, accept()),
			icmpErrors("clear ICMP error about a connection on the link", drop()),
		)},
		{"passing", nftables.ChainTypeFilter, nftables.ChainHookForward, 250, join(
			one("on the link: all of its connections", out(on), ctMarked(), accept()),
			one("on the link: only what the policy selects", out(on), jump(chainSelected)),
			one("on the link: mark the connection", out(on), setCtMark()),
			one("on the link", out(on), accept()),
			clearSMTP("clear SMTP to a peer", dst, setOut4, setOut6, reject()),
			clearRest(reject()),
			one("from the link", in(on), accept()),
			icmpErrors("clear ICMP error about a connection on the link", drop()),
		)},
		{"following", nftables.ChainTypeRoute, nftables.ChainHookOutput, *nftables.ChainPriorityMangle, join(
			each("on the link, or to ourselves", off, out, accept()),
			one("what we send follows its connection into the link", ctMarked(), setMark()),
		)},
		{"sending", nftables.ChainTypeFilter, nftables.ChainHookOutput, 250, join(
			one("on the link: mark the connection", out(on), setCtMark()),
			one("on the link", out(on), accept()),
			one("to ourselves", out(interfaces{"lo"}), accept()),
			// The kernel's WireGuard lets routers fragment its packets, and copies ECN bits.
			one("the link's measuring packets: whole or not at all", v4(), udpPort(src), inSet(setUDP), ect1(), dontFragment()),
			one("no SMTP", notTCP(), accept()),
			clearSMTP("clear SMTP to a peer", dst, setOut4, setOut6, reject()), // but not clearRest: here packets that follow still show the way that they left
		)},
		// The last look, at packets as they go on the wire; reject is not allowed here.
		{"leaving", nftables.ChainTypeFilter, nftables.ChainHookPostrouting, 300, join(
			each("on the link, or to ourselves", off, out, accept()),
			clearRest(drop()),
			one("no SMTP", notTCP(), accept()),
			clearSMTP("clear SMTP to a peer", dst, setOut4, setOut6, drop()),
		)},
		{name: chainOwn, rules: join(
			// The mark lets reverse path filters that see no ports (nft's fib) find the way back.
			one("mark for reverse path filters", setMark()),
			one("only to our mail addresses", v4(), addr4(dst), notInSet(setOwn4), drop()),
			one("only to our mail addresses", v6(), addr6(dst), notInSet(setOwn6), drop()),
			one("all else is for later chains", accept()),
		)},
		{name: chainAllowed, rules: join(
			one("answer how large packets get through", udpTo(probedPort), setCtMark(), unreachable()),
			one("only what the policy selects", jump(chainSelected)),
			one("mark the connection", setCtMark()),
			one("all else is for later chains", accept()),
		)},
		{name: chainSelected, rules: join(
			one("SMTP", tcpPort(dst), inSet(setPorts), ret()),
			one("answers of SMTP connections", tcpPort(src), inSet(setPorts), ctState(expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), ret()),
			icmpErrors("ICMP errors about connections on the link", ret()),
			one("nothing else", drop()),
		)},
		{name: chainCalling, rules: join(
			one("until the set's timeout, if there is room", v4(), addr4(src), update(setCallers4)),
			one("until the set's timeout, if there is room", v6(), addr6(src), update(setCallers6)),
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

// clearSMTP matches SMTP by either port with an address in a set. The set comes
// last: it counts what it matches.
func clearSMTP(why string, which end, set4, set6 string, verdict []expr.Any) []rule {
	var all []rule
	for _, port := range []end{dst, src} {
		all = append(all,
			one(why, tcpPort(port), inSet(setPorts), v4(), addr4(which), inSet(set4), verdict)[0],
			one(why, tcpPort(port), inSet(setPorts), v6(), addr6(which), inSet(set6), verdict)[0])
	}
	return all
}

// clearRest matches what else goes to a peer past the link and belongs to a
// connection on the link: ICMP errors, which quote it, and the answers of a
// container before their port is translated back.
func clearRest(verdict []expr.Any) []rule {
	const why = "clear packet to a peer, of a connection on the link"
	return join(
		one(why, ctMarked(), v4(), addr4(dst), inSet(setOut4), verdict),
		one(why, ctMarked(), v6(), addr6(dst), inSet(setOut6), verdict))
}

// icmpErrors matches ICMP errors about connections that bear our mark: they
// quote what the connection carries.
func icmpErrors(why string, verdict []expr.Any) []rule {
	var all []rule
	for _, proto := range []byte{unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6} {
		all = append(all, one(why, l4proto(proto), ctState(expr.CtStateBitRELATED), ctMarked(), verdict)...)
	}
	return all
}
