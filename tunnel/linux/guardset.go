package linux

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"

	"postroad/tunnel"
)

// elementsPerCall bounds what is given to one call of the library, whose
// 16-bit attribute length wraps silently.
const elementsPerCall = 1000

var guardTable = &nftables.Table{Family: nftables.TableFamilyINet, Name: tunnel.GuardTable}

// A guardSet is a set of the guard with the elements it should have.
type guardSet struct {
	name     string
	kind     nftables.SetDatatype
	counting bool
	keys     [][]byte
	filled   bool // by packets: what is in it is no part of the wish
}

// guardSets lays the guard's elements out in sets.
func guardSets(g tunnel.Guard) []guardSet {
	peers4, peers6 := addrKeys(g.Peers)
	own4, own6 := addrKeys(g.Own)
	return []guardSet{
		{name: setPorts, kind: nftables.TypeInetService, keys: portKeys(g.Ports)},
		{name: setUDP, kind: nftables.TypeInetService, keys: portKeys(g.UDP)},
		{name: setOwn4, kind: nftables.TypeIPAddr, keys: own4},
		{name: setOwn6, kind: nftables.TypeIP6Addr, keys: own6},
		{name: setOut4, kind: nftables.TypeIPAddr, counting: true, keys: peers4},
		{name: setOut6, kind: nftables.TypeIP6Addr, counting: true, keys: peers6},
		{name: setIn4, kind: nftables.TypeIPAddr, counting: true, keys: peers4},
		{name: setIn6, kind: nftables.TypeIP6Addr, counting: true, keys: peers6},
		{name: setCallers4, kind: nftables.TypeIPAddr, filled: true},
		{name: setCallers6, kind: nftables.TypeIP6Addr, filled: true},
	}
}

// set returns the set as the library wants it.
func (s guardSet) set() *nftables.Set {
	set := &nftables.Set{Table: guardTable, Name: s.name, KeyType: s.kind, Counter: s.counting, KeyByteOrder: binaryutil.BigEndian}
	if s.filled {
		set.Dynamic, set.HasTimeout, set.Timeout, set.Size = true, true, callersKept, maxCallers
	}
	return set
}

// chunks returns the elements in portions that the library can take.
func (s guardSet) chunks() [][]nftables.SetElement {
	var all [][]nftables.SetElement
	for keys := range slices.Chunk(s.keys, elementsPerCall) {
		var elements []nftables.SetElement
		for _, k := range keys {
			elements = append(elements, nftables.SetElement{Key: k})
		}
		all = append(all, elements)
	}
	return all
}

func addrKeys(addrs []netip.Addr) (keys4, keys6 [][]byte) {
	for _, a := range addrs {
		if a.Is4() {
			keys4 = append(keys4, a.AsSlice())
		} else {
			keys6 = append(keys6, a.AsSlice())
		}
	}
	return keys4, keys6
}

func portKeys(ports []uint16) [][]byte {
	var keys [][]byte
	for _, p := range ports {
		keys = append(keys, binaryutil.BigEndian.PutUint16(p))
	}
	return keys
}
