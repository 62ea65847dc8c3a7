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
}

// guardSets lays the guard's elements out in sets.
func guardSets(g tunnel.Guard) []guardSet {
	peers4, peers6 := addrKeys(g.Peers)
	own4, own6 := addrKeys(g.Own)
	return []guardSet{
		{setPorts, nftables.TypeInetService, false, portKeys(g.Ports)},
		{setUDP, nftables.TypeInetService, false, portKeys(g.UDP)},
		{setOwn4, nftables.TypeIPAddr, false, own4},
		{setOwn6, nftables.TypeIP6Addr, false, own6},
		{setOut4, nftables.TypeIPAddr, true, peers4},
		{setOut6, nftables.TypeIP6Addr, true, peers6},
		{setIn4, nftables.TypeIPAddr, true, peers4},
		{setIn6, nftables.TypeIP6Addr, true, peers6},
	}
}

// set returns the set as the library wants it.
func (s guardSet) set() *nftables.Set {
	return &nftables.Set{Table: guardTable, Name: s.name, KeyType: s.kind, Counter: s.counting, KeyByteOrder: binaryutil.BigEndian}
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
