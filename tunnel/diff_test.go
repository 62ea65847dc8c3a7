package tunnel

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postroad/peers"
)

// A world makes random hosts, peers files and kernels from a seed.
type world struct{ *rand.Rand }

func newWorld(seed uint64) world { return world{rand.New(rand.NewPCG(seed, 25))} }

func (w world) chance(percent int) bool { return w.IntN(100) < percent }

// pool holds the addresses that peers are dealt from: few, so that they move
// from peer to peer between two files.
var pool = func() (all []netip.Addr) {
	for i := range 6 {
		all = append(all, netip.MustParseAddr(fmt.Sprintf("198.51.100.%d", i+1)), netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", i+1)))
	}
	return all
}()

var allPorts = []uint16{25, 465, 587, 2525}

func (w world) config() *peers.Config {
	c := &peers.Config{Host: peers.Host{ListenPort: 51825, Link: "postroad0", Backend: peers.Auto,
		PrivateKey: peers.PrivateKeyFrom([32]byte{byte(w.IntN(2) + 1)})}}
	if w.chance(50) {
		c.Host.MTU = 1280 + w.IntN(3)
	}
	if w.chance(10) {
		c.Host.Link = "road1"
	}
	if w.chance(30) {
		c.Host.Backend = []peers.Backend{peers.Kernel, peers.Userspace}[w.IntN(2)]
	}
	for _, p := range allPorts {
		if w.chance(60) || p == 25 {
			c.Host.Ports = append(c.Host.Ports, p)
		}
	}
	if w.chance(50) {
		c.Host.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.10")}
	}
	addrs := slices.Clone(pool)
	w.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	for i := range w.IntN(5) {
		n := 1 + w.IntN(2)
		p := peers.Peer{Name: fmt.Sprint("p", i), PublicKey: peers.PublicKey{byte(i + 1)}, Addresses: addrs[:n], Policy: peers.Require}
		addrs = addrs[n:]
		if w.chance(30) {
			p.Keepalive = 25 * time.Second
		}
		if w.chance(30) {
			p.PresharedKey = peers.PresharedKeyFrom([32]byte{7})
		}
		if w.chance(30) {
			p.Endpoint = peers.Endpoint{Host: "203.0.113.9", Port: uint16(1 + w.IntN(9))}
		}
		c.Peers = append(c.Peers, p)
	}
	return c
}

func (w world) facts() Facts {
	f := Facts{IPv6: w.chance(90), Paths: map[netip.Addr]Path{}, Bypass: map[peers.PublicKey]bool{}, MTUs: map[peers.PublicKey]int{}}
	for i := range 5 {
		f.Bypass[peers.PublicKey{byte(i + 1)}] = w.chance(20)
		if w.chance(50) {
			f.MTUs[peers.PublicKey{byte(i + 1)}] = SafeMTU + w.IntN(3)
		}
	}
	own4, own6 := netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8:a::10")
	if w.chance(80) {
		f.Local = append(f.Local, LocalAddr{own4, "eth0"})
	} else if w.chance(50) { // 1:1 NAT
		f.Local = append(f.Local, LocalAddr{netip.MustParseAddr("10.0.0.10"), "eth0"})
	}
	if w.chance(60) && f.IPv6 {
		f.Local = append(f.Local, LocalAddr{own6, "eth0"})
	}
	for _, l := range f.Local {
		for _, a := range pool {
			if a.Is4() == l.Addr.Is4() && w.chance(90) {
				f.Paths[a] = Path{Src: l.Addr, Link: "eth0", MTU: 1500, PMTU: 1500}
			}
		}
	}
	return f
}

// kernel is the state after some config was applied, and perhaps damaged.
func (w world) kernel() State {
	if w.chance(10) {
		return State{}
	}
	f := &fake{state: observed(Want(w.config(), w.facts()))}
	for range w.IntN(4) {
		w.damage(f)
	}
	return f.state
}

// damage does one thing that an operator or another program might do.
func (w world) damage(f *fake) {
	s := &f.state
	switch w.IntN(10) {
	case 9:
		s.Guard.NAT = NAT{}
	case 0:
		s.Guard = Guard{}
	case 1:
		s.Guard.Sound = false
	case 2:
		f.dropLink()
	case 3:
		s.Link.Up = false
		f.dropTunnelRoutes()
	case 4:
		s.Rules = drop(w, s.Rules)
	case 5:
		s.Routes = drop(w, s.Routes)
	case 6:
		s.Guard.Peers = drop(w, s.Guard.Peers)
	case 7:
		s.Device.Peers = drop(w, s.Device.Peers)
	case 8:
		if s.Link.Name == "" {
			return
		}
		s.Link.Addrs = append(s.Link.Addrs, netip.MustParsePrefix("192.0.2.99/32"))
	}
}

func drop[T any](w world, list []T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(T) bool { return w.chance(30) })
}

// observed is a wish as it reads back from a kernel.
func observed(want State) State {
	s := clone(want)
	if s.Link.Name != "" {
		s.Link.Backend = madeFor(want.Link.Backend)
	}
	for i := range s.Device.Peers {
		s.Device.Peers[i].LastHandshake = secondsAgo(10)
	}
	return s
}

// smtp returns all packets that could be SMTP with an address.
func smtp(a netip.Addr, ports []uint16) []packet {
	var all []packet
	for _, p := range ports {
		all = append(all, packet{a, 0, p}, packet{a, p, 0}, packet{a, p, p})
	}
	return all
}

const rounds = 5_000

func TestDiffOfEqualStatesIsEmpty(t *testing.T) {
	for seed := range uint64(rounds) {
		w := newWorld(seed)
		want := Want(w.config(), w.facts())
		if p := Diff(observed(want), want, time.Now()); len(p) > 0 {
			t.Fatalf("seed %d: equal states, but the plan is:\n%s", seed, p)
		}
	}
	if p := Diff(State{}, State{}, time.Now()); len(p) > 0 {
		t.Errorf("nothing to nothing, but the plan is:\n%s", p)
	}
}

func TestPlanReachesWish(t *testing.T) {
	for seed := range uint64(rounds) {
		w := newWorld(seed)
		have, want := w.kernel(), State{}
		if w.chance(90) { // else down
			want = Want(w.config(), w.facts())
		}
		f := &fake{state: clone(have)}
		if w.chance(30) { // dies in the middle, and plans anew
			f.failAt = 1 + w.IntN(20)
			_ = do(context.Background(), f, Diff(have, want, time.Now()), func(Step) {})
			have = f.look()
		}
		if err := do(context.Background(), f, Diff(have, want, time.Now()), func(Step) {}); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if p := Diff(f.look(), want, time.Now()); len(p) > 0 {
			t.Fatalf("seed %d: after the plan there is still to do:\n%s", seed, p)
		}
		opts := cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{}),
			cmpopts.EquateComparable(peers.PrivateKey{}, peers.PresharedKey{}),
			cmpopts.IgnoreFields(DevicePeer{}, "LastHandshake", "Endpoint"), cmpopts.IgnoreFields(Link{}, "Backend")}
		if diff := cmp.Diff(want, f.look(), opts); diff != "" {
			t.Fatalf("seed %d: reached another state than wished (-want +got):\n%s", seed, diff)
		}
	}
}

// TestPlanNeverUncovers is the promise: whatever step a plan is cut at, what was
// protected before and should be after is protected in between.
func TestPlanNeverUncovers(t *testing.T) {
	protected := 0
	for seed := range uint64(rounds) {
		w := newWorld(seed)
		have, want := w.kernel(), Want(w.config(), w.facts())
		var watched []packet
		for _, a := range pool {
			for _, p := range smtp(a, allPorts) {
				if send(have, p) != inClear && send(observed(want), p) != inClear {
					watched = append(watched, p)
				}
			}
		}
		protected += len(watched)
		plan := Diff(have, want, time.Now())
		f := &fake{state: clone(have)}
		for i, step := range plan {
			if err := f.doOne(step); err != nil {
				t.Fatalf("seed %d: step %d: %s: %v", seed, i, step, err)
			}
			for _, p := range watched {
				if send(f.state, p) == inClear {
					t.Fatalf("seed %d: %v is in clear after step %d, %q of\n%s", seed, p, i, step, plan)
				}
			}
		}
	}
	if protected < rounds {
		t.Errorf("the worlds are too bare to show anything: only %d protected packets", protected)
	}
}

// TestNewPeerIsProtectedFromTheFirstStep says more for a new address: once a
// plan has begun, no step leaves it in clear again.
func TestNewPeerIsClosedBeforeItIsOpened(t *testing.T) {
	for seed := range uint64(rounds) {
		w := newWorld(seed)
		have, want := w.kernel(), Want(w.config(), w.facts())
		f, closed := &fake{state: clone(have)}, map[packet]bool{}
		for _, step := range Diff(have, want, time.Now()) {
			if err := f.doOne(step); err != nil {
				t.Fatalf("seed %d: %s: %v", seed, step, err)
			}
			for _, a := range want.Guard.Peers {
				for _, p := range smtp(a, want.Guard.Ports) {
					clear := send(f.state, p) == inClear
					if closed[p] && clear {
						t.Fatalf("seed %d: %v was closed and is in clear after %s", seed, p, step)
					}
					closed[p] = closed[p] || !clear
				}
			}
		}
	}
}

// TestWishProtectsAndTouchesNothingElse walks packets through wished states.
func TestWishProtectsAndTouchesNothingElse(t *testing.T) {
	for seed := range uint64(rounds) {
		w := newWorld(seed)
		want := Want(w.config(), w.facts())
		for _, a := range pool {
			peer := slices.Contains(want.Guard.Peers, a)
			for _, p := range smtp(a, want.Guard.Ports) {
				if got := send(want, p); peer != (got != inClear) {
					t.Fatalf("seed %d: SMTP %v: peer %v, but it is %s", seed, p, peer, got)
				}
			}
			if got := send(want, packet{a, 40000, 22}); got != inClear {
				t.Fatalf("seed %d: SSH to %s is %s, and is none of our business", seed, a, got)
			}
		}
	}
}

// The two layers are worth something only if each protects alone.
func TestEitherLayerAloneProtects(t *testing.T) {
	for seed := range uint64(rounds / 10) {
		w := newWorld(seed)
		facts := w.facts()
		facts.IPv6 = true
		want := Want(w.config(), facts)
		bare, unsteered := clone(want), clone(want)
		bare.Guard = Guard{}
		unsteered.Rules, unsteered.Routes = nil, nil
		for _, a := range want.Guard.Peers {
			for name, s := range map[string]State{"without the guard": bare, "without rules and routes": unsteered} {
				for _, p := range smtp(a, want.Guard.Ports) {
					if send(s, p) == inClear {
						t.Fatalf("seed %d: %s, %v is in clear", seed, name, p)
					}
				}
				if !Closed(s, a, want.Guard.Ports) {
					t.Fatalf("seed %d: %s, Closed says that %s is open", seed, name, a)
				}
			}
		}
	}
}

// TestClosedIsHonest compares what status is made of with what packets do.
func TestClosedIsHonest(t *testing.T) {
	open := 0
	for seed := range uint64(rounds) {
		w := newWorld(seed)
		s := w.kernel()
		ports := []uint16{25, 587}
		for _, a := range pool {
			leaks := slices.ContainsFunc(smtp(a, ports), func(p packet) bool { return send(s, p) == inClear })
			if leaks {
				open++
			}
			if leaks && Closed(s, a, ports) {
				t.Fatalf("seed %d: Closed says that %s is closed, packets go out in clear:\n%+v", seed, a, s)
			}
		}
	}
	if open == 0 {
		t.Error("no world ever leaked: the test shows nothing")
	}
}

func TestDiffLeavesRoamedPeerAlone(t *testing.T) {
	home, away := netip.MustParseAddrPort("203.0.113.9:51825"), netip.MustParseAddrPort("203.0.113.77:4711")
	peer := DevicePeer{PublicKey: peers.PublicKey{1}, Endpoint: home, Allowed: pool[:1]}
	base := State{Link: Link{Name: "postroad0", Backend: peers.Auto, Up: true}}
	for _, test := range []struct {
		name    string
		age     int
		repoint bool
		want    bool
	}{
		{"it answers", 100, false, false},
		{"silent for long", 136, false, true},
		{"the operator has changed it", 100, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			have, want := observed(base), clone(base)
			roamed, wished := peer, peer
			roamed.Endpoint, roamed.LastHandshake = away, secondsAgo(test.age)
			wished.Repoint = test.repoint
			have.Device.Peers, want.Device.Peers = []DevicePeer{roamed}, []DevicePeer{wished}
			plan := Diff(have, want, time.Now())
			if got := strings.Contains(plan.String(), home.String()); got != test.want || test.want != (len(plan) == 2) {
				t.Errorf("sets the endpoint: %v, want %v; plan:\n%s", got, test.want, plan)
			}
		})
	}
}

// A peer whose name resolves late is spoken to then, not at its next mail.
func TestDiffGreetsPeerWhoseEndpointBecomesKnown(t *testing.T) {
	c, f := testConfig(), Facts{IPv6: true, Local: []LocalAddr{{netip.MustParseAddr("192.0.2.10"), "eth0"}}}
	have := observed(Want(c, f))
	have.Device.Peers[0].LastHandshake = time.Time{}
	if plan := Diff(have, Want(c, f), time.Now()); len(plan) > 0 {
		t.Errorf("no name, but the plan is:\n%s", plan)
	}
	f.Endpoints = map[string][]netip.Addr{"mx.bravo.example": {netip.MustParseAddr("203.0.113.7")}}
	plan := Diff(have, Want(c, f), time.Now())
	if _, greets := plan[len(plan)-1].(GreetPeer); len(plan) != 2 || !greets {
		t.Errorf("the plan is:\n%s", plan)
	}
}

// A change of one peer must not disturb the sessions of the others.
func TestDiffTouchesOnlyTheChangedPeer(t *testing.T) {
	c := &peers.Config{Host: peers.Host{Link: "postroad0", Ports: []uint16{25}, Backend: peers.Auto}}
	for i := range 4 {
		c.Peers = append(c.Peers, peers.Peer{PublicKey: peers.PublicKey{byte(i + 1)}, Addresses: pool[i : i+1]})
	}
	f := Facts{IPv6: true, Local: []LocalAddr{{netip.MustParseAddr("192.0.2.10"), "eth0"}}}
	have := observed(Want(c, f))
	c.Peers[2].Keepalive = 25 * time.Second
	c.Peers = append(c.Peers, peers.Peer{PublicKey: peers.PublicKey{9}, Addresses: pool[9:10]})
	for _, step := range Diff(have, Want(c, f), time.Now()) {
		switch s := step.(type) {
		case SetPeer:
			if s.Peer.PublicKey != (peers.PublicKey{3}) && s.Peer.PublicKey != (peers.PublicKey{9}) {
				t.Errorf("touches an unchanged peer: %s", s)
			}
		case AddToGuard, SetRoute, ForgetPaths, GreetPeer:
		default:
			t.Errorf("does more than needed: %s", s)
		}
	}
}

func TestPlanPrintsNoSecret(t *testing.T) {
	var key, psk [32]byte
	for i := range key {
		key[i], psk[i] = 0xaa, 0xbb
	}
	c := &peers.Config{Host: peers.Host{Link: "postroad0", PrivateKey: peers.PrivateKeyFrom(key), Ports: []uint16{25}},
		Peers: []peers.Peer{{PublicKey: peers.PublicKey{1}, PresharedKey: peers.PresharedKeyFrom(psk), Addresses: pool[:1]}}}
	plan := Diff(State{}, Want(c, Facts{}), time.Now())
	for _, step := range plan {
		for _, text := range []string{step.String(), fmt.Sprintf("%v %+v %#v", step, step, step)} {
			for _, secret := range []string{"qqqqqq", "u7u7u7", "170 170", "187 187", "0xaa, 0xaa", "0xbb, 0xbb", "aaaa", "bbbb"} {
				if strings.Contains(text, secret) {
					t.Errorf("%T prints a secret: %s", step, text)
				}
			}
		}
	}
}
