package tunnel

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postroad/peers"
)

// A shelf is a LatchStore that can fail, or be out of order.
type shelf struct {
	mu      sync.Mutex
	kept    peers.Latches
	saves   int
	full    error // Save's
	damaged error // Load's
}

func (s *shelf) Load() (peers.Latches, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.damaged != nil {
		return nil, s.damaged
	}
	return slices.Clone(s.kept), nil
}

func (s *shelf) Save(l peers.Latches) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full == nil {
		s.kept, s.saves = slices.Clone(l), s.saves+1
	}
	return s.full
}

func (s *shelf) set(how func(*shelf)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	how(s)
}

func (s *shelf) holds(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.kept, func(l peers.Latched) bool { return l.Name == name })
}

// withPolicy is testConfig with another policy.
func withPolicy(p peers.Policy) *peers.Config {
	c := testConfig()
	c.Peers[0].Policy = p
	return c
}

// TestPolicyDecides is the decision on a fake clock: what a peer says, and when.
func TestPolicyDecides(t *testing.T) {
	const never = -24 * time.Hour
	type look struct {
		at        time.Duration // since the first look
		handshake time.Duration // since then, too
		open      bool
	}
	for _, test := range []struct {
		name   string
		policy peers.Policy
		held   bool // at the start
		looks  []look
	}{
		{"require is never open", peers.Require, false, []look{{0, never, false}, {time.Hour, never, false}, {2 * time.Hour, time.Hour, false}}},
		{"prefer, never answered", peers.Prefer, false, []look{{0, never, true}, {time.Hour, never, true}}},
		{"prefer, answers", peers.Prefer, false, []look{{0, never, true}, {5 * time.Second, 4 * time.Second, false}}},
		{"prefer, falls silent", peers.Prefer, false, []look{
			{0, 0, false}, {180 * time.Second, 0, false}, {239 * time.Second, 0, false}, {240 * time.Second, 0, true}, {time.Hour, 0, true}}},
		{"prefer, answers at the last moment", peers.Prefer, false, []look{
			{0, 0, false}, {200 * time.Second, 0, false}, {259 * time.Second, 258 * time.Second, false}, {400 * time.Second, 258 * time.Second, false},
			{438 * time.Second, 258 * time.Second, false}, {498 * time.Second, 258 * time.Second, true}}},
		{"prefer, comes back", peers.Prefer, false, []look{
			{0, 0, false}, {180 * time.Second, 0, false}, {300 * time.Second, 0, true}, {305 * time.Second, 301 * time.Second, false}}},
		{"prefer, had answered before the start", peers.Prefer, true, []look{{0, never, false}, {59 * time.Second, never, false}, {time.Minute, never, true}}},
		{"latch, never answered", peers.Latch, false, []look{{0, never, true}, {time.Hour, never, true}}},
		{"latch, answered once", peers.Latch, false, []look{{0, never, true}, {5 * time.Second, 4 * time.Second, false}, {24 * time.Hour, 4 * time.Second, false}}},
		{"latch, had answered before the start", peers.Latch, true, []look{{0, never, false}, {24 * time.Hour, never, false}}},
		{"latch, answered long ago", peers.Latch, false, []look{{0, -time.Minute, false}}},
		{"prefer, by a clock that went back", peers.Prefer, false, []look{{0, 48 * time.Hour, false}, {time.Hour, 48 * time.Hour, false}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, begin := withPolicy(test.policy), time.Now()
			store := &shelf{}
			if test.held {
				store.kept = c.Latches(everybody(c))
			}
			s := policies{log: slog.New(slog.DiscardHandler), store: store}
			s.accept(nil, c)
			for _, l := range test.looks {
				have := State{Link: Link{Up: true}, Device: Device{Peers: []DevicePeer{{PublicKey: c.Peers[0].PublicKey}}}}
				if l.handshake != never {
					have.Device.Peers[0].LastHandshake = begin.Add(l.handshake)
				}
				s.look(c, have, begin.Add(l.at))
				if got := len(s.open(c)) == 1; got != l.open {
					t.Errorf("at %s: open is %v", l.at, got)
				}
				if store.holds("bravo") != !(l.open || test.policy == peers.Require && l.handshake == never) {
					t.Errorf("at %s: remembered %v", l.at, store.kept)
				}
			}
		})
	}
}

// Where nobody calls nobody can answer: our own trouble opens nothing.
func TestPolicyWaitsForOurLink(t *testing.T) {
	c, begin := withPolicy(peers.Prefer), time.Now()
	s := policies{log: slog.New(slog.DiscardHandler), store: &shelf{kept: c.Latches(everybody(c))}}
	s.accept(nil, c)
	device := Device{Peers: []DevicePeer{{PublicKey: c.Peers[0].PublicKey}}}
	for i, have := range []State{{}, {Link: Link{Up: true}}, {Device: device}, {Link: Link{Up: true}, Device: device}} {
		s.look(c, have, begin.Add(time.Duration(i)*time.Hour))
		if len(s.open(c)) > 0 {
			t.Errorf("%d: open", i)
		}
	}
	s.look(c, State{Link: Link{Up: true}, Device: device}, begin.Add(3*time.Hour+time.Minute))
	if len(s.open(c)) == 0 {
		t.Error("called for a minute and not answered, but not open")
	}
}

// policyRig is a loop with a peer of a policy, and a store.
func policyRig(t *testing.T, p peers.Policy, store *shelf) *rig {
	t.Helper()
	return start(t, func(r *rig) {
		r.first, r.file, r.store = withPolicy(p), withPolicy(p), store
	})
}

func (r *rig) answers() {
	r.fake.damage(func(s *State) { s.Device.Peers[0].LastHandshake = time.Now() })
}

func (r *rig) wantClear(t *testing.T) {
	t.Helper()
	s := r.fake.look()
	if got := send(s, packet{pool[0], 0, 25}); got != inClear || len(s.Device.Peers) != 1 || s.Device.Peers[0].Keepalive != policyKeepalive {
		t.Errorf("mail is %s; WireGuard knows %+v", got, s.Device.Peers)
	}
}

// wait lets the loop work for a time.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestPreferGoesInAndOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		r := policyRig(t, peers.Prefer, store)
		settle()
		r.wantClear(t)
		s, err := r.Status(t.Context())
		if err != nil || s.Well() || !s.Closed() || s.Peers[0].State != Clear || !s.Peers[0].ByPolicy ||
			s.Summary() != "SMTP with 1 of 1 peers flows IN CLEAR by policy: bravo (policy prefer: it has not answered yet)" {
			t.Errorf("status: %q, %+v (%v)", s.Summary(), s, err)
		}
		wait(10 * time.Minute)
		r.answers()
		settle()
		r.wantInPlace(t)
		if s, _ = r.Status(t.Context()); s.Peers[0].State != Protected || s.Peers[0].ByPolicy || s.Peers[0].ClearSeconds < 600 || s.Peers[0].ClearSeconds > 602 {
			t.Errorf("after an answer: %+v", s.Peers[0])
		}
		wait(sessionLife + 50*time.Second)
		r.wantInPlace(t)
		wait(11 * time.Second)
		r.wantClear(t)
		if s, _ = r.Status(t.Context()); s.Peers[0].ClearSeconds < 600 || !strings.HasPrefix(s.Peers[0].Reason, "policy prefer: it has not answered since ") {
			t.Errorf("after silence: %+v", s.Peers[0])
		}
		if got := r.about("peer clear"); len(got) != 2 || !strings.HasPrefix(got[0], "level=WARN") || !strings.HasPrefix(got[1], "level=WARN") {
			t.Errorf("logged: %q", got)
		}
		if got := r.about("peer protected"); len(got) != 1 || !strings.HasPrefix(got[0], "level=INFO") {
			t.Errorf("logged: %q", got)
		}
		if got := r.about("drift repaired"); len(got) > 0 {
			t.Errorf("takes its own change for another's: %q", got)
		}
		r.answers()
		settle()
		r.wantInPlace(t)
	})
}

// Every look by others at a peer that has just answered must find what was decided,
// not what will be.
func TestReportDecidesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := policyRig(t, peers.Latch, &shelf{})
		settle()
		r.fake.mu.Lock()
		r.fake.state.Device.Peers[0].LastHandshake = time.Now()
		r.fake.mu.Unlock()
		if s, err := r.Status(t.Context()); err != nil || s.Peers[0].State != Clear || !s.Peers[0].ByPolicy {
			t.Errorf("%+v, %v", s.Peers, err)
		}
		r.wantClear(t)
		wait(shortInterval)
		r.wantInPlace(t)
		if s, err := r.Status(t.Context()); err != nil || s.Peers[0].State != Protected || !s.Peers[0].Latched {
			t.Errorf("%+v, %v", s.Peers, err)
		}
		if strings.Contains(r.log.String(), "level=ERROR") {
			t.Errorf("logged: %s", r.log)
		}
	})
}

func TestLatchHoldsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		r := policyRig(t, peers.Latch, store)
		settle()
		r.wantClear(t)
		r.answers()
		settle()
		r.wantInPlace(t)
		wait(24 * time.Hour)
		r.wantInPlace(t)
		r.file.Peers[0].PublicKey = peers.PublicKey{9} // who lost his key is the same
		if err := r.Reload(t.Context()); err != nil {
			t.Error(err)
		}
		wait(time.Hour)
		r.wantInPlace(t)
		r.stop()
		synctest.Wait()

		again := policyRig(t, peers.Latch, store) // on a host that has nothing of ours
		wait(time.Hour)
		again.wantInPlace(t)
		again.file = withPolicy(peers.Prefer) // and on purpose
		if err := again.Reload(t.Context()); err != nil {
			t.Error(err)
		}
		wait(10 * time.Second)
		again.wantClear(t)
		again.file = withPolicy(peers.Latch)
		if err := again.Reload(t.Context()); err != nil {
			t.Error(err)
		}
		wait(time.Hour)
		again.wantClear(t)
	})
}

// Who was taken out of the file is forgotten.
func TestLatchForgetsWhoIsTakenOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		r := policyRig(t, peers.Latch, store)
		settle()
		r.answers()
		settle()
		all := r.file.Peers
		for _, file := range [][]peers.Peer{nil, all} {
			r.file = withPolicy(peers.Latch)
			r.file.Peers = file
			if err := r.Reload(t.Context()); err != nil {
				t.Error(err)
			}
			settle()
		}
		r.wantClear(t)
		if store.holds("bravo") {
			t.Errorf("still remembered: %v", store.kept)
		}
	})
}

// A peer is protected whether or not it can be remembered that it has answered;
// that it cannot is said until it can.
func TestLatchThatCannotBeKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{full: errors.New("disk full")}
		r := policyRig(t, peers.Latch, store)
		settle()
		r.wantClear(t)
		r.answers()
		settle()
		r.wantInPlace(t)
		if s, err := r.Status(t.Context()); err != nil || s.Well() || !strings.Contains(s.Problem, "disk full") {
			t.Errorf("status hides it: %+v, %v", s, err)
		}
		if err := r.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "disk full") {
			t.Errorf("reload: %v", err)
		}
		wait(24 * time.Hour)
		r.wantInPlace(t)
		store.set(func(s *shelf) { s.full = nil })
		wait(interval)
		if s, err := r.Status(t.Context()); err != nil || s.Problem != "" || !store.holds("bravo") {
			t.Errorf("status: %q, %v; kept %v", s.Problem, err, store.kept)
		}
		if n := strings.Count(r.log.String(), "a restart will not know"); n != 1 {
			t.Errorf("said %d times", n)
		}
	})
}

// What cannot be read opens nothing with latch, is not overwritten, and is said.
func TestLatchThatCannotBeRead(t *testing.T) {
	for _, policy := range []peers.Policy{peers.Latch, peers.Prefer} {
		t.Run(string(policy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &shelf{damaged: errors.New("cut off")}
				r := policyRig(t, policy, store)
				settle()
				r.wantInPlace(t)
				if s, err := r.Status(t.Context()); err != nil || s.Well() || !strings.Contains(s.Problem, "cut off") {
					t.Errorf("status hides it: %+v, %v", s, err)
				}
				wait(time.Hour)
				if policy == peers.Latch {
					r.wantInPlace(t)
				} else {
					r.wantClear(t)
				}
				if store.saves > 0 {
					t.Error("overwritten")
				}
				store.set(func(s *shelf) { s.damaged = nil }) // removed, for example
				if err := r.Reload(t.Context()); err != nil {
					t.Error(err)
				}
				settle()
				r.wantClear(t)
			})
		})
	}
}

// What is closed at a start that fails is what is protected now: neither more, nor
// less at any time.
func TestSelectorsFollowThePolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var kept []string
		r := start(t, func(r *rig) {
			r.first, r.store = withPolicy(peers.Prefer), &shelf{}
			r.prepare = func(l *Loop) {
				l.Remember = func(s peers.Selectors) error {
					mu.Lock()
					defer mu.Unlock()
					closed := Closed(r.fake.look(), pool[0], []uint16{25})
					kept = append(kept, fmt.Sprintf("%d, closed %v", len(s.Addresses), closed))
					return nil
				}
			}
		})
		settle()
		r.answers()
		settle()
		wait(time.Hour)
		r.wantClear(t)
		mu.Lock()
		defer mu.Unlock()
		if want := []string{"0, closed false", "1, closed false", "0, closed true"}; !slices.Equal(kept, want) {
			t.Errorf("kept %q, want %q", kept, want)
		}
	})
}

// Who decides by answers asks for them often, whatever WireGuard does by itself.
func TestPolicyCallsOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := policyRig(t, peers.Prefer, &shelf{})
		settle()
		greetings := func() (n int) {
			r.fake.mu.Lock()
			defer r.fake.mu.Unlock()
			for _, s := range r.fake.done {
				if _, ok := s.(GreetPeer); ok {
					n++
				}
			}
			return n
		}
		before := greetings()
		wait(5 * time.Minute)
		if n := greetings() - before; n < 18 || n > 21 {
			t.Errorf("called %d times in five minutes", n)
		}
	})
}
