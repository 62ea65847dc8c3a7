package tunnel

import (
	"context"
	"net/netip"
	"time"

	"postroad/peers"
)

// WireGuard takes a handshake from a peer only if its clock says that it is later
// than the one before (whitepaper, section 5.1). A peer whose clock was ahead for a
// while is not let in then until that time has come. We are, if we call it: what it
// remembers is our time. Where our own clock was ahead with it, that is as wrong:
// then WireGuard has to forget the peer first.
//
//	its clock    ours         here                       there
//	was ahead    was right    it calls: call it          takes it
//	was right    was ahead    it calls: is let in        we call: it calls us, as above
//	was ahead    was ahead    it calls: forget it        its next call is let in, and ours as soon as it has
//	                                                     forgotten us
const (
	listenInterval = 3 * time.Second        // between looks at who calls: WireGuard calls every 5 s
	letInWithin    = time.Second            // that long after a call, its handshake is through or was refused
	sameTime       = 100 * time.Millisecond // what a call and its handshake may seem to be apart the wrong way round
	callBackGap    = 2 * time.Second        // at least between calls to a peer that is not let in: WireGuard makes one in 5 s of them
)

// listen looks who calls, which WireGuard sends no event of, and says whether
// anybody is not let in: then a pass has something to do.
func (l *Loop) listen(ctx context.Context, now time.Time) bool {
	if l.callers = nil; !l.up {
		return false
	}
	var err error
	if l.callers, err = l.System.Callers(ctx); err != nil { // the guard is being replaced: a pass will see
		l.Log.Debug("not known who calls", "error", err)
	}
	return len(shutOut(l.callers, l.seen, now)) > 0
}

// shutOut returns the peers that call and are not let in: they have called from
// where their tunnel ends or from one of their addresses, and there was no handshake
// since. A call proves nothing, as anybody can send one in a peer's name.
func shutOut(callers map[netip.Addr]time.Time, device []DevicePeer, now time.Time) map[peers.PublicKey]bool {
	all := map[peers.PublicKey]bool{}
	if len(callers) == 0 {
		return all
	}
	for _, p := range device {
		called := callers[p.Endpoint.Addr()]
		for _, a := range p.Allowed {
			if at := callers[a]; at.After(called) {
				called = at
			}
		}
		age := now.Sub(p.LastHandshake)
		ago := now.Sub(called)
		if !called.IsZero() && ago >= letInWithin && (age > ago+sameTime || ahead(p, now)) {
			all[p.PublicKey] = true
		}
	}
	return all
}

// ahead says whether the last handshake with a peer is dated in the future: our
// clock was set back since.
func ahead(p DevicePeer, now time.Time) bool { return p.LastHandshake.Sub(now) > letInWithin }

// forget has the wish make anew those of the peers that are shut out with whom our
// own clock was ahead. Others are not: whoever calls in their name, and replays a
// call of theirs, could end their session.
func forget(want, have Device, shut map[peers.PublicKey]bool, now time.Time) {
	for i := range want.Peers {
		w := &want.Peers[i]
		if h := have.peerAt(i, w.PublicKey); h != nil && shut[w.PublicKey] && ahead(*h, now) {
			w.Anew = true
		}
	}
}

func countAnew(done []Step) (n int) {
	for _, s := range done {
		if set, ok := s.(SetPeer); ok && set.Peer.Anew {
			n++
		}
	}
	return n
}
