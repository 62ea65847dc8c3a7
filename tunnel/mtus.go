package tunnel

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"postroad/peers"
)

// When to measure.
const (
	mtuRaiseGap  = 10 * time.Minute // between attempts at more than what crosses
	mtuVerifyGap = 4 * time.Second  // between looks at the size in use, while much is sent
	mtuLookGap   = 2 * time.Second  // between looks at whether much is sent, to anybody
	mtuBusyFor   = time.Minute      // after much was sent, passes are as frequent as while a peer does not answer
	mtuMuch      = 4                // packets of the largest size: TCP sends that many in 3 s even if none crosses
	mtuAtOnce    = 16               // measurements at a time
)

// A MTUStatus is what is known of the largest packet to a peer.
type MTUStatus struct {
	Bytes    int       // that cross; zero: not known
	Measured time.Time // when that was seen last; zero: never
	Silent   bool      // it was tried, and the peer does not answer such packets
}

// mtus measures the largest packets that cross to each peer, beside the loop so
// that waiting for answers delays no pass.
type mtus struct {
	prober  Prober // nil: nothing is measured
	log     *slog.Logger
	changed func()
	kick    chan struct{}

	mu    sync.Mutex
	peers map[peers.PublicKey]*mtuPeer
}

// A mtuTarget is a peer as a pass sees it.
type mtuTarget struct {
	name      string
	ways      []MTUWay
	endpoint  netip.Addr
	path      Path      // to the endpoint
	current   int       // bytes that its routes take
	most      int       // bytes that the link takes
	handshake time.Time // zero: never
	sent      int64     // bytes
}

// A mtuPeer is what is remembered of one.
type mtuPeer struct {
	mtuTarget
	status   MTUStatus
	answers  allowance
	running  bool
	stale    bool      // the way is another than the one that was measured
	checked  time.Time // end of the last measurement
	searched time.Time // end of the last one that tried for more
	base     int64     // sent at the last measurement
	task     mtuTask   // while it is running
	busy     time.Time // when much was sent last
}

func newMTUs(prober Prober, log *slog.Logger, changed func()) *mtus {
	return &mtus{prober: prober, log: log, changed: changed, kick: make(chan struct{}, 1), peers: map[peers.PublicKey]*mtuPeer{}}
}

// see takes down what a pass has seen of the peers that are to be measured: none
// where the file says how large packets are.
func (m *mtus) see(c *peers.Config, have State, f Facts, now time.Time) {
	if m.prober == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := make(map[peers.PublicKey]*mtuPeer, len(c.Peers))
	if c.Host.MTU == 0 && have.Link.Up {
		for _, p := range c.Peers {
			if d := have.Device.peer(p.PublicKey); d != nil {
				seen[p.PublicKey] = m.seePeer(p, d, have, f, now)
			}
		}
	}
	m.peers = seen
	m.wake()
}

func (m *mtus) seePeer(p peers.Peer, d *DevicePeer, have State, f Facts, now time.Time) *mtuPeer {
	t := mtuTarget{name: p.Name, ways: mtuWays(p, have), endpoint: d.Endpoint.Addr(), path: f.Paths[d.Endpoint.Addr()],
		current: routeMTU(p, have), most: have.Link.MTU, handshake: d.LastHandshake, sent: d.Sent}
	q := m.peers[p.PublicKey]
	if q == nil {
		q = &mtuPeer{base: d.Sent}
	}
	q.stale = q.stale || t.endpoint != q.endpoint || t.path != q.path || t.most != q.most
	q.mtuTarget = t
	if q.base = min(q.base, t.sent); t.sent-q.base > mtuMuch*int64(max(t.current, SafeMTU)) {
		q.busy = now
	}
	return q
}

// routeMTU returns what a peer's routes say; zero: nothing, or there are none.
func routeMTU(p peers.Peer, s State) int {
	r, _ := s.tunnelRoute(p.Addresses)
	return r.MTU
}

// usedMTU returns how large packets to a peer are, in bytes; zero: none are sent.
func usedMTU(p peers.Peer, s State) int {
	r, ok := s.tunnelRoute(p.Addresses)
	if !ok {
		return 0
	}
	return cmp.Or(r.MTU, s.Link.MTU)
}

// known returns what is to be used: what was measured or, where that is nothing
// yet, what the routes say already, perhaps of an earlier daemon's doing.
func (m *mtus) known(c *peers.Config, have State) map[peers.PublicKey]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := RouteMTUs(c, have)
	for key, p := range m.peers {
		if p.status.Bytes != 0 {
			all[key] = p.status.Bytes
		}
	}
	return all
}

// RouteMTUs returns how large packets to the peers are by the routes that there
// are: what to wish for without knowing better.
func RouteMTUs(c *peers.Config, have State) map[peers.PublicKey]int {
	all := make(map[peers.PublicKey]int, len(c.Peers))
	for _, p := range c.Peers {
		if mtu := routeMTU(p, have); mtu != 0 {
			all[p.PublicKey] = mtu
		}
	}
	return all
}

// fill completes the status of peers.
func (m *mtus) fill(all []PeerStatus) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range all {
		if p := m.peers[all[i].PublicKey]; p != nil {
			all[i].MTUMeasured, all[i].MTUSilent = p.status.Measured, p.status.Silent
		}
	}
}

// due returns how long a pass may be away: not long while much is sent, so that
// a path that shrinks is noticed.
func (m *mtus) due(now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.peers {
		if now.Sub(p.busy) < mtuBusyFor || p.asks(now) != mtuNothing {
			return shortInterval
		}
	}
	return interval
}

// run measures what is due after every pass, until ctx ends.
func (m *mtus) run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	places := make(chan struct{}, mtuAtOnce)
	look := time.NewTicker(mtuLookGap)
	defer look.Stop()
	var sent int64
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			sent = m.look(sent, time.Now())
			continue
		case <-m.kick:
		}
		for _, p := range m.begin(time.Now(), cap(places)-len(places)) {
			places <- struct{}{}
			running.Go(func() {
				m.measure(ctx, p)
				<-places
				m.wake() // others may wait for the place
			})
		}
	}
}

// look asks for a pass when much is sent after a time when nobody was sent much:
// the next one may be half a minute away, and the path may take less by now.
func (m *mtus) look(before int64, now time.Time) (sent int64) {
	if m.prober == nil || m.busy(now) {
		return before
	}
	if sent = m.prober.Sent(); sent-before > mtuMuch*SafeMTU {
		m.changed()
	}
	return sent
}

// busy says whether passes are frequent already, or there is nobody to measure.
func (m *mtus) busy(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.peers {
		if now.Sub(p.busy) < mtuBusyFor {
			return true
		}
	}
	return len(m.peers) == 0
}

func (m *mtus) wake() {
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

// A mtuTask is what there is to do about a peer.
type mtuTask int

const (
	mtuNothing mtuTask = iota
	mtuVerify          // does the size in use still cross?
	mtuRaise           // and what more does?
)

// asks says what is due. A peer that sleeps is let sleep.
func (p *mtuPeer) asks(now time.Time) mtuTask {
	awake := now.Sub(p.handshake) < sessionLife
	switch {
	case p.running || !awake || len(p.ways) == 0:
		return mtuNothing
	case p.checked.IsZero() || p.stale, now.Sub(p.searched) >= mtuRaiseGap && (p.status.Silent || p.status.Bytes < wholeMTU(p.most)):
		return mtuRaise
	case p.status.Silent && p.handshake.After(p.checked):
		return mtuRaise
	case p.handshake.After(p.checked), p.sends(now) && now.Sub(p.checked) >= mtuVerifyGap:
		return mtuVerify
	}
	return mtuNothing
}

// sends says whether mail is under way. After much of it, little is enough: what
// does not cross is all that TCP sends, and ever more seldom.
func (p *mtuPeer) sends(now time.Time) bool {
	return now.Sub(p.busy) < mtuBusyFor && p.sent-p.base > int64(max(p.current, SafeMTU))
}

// begin returns peers that are to be measured now, as many as there is room for.
func (m *mtus) begin(now time.Time, room int) (due []*mtuPeer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.peers {
		if len(due) >= room {
			break
		}
		if p.task = p.asks(now); p.task != mtuNothing {
			p.running, p.stale = true, false
			due = append(due, p)
		}
	}
	return due
}

func (m *mtus) measure(ctx context.Context, p *mtuPeer) {
	m.mu.Lock()
	t, raise := p.mtuTarget, p.task == mtuRaise
	current := cmp.Or(p.status.Bytes, t.current)
	m.mu.Unlock()
	search := mtuMeasurement{prober: m.prober, endpoint: t.endpoint, answers: &p.answers,
		rough: func(bytes int) { m.set(p, MTUStatus{Bytes: bytes, Measured: time.Now()}) }}
	found, whole := search.run(ctx, t.ways, current, t.most, raise)
	if ctx.Err() != nil {
		return
	}
	if found != 0 {
		m.set(p, MTUStatus{Bytes: found, Measured: time.Now()})
	} else { // the tunnel stands, and yet there is no telling
		m.set(p, MTUStatus{Bytes: SafeMTU, Silent: true})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	p.running, p.checked, p.base = false, time.Now(), p.sent
	if whole && (raise || found < current) {
		p.searched = p.checked
	}
}

// set puts in force what is known now.
func (m *mtus) set(p *mtuPeer, s MTUStatus) {
	m.mu.Lock()
	was := p.status
	p.status = s
	m.mu.Unlock()
	switch {
	case s.Silent && !was.Silent:
		m.log.Info("path mtu not measured: the peer does not answer", "peer", p.name, "bytes", s.Bytes)
	case !s.Silent && (was.Silent || was.Bytes != s.Bytes):
		m.log.Info("path mtu measured", "peer", p.name, "bytes", s.Bytes)
	}
	if was.Bytes != s.Bytes {
		m.changed()
	}
}
