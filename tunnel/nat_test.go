package tunnel

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postroad/peers"
)

// TestWantNAT asks for translation where a host has what addresses, seen from a
// peer with one of each family.
func TestWantNAT(t *testing.T) {
	ip := netip.MustParseAddr
	public4, public6, private4, private6 := ip("192.0.2.10"), ip("2001:db8:a::10"), ip("10.0.0.10"), ip("fd00:a::10")
	tests := []struct {
		name             string
		declared, local  []netip.Addr
		source4, source6 netip.Addr // of the paths to the peer; zero: none
		want             NAT
	}{
		{name: "no address at all"},
		{"its own addresses", nil, []netip.Addr{public4, public6}, public4, public6, NAT{From: []netip.Addr{public4, public6}}},
		{"the path's address of two", nil, []netip.Addr{ip("192.0.2.9"), public4}, public4, netip.Addr{}, NAT{From: []netip.Addr{public4}}},
		{"the declared one of two", []netip.Addr{ip("192.0.2.9")}, []netip.Addr{ip("192.0.2.9"), public4}, public4, netip.Addr{},
			NAT{From: []netip.Addr{ip("192.0.2.9")}}},
		{"1:1 NAT", []netip.Addr{public4, public6}, []netip.Addr{private4, private6}, private4, private6,
			NAT{[]netip.Addr{public4, public6}, []Inside{{public4, private4}, {public6, private6}}}},
		{"1:1 NAT of IPv4 alone", []netip.Addr{public4, public6}, []netip.Addr{private4, public6}, private4, public6,
			NAT{[]netip.Addr{public4, public6}, []Inside{{public4, private4}}}},
		{"1:1 NAT without a way to the peer", []netip.Addr{public4}, []netip.Addr{private4}, netip.Addr{}, netip.Addr{},
			NAT{From: []netip.Addr{public4}}},
		{"one of two declared ones is missing", []netip.Addr{public4, ip("192.0.2.11")}, []netip.Addr{public4}, public4, netip.Addr{},
			NAT{From: []netip.Addr{public4}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := &peers.Config{Host: peers.Host{Link: "postroad0", Addresses: test.declared}, Peers: []peers.Peer{{Addresses: pool}}}
			f := Facts{IPv6: true, Paths: map[netip.Addr]Path{}}
			for _, a := range test.local {
				f.Local = append(f.Local, LocalAddr{a, "eth0"})
			}
			for _, a := range pool {
				if src := map[bool]netip.Addr{true: test.source4, false: test.source6}[a.Is4()]; src.IsValid() {
					f.Paths[a] = Path{Src: src, Link: "eth0"}
				}
			}
			got := Want(c, f).Guard.NAT
			if diff := cmp.Diff(test.want, got, cmpopts.EquateComparable(netip.Addr{}, Inside{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A change of what is translated replaces the guard as a whole, with all that
// was closed and all that is to be.
func TestDiffReplacesGuardForNAT(t *testing.T) {
	have := State{Guard: Guard{Sound: true, Link: "postroad0", Ports: []uint16{25}, Peers: pool[:2]}}
	want := have
	want.Guard.Peers, want.Guard.NAT.From = pool[1:3], []netip.Addr{netip.MustParseAddr("192.0.2.10")}
	plan := Diff(have, want, time.Now())
	if len(plan) != 2 {
		t.Fatalf("the plan is:\n%s", plan)
	}
	replace, ok := plan[0].(ReplaceGuard)
	if !ok || len(replace.Guard.Peers) != 3 || !replace.Guard.NAT.Equal(want.Guard.NAT) {
		t.Errorf("the first step is %s", plan[0])
	}
	if take, ok := plan[1].(TakeFromGuard); !ok || len(take.Guard.Peers) != 1 {
		t.Errorf("the last step is %s", plan[1])
	}
	have.Guard.NAT = NAT{From: want.Guard.NAT.From}
	want.Guard.Peers = have.Guard.Peers
	if plan := Diff(have, want, time.Now()); len(plan) > 0 {
		t.Errorf("nothing is to do, but the plan is:\n%s", plan)
	}
}
