package tunnel

import (
	"net/netip"
	"slices"
	"testing"

	"postroad/peers"
)

func TestRulesGoInFrontOfThoseThatLanded(t *testing.T) {
	priorities := func(others ...OtherRule) (four, six []int) {
		for _, r := range inFront(wantRules([]uint16{25}, true), others) {
			if r.IPv6 {
				six = append(six, r.Priority)
			} else {
				four = append(four, r.Priority)
			}
		}
		return slices.Compact(four), slices.Compact(six)
	}
	usual := []int{2500, 2510}
	for name, test := range map[string]struct {
		others    []OtherRule
		four, six []int
	}{
		"nobody":              {nil, usual, usual},
		"behind":              {[]OtherRule{{Priority: 2511}, {Priority: 5210}, {Priority: 32766}}, usual, usual},
		"wg-quick":            {[]OtherRule{{Priority: 2499}, {Priority: 2498}}, []int{2487, 2497}, usual},
		"wg-quick for IPv6":   {[]OtherRule{{IPv6: true, Priority: 2499}}, usual, []int{2488, 2498}},
		"between ours":        {[]OtherRule{{Priority: 2505}}, []int{2494, 2504}, usual},
		"at the same place":   {[]OtherRule{{Priority: 2510}}, []int{2499, 2509}, usual},
		"as far as they land": {[]OtherRule{{Priority: 2000}}, []int{1989, 1999}, usual},
		"on purpose":          {[]OtherRule{{Priority: 100}, {Priority: 1999}}, usual, usual},
		"both":                {[]OtherRule{{Priority: 100}, {Priority: 2400}}, []int{2389, 2399}, usual},
	} {
		t.Run(name, func(t *testing.T) {
			four, six := priorities(test.others...)
			if !slices.Equal(four, test.four) || !slices.Equal(six, test.six) {
				t.Errorf("IPv4 %v, IPv6 %v, want %v and %v", four, six, test.four, test.six)
			}
		})
	}
}

// A VPN that takes all traffic, and has addresses of its own, does not change our
// mail addresses where the file does not declare them.
func TestOwnAddressesWithAnotherVPN(t *testing.T) {
	addr := netip.MustParseAddr
	public, private := addr("192.0.2.10"), addr("10.8.0.2")
	local := []LocalAddr{{public, "eth0"}, {private, "wg0"}}
	for name, test := range map[string]struct {
		peer  netip.Addr
		path  Path
		local []LocalAddr
		want  []netip.Addr
	}{
		"no VPN":                {addr("198.51.100.20"), Path{Src: public, Link: "eth0"}, local, []netip.Addr{public}},
		"a VPN takes all":       {addr("198.51.100.20"), Path{Src: private, Link: "wg0"}, local, []netip.Addr{public}},
		"a peer in the VPN":     {addr("10.8.0.1"), Path{Src: private, Link: "wg0"}, local, []netip.Addr{private}},
		"no public address":     {addr("198.51.100.20"), Path{Src: private, Link: "wg0"}, local[1:], []netip.Addr{private}},
		"the path is not known": {addr("198.51.100.20"), Path{}, local, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := &peers.Config{Peers: []peers.Peer{{Addresses: []netip.Addr{test.peer}}}}
			f := Facts{Local: test.local, Paths: map[netip.Addr]Path{}}
			if test.path.Link != "" {
				f.Paths[test.peer] = test.path
			}
			if got := ownAddresses(c, f); !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
