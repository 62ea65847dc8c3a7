package tunnel

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"postroad/peers"
)

func TestJudge(t *testing.T) {
	c := testConfig()
	facts := Facts{IPv6: true, Local: []LocalAddr{{netip.MustParseAddr("192.0.2.10"), "eth0"}},
		Endpoints: map[string][]netip.Addr{"mx.bravo.example": {netip.MustParseAddr("203.0.113.7")}}}
	want := Want(c, facts)
	for _, test := range []struct {
		name   string
		damage func(*State)
		want   PeerState
	}{
		{"answers", func(*State) {}, Protected},
		{"answered 179 s ago", func(s *State) { s.Device.Peers[0].LastHandshake = secondsAgo(179) }, Protected},
		{"answered 181 s ago", func(s *State) { s.Device.Peers[0].LastHandshake = secondsAgo(181) }, Idle},
		{"never answered", func(s *State) { s.Device.Peers[0].LastHandshake = time.Time{} }, Waiting},
		{"no link", func(s *State) { s.Link, s.Device, s.Routes = Link{}, Device{}, s.Routes[:1] }, Blocked},
		{"link down", func(s *State) { s.Link.Up = false }, Blocked},
		{"not in the device", func(s *State) { s.Device.Peers = nil }, Blocked},
		{"a rule missing", func(s *State) { s.Rules = s.Rules[1:] }, Blocked},
		{"only the twin", func(s *State) { s.Routes = s.Routes[:1] }, Blocked},
		{"no guard, but steered", func(s *State) { s.Guard = Guard{} }, Protected},
		{"no guard, no rules", func(s *State) { s.Guard, s.Rules = Guard{}, nil }, Clear},
		{"no guard, no routes", func(s *State) { s.Guard, s.Routes = Guard{}, nil }, Clear},
		{"a guard that guards nobody, no rules", func(s *State) { s.Guard.Peers, s.Rules = nil, nil }, Clear},
		{"a guard without the port, no rules", func(s *State) { s.Guard.Ports, s.Rules = nil, nil }, Clear},
	} {
		t.Run(test.name, func(t *testing.T) {
			have := observed(want)
			test.damage(&have)
			got := Judge(c, have, want, time.Now())
			if got[0].State != test.want || (got[0].Reason == "") != (test.want == Protected) {
				t.Errorf("got %s (%s), want %s", got[0].State, got[0].Reason, test.want)
			}
		})
	}
}

func TestTracker(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	tr := tracker{log: slog.New(slog.DiscardHandler)}
	look := func(after time.Duration, state PeerState, handshake time.Time, sent int64) PeerStatus {
		all := []PeerStatus{{Name: "b", PublicKey: peers.PublicKey{1}, State: state, LastHandshake: handshake, Sent: sent}}
		tr.update(all, start.Add(after))
		return all[0]
	}
	if s := look(0, Protected, start, 100); !s.Since.Equal(start) {
		t.Errorf("since %s", s.Since)
	}
	if s := look(time.Minute, Protected, start, 200); !s.Since.Equal(start) {
		t.Errorf("since moved to %s", s.Since)
	}
	if s := look(4*time.Minute, Idle, start, 200); s.State != Idle || !s.Since.Equal(start.Add(4*time.Minute)) {
		t.Errorf("nothing sent: %s since %s", s.State, s.Since)
	}
	if s := look(5*time.Minute, Idle, start, 348); s.State != Blocked {
		t.Errorf("sent and not answered, but it is %s", s.State)
	}
	if s := look(6*time.Minute, Idle, start, 348); s.State != Blocked {
		t.Errorf("forgot that nobody answers: %s", s.State)
	}
	if s := look(7*time.Minute, Protected, start.Add(7*time.Minute), 900); s.State != Protected {
		t.Errorf("answered, but it is %s", s.State)
	}
}
