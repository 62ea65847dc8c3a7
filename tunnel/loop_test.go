package tunnel

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postroad/peers"
)

// A rig is a loop that runs on a fake system.
type rig struct {
	*Loop
	fake    *fake
	log     *safeBuffer
	first   *peers.Config // what it starts with
	file    *peers.Config // what the next reload reads
	store   LatchStore
	fileErr error
	prepare func(*Loop) // before it runs
	ready   atomic.Int32
	ended   error
	stop    func()
}

// A safeBuffer can be read while the loop goes on writing.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func testConfig() *peers.Config {
	return &peers.Config{
		Host: peers.Host{Link: "postroad0", Backend: peers.Auto, Ports: []uint16{25}, ListenPort: 51825, MTU: 1420, ClearAfter: time.Minute,
			Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10")}},
		Peers: []peers.Peer{{Name: "bravo", PublicKey: peers.PublicKey{1}, Addresses: pool[:1], Policy: peers.Require,
			Endpoint: peers.Endpoint{Host: "mx.bravo.example", Port: 51825}}},
	}
}

// start runs a loop in a synctest bubble until the test ends.
func start(t *testing.T, prepare func(*rig)) *rig {
	t.Helper()
	r := &rig{fake: &fake{facts: Facts{IPv6: true, Local: []LocalAddr{{netip.MustParseAddr("192.0.2.10"), "eth0"}}}},
		log: &safeBuffer{}, first: testConfig(), file: testConfig()}
	l := Loop{
		System: r.fake,
		Load:   func() (*peers.Config, error) { return r.file, r.fileErr },
		Lookup: func(context.Context, string) peers.Found {
			return peers.Found{Addrs: []netip.Addr{netip.MustParseAddr("203.0.113.7")}, TTL: time.Minute}
		},
		Log:   slog.New(slog.NewTextHandler(r.log, nil)),
		Ready: func(int) { r.ready.Add(1) },
	}
	if prepare != nil {
		prepare(r)
	}
	l.Latches = r.store
	r.Loop = New(l, r.first)
	if r.prepare != nil {
		r.prepare(r.Loop)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.stop = cancel
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.ended = r.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		if r.ended != nil {
			t.Errorf("Run: %v", r.ended)
		}
	})
	synctest.Wait()
	return r
}

// settle lets the loop do what it has to do at once.
func settle() {
	time.Sleep(2 * maxGap)
	synctest.Wait()
}

func (r *rig) wantInPlace(t *testing.T) {
	t.Helper()
	s := r.fake.look()
	if !s.Guard.Sound || !Closed(s, pool[0], []uint16{25}) || send(s, packet{pool[0], 0, 25}) != tunnelled {
		t.Errorf("not all in place:\n%+v\n%s", s, r.log)
	}
}

func TestLoopPutsAllInPlaceAndIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		settle()
		r.wantInPlace(t)
		if n := r.ready.Load(); n != 1 {
			t.Errorf("ready %d times", n)
		}
		if got := r.fake.look().Device.Peers[0].Endpoint.String(); got != "203.0.113.7:51825" {
			t.Errorf("endpoint by name is %s", got)
		}
	})
}

// What the steps of a pass change is no reason for another: it has looked at it.
func TestLoopLooksOnceAfterItsOwnChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(r *rig) { r.fake.echoes, r.file = true, twoPeers() })
		settle()
		before := r.Loop.counters.Passes
		if err := r.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		settle()
		if n := r.Loop.counters.Passes - before; n != 1 {
			t.Errorf("a reload made %d passes", n)
		}
		if n := len(r.fake.look().Device.Peers); n != 2 {
			t.Errorf("there are %d peers", n)
		}
	})
}

// What somebody else changes while a pass is doing its steps is repaired at once,
// although nobody tells of it after the pass.
func TestLoopRepairsWhatChangesMeanwhile(t *testing.T) {
	for name, damage := range map[string]func(*State){
		"guard": func(s *State) { s.Guard = Guard{} },
		"rules": func(s *State) { s.Rules = nil },
		"peer":  func(s *State) { s.Device.Peers = nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, func(r *rig) { r.fake.echoes, r.file = true, twoPeers() })
			settle()
			r.fake.mu.Lock()
			r.fake.then = damage
			r.fake.mu.Unlock()
			if err := r.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(maxGap)
			synctest.Wait()
			if r.wantInPlace(t); t.Failed() {
				t.Fatalf("after damage to the %s", name)
			}
		})
	}
}

// Facts of the host that change while a pass is doing its steps count at once.
func TestLoopHeedsFactsThatChangeMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(r *rig) { r.fake.echoes, r.file = true, twoPeers() })
		settle()
		other := OtherRule{Priority: PortPriority - 50, Text: "from all lookup 51820"}
		r.fake.mu.Lock()
		r.fake.then = func(*State) { r.fake.facts.Others = []OtherRule{other} }
		r.fake.mu.Unlock()
		if err := r.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(maxGap)
		synctest.Wait()
		for _, rule := range r.fake.look().Rules {
			if !rule.IPv6 && rule.Priority >= other.Priority {
				t.Errorf("rule %s comes after another's", rule)
			}
		}
	})
}

// twoPeers is testConfig with one more.
func twoPeers() *peers.Config {
	c := testConfig()
	c.Peers = append(c.Peers, peers.Peer{Name: "charlie", PublicKey: peers.PublicKey{2}, Addresses: pool[1:2], Policy: peers.Require})
	return c
}

// Many peers, and no few, are told of before a pass and a reload.
func TestLoopHurriesForMany(t *testing.T) {
	for n, want := range map[int]int{hurryFrom - 1: 0, hurryFrom: 3} { // a start; a reload, with its pass
		synctest.Test(t, func(t *testing.T) {
			begun, done := 0, 0
			r := start(t, func(r *rig) {
				r.first, r.file = manyPeers(n), manyPeers(n)
				r.fake.facts = manyFacts(r.first)
				r.prepare = func(l *Loop) {
					l.Hurry = func() func() { begun++; return func() { done++ } }
				}
			})
			if err := r.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			if begun != want || done != want {
				t.Errorf("%d peers: told %d times, and %d times that it is over, want %d", n, begun, done, want)
			}
		})
	}
}

func TestLoopRepairsWhatIsDamaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		settle()
		for name, damage := range map[string]func(*State){
			"guard": func(s *State) { s.Guard = Guard{} },
			"rules": func(s *State) { s.Rules = nil },
			"route": func(s *State) { s.Routes = s.Routes[1:] },
			"link":  func(s *State) { s.Link, s.Device, s.Routes = Link{}, Device{}, s.Routes[:1] },
			"peer":  func(s *State) { s.Device.Peers = nil },
		} {
			r.fake.damage(damage)
			time.Sleep(maxGap)
			synctest.Wait()
			if r.wantInPlace(t); t.Failed() {
				t.Fatalf("after damage to the %s", name)
			}
		}
	})
}

func TestLoopLooksEvenIfNothingHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		settle()
		r.fake.mu.Lock()
		r.fake.state.Guard = Guard{} // and no event tells
		r.fake.mu.Unlock()
		time.Sleep(interval + time.Second)
		synctest.Wait()
		r.wantInPlace(t)
	})
}

func TestLoopCallsWhoDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
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
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := greetings() - before; n < 6 || n > 7 {
			t.Errorf("spoke to a silent peer %d times in ten minutes", n)
		}
		r.fake.damage(func(s *State) { s.Device.Peers[0].LastHandshake = time.Now() })
		settle()
		before = greetings()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := greetings() - before; n != 0 {
			t.Errorf("spoke to a peer that has answered %d times", n)
		}
	})
}

func TestLoopStopsAtFailedStepAndTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(r *rig) { r.fake.failAt = 3 })
		r.fake.mu.Lock()
		for _, s := range r.fake.done[2:] {
			if !closes(s) {
				t.Errorf("went on after the failed step: %s", s)
			}
		}
		r.fake.mu.Unlock()
		if r.ready.Load() != 0 {
			t.Error("ready although a step failed")
		}
		time.Sleep(minBackoff)
		settle()
		r.wantInPlace(t)
		if s, err := r.Status(t.Context()); err != nil || s.Problem != "" {
			t.Errorf("still has a problem: %v, %v", s.Problem, err)
		}
	})
}

func TestLoopReportsWhatKeepsFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		settle()
		stands := r.fake.look()
		r.fake.mu.Lock()
		r.fake.state.Link.Foreign = true // makes every CreateLink fail
		r.fake.mu.Unlock()
		r.Poke()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		s, err := r.Status(t.Context())
		if err != nil || !strings.Contains(s.Problem, "create link") || s.Well() {
			t.Errorf("status hides the problem: %+v, %v", s, err)
		}
		if n := strings.Count(r.log.String(), "level=ERROR"); n != 1 {
			t.Errorf("logged the same error %d times", n)
		}
		if got := r.fake.look(); !slices.Equal(got.Guard.Peers, stands.Guard.Peers) || len(got.Rules) != len(stands.Rules) {
			t.Error("an error loosened the protection")
		}
	})
}

func TestReloadOfBrokenFileChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		settle()
		before := r.fake.steps()
		r.fileErr = errors.Join(errors.New("f:1: one"), errors.New("f:2: two"))
		err := r.Reload(t.Context())
		if !IsFileError(err) || len(Flatten(err)) != 2 {
			t.Errorf("Reload: %v", err)
		}
		settle()
		if r.fake.steps() != before {
			t.Errorf("did %v", r.fake.done[before:])
		}
		s, err := r.Status(t.Context())
		if err != nil || s.File.InForce || !slices.Equal(s.File.Errors, []string{"f:1: one", "f:2: two"}) || s.Well() {
			t.Errorf("status does not tell: %+v, %v", s.File, err)
		}
		if !strings.Contains(r.log.String(), "f:1: one") || !strings.Contains(r.log.String(), "f:2: two") {
			t.Errorf("the log does not tell all: %s", r.log)
		}
		r.fileErr = nil
		if err := r.Reload(t.Context()); err != nil {
			t.Error(err)
		}
		if s, _ := r.Status(t.Context()); !s.File.InForce {
			t.Error("a good file is not in force")
		}
	})
}

func TestReloadIsInForceWhenItReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		settle()
		r.file.Peers = append(r.file.Peers, peers.Peer{Name: "charlie", PublicKey: peers.PublicKey{2}, Addresses: pool[1:2]})
		if err := r.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := r.fake.look(); !Closed(s, pool[1], []uint16{25}) || len(s.Device.Peers) != 2 {
			t.Errorf("the new peer is not there: %+v", s)
		}
	})
}

func TestDownRemovesAllAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		settle()
		if err := r.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s := r.fake.look(); s.Guard.Link != "" || s.Link.Name != "" || len(s.Rules)+len(s.Routes) > 0 {
			t.Errorf("left behind: %+v", s)
		}
		if err := r.Reload(t.Context()); !errors.Is(err, errStopped) {
			t.Errorf("the loop still answers: %v", err)
		}
	})
}

func TestStopLeavesProtection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		settle()
		before := r.fake.steps()
		r.stop()
		synctest.Wait()
		if r.fake.steps() != before {
			t.Errorf("stopping did %v", r.fake.done[before:])
		}
	})
}

// Storms of events that are none of ours must not keep the loop busy.
func TestPaceUnderStorm(t *testing.T) {
	var p pace
	now, passes := time.Unix(0, 0), 0
	for end := now.Add(10 * time.Second); now.Before(end); passes++ {
		now = now.Add(p.poked(now))
		p.passed(now, 0, nil, interval)
	}
	if passes > 60 {
		t.Errorf("%d passes in 10 s of idle events", passes)
	}
	p.passed(now, 3, nil, interval)
	if wait := p.poked(now); wait > minGap {
		t.Errorf("after a repair the next one waits %s", wait)
	}
}

// Passes that take long are kept apart, whatever happens and if nothing does.
func TestPaceOfLongPasses(t *testing.T) {
	p := pace{took: time.Second}
	now := time.Unix(0, 0)
	for range 20 {
		now = now.Add(p.poked(now))
		if wait := p.passed(now, 0, nil, shortInterval); wait != idleShare*p.took {
			t.Fatalf("the next is due after %s", wait)
		}
	}
	if wait := p.poked(now); wait != stormShare*p.took {
		t.Errorf("under a storm the next waits %s", wait)
	}
}

// What cannot be remembered is no reason to stop protecting, and one to say that
// not all is well: to who reloads, and in status, until it can.
func TestLoopSaysThatItForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var kept []peers.Selectors
		disk := errors.New("disk full")
		full := disk
		r := start(t, func(r *rig) {
			r.prepare = func(l *Loop) {
				l.Remember = func(s peers.Selectors) error {
					mu.Lock()
					defer mu.Unlock()
					if full == nil {
						kept = append(kept, s)
					}
					return full
				}
			}
		})
		settle()
		r.wantInPlace(t)
		if r.ready.Load() != 1 {
			t.Error("not ready")
		}
		if err := r.Reload(t.Context()); !errors.Is(err, disk) {
			t.Errorf("reload: %v", err)
		}
		if s, err := r.Status(t.Context()); err != nil || s.Well() || !strings.Contains(s.Problem, "disk full") {
			t.Errorf("status hides it: %+v, %v", s, err)
		}
		mu.Lock()
		full = nil
		mu.Unlock()
		time.Sleep(interval)
		settle()
		if s, err := r.Status(t.Context()); err != nil || s.Problem != "" {
			t.Errorf("status still says %q, %v", s.Problem, err)
		}
		time.Sleep(10 * interval)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(kept) != 1 || !slices.Equal(kept[0].Addresses, pool[:1]) {
			t.Errorf("kept %v", kept)
		}
	})
}
