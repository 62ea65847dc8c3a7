package tunnel

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postroad/peers"
)

// A fakePath is a Prober in front of a path. Answers take a while and are given
// as sparingly as Linux does.
type fakePath struct {
	mu     sync.Mutex
	takes  int // bytes in the tunnel; zero: nothing answers
	room   int // what this host knows; zero: nothing
	lose   func(size, try int) bool
	tries  map[int]int
	tokens float64
	last   time.Time
	asked  int
	sent   atomic.Int64
}

func (f *fakePath) Sent() int64 { return f.sent.Load() }

func (f *fakePath) Room(netip.Addr) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.room
}

func (f *fakePath) Crosses(ctx context.Context, _ MTUWay, size int, within time.Duration) (bool, error) {
	sleep(ctx, 40*time.Millisecond)
	f.mu.Lock()
	defer f.mu.Unlock()
	if size <= f.takes && !f.lost(size) && f.answers() {
		return true, nil
	}
	sleep(ctx, within-40*time.Millisecond)
	return false, nil
}

func (f *fakePath) lost(size int) bool {
	f.asked++
	f.tries[size]++
	return f.lose != nil && f.lose(size, f.tries[size])
}

// answers is icmpv4_xrlim_allow: six at once, then one a second.
func (f *fakePath) answers() bool {
	f.tokens = min(6, f.tokens+time.Since(f.last).Seconds())
	f.last = time.Now()
	if f.tokens < 1 {
		return false
	}
	f.tokens--
	return true
}

func newPath(takes int) *fakePath {
	return &fakePath{takes: takes, tokens: 6, last: time.Now(), tries: map[int]int{}}
}

// Whatever a path takes and however it loses packets, but for three of a size in
// a row, the size that is found is exact, and never one that does not cross.
func TestMTUMeasurementIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		takes := SafeMTU + r.IntN(7800)
		current, most := SafeMTU+r.IntN(7800), takes+r.IntN(7800)
		pattern := r.Uint64()
		synctest.Test(t, func(t *testing.T) {
			f := newPath(takes)
			f.lose = func(size, try int) bool { return try%3 != 0 && pattern>>((size/16+try)%64)&1 == 1 }
			m := mtuMeasurement{prober: f, answers: &allowance{}, rough: func(mtu int) {
				if mtu > takes {
					t.Errorf("%d of %d for the meantime", mtu, takes)
				}
			}}
			if got, whole := m.run(t.Context(), make([]MTUWay, 1), current, most, true); got != takes/16*16 || !whole {
				t.Errorf("path %d, in use %d, most %d: got %d, %v; asked %v", takes, current, most, got, whole, f.tries)
			}
		})
	}
}

// That the other side was away for a while is not taken for the path's doing.
func TestMTUMeasurementOutlivesOutages(t *testing.T) {
	for outage := range 40 {
		synctest.Test(t, func(t *testing.T) {
			f := newPath(8940)
			begin := time.Now().Add(time.Duration(outage%10) * 50 * time.Millisecond)
			f.lose = func(int, int) bool {
				since := time.Since(begin)
				return since >= 0 && since < time.Duration(outage)*100*time.Millisecond
			}
			m := mtuMeasurement{prober: f, answers: &allowance{}, rough: func(int) {}}
			if got, whole := m.run(t.Context(), make([]MTUWay, 1), SafeMTU, 8940, true); got != 8928 && whole && got != 0 {
				t.Errorf("outage %d: got %d; asked %v", outage, got, f.tries)
			}
		})
	}
}

// An earlier daemon may have asked the host for all the answers that it gives.
func TestMTUMeasurementKnowsNotWhoAskedBefore(t *testing.T) {
	for left := range 60 {
		synctest.Test(t, func(t *testing.T) {
			f := newPath(8940)
			f.tokens = float64(left) / 10
			m := mtuMeasurement{prober: f, answers: &allowance{}, rough: func(int) {}}
			if got, whole := m.run(t.Context(), make([]MTUWay, 1), SafeMTU, 8940, true); got != 8928 && whole {
				t.Errorf("%.1f answers left: got %d; asked %v", f.tokens, got, f.tries)
			}
		})
	}
}

// What crosses only in fragments does not count.
func TestMTUMeasurementKnowsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newPath(9000)
		m := mtuMeasurement{prober: f, answers: &allowance{}, rough: func(int) {}}
		f.lose = func(size, _ int) bool {
			if size > 1340 {
				f.room = 1340 // a router has said so
			}
			return false
		}
		if got, _ := m.run(t.Context(), make([]MTUWay, 1), SafeMTU, 1440, true); got != 1328 {
			t.Errorf("got %d", got)
		}
	})
}

// A mtuRig is a peer that is measured.
type mtuRig struct {
	*mtus
	path    *fakePath
	config  *peers.Config
	have    State
	facts   Facts
	changes int
}

func mtuStart(t *testing.T, takes int) *mtuRig {
	c := testConfig()
	c.Host.MTU = 0
	endpoint := netip.MustParseAddrPort("203.0.113.7:51825")
	facts := Facts{IPv6: true, Local: []LocalAddr{{netip.MustParseAddr("192.0.2.10"), "eth0"}},
		Paths: map[netip.Addr]Path{endpoint.Addr(): {Link: "eth0", MTU: 1500, PMTU: 1500}}}
	r := &mtuRig{path: newPath(takes), config: c, facts: facts}
	r.have = observed(Want(c, facts))
	r.have.Device.Peers[0].Endpoint, r.have.Device.Peers[0].LastHandshake = endpoint, time.Now()
	r.have.Link.MTU = 1440
	r.mtus = newMTUs(r.path, slog.New(slog.DiscardHandler), func() { r.changes++ })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

// pass is one of the loop's, and some time for what follows.
func (r *mtuRig) pass(t *testing.T, want int) {
	t.Helper()
	r.see(r.config, r.have, r.facts, time.Now())
	time.Sleep(30 * time.Second)
	synctest.Wait()
	if got := r.known(r.config, r.have)[peers.PublicKey{1}]; got != want {
		t.Errorf("got %d bytes, want %d", got, want)
	}
}

// asks says whether a pass after some time has something measured.
func (r *mtuRig) wantAsked(t *testing.T, asked bool, want int) {
	t.Helper()
	before := r.path.asked
	r.pass(t, want)
	if got := r.path.asked > before; got != asked {
		t.Errorf("asked is %v, want %v", got, asked)
	}
}

func TestMTUsMeasureWhenTheyShould(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := mtuStart(t, 1432)
		d := &r.have.Device.Peers[0]
		d.LastHandshake = time.Time{}
		r.wantAsked(t, false, SafeMTU) // it has never answered
		d.LastHandshake = time.Now()
		r.wantAsked(t, true, 1424)
		r.wantAsked(t, false, 1424)
		r.path.takes = 1340
		r.wantAsked(t, false, 1424) // no mail, no harm
		d.Sent += 20 * 1500
		r.wantAsked(t, true, 1328) // mail
		d.Sent += 3 * 148
		r.wantAsked(t, false, 1328) // handshakes
		d.Sent += 2 * 1500
		r.wantAsked(t, false, 1328) // a while later, a little mail
		r.path.takes = 1300
		d.LastHandshake = time.Now()
		r.wantAsked(t, true, 1296) // a new handshake
		r.path.takes = 1432
		d.Sent += 20 * 1500
		r.wantAsked(t, true, 1296) // that one still crosses
		r.facts.Paths[d.Endpoint.Addr()] = Path{Link: "eth1", MTU: 1500, PMTU: 1500}
		r.wantAsked(t, true, 1424) // another way
		r.path.takes = 1440
		time.Sleep(mtuRaiseGap)
		r.wantAsked(t, false, 1424) // the peer sleeps
		d.LastHandshake = time.Now()
		r.wantAsked(t, true, 1440) // perhaps there is more now
		if r.changes != 7 {
			t.Errorf("%d changes, not one for each size, nor one for the safe size before a smaller one", r.changes)
		}
	})
}

// A mail that a path stops as it shrinks sends next to nothing, and yet is seen.
func TestMTUsNoticeAMailThatStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := mtuStart(t, 1432)
		r.pass(t, 1424)
		look := func() {
			t.Helper()
			r.see(r.config, r.have, r.facts, time.Now())
			time.Sleep(shortInterval)
			synctest.Wait()
		}
		d := &r.have.Device.Peers[0]
		d.Sent += 1 << 20
		look()
		r.path.takes = 1340
		look()
		d.Sent += 2 * 1424
		r.wantAsked(t, true, 1328)
	})
}

// When a mail begins, a pass is asked for at once, but not over and over.
func TestMTUsNoticeAMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := mtuStart(t, 1432)
		r.pass(t, 1424)
		seconds := func(n, want int) {
			t.Helper()
			r.changes = 0
			for range n {
				r.path.sent.Add(1000)
				time.Sleep(time.Second)
			}
			if synctest.Wait(); r.changes != want {
				t.Errorf("asked for %d passes, want %d", r.changes, want)
			}
		}
		seconds(60, 0) // no mail
		r.path.sent.Add(100000)
		seconds(int(mtuLookGap/time.Second), 1)
		r.have.Device.Peers[0].Sent += 100000
		r.see(r.config, r.have, r.facts, time.Now())
		r.path.sent.Add(1 << 20)
		seconds(20, 0) // passes are frequent by themselves
	})
}

// A peer that does not answer gets packets that always fit, and is asked again
// when something has changed.
func TestMTUsOfASilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := mtuStart(t, 0)
		for i := range r.have.Routes {
			if !r.have.Routes[i].Unreachable {
				r.have.Routes[i].MTU = 1408 // an earlier daemon's
			}
		}
		all := Judge(r.config, r.have, r.have, time.Now())
		if all[0].MTU != 1408 {
			t.Errorf("got %+v", all[0])
		}
		r.pass(t, SafeMTU)
		if r.fill(all); !all[0].MTUSilent || !all[0].MTUMeasured.IsZero() {
			t.Errorf("got %+v", all[0])
		}
		r.wantAsked(t, false, SafeMTU)
		r.path.takes = 1440
		r.have.Device.Peers[0].LastHandshake = time.Now()
		r.wantAsked(t, true, 1440)
		if r.fill(all); all[0].MTUSilent || all[0].MTUMeasured.IsZero() {
			t.Errorf("got %+v", all[0])
		}
	})
}

// Nothing is measured where the file has a size.
func TestMTUsLeaveAFixedSizeAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := mtuStart(t, 1440)
		r.config.Host.MTU = 1420
		r.wantAsked(t, false, SafeMTU) // what the routes have is not for this to say
		if want := Want(r.config, r.facts); want.Link.MTU != 1420 || want.Routes[1].MTU != 0 {
			t.Errorf("wants %+v", want)
		}
	})
}

// A loop that measures sets the routes.
func TestLoopSetsMTUs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(r *rig) {
			r.prepare = func(l *Loop) { l.mtus.prober = newPath(1340) }
			r.fake.facts.Paths = map[netip.Addr]Path{netip.MustParseAddr("203.0.113.7"): {Src: netip.MustParseAddr("192.0.2.10"), Link: "eth0", MTU: 1492}}
		})
		r.file.Host.MTU = 0
		if err := r.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		settle()
		route := func() Route {
			t.Helper()
			s := r.fake.look()
			if len(s.Routes) != 2 || s.Link.MTU != 1432 {
				t.Fatalf("link %+v, routes %v", s.Link, s.Routes)
			}
			return s.Routes[1]
		}
		if got := route(); got.MTU != SafeMTU {
			t.Errorf("at first %+v", got)
		}
		r.fake.damage(func(s *State) { s.Device.Peers[0].LastHandshake = time.Now() })
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if got := route(); got.MTU != 1328 {
			t.Errorf("then %+v", got)
		}
		status, err := r.Status(t.Context())
		if err != nil || status.Peers[0].MTU != 1328 || status.Peers[0].MTUMeasured.IsZero() {
			t.Errorf("status %+v, %v", status.Peers, err)
		}
	})
}

// A path that breaks in the middle of it does not hang.
func TestMTUMeasurementEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("enough"))
		defer cancel()
		m := mtuMeasurement{prober: newPath(0), answers: &allowance{}, rough: func(int) {}}
		start := time.Now()
		if got, _ := m.run(ctx, make([]MTUWay, 2), 1440, 1440, true); got != 0 || time.Since(start) > 3*time.Second {
			t.Errorf("got %d after %s", got, time.Since(start))
		}
	})
}
