package tunnel

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Whatever the kernel looks like, shutting closes what is selected, opens
// nothing, and takes away nothing.
func TestShutClosesAndDoesNothingElse(t *testing.T) {
	closedBefore := 0
	for seed := range uint64(rounds) {
		w := newWorld(seed)
		have, s := w.kernel(), w.config().Selectors(nil)
		f := &fake{state: clone(have), facts: Facts{IPv6: true}}
		if w.chance(20) { // what is there cannot be seen
			f.observed = errors.New("no nft")
		}
		fails := w.chance(10)
		if fails { // or a step fails
			f.failAt = 1
		}
		if err := Shut(context.Background(), f, s); !fails && (err != nil) != (f.observed != nil) {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, a := range pool {
			for _, p := range smtp(a, allPorts) {
				before, after := send(have, p), send(f.state, p)
				if before != inClear && after == inClear {
					t.Fatalf("seed %d: %v was %s and is in clear", seed, p, before)
				}
				if sameLink := have.Link.Name == s.Link; sameLink && before == tunnelled && after != tunnelled {
					t.Fatalf("seed %d: %v was in the tunnel and is %s", seed, p, after)
				}
				if before != inClear {
					closedBefore++
				}
			}
		}
		for _, a := range s.Addresses {
			if !fails && !Closed(f.state, a, s.Ports) {
				t.Fatalf("seed %d: %s is not closed", seed, a)
			}
		}
		if more := missing(f.state.Guard.Own, have.Guard.Own); len(more) > 0 {
			t.Fatalf("seed %d: peers may now reach %v", seed, more)
		}
	}
	if closedBefore < rounds {
		t.Error("the worlds are too bare to show anything")
	}
}

func TestShutOfNothingDoesNothing(t *testing.T) {
	c := testConfig()
	f := &fake{state: observed(Want(c, Facts{IPv6: true}))}
	if err := Shut(t.Context(), f, c.Selectors(nil)); f.steps() != 0 || err != nil {
		t.Errorf("all stood, and it took steps (%v): %v", err, f.done)
	}
}

// The one who feeds the watchdog is the one who works: when a look at the system
// or a step never ends, nobody does.
func TestHungLoopIsNotAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fed atomic.Int32
		r := start(t, func(r *rig) { r.prepare = func(l *Loop) { l.Alive, l.AliveEvery = func() { fed.Add(1) }, time.Second } })
		settle()
		before := fed.Load()
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := fed.Load() - before; got < 59 || got > 70 {
			t.Errorf("said %d times in a minute that it is alive, want once a second", got)
		}
		release := make(chan struct{})
		r.fake.hang(release)
		r.Poke()
		settle()
		before = fed.Load()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if fed.Load() != before {
			t.Error("says that it is alive, and hangs")
		}
		close(release)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if fed.Load() == before {
			t.Error("does not say that it is alive again")
		}
	})
}

func TestLoopTellsHowMailIsProtected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var told []string
		r := start(t, func(r *rig) {
			r.fake.observed = errors.New("no nft\nno rules")
			r.prepare = func(l *Loop) {
				l.Tell = func(words string) {
					mu.Lock()
					defer mu.Unlock()
					told = append(told, words)
				}
			}
		})
		wantTold := func(want string) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if len(told) == 0 || !strings.Contains(told[len(told)-1], want) {
				t.Errorf("told %q, want %q", told, want)
			}
		}
		wantTold("Starting; problem: no nft; no rules") // in one line
		if strings.Contains(strings.Join(told, ""), "\n") {
			t.Errorf("more than a line: %q", told)
		}
		r.fake.mu.Lock()
		r.fake.observed = nil
		r.fake.mu.Unlock()
		time.Sleep(maxBackoff)
		settle()
		wantTold("mail waits with 1 of 1 peers: bravo (it has never answered)")
		r.fake.damage(func(s *State) { s.Device.Peers[0].LastHandshake = time.Now() })
		settle()
		wantTold("All SMTP with peers goes through the tunnel.")
		n := len(told)
		r.Poke()
		settle()
		if len(told) != n {
			t.Errorf("told the same again: %q", told[n:])
		}
		r.fileErr = errors.New("f:1: one")
		_ = r.Reload(t.Context())
		settle()
		wantTold("NOT in force")
	})
}

func TestSummaryNamesSomePeers(t *testing.T) {
	s := Status{File: FileStatus{InForce: true}}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		s.Peers = append(s.Peers, PeerStatus{Name: name, State: Blocked, Reason: "why"})
	}
	want := "No SMTP with peers can flow in clear, but not all is well: mail waits with 5 of 5 peers: a (why), b (why), c (why), 2 more"
	if got := s.Summary(); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	s.Peers[4].State = Clear
	if got := s.Summary(); got != "SMTP with some peers can flow IN CLEAR: e (why)" {
		t.Errorf("got %q", got)
	}
	if got := (&Status{File: FileStatus{InForce: true}}).Summary(); got != "There are no peers; nothing is protected." {
		t.Errorf("got %q", got)
	}
}
