package linux

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// inletTable is there during an examination only. It counts, and decides nothing.
var inletTable = &nftables.Table{Family: nftables.TableFamilyINet, Name: "postroad-doctor"}

// The chains of the inlet: the first look at packets that come in, and the last.
var (
	arrivedChain = &nftables.Chain{Table: inletTable, Name: "arrived", Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRef(-450)}
	acceptedChain = &nftables.Chain{Table: inletTable, Name: "accepted", Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityRef(10000)}
)

// An inlet counts UDP packets for one port by sender, and TCP packets on the
// link, before and after all packet filters of this host.
type inlet struct{ senders []netip.Addr }

// inletCounts are packets by sender; those on the link have none.
type inletCounts map[netip.Addr]int

// openInlet begins to count. One that was left behind is replaced.
func openInlet(link string, port uint16, senders []netip.Addr) (*inlet, error) {
	c, err := nft()
	if err != nil {
		return nil, err
	}
	c.AddTable(inletTable)
	c.DelTable(inletTable)
	c.AddTable(inletTable)
	for _, chain := range []*nftables.Chain{arrivedChain, acceptedChain} {
		c.AddChain(chain)
		for _, s := range senders {
			c.AddRule(&nftables.Rule{Table: inletTable, Chain: chain, Exprs: countFrom(s, port)})
		}
		c.AddRule(&nftables.Rule{Table: inletTable, Chain: chain, Exprs: countOn(link)})
	}
	if err := c.Flush(); err != nil {
		return nil, fmt.Errorf("adding counters to nftables: %w", err)
	}
	return &inlet{senders}, nil
}

// ip saddr S udp dport P counter
func countFrom(sender netip.Addr, port uint16) (all []expr.Any) {
	if sender.Is4() {
		all = append(v4(), addr4(src)...)
	} else {
		all = append(v6(), addr6(src)...)
	}
	all = append(all, equal(sender.AsSlice()))
	all = append(all, l4proto(unix.IPPROTO_UDP)...)
	return append(all,
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		equal(binaryutil.BigEndian.PutUint16(port)), &expr.Counter{})
}

// iifname L meta l4proto tcp counter
func countOn(link string) []expr.Any {
	return append(append(in(interfaces{link}), l4proto(unix.IPPROTO_TCP)...), &expr.Counter{})
}

// counts returns how many came in, and how many of them passed.
func (i *inlet) counts() (arrived, accepted inletCounts, err error) {
	c, err := nft()
	if err != nil {
		return nil, nil, err
	}
	if arrived, err = i.read(c, arrivedChain); err == nil {
		accepted, err = i.read(c, acceptedChain)
	}
	return arrived, accepted, err
}

// read returns a chain's counters: its rules are in the senders' order, and the
// link's is last.
func (i *inlet) read(c *nftables.Conn, chain *nftables.Chain) (inletCounts, error) {
	rules, err := c.GetRules(inletTable, chain)
	whose := append(slices.Clone(i.senders), netip.Addr{})
	if err != nil || len(rules) != len(whose) {
		return nil, fmt.Errorf("reading the counters back: %d of %d rules: %w", len(rules), len(whose), err)
	}
	all := inletCounts{}
	for n, r := range rules {
		for _, x := range r.Exprs {
			if counter, ok := x.(*expr.Counter); ok {
				all[whose[n]] = int(counter.Packets)
			}
		}
	}
	return all, nil
}

// close takes the counters away.
func (i *inlet) close() error {
	c, err := nft()
	if err != nil {
		return err
	}
	c.DelTable(inletTable)
	return c.Flush()
}
