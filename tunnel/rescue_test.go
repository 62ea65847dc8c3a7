package tunnel

import (
	"net/netip"
	"testing"
)

func TestRescue(t *testing.T) {
	ipv4 := []LocalAddr{{Addr: netip.MustParseAddr("192.0.2.10"), Link: "eth0"}}
	ipv6 := []LocalAddr{{Addr: netip.MustParseAddr("2001:db8:a::10"), Link: "eth0"}}
	const at4, roamed4, at6 = "198.51.100.20:51825", "203.0.113.7:1024", "[2001:db8:b::20]:51825"
	for name, test := range map[string]struct {
		have, want string
		local      []LocalAddr
		repoint    bool
	}{
		"roamed":                  {roamed4, at4, ipv4, false},
		"roamed to a family lost": {at6, at4, ipv4, true},
		"the other way":           {roamed4, at6, ipv6, true},
		"no better place":         {roamed4, at4, ipv6, false},
		"no address at all":       {roamed4, at6, nil, false},
		"never heard of":          {"", at4, ipv4, false},
		"of no known place":       {at6, "", ipv4, false},
	} {
		t.Run(name, func(t *testing.T) {
			device := func(at string) Device {
				var e netip.AddrPort
				if at != "" {
					e = netip.MustParseAddrPort(at)
				}
				return Device{Peers: []DevicePeer{{Endpoint: e}}}
			}
			want := device(test.want)
			rescue(want, device(test.have), test.local)
			if got := want.Peers[0].Repoint; got != test.repoint {
				t.Errorf("repoint %v, want %v", got, test.repoint)
			}
		})
	}
}
