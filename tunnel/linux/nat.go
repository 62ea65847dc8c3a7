package linux

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"postroad/tunnel"
)

// The chains that translate addresses on the link, and where they stand among
// others: the container engines' are at -100 and 100.
const (
	chainInside = "inside" // to the address that the host really has
	chainFrom   = "from"   // to one of our mail addresses

	priorityInside nftables.ChainPriority = -90 // whoever publishes port 25 elsewhere comes first
	priorityFrom   nftables.ChainPriority = 90  // nobody's masquerading comes before: peers would not know the address
)

// natChains returns the chains that translate addresses. They see the first
// packet of a connection; the kernel does the same with the others, and the
// reverse with the answers.
func natChains(g tunnel.Guard) []chain {
	return []chain{
		{chainInside, nftables.ChainTypeNAT, nftables.ChainHookPrerouting, priorityInside, insideRules(g)},
		{chainFrom, nftables.ChainTypeNAT, nftables.ChainHookPostrouting, priorityFrom, fromRules(g)},
	}
}

func insideRules(g tunnel.Guard) (all []rule) {
	for _, i := range g.NAT.Inside {
		match := join4or6(i.Outer, addr4(dst), addr6(dst))
		all = append(all, one("on the link: to the address that this host has", in(interfaces{g.Link}), match,
			[]expr.Any{equal(i.Outer.AsSlice())}, translate(expr.NATTypeDestNAT, i.Inner))...)
	}
	return all
}

// fromRules keeps our mail addresses as they are, so that nobody's masquerading
// makes another of them, and gives what else leaves on the link one of them.
func fromRules(g tunnel.Guard) (all []rule) {
	for _, a := range g.NAT.From {
		family, from := familyOf(a), join4or6(a, addr4(src), addr6(src))
		set := map[bool]string{true: setOwn4, false: setOwn6}[a.Is4()]
		all = append(all,
			one("on the link: our mail addresses stay", out(interfaces{g.Link}), from, inSet(set), nat(expr.NATTypeSourceNAT, family, from[len(from)-1]))[0],
			one("on the link: from our mail address", out(interfaces{g.Link}), from[:2], translate(expr.NATTypeSourceNAT, a))[0])
	}
	return all
}

// join4or6 matches the family of an address, and then loads what is given for it.
func join4or6(a netip.Addr, four, six []expr.Any) []expr.Any {
	if a.Is4() {
		return append(v4(), four...)
	}
	return append(v6(), six...)
}

func familyOf(a netip.Addr) uint32 {
	if a.Is4() {
		return unix.NFPROTO_IPV4
	}
	return unix.NFPROTO_IPV6
}

// snat ip to a, dnat ip to a
func translate(kind expr.NATType, a netip.Addr) []expr.Any {
	return nat(kind, familyOf(a), &expr.Immediate{Register: 1, Data: a.AsSlice()})
}

func nat(kind expr.NATType, family uint32, load expr.Any) []expr.Any {
	return []expr.Any{load, &expr.NAT{Type: kind, Family: family, RegAddrMin: 1, RegAddrMax: 1}}
}

// observeNAT reads back what the chains translate to. Whether their rules are
// ours is for sameChains to say.
func observeNAT(c *nftables.Conn) (n tunnel.NAT) {
	for _, r := range natRules(c, chainInside) {
		if match, to := addresses(r); match.IsValid() && to.IsValid() {
			n.Inside = append(n.Inside, tunnel.Inside{Outer: match, Inner: to})
		}
	}
	for _, r := range natRules(c, chainFrom) {
		if _, to := addresses(r); to.IsValid() {
			n.From = append(n.From, to)
		}
	}
	return n
}

func natRules(c *nftables.Conn, name string) []*nftables.Rule {
	rules, err := listRules(c, guardTable, &nftables.Chain{Table: guardTable, Name: name})
	if err != nil { // then they will not be the same as ours either
		return nil
	}
	return rules
}

// addresses returns what a rule compares last, and what it translates to.
func addresses(r *nftables.Rule) (match, to netip.Addr) {
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Cmp:
			match, _ = netip.AddrFromSlice(slices.Clone(e.Data))
		case *expr.Immediate:
			to, _ = netip.AddrFromSlice(slices.Clone(e.Data))
		}
	}
	return match, to
}
