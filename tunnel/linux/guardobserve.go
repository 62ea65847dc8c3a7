package linux

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"postroad/tunnel"
)

// observeGuard reads the guard back. It is sound only if every chain and rule
// reads as we would write it for the link: a guard that somebody has edited is
// replaced, also where the library cannot even read what was put there.
func observeGuard(link string) (tunnel.Guard, error) {
	c, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return tunnel.Guard{}, fmt.Errorf("opening nftables: %w", err)
	}
	defer c.CloseLasting()
	tables, err := c.ListTablesOfFamily(guardTable.Family)
	if err != nil {
		return tunnel.Guard{}, fmt.Errorf("listing nft tables: %w", err)
	}
	i := slices.IndexFunc(tables, func(t *nftables.Table) bool { return t.Name == guardTable.Name })
	if i < 0 {
		return tunnel.Guard{}, nil
	}
	g := tunnel.Guard{Link: link, Refused: map[netip.Addr]tunnel.Refused{}}
	whole := readSets(c, &g)
	g.NAT = observeNAT(c)
	g.Sound = whole && sameChains(c, guardChains(g)) && tables[i].Flags == 0 // a dormant table guards nothing
	return g, nil
}

// sameChains says whether the table's chains are the wanted ones and no others.
func sameChains(c *nftables.Conn, want []chain) bool {
	have, err := c.ListChainsOfTableFamily(guardTable.Family)
	have = slices.DeleteFunc(have, func(ch *nftables.Chain) bool { return ch.Table.Name != guardTable.Name })
	sizes, sizesErr := ruleSizes()
	if err != nil || sizesErr != nil || len(have) != len(want) {
		return false
	}
	for _, w := range want {
		i := slices.IndexFunc(have, func(ch *nftables.Chain) bool { return ch.Name == w.name })
		if i < 0 || !sameHook(have[i], w) {
			return false
		}
		rules, err := listRules(c, guardTable, have[i])
		if err != nil || !slices.EqualFunc(rules, w.rules, sameRule) || !slices.EqualFunc(sizes[w.name], w.rules, sameSize) {
			return false
		}
	}
	return true
}

// sameSize sees the expressions that the library does not know and leaves out.
func sameSize(have int, want rule) bool { return have == len(want.exprs) }

func sameHook(have *nftables.Chain, want chain) bool {
	if want.hook == nil {
		return have.Hooknum == nil
	}
	return have.Hooknum != nil && *have.Hooknum == *want.hook && *have.Priority == want.priority &&
		have.Type == want.kind && (have.Policy == nil || *have.Policy == nftables.ChainPolicyAccept)
}

func sameRule(have *nftables.Rule, want rule) bool {
	return slices.EqualFunc(have.Exprs, want.exprs, sameExpr)
}

// sameExpr compares what an expression means, not what the library fails to
// read back: a set's number, and that a connection's mark is written, not read.
func sameExpr(have, want expr.Any) bool {
	switch w := want.(type) {
	case *expr.Lookup:
		h, ok := have.(*expr.Lookup)
		return ok && h.SetName == w.SetName && h.SourceRegister == w.SourceRegister && h.Invert == w.Invert
	case *expr.Ct:
		h, ok := have.(*expr.Ct)
		return ok && h.Key == w.Key && h.Direction == w.Direction && (w.SourceRegister || h.Register == w.Register)
	}
	return reflect.DeepEqual(have, want)
}

// pairs are the sets that have as many elements as one that is read before.
var pairs = map[string]string{setIn4: setOut4, setIn6: setOut6}

// readSets fills the guard with the elements and counters of its sets, and says
// whether all of them are there.
func readSets(c *nftables.Conn, g *tunnel.Guard) bool {
	sets, err := c.GetSets(guardTable)
	if err != nil {
		return false
	}
	reader, err := newAsker(unix.NETLINK_NETFILTER)
	if err != nil {
		return false
	}
	defer reader.close()
	whole := true
	found := map[string][]element{}
	for _, want := range guardSets(tunnel.Guard{}) {
		i := slices.IndexFunc(sets, func(s *nftables.Set) bool { return s.Name == want.name })
		if i < 0 || sets[i].KeyType.Name != want.kind.Name || sets[i].Dynamic != want.filled || sets[i].Timeout != want.set().Timeout {
			whole = false
			continue
		}
		if want.filled {
			continue
		}
		about := len(found[pairs[want.name]])
		found[want.name], err = retry(func() ([]element, error) { return readElements(reader, want.name, about) })
		whole = whole && err == nil
	}
	return fillGuard(g, found) && whole
}

// fillGuard says whether the sets of peers agree: an address in one of a pair
// alone was put there, or taken out, by somebody else.
func fillGuard(g *tunnel.Guard, found map[string][]element) bool {
	for _, e := range found[setPorts] {
		g.Ports = append(g.Ports, e.port())
	}
	slices.Sort(g.Ports)
	for _, e := range found[setUDP] {
		g.UDP = append(g.UDP, e.port())
	}
	slices.Sort(g.UDP)
	g.Own = append(elementAddrs(found[setOwn4]), elementAddrs(found[setOwn6])...)
	slices.SortFunc(g.Own, netip.Addr.Compare)
	for name, elements := range found {
		count(g.Refused, name, elements)
	}
	ins := append(elementAddrs(found[setIn4]), elementAddrs(found[setIn6])...)
	outs := append(elementAddrs(found[setOut4]), elementAddrs(found[setOut6])...)
	slices.SortFunc(ins, netip.Addr.Compare)
	slices.SortFunc(outs, netip.Addr.Compare)
	if slices.Equal(ins, outs) {
		g.Peers = outs
		return true
	}
	g.Peers = both(ins, outs)
	return len(g.Peers) == len(outs) && len(g.Peers) == len(ins)
}

// both returns what is in two sorted lists: only an address that is stopped both
// ways is guarded.
func both(ins, outs []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(outs), func(a netip.Addr) bool {
		_, in := slices.BinarySearchFunc(ins, a, netip.Addr.Compare)
		return !in
	})
}

func count(refused map[netip.Addr]tunnel.Refused, set string, elements []element) {
	for _, e := range elements {
		a, ok := e.addr()
		if !ok || e.packets == 0 {
			continue
		}
		r := refused[a]
		if strings.HasPrefix(set, "in") {
			r.In += e.packets
		} else {
			r.Out += e.packets
		}
		refused[a] = r
	}
}

func elementAddrs(elements []element) []netip.Addr {
	all := make([]netip.Addr, 0, len(elements))
	for _, e := range elements {
		if a, ok := e.addr(); ok {
			all = append(all, a)
		}
	}
	return all
}
