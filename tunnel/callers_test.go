package tunnel

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"postroad/peers"
)

// Who called a while ago and has had no handshake since is shut out, whatever
// address of its it called from.
func TestShutOut(t *testing.T) {
	now := time.Now()
	ends, mail, mail6 := netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, tt := range map[string]struct {
		from      netip.Addr
		called    time.Duration // ago
		handshake time.Time
		want      bool
	}{
		"never let in":                   {ends, 2 * time.Second, time.Time{}, true},
		"not since long":                 {ends, 2 * time.Second, ago(time.Hour), true},
		"from its mail address":          {mail, 2 * time.Second, ago(time.Minute), true},
		"over IPv6":                      {mail6, 2 * time.Second, ago(time.Minute), true},
		"in a session":                   {ends, 9 * time.Second, ago(20 * time.Second), true},
		"from elsewhere":                 {netip.MustParseAddr("203.0.113.8"), 2 * time.Second, time.Time{}, false},
		"its handshake may be under way": {ends, letInWithin - time.Millisecond, ago(time.Hour), false},
		"let in at once":                 {ends, 9 * time.Second, ago(9 * time.Second), false},
		"let in a moment before":         {ends, 9 * time.Second, ago(9*time.Second + 20*time.Millisecond), false}, // the times are not exact
		"let in, and later":              {ends, 9 * time.Second, ago(time.Second), false},
		"let in just now":                {ends, 2 * time.Second, now.Add(20 * time.Millisecond), false},
		"our clock was ahead":            {ends, 2 * time.Second, now.Add(time.Hour), true},
	} {
		// as the system says it: without a monotonic clock
		p := DevicePeer{PublicKey: peers.PublicKey{1}, Endpoint: netip.AddrPortFrom(ends, 4000), Allowed: []netip.Addr{mail, mail6}, LastHandshake: tt.handshake.Round(0)}
		other := DevicePeer{PublicKey: peers.PublicKey{2}, Allowed: []netip.Addr{netip.MustParseAddr("10.0.0.2")}}
		got := shutOut(map[netip.Addr]time.Time{tt.from: ago(tt.called)}, []DevicePeer{p, other}, now)
		want := map[peers.PublicKey]bool{}
		if tt.want {
			want[p.PublicKey] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if got := shutOut(nil, []DevicePeer{{}}, now); len(got) > 0 {
		t.Errorf("nobody calls, and shut out are %v", got)
	}
}

// forgotten returns three peers: with the first our clock was ahead, and it is shut
// out; with the second it was, too; the third is shut out. All have roamed.
func forgotten(now time.Time) (have, want State) {
	c, facts := manyPeers(3), manyFacts(manyPeers(3))
	want = Want(c, facts)
	f := &fake{facts: facts}
	for _, s := range Diff(State{}, want, now) {
		if err := f.do(s); err != nil {
			panic(err)
		}
	}
	have = f.look()
	shut := map[peers.PublicKey]bool{}
	for i := range have.Device.Peers {
		p := &have.Device.Peers[i]
		p.LastHandshake = now.Add([]time.Duration{time.Hour, time.Hour, -time.Minute}[i])
		p.Endpoint = netip.AddrPortFrom(netip.MustParseAddr("203.0.113.99"), uint16(4000+i))
		shut[p.PublicKey] = i != 1
	}
	forget(want.Device, have.Device, shut, now)
	return have, want
}

// Of many peers only the one is made anew, at the place that it has roamed to, and
// is spoken to; that opens nothing.
func TestForgettingAPeer(t *testing.T) {
	now := time.Now()
	have, want := forgotten(now)
	anew := want.Device.Peers[0]
	anew.Endpoint = have.Device.Peers[0].Endpoint
	if !anew.Anew {
		t.Fatal("it is not to be made anew")
	}
	plan := Diff(have, want, now)
	if diff := cmp.Diff((Plan{SetPeer{"postroad0", anew}, GreetPeer{"postroad0", want.Device.Peers[0]}}).String(), plan.String()); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	if !strings.Contains(plan.String(), "made anew") {
		t.Errorf("the plan does not say it: %s", plan)
	}
	f := &fake{state: clone(have)}
	for _, s := range plan {
		if err := f.do(s); err != nil {
			t.Fatal(err)
		}
		for _, p := range want.Device.Peers {
			if !Closed(f.state, p.Allowed[0], want.Guard.Ports) {
				t.Errorf("after %s, %s is open", s, p.Allowed[0])
			}
		}
	}
	for i, p := range f.state.Device.Peers {
		if got, want := p.LastHandshake.IsZero(), i == 0; got != want {
			t.Errorf("peer %d: forgotten %v, want %v", i, got, want)
		}
	}
	f.state.Device.Peers[0].LastHandshake, want.Device.Peers[0].Anew = now, false
	if again := Diff(f.state, want, now); len(again) > 0 {
		t.Errorf("then there is still to do:\n%s", again)
	}
}

// A peer that calls and is not let in is called back within seconds, and as long as
// it calls no more often than WireGuard would; one that is let in is left alone.
func TestLoopCallsBack(t *testing.T) {
	for _, session := range []time.Duration{0, 20 * time.Second, time.Hour} { // since its handshake
		synctest.Test(t, func(t *testing.T) {
			r := start(t, nil)
			settle()
			from := r.fake.look().Device.Peers[0].Endpoint.Addr()
			shake := func(at time.Time) { r.fake.damage(func(s *State) { s.Device.Peers[0].LastHandshake = at.Round(0) }) }
			if session != 0 {
				shake(time.Now().Add(-session))
			}
			time.Sleep(10 * time.Second)
			before := len(r.fake.greeted())
			r.fake.calls(from)
			time.Sleep(listenInterval + letInWithin + time.Millisecond)
			synctest.Wait()
			if n := len(r.fake.greeted()) - before; n != 1 {
				t.Fatalf("session %s: called back %d times", session, n)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if n := len(r.fake.greeted()) - before; n < 6 || n > 1+int(time.Minute/callBackGap) {
				t.Errorf("session %s: called back %d times in a minute", session, n)
			}
			r.fake.calls(from)
			shake(time.Now())
			before = len(r.fake.greeted())
			time.Sleep(time.Minute)
			synctest.Wait()
			if n := len(r.fake.greeted()) - before; n != 0 {
				t.Errorf("session %s: called back %d times after it was let in", session, n)
			}
			r.wantInPlace(t)
		})
	}
}

// A peer with whom our own clock was ahead is forgotten when it is shut out, not
// before, and once; nobody has repaired anything.
func TestLoopForgetsAheadPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		settle()
		r.fake.damage(func(s *State) { s.Device.Peers[0].LastHandshake = time.Now().Add(time.Hour).Round(0) })
		time.Sleep(time.Minute)
		synctest.Wait()
		if r.fake.look().Device.Peers[0].LastHandshake.IsZero() {
			t.Fatal("it was forgotten although nobody calls")
		}
		before, greeted := r.Loop.counters.clone(), len(r.fake.greeted())
		r.fake.calls(r.fake.look().Device.Peers[0].Endpoint.Addr())
		time.Sleep(listenInterval + letInWithin + time.Millisecond)
		synctest.Wait()
		if !r.fake.look().Device.Peers[0].LastHandshake.IsZero() || len(r.fake.greeted()) == greeted {
			t.Fatal("it was not made anew and called")
		}
		r.fake.damage(func(s *State) { s.Device.Peers[0].LastHandshake = time.Now().Round(0) })
		time.Sleep(time.Minute)
		synctest.Wait()
		after := r.Loop.counters.clone()
		if n := after.Changes[PeerStep] - before.Changes[PeerStep]; n != 1 || after.Repairs[PeerStep] != before.Repairs[PeerStep] {
			t.Errorf("%d changes and %d repairs of peers", n, after.Repairs[PeerStep]-before.Repairs[PeerStep])
		}
		if n := strings.Count(r.log.String(), "this host's clock was ahead"); n != 1 {
			t.Errorf("told %d times:\n%s", n, r.log)
		}
		r.wantInPlace(t)
	})
}

// Whoever calls in a peer's name makes looks as frequent as is cheap, no more so.
func TestPaceRests(t *testing.T) {
	now := time.Now()
	p := pace{last: now, took: 100 * time.Millisecond}
	if p.rested(now.Add(900*time.Millisecond)) || !p.rested(now.Add(time.Second)) {
		t.Error("a pass that takes 100 ms is worth another after 1 s and no sooner")
	}
}
