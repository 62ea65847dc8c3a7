package linux

import (
	"net/netip"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"postroad/peers"
	"postroad/tunnel"
)

// However many peers are greeted at once, WireGuard is told of each of them once
// at a time, and in the end what its keepalive is.
func TestRoundsTellOfAPeerOnceAtATime(t *testing.T) {
	const n = 40
	var steps []tunnel.Step
	for i := range n {
		steps = append(steps, tunnel.GreetPeer{Link: "postroad0", Peer: tunnel.DevicePeer{PublicKey: peers.PublicKey{byte(i)}, Keepalive: 25 * time.Second}})
	}
	link, all := rounds(steps, greetPeer)
	if link != "postroad0" || len(all) != 3 {
		t.Fatalf("%d rounds on %s", len(all), link)
	}
	for round, want := range []time.Duration{0, time.Minute, 25 * time.Second} {
		told := map[wgtypes.Key]bool{}
		for _, p := range all[round] {
			if told[p.PublicKey] = true; *p.PersistentKeepaliveInterval != want {
				t.Errorf("round %d: keepalive %s", round, *p.PersistentKeepaliveInterval)
			}
		}
		if len(told) != n || len(all[round]) != n {
			t.Errorf("round %d tells %d times of %d peers", round, len(all[round]), len(told))
		}
	}
}

// A peer that is made anew is removed, then added as it is to be; others stay.
func TestPeerMadeAnewIsRemovedFirst(t *testing.T) {
	peer := func(n byte, anew bool) tunnel.Step {
		return tunnel.SetPeer{Link: "postroad0", Peer: tunnel.DevicePeer{PublicKey: peers.PublicKey{n}, Anew: anew,
			Endpoint: netip.MustParseAddrPort("203.0.113.7:4000"), Allowed: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}}
	}
	_, all := rounds([]tunnel.Step{peer(1, true), peer(2, false)}, setPeer)
	if len(all) != 2 || len(all[0]) != 2 || len(all[1]) != 1 {
		t.Fatalf("not two rounds, of two and one: %v", all)
	}
	if gone, stays := all[0][0], all[0][1]; !gone.Remove || stays.Remove || len(stays.AllowedIPs) != 1 {
		t.Errorf("first: %+v", all[0])
	}
	if again := all[1][0]; again.Remove || again.PublicKey != all[0][0].PublicKey || again.Endpoint == nil || len(again.AllowedIPs) != 1 {
		t.Errorf("then: %+v", again)
	}
}
