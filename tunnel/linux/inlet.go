package linux

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"postroad/peers"
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

// An inlet counts UDP packets for one port by sender, and SMTP on the link, before
// and after all packet filters of this host.
type inlet struct{ counted []counted }

// A counted is what a rule of the inlet's counts.
type counted struct {
	sender netip.Addr // of UDP packets; zero: it is about SMTP on the link
	call   bool       // a connection that is begun, not an answer
}

// inletCounts are packets by what they are.
type inletCounts map[counted]int

// openInlet begins to count. One that was left behind is replaced.
func openInlet(h peers.Host, senders []netip.Addr) (*inlet, error) {
	c, err := nft()
	if err != nil {
		return nil, err
	}
	c.AddTable(inletTable)
	c.DelTable(inletTable)
	c.AddTable(inletTable)
	c.AddChain(arrivedChain)
	c.AddChain(acceptedChain)
	i := &inlet{}
	count := func(what counted, exprs []expr.Any) {
		i.counted = append(i.counted, what)
		for _, chain := range []*nftables.Chain{arrivedChain, acceptedChain} {
			c.AddRule(&nftables.Rule{Table: inletTable, Chain: chain, Exprs: append(exprs, &expr.Counter{})})
		}
	}
	for _, s := range senders {
		count(counted{sender: s}, countFrom(s, h.ListenPort))
	}
	for _, port := range h.Ports {
		count(counted{call: true}, countCalls(h.Link, port))
		count(counted{}, countAnswers(h.Link, port))
	}
	if err := c.Flush(); err != nil {
		return nil, fmt.Errorf("adding counters to nftables: %w", err)
	}
	return i, nil
}

// ip saddr S udp dport P
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
		equal(binaryutil.BigEndian.PutUint16(port)))
}

// iifname L tcp sport P
func countAnswers(link string, port uint16) []expr.Any {
	return append(append(in(interfaces{link}), tcpPort(src)...), equal(binaryutil.BigEndian.PutUint16(port)))
}

// tcpFlags are where a TCP header has them (RFC 9293, section 3.1).
const (
	tcpFlagsOffset = 13
	tcpSYN         = 0x02
	tcpACK         = 0x10
)

// iifname L tcp dport P tcp flags & (syn | ack) == syn
func countCalls(link string, port uint16) []expr.Any {
	all := append(append(in(interfaces{link}), tcpPort(dst)...), equal(binaryutil.BigEndian.PutUint16(port)))
	return append(all,
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: tcpFlagsOffset, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{tcpSYN | tcpACK}, Xor: []byte{0}},
		equal([]byte{tcpSYN}))
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

// read returns a chain's counters.
func (i *inlet) read(c *nftables.Conn, chain *nftables.Chain) (inletCounts, error) {
	rules, err := listRules(c, inletTable, chain)
	if err != nil || len(rules) != len(i.counted) {
		return nil, fmt.Errorf("reading the counters back: %d of %d rules: %w", len(rules), len(i.counted), err)
	}
	all := inletCounts{}
	for n, r := range rules {
		for _, x := range r.Exprs {
			if counter, ok := x.(*expr.Counter); ok {
				all[i.counted[n]] += int(counter.Packets)
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
