package tunnel

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Connections are asked for the file's ports, and only when somebody looks.
func TestStatusCountsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(r *rig) {
			r.fake.connections = map[netip.Addr]int{pool[0]: 3, netip.MustParseAddr("192.0.2.99"): 5}
		})
		time.Sleep(time.Minute)
		if r.fake.asked != nil {
			t.Error("asked for connections although nobody looks")
		}
		s, err := r.Status(t.Context())
		if err != nil || s.Peers[0].Connections != 3 || s.Uncounted != "" || !slices.Equal(r.fake.asked, []uint16{25}) {
			t.Errorf("%+v, %v; asked for ports %d", s, err, r.fake.asked)
		}
		r.fake.uncounted = errors.New("no inet_diag")
		if s, err = r.Status(t.Context()); err != nil || s.Peers[0].Connections != 0 || s.Uncounted != "no inet_diag" {
			t.Errorf("%+v, %v", s, err)
		}
	})
}
