package linux

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"

	"postroad/tunnel"
)

// batchBuffer is the socket buffer for a batch, in bytes: the kernel takes one
// only as a whole (100,000 elements need about 20 MB).
const batchBuffer = 64 << 20

// nft returns a connection for one batch; one that lived longer would keep a
// half-built batch after an error and send it with the next.
func nft() (*nftables.Conn, error) {
	c, err := nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		return c.SetWriteBuffer(batchBuffer)
	}))
	if err != nil {
		return nil, fmt.Errorf("opening nftables: %w", err)
	}
	return c, nil
}

// replaceGuard puts a whole table in place of what there is. One batch is one
// transaction: there is no moment without a guard.
func replaceGuard(g tunnel.Guard) error {
	c, err := nft()
	if err != nil {
		return err
	}
	c.AddTable(guardTable) // so that deleting it cannot fail
	c.DelTable(guardTable)
	c.AddTable(guardTable)
	for _, s := range guardSets(g) {
		if err := c.AddSet(s.set(), nil); err != nil {
			return err
		}
		for _, elements := range s.chunks() {
			if err := c.SetAddElements(s.set(), elements); err != nil {
				return err
			}
		}
	}
	addChains(c, guardChains(g))
	return c.Flush()
}

// addChains adds the chains, then their rules: a rule may name a later chain.
func addChains(c *nftables.Conn, chains []chain) {
	made := map[string]*nftables.Chain{}
	for _, ch := range chains {
		n := &nftables.Chain{Table: guardTable, Name: ch.name}
		if ch.hook != nil {
			n.Type, n.Hooknum, n.Priority = ch.kind, ch.hook, nftables.ChainPriorityRef(ch.priority)
		}
		made[ch.name] = c.AddChain(n)
	}
	for _, ch := range chains {
		for _, r := range ch.rules {
			c.AddRule(&nftables.Rule{Table: guardTable, Chain: made[ch.name], Exprs: r.exprs,
				UserData: userdata.AppendString(nil, userdata.TypeComment, r.why)})
		}
	}
}

type setChange func(*nftables.Conn, *nftables.Set, []nftables.SetElement) error

func addToSet(c *nftables.Conn, s *nftables.Set, e []nftables.SetElement) error {
	return c.SetAddElements(s, e)
}

func takeFromSet(c *nftables.Conn, s *nftables.Set, e []nftables.SetElement) error {
	return c.SetDeleteElements(s, e)
}

// changeGuard adds elements to a guard that is there, or takes some out.
func changeGuard(g tunnel.Guard, change setChange) error {
	c, err := nft()
	if err != nil {
		return err
	}
	for _, s := range guardSets(g) {
		for _, elements := range s.chunks() {
			if err := change(c, s.set(), elements); err != nil {
				return err
			}
		}
	}
	return c.Flush()
}

func removeGuard() error {
	c, err := nft()
	if err != nil {
		return err
	}
	c.AddTable(guardTable)
	c.DelTable(guardTable)
	return c.Flush()
}
