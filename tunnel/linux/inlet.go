package linux

import (
	"fmt"
	"net/netip"

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

// An inlet counts UDP packets for one port by sender, before and after all
// packet filters of this host.
type inlet struct{ senders []netip.Addr }

// openInlet begins to count. One that was left behind is replaced.
func openInlet(port uint16, senders []netip.Addr) (*inlet, error) {
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

// counts returns how many came in, and how many of them passed.
func (i *inlet) counts() (arrived, accepted map[netip.Addr]int, err error) {
	c, err := nft()
	if err != nil {
		return nil, nil, err
	}
	if arrived, err = i.read(c, arrivedChain); err == nil {
		accepted, err = i.read(c, acceptedChain)
	}
	return arrived, accepted, err
}

// read returns a chain's counters: its rules are in the senders' order.
func (i *inlet) read(c *nftables.Conn, chain *nftables.Chain) (map[netip.Addr]int, error) {
	rules, err := c.GetRules(inletTable, chain)
	if err != nil || len(rules) != len(i.senders) {
		return nil, fmt.Errorf("reading the counters back: %d of %d rules: %w", len(rules), len(i.senders), err)
	}
	all := map[netip.Addr]int{}
	for n, r := range rules {
		for _, x := range r.Exprs {
			if counter, ok := x.(*expr.Counter); ok {
				all[i.senders[n]] = int(counter.Packets)
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
