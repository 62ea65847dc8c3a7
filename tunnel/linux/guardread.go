package linux

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// An element is what we read of one in a set.
type element struct {
	key     [16]byte      // as long as the set's type is
	size    int           // of the key, in bytes
	packets uint64        // that its counter says
	expires time.Duration // from now; zero: never
}

func (e *element) addr() (netip.Addr, bool) { return netip.AddrFromSlice(e.key[:e.size]) }

func (e *element) port() uint16 { return binary.BigEndian.Uint16(e.key[:]) }

// readElements lists the elements of a set of the guard, about as many as is said.
func readElements(c *asker, set string, about int) (all []element, err error) {
	all = make([]element, 0, about)
	req := appendHeader(nil, unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETSETELEM, unix.NLM_F_DUMP, byte(nftables.TableFamilyINet), 0, 0, 0)
	req = appendAttribute(req, unix.NFTA_SET_ELEM_LIST_TABLE, nl.ZeroTerminated(guardTable.Name)...)
	req = appendAttribute(req, unix.NFTA_SET_ELEM_LIST_SET, nl.ZeroTerminated(set)...)
	err = c.dump(req, func(data []byte) { all = appendElements(all, data) })
	return distinct(all), err
}

// distinct returns elements in order, each once: of a set that the kernel makes
// larger meanwhile it lists some again (rhashtable_walk_next).
func distinct(all []element) []element {
	slices.SortFunc(all, func(a, b element) int { return cmp.Or(bytes.Compare(a.key[:], b.key[:]), a.size-b.size) })
	return slices.CompactFunc(all, func(a, b element) bool { return a.key == b.key && a.size == b.size })
}

// appendElements appends those in a message: the attributes NFTA_SET_ELEM_LIST_ of
// linux/netfilter/nf_tables.h.
func appendElements(all []element, data []byte) []element {
	attributes(data[min(nl.SizeofNfgenmsg, len(data)):], func(kind uint16, list []byte) {
		if kind == unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			attributes(list, func(_ uint16, item []byte) { all = append(all, parseElement(item)) })
		}
	})
	return all
}

// parseElement reads the attributes NFTA_SET_ELEM_ of linux/netfilter/nf_tables.h.
func parseElement(data []byte) (e element) {
	attributes(data, func(kind uint16, value []byte) {
		switch kind {
		case unix.NFTA_SET_ELEM_KEY:
			attributes(value, func(kind uint16, value []byte) {
				if kind == unix.NFTA_DATA_VALUE {
					e.key = [16]byte{}
					e.size = copy(e.key[:], value)
				}
			})
		case unix.NFTA_SET_ELEM_EXPR: // the one that our sets have is a counter
			attributes(value, func(kind uint16, value []byte) {
				if kind == unix.NFTA_EXPR_DATA {
					e.packets = parseCounter(value)
				}
			})
		case unix.NFTA_SET_ELEM_EXPIRATION:
			if len(value) == 8 {
				e.expires = time.Duration(binary.BigEndian.Uint64(value)) * time.Millisecond
			}
		}
	})
	return e
}

func parseCounter(data []byte) (packets uint64) {
	attributes(data, func(kind uint16, value []byte) {
		if kind == unix.NFTA_COUNTER_PACKETS && len(value) == 8 {
			packets = binary.BigEndian.Uint64(value)
		}
	})
	return packets
}

// listRules lists the rules of a chain, of others' tables too. The library crashes
// on expressions that are shorter than it knows them: that is an error here.
func listRules(c *nftables.Conn, t *nftables.Table, ch *nftables.Chain) (rules []*nftables.Rule, err error) {
	defer func() {
		if why := recover(); why != nil {
			err = fmt.Errorf("reading the rules of chain %s in table %s: %v", ch.Name, t.Name, why)
		}
	}()
	return c.GetRules(t, ch)
}

// ruleSizes lists how many expressions the rules of the guard have, in their order,
// by chain.
func ruleSizes() (map[string][]int, error) {
	c, err := newAsker(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	defer c.close()
	return retry(func() (map[string][]int, error) {
		all := map[string][]int{}
		req := appendHeader(nil, unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP, byte(nftables.TableFamilyINet), 0, 0, 0)
		req = appendAttribute(req, unix.NFTA_RULE_TABLE, nl.ZeroTerminated(guardTable.Name)...)
		err := c.dump(req, func(data []byte) {
			chain, n := ruleSize(data)
			all[chain] = append(all[chain], n)
		})
		return all, err
	})
}

// ruleSize reads the attributes NFTA_RULE_ of linux/netfilter/nf_tables.h. A
// negative size is that of a rule that makes no sense.
func ruleSize(data []byte) (chain string, expressions int) {
	attributes(data[min(nl.SizeofNfgenmsg, len(data)):], func(kind uint16, value []byte) {
		switch kind {
		case unix.NFTA_RULE_CHAIN:
			chain = text(value)
		case unix.NFTA_RULE_EXPRESSIONS:
			expressions = countNested(value)
		}
	})
	return chain, expressions
}

// countNested counts attributes that have others within; negative: one makes no
// sense.
func countNested(list []byte) (n int) {
	sound := true
	all := attributes(list, func(_ uint16, item []byte) {
		n++
		sound = attributes(item, func(uint16, []byte) {}) && sound
	})
	if !all || !sound {
		return -1
	}
	return n
}
