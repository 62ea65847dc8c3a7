package userspace

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

// A flood of handshakes from anywhere takes nothing of what is for the peers, nor
// of anything that is no handshake, and is let in again at the rate promised.
func TestAdmission(t *testing.T) {
	peer, other := netip.MustParseAddr("198.51.100.20"), netip.MustParseAddr("203.0.113.66")
	at := time.Unix(1e9, 0)
	now := func() time.Time { return at }
	kind := func(k uint32, n int) []byte {
		return append(binary.LittleEndian.AppendUint32(nil, k), make([]byte, n-4)...)
	}
	initiation, response, cookie, data := kind(1, 148), kind(2, 92), kind(3, 64), kind(4, 1400)
	a := newAdmission()
	a.know(peer)
	admitted := func(packet []byte, from netip.Addr, tries int) (n int) {
		for range tries {
			if a.admits(packet, from, now) {
				n++
			}
		}
		return n
	}
	want := func(what string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	want("a flood from elsewhere", admitted(initiation, other, 100_000), othersHandshakes)
	want("answers from elsewhere, then", admitted(response, other, 1000), 0)
	want("data from elsewhere, then", admitted(data, other, 1000), 1000)
	want("cookies from elsewhere, then", admitted(cookie, other, 1000), 1000)
	want("what is too short to be anything", admitted([]byte{1, 0, 0, 0}, other, 1000), 1000)
	want("a peer's handshakes, then", admitted(initiation, peer, 1000)+admitted(response, peer, 900), 1900)
	want("a flood from a peer's address", admitted(initiation, peer, 100_000), peersHandshakes-1900)
	want("its data, then", admitted(data, peer, 1000), 1000)
	at = at.Add(time.Second / 2)
	want("from elsewhere, half a second later", admitted(initiation, other, 100_000), othersHandshakes/2)
	want("from the peer, half a second later", admitted(initiation, peer, 100_000), peersHandshakes/2)
}
