package linux

import (
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
