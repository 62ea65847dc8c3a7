package tunnel

import (
	"context"
	"errors"
	"log/slog"
	"maps"
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

// A zone is what DNS says in tests.
type zone struct {
	mu    sync.Mutex
	names map[string]peers.Found
	slow  time.Duration
	asked map[string]int
}

func (z *zone) lookup(ctx context.Context, name string) peers.Found {
	z.mu.Lock()
	f, slow := z.names[name], z.slow
	if z.asked == nil {
		z.asked = map[string]int{}
	}
	z.asked[name]++
	z.mu.Unlock()
	sleep(ctx, slow)
	if ctx.Err() != nil {
		return peers.Found{NoIPv4: ctx.Err(), NoIPv6: ctx.Err()}
	}
	return f
}

func (z *zone) count(name string) int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.asked[name]
}

// says has a name have these addresses, for a minute.
func (z *zone) says(name string, addrs ...string) {
	f := peers.Found{TTL: time.Minute}
	for _, a := range addrs {
		f.Addrs = append(f.Addrs, netip.MustParseAddr(a))
	}
	z.set(name, f)
}

func (z *zone) fails(name string) {
	err := errors.New("SERVFAIL")
	z.set(name, peers.Found{NoIPv4: err, NoIPv6: err})
}

func (z *zone) set(name string, f peers.Found) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.names == nil {
		z.names = map[string]peers.Found{}
	}
	z.names[name] = f
}

// byName is a config with peers that are given by name only.
func byName(names ...string) *peers.Config {
	c := testConfig()
	c.Host.KeepAddresses, c.Peers = time.Hour, nil
	for i, name := range names {
		c.Peers = append(c.Peers, peers.Peer{Name: name, PublicKey: peers.PublicKey{byte(i + 1)}, Names: []string{name}, Policy: peers.Require})
	}
	return c
}

// startByName starts a loop of such a config, which knows these answers.
func startByName(t *testing.T, z *zone, c *peers.Config, known peers.Answers, closed ...netip.Addr) *rig {
	t.Helper()
	return start(t, func(r *rig) {
		r.file = c
		r.prepare = func(l *Loop) {
			l.Lookup, l.Answers, l.Closed = z.lookup, known, closed
			l.names = newNames(l)
			l.accept(c)
		}
	})
}

// ttl waits for the next lookup to be due, and what follows.
func ttl() {
	time.Sleep(time.Minute + 2*lookupJitter)
	settle()
}

func (r *rig) guards(t *testing.T, what string, want ...string) {
	t.Helper()
	s := r.fake.look()
	if got := texts(s.Guard.Peers); !slices.Equal(got, want) {
		t.Errorf("%s: the guard has %v, want %v\n%s", what, got, want, r.log)
	}
	if strings.Contains(r.log.String(), "peer clear") {
		t.Errorf("%s: something was taken for clear:\n%s", what, r.log)
	}
	for _, a := range s.Guard.Peers {
		if !Closed(s, a, []uint16{25}) || !slices.ContainsFunc(s.Routes, func(r Route) bool { return r.Dst == a && r.Unreachable }) {
			t.Errorf("%s: %s is not closed twice", what, a)
		}
	}
}

func texts(addrs []netip.Addr) (all []string) {
	for _, a := range addrs {
		all = append(all, a.String())
	}
	return all
}

func (r *rig) status(t *testing.T, peer string) PeerStatus {
	t.Helper()
	s, err := r.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range s.Peers {
		if p.Name == peer {
			return p
		}
	}
	t.Fatalf("no peer %s in %+v", peer, s)
	return PeerStatus{}
}

func kinds(s PeerStatus) string {
	var all []string
	for _, r := range s.DNS {
		all = append(all, string(r.Kind))
	}
	return strings.Join(all, " ")
}

func TestNamesAreFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{}
		z.says("bravo", "198.51.100.20", "2001:db8:b::20")
		r := startByName(t, z, byName("bravo"), nil)
		settle()
		r.guards(t, "resolved", "198.51.100.20", "2001:db8:b::20")
		if got := r.fake.look().Device.Peers[0]; got.Endpoint.String() != "198.51.100.20:51825" || len(got.Allowed) != 2 {
			t.Errorf("the peer is %+v", got)
		}
		z.says("bravo", "198.51.100.21")
		ttl()
		r.guards(t, "moved", "198.51.100.20", "198.51.100.21", "2001:db8:b::20")
		if got := r.fake.look().Device.Peers[0].Endpoint.String(); got != "198.51.100.21:51825" {
			t.Errorf("the endpoint is %s", got)
		}
		if s := r.status(t, "bravo"); kinds(s) != "address-left address-left" || len(s.Addresses) != 3 || s.State != Waiting {
			t.Errorf("status is %+v", s)
		}
		z.fails("bravo")
		time.Sleep(2 * time.Hour)
		settle()
		r.guards(t, "DNS is dead", "198.51.100.20", "198.51.100.21", "2001:db8:b::20")
		if s := r.status(t, "bravo"); !strings.Contains(kinds(s), "name-failing") {
			t.Errorf("status is %+v", s)
		}
		z.says("bravo", "198.51.100.21")
		ttl()
		r.guards(t, "left long ago", "198.51.100.21")
		if s := r.status(t, "bravo"); kinds(s) != "" {
			t.Errorf("status is %+v", s)
		}
	})
}

// A peer that nothing is known of is blocked, and no reason for the others to be.
func TestNamesThatAreNotKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{slow: time.Second}
		z.says("bravo", "198.51.100.20")
		z.fails("charlie")
		r := startByName(t, z, byName("bravo", "charlie"), nil)
		settle()
		if r.ready.Load() != 0 {
			t.Error("ready before anything is known")
		}
		time.Sleep(time.Second)
		settle()
		if r.ready.Load() != 1 {
			t.Error("not ready when all have been asked for")
		}
		r.guards(t, "one is known", "198.51.100.20")
		if s := r.status(t, "charlie"); s.State != Blocked || !strings.Contains(s.Reason, "DNS has not said that of charlie") ||
			kinds(s) != "name-unresolved name-failing" || s.Addresses == nil {
			t.Errorf("status is %+v", s)
		}
		z.says("charlie", "203.0.113.30")
		time.Sleep(retryMax + 5*time.Second)
		settle()
		r.guards(t, "both are known", "198.51.100.20", "203.0.113.30")
	})
}

// With a policy that lets SMTP go in clear, it does so while nothing is known.
func TestNamesThatAreNotKnownInClear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{}
		z.fails("bravo")
		c := byName("bravo")
		c.Peers[0].Policy = peers.Prefer
		r := startByName(t, z, c, nil)
		settle()
		if s := r.status(t, "bravo"); s.State != Clear || !s.ByPolicy || !strings.Contains(s.Reason, "its address is not known") {
			t.Errorf("status is %+v", s)
		}
	})
}

// A boot without DNS: what DNS said last is in force at once.
func TestNamesFromDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{slow: time.Hour}
		known := peers.Answers{"bravo": {{Addr: netip.MustParseAddr("198.51.100.20"), Since: time.Now()}}, "gone": {{Addr: netip.MustParseAddr("198.51.100.29")}}}
		r := startByName(t, z, byName("bravo"), known, netip.MustParseAddr("198.51.100.20"), netip.MustParseAddr("198.51.100.99"))
		settle()
		r.guards(t, "from disk", "198.51.100.20", "198.51.100.99") // the latter may be one that was not saved
		if r.ready.Load() != 1 {
			t.Error("not ready")
		}
	})
}

// What was protected, and is nobody's, stays closed until all names are known.
func TestNamesHoldWhatMayBeTheirs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{}
		z.fails("bravo")
		z.fails("charlie")
		var kept peers.Selectors
		var mu sync.Mutex
		r := start(t, func(r *rig) {
			r.file = byName("bravo", "charlie")
			r.prepare = func(l *Loop) {
				l.Lookup, l.Closed = z.lookup, []netip.Addr{netip.MustParseAddr("198.51.100.20"), netip.MustParseAddr("192.0.2.10")}
				l.Remember = func(s peers.Selectors) error { mu.Lock(); defer mu.Unlock(); kept = s; return nil }
				l.names = newNames(l)
				l.accept(r.file)
			}
		})
		settle()
		r.guards(t, "nothing is known", "198.51.100.20")
		if s := r.fake.look(); len(s.Device.Peers) != 2 || len(s.Device.Peers[0].Allowed) != 0 {
			t.Errorf("the device has %+v", s.Device.Peers)
		}
		z.says("charlie", "203.0.113.30")
		time.Sleep(retryMax + 5*time.Second)
		settle()
		r.guards(t, "one is known", "198.51.100.20", "203.0.113.30")
		if err := r.Reload(t.Context()); err != nil {
			t.Error(err)
		}
		r.guards(t, "reloaded", "198.51.100.20", "203.0.113.30")
		mu.Lock()
		if got := texts(kept.Addresses); !slices.Equal(got, []string{"203.0.113.30", "198.51.100.20"}) {
			t.Errorf("it remembers %v", got)
		}
		mu.Unlock()
		z.set("bravo", peers.Found{Addrs: []netip.Addr{netip.MustParseAddr("198.51.100.21")}, NoIPv6: errors.New("SERVFAIL")})
		time.Sleep(retryMax + 5*time.Second)
		settle()
		r.guards(t, "one is half known", "198.51.100.20", "198.51.100.21", "203.0.113.30")
		z.says("bravo", "198.51.100.21")
		time.Sleep(retryMax + 5*time.Second)
		settle()
		r.guards(t, "all are known", "198.51.100.21", "203.0.113.30")
		if n := strings.Count(r.log.String(), "closed until DNS answers"); n != 1 {
			t.Errorf("it says so %d times:\n%s", n, r.log)
		}
	})
}

// A server that lies takes nothing away, and does not fill the log.
func TestNamesOfALiar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{}
		z.says("bravo", "198.51.100.20")
		z.says("charlie", "203.0.113.30")
		c := byName("bravo", "charlie")
		c.Peers = append(c.Peers, peers.Peer{Name: "delta", PublicKey: peers.PublicKey{9}, Addresses: pool[:1], Policy: peers.Require})
		r := startByName(t, z, c, nil)
		settle()
		want := []string{"198.51.100.20", "203.0.113.30", pool[0].String()}
		slices.Sort(want)
		r.guards(t, "true", want...)
		for _, lie := range []struct {
			addrs []string
			kind  string
		}{
			{[]string{"127.0.0.1", "::1", "169.254.1.1"}, "address-refused"},
			{[]string{"10.1.1.1", "fd00::1"}, "address-refused"},
			{[]string{"192.0.2.10"}, "address-refused"},
			{[]string{"203.0.113.30"}, "address-taken"},
			{[]string{pool[0].String()}, "address-taken"},
		} {
			z.says("bravo", lie.addrs...)
			ttl()
			r.guards(t, strings.Join(lie.addrs, " "), want...)
			if s := r.status(t, "bravo"); !strings.Contains(kinds(s), lie.kind) {
				t.Errorf("%v: status says %v", lie.addrs, s.DNS)
			}
		}
		for _, words := range []string{"which is an address of charlie", "which is an address of delta", "this host's own", "a loopback address"} {
			if !strings.Contains(r.log.String(), words) {
				t.Errorf("the log does not say %q:\n%s", words, r.log)
			}
		}
		lines := strings.Count(r.log.String(), "\n")
		start := time.Now()
		for i := range 1000 {
			f := peers.Found{TTL: time.Second}
			for j := range 4 {
				f.Addrs = append(f.Addrs, netip.AddrFrom4([4]byte{byte(20 + j), byte(i / 250), byte(i % 250), 1}))
			}
			z.set("bravo", f)
			time.Sleep(time.Second)
		}
		settle()
		s := r.fake.look()
		if len(s.Guard.Peers) > peers.MaxHeld+2 || len(missing(want, texts(s.Guard.Peers))) > 0 {
			t.Errorf("the guard has %d: %v", len(s.Guard.Peers), s.Guard.Peers)
		}
		if n := strings.Count(r.log.String(), "\n") - lines; n > 100 {
			t.Errorf("%d lines in %s", n, time.Since(start))
		}
	})
}

// What the file no longer has is gone; what it has anew is in force when the
// reload is done.
func TestNamesReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{slow: time.Second}
		z.says("bravo", "198.51.100.20")
		z.says("charlie", "203.0.113.30")
		var mu sync.Mutex
		var saved peers.Answers
		r := start(t, func(r *rig) {
			r.file = byName("bravo")
			r.prepare = func(l *Loop) {
				l.Lookup = z.lookup
				l.SaveAnswers = func(a peers.Answers) error { mu.Lock(); defer mu.Unlock(); saved = a; return nil }
				l.names = newNames(l)
				l.accept(r.file)
			}
		})
		time.Sleep(2 * time.Second)
		settle()
		r.guards(t, "before", "198.51.100.20")
		r.file = byName("bravo", "charlie")
		if err := r.Reload(t.Context()); err != nil {
			t.Error(err)
		}
		r.guards(t, "with charlie", "198.51.100.20", "203.0.113.30")
		r.file = byName("charlie")
		if err := r.Reload(t.Context()); err != nil {
			t.Error(err)
		}
		r.guards(t, "without bravo", "203.0.113.30")
		settle()
		mu.Lock()
		defer mu.Unlock()
		if got := slices.Sorted(maps.Keys(saved)); !slices.Equal(got, []string{"charlie"}) {
			t.Errorf("on disk are %v", got)
		}
	})
}

// A slow server delays nothing.
func TestNamesNeverBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{slow: time.Hour}
		c := byName("bravo")
		c.Peers = append(c.Peers, testConfig().Peers[0])
		c.Peers[1].PublicKey = peers.PublicKey{7}
		r := startByName(t, z, c, nil)
		settle()
		r.wantInPlace(t)
		time.Sleep(lookupTimeout + time.Second)
		settle()
		if r.ready.Load() != 1 {
			t.Error("not ready")
		}
	})
}

// Answers are asked for again when they expire, those that fail ever less often,
// and those of peers that do not answer at once.
func TestNamesTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{}
		z.set("long", peers.Found{Addrs: pool[:1], TTL: time.Hour})
		z.set("short", peers.Found{Addrs: pool[1:2], TTL: 10 * time.Second})
		z.fails("dead")
		n := newNames(&Loop{Lookup: z.lookup, Log: slog.New(slog.DiscardHandler)})
		n.changed = func() {}
		n.want(byName("long", "short", "dead"))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- n.run(ctx) }()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		for name, want := range map[string][2]int{"long": {1, 1}, "short": {55, 61}, "dead": {11, 14}} {
			if got := z.count(name); got < want[0] || got > want[1] {
				t.Errorf("%s is asked for %d times, want %v", name, got, want)
			}
		}
		n.hurry([]string{"long", "other"}, time.Now())
		synctest.Wait()
		n.hurry([]string{"long"}, time.Now())
		synctest.Wait()
		if got := z.count("long"); got != 2 {
			t.Errorf("in a hurry it is asked for %d times", got-1)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Answers that cannot be saved are told, and saved later.
func TestNamesNotSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{}
		z.says("bravo", "198.51.100.20")
		var mu sync.Mutex
		full, saved := errors.New("disk full"), 0
		r := start(t, func(r *rig) {
			r.file = byName("bravo")
			r.prepare = func(l *Loop) {
				l.Lookup = z.lookup
				l.SaveAnswers = func(peers.Answers) error { mu.Lock(); defer mu.Unlock(); saved++; return full }
				l.names = newNames(l)
				l.accept(r.file)
			}
		})
		settle()
		if rep, err := r.Report(t.Context()); err != nil || !rep.Problems[MemoryProblem] || !strings.Contains(rep.Status.Problem, "disk full") {
			t.Errorf("report hides it: %+v, %v", rep, err)
		}
		mu.Lock()
		full = nil
		mu.Unlock()
		time.Sleep(saveGap)
		settle()
		if rep, err := r.Report(t.Context()); err != nil || rep.Problems[MemoryProblem] || saved != 2 {
			t.Errorf("saved %d times: %+v, %v", saved, rep, err)
		}
		r.guards(t, "all the while", "198.51.100.20")
	})
}

// Many answers that come one upon the other are saved a few times, and all of them
// in the end, even if that comes soon.
func TestNamesSaveManyAnswersTogether(t *testing.T) {
	for _, runs := range []time.Duration{time.Minute, 20 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			c, said := manyPeers(500), map[string]netip.Addr{}
			for i := range c.Peers {
				p := &c.Peers[i]
				said[p.Name], p.Names, p.Addresses = p.Addresses[0], []string{p.Name}, nil
			}
			saves, answers, saved := 0, atomic.Int32{}, 0
			r := start(t, func(r *rig) {
				r.first = c
				r.prepare = func(l *Loop) {
					l.names.save = func(a peers.Answers) error {
						time.Sleep(10 * time.Millisecond) // a disk
						saves, saved = saves+1, len(a)
						return nil
					}
					l.names.lookup = func(_ context.Context, name string) peers.Found {
						time.Sleep(time.Millisecond)
						answers.Add(1)
						return peers.Found{Addrs: []netip.Addr{said[name]}, TTL: time.Hour}
					}
				}
			})
			time.Sleep(runs)
			r.stop()
			time.Sleep(time.Second)
			synctest.Wait()
			// those that come after the end are not learned: they were under way, or begun in its moment
			if n := int(answers.Load()); saved < n-2*lookupsAtOnce || saves > 5 {
				t.Errorf("after %s, %d of %d answers are saved, by %d saves", runs, saved, n, saves)
			}
		})
	}
}
