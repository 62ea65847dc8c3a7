package show

import (
	"fmt"
	"io"
	"net/netip"
	"testing"

	"postroad/peers"
	"postroad/tunnel"
)

// BenchmarkStatus10000 shows a host with that many peers, of whose lines one in
// ten has a reason.
func BenchmarkStatus10000(b *testing.B) {
	s := example()
	s.Peers = nil
	for i := range 10000 {
		p := tunnel.PeerStatus{Name: fmt.Sprintf("mx%d.many.example", i), Policy: peers.Require, State: tunnel.Protected, Since: now,
			LastHandshake: now, Sent: int64(i), Endpoint: netip.MustParseAddrPort("203.0.113.5:51825")}
		if i%10 == 0 {
			p.State, p.Reason = tunnel.Waiting, "it has never answered"
		}
		s.Peers = append(s.Peers, p)
	}
	for _, width := range []int{0, 140, 60} {
		b.Run(fmt.Sprint(width), func(b *testing.B) {
			for b.Loop() {
				if err := Status(io.Discard, s, now, Screen{Width: width}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
