package tunnel

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"postroad/peers"
)

// A Prober tries how large packets get through the tunnel. Its methods may be
// called from any goroutine.
type Prober interface {
	// Room returns how large packets in the tunnel can be on the way to an
	// endpoint as far as this host knows, in bytes: by the interface they leave
	// through, and by what routers have said. Zero: not known.
	Room(endpoint netip.Addr) int
	// Crosses sends a packet of size bytes, IP header included, through the
	// tunnel, and says whether the other side answers within the time.
	Crosses(ctx context.Context, way MTUWay, size int, within time.Duration) (bool, error)
	// Sent returns how much has gone into the tunnel, to all peers, in bytes. Zero:
	// nothing, or it is not known.
	Sent() int64
}

// A MTUWay is from an address of ours through the tunnel to one of a peer's.
type MTUWay struct{ From, To netip.Addr }

const (
	mtuTries  = 3                      // of a size, before it counts as one that does not cross
	mtuSlow   = time.Second            // how long to wait for an answer while nothing is known of the peer
	mtuQuick  = 250 * time.Millisecond // and at least otherwise
	answers   = 5                      // that a host gives in a burst (Linux: 6, see icmp_ratelimit in icmp(7))
	perAnswer = time.Second            // after which it gives one more
)

// A mtuMeasurement is one search, as long as it takes.
type mtuMeasurement struct {
	prober   Prober
	endpoint netip.Addr
	answers  *allowance
	rough    func(mtu int) // is told of a size that crosses when the one in use does not; more is to come

	within time.Duration
}

// run asks whether the current size crosses, and with raise what more does, up to
// most. It returns the largest that was seen to; zero: there was no answer at
// all. Without whole, answers ended before that was sure to be the largest.
func (m *mtuMeasurement) run(ctx context.Context, ways []MTUWay, current, most int, raise bool) (found int, whole bool) {
	for _, way := range ways { // one may be closed to us, or have no such family
		if found, whole = m.search(ctx, way, newMTUSearch(current, min(most, m.room(most)), raise)); found != 0 {
			return found, whole
		}
	}
	return 0, true
}

func (m *mtuMeasurement) search(ctx context.Context, way MTUWay, s *mtuSearch) (found int, whole bool) {
	m.within = mtuSlow
	for size := s.next(); size != 0; size = s.next() {
		crosses, sure := m.crosses(ctx, way, size, s.control())
		if !sure && s.known {
			return s.low, false
		}
		if !sure || ctx.Err() != nil {
			return 0, false
		}
		if room := m.room(size); crosses && room < size { // it did in fragments, as a router has asked for
			s.limit(room)
			continue
		}
		first := !s.known
		if s.result(size, crosses); first && !crosses {
			m.rough(s.low)
		}
	}
	return s.low, true
}

// room is what the prober knows, or else def.
func (m *mtuMeasurement) room(def int) int {
	if room := m.prober.Room(m.endpoint); room != 0 {
		return room
	}
	return def
}

// crosses says whether a size crosses. That there is no answer is the size's doing
// only if there is one to control, before and after which it was tried: else the
// other side may just have been away.
func (m *mtuMeasurement) crosses(ctx context.Context, way MTUWay, size, control int) (crosses, sure bool) {
	switch {
	case m.try(ctx, way, size, mtuTries):
		return true, true
	case control == size || !m.try(ctx, way, control, mtuTries):
		return false, false
	}
	m.answers.spend(time.Now()) // the control may have had the last one, for others ask too
	return m.try(ctx, way, size, 1), true
}

// try asks for a size until it is answered, a few times at most. An error is as
// good as no answer: there is no route yet, or the link does not take the size.
func (m *mtuMeasurement) try(ctx context.Context, way MTUWay, size, times int) bool {
	for range times {
		sleep(ctx, m.answers.wait(time.Now()))
		start := time.Now()
		ok, err := m.prober.Crosses(ctx, way, size, m.within)
		if err != nil || ctx.Err() != nil {
			return false
		}
		if ok {
			m.answers.take(time.Now())
			m.within = min(max(mtuQuick, 4*time.Since(start)), mtuSlow)
			return true
		}
	}
	return false
}

// An allowance is how many answers a host may still give: after too many it is
// silent, which must not be taken for the path's doing. The zero value is full.
type allowance struct {
	used float64
	at   time.Time
}

// wait returns how long it takes until the host may answer.
func (a *allowance) wait(now time.Time) time.Duration {
	a.pass(now)
	return max(0, time.Duration((a.used-answers+1)*float64(perAnswer)))
}

func (a *allowance) take(now time.Time) {
	a.pass(now)
	a.used++
}

// spend has the host answer nothing for now.
func (a *allowance) spend(now time.Time) { a.used, a.at = answers, now }

func (a *allowance) pass(now time.Time) {
	a.used = max(0, a.used-float64(now.Sub(a.at))/float64(perAnswer))
	a.at = now
}

// mtuWays returns a way for each family, of those that the routes have.
func mtuWays(p peers.Peer, s State) (ways []MTUWay) {
	for _, v6 := range []bool{false, true} {
		family := slices.DeleteFunc(slices.Clone(p.Addresses), func(a netip.Addr) bool { return a.Is6() != v6 })
		if r, ok := s.tunnelRoute(family); ok {
			ways = append(ways, MTUWay{From: r.Src, To: r.Dst})
		}
	}
	return ways
}
