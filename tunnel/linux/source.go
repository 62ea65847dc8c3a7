package linux

import (
	"net/netip"
	"slices"
)

// faraway are addresses that every default route leads to. Nothing is sent there.
var faraway = []netip.Addr{netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("2606:4700:4700::1111")}

// SourceAddresses returns the addresses that this host speaks to the world from:
// for IPv4 and IPv6 the source of the default route. A host with neither route
// has all addresses of its interfaces, but for those of the link that is given.
func SourceAddresses(link string) ([]netip.Addr, error) {
	links, err := interfaceTable()
	if err != nil {
		return nil, err
	}
	var all []netip.Addr
	for _, a := range faraway {
		if p, ok := pathTo(a, links); ok && p.Link != link {
			all = append(all, p.Src)
		}
	}
	if len(all) > 0 {
		return all, nil
	}
	local, err := localAddrs(links, link)
	for _, a := range local {
		all = append(all, a.Addr)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all), err
}
