package tunnel

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"postroad/peers"
)

// A LatchStore keeps which peers have answered. [peers.LatchFile] is one.
type LatchStore interface {
	Load() (peers.Latches, error)
	Save(peers.Latches) error
}

var _ LatchStore = peers.LatchFile("")

// policyKeepalive is that of peers whose policy depends on whether they answer,
// where the file gives none: their sessions are renewed without mail, too.
const policyKeepalive = 25 * time.Second

// A policies decides whose SMTP goes in clear: with the policies prefer and latch,
// that of the peers that are not latched. A peer is latched from when it has
// answered; with prefer, until it is given up:
//
//	handshake          180 s                 clear_after
//	    |----------------|------------------------|---------------
//	      session lives    no session: called       given up
//	                       every 15 s
//
// How long a peer is silent is measured by this process and on the monotonic
// clock, so that no clock that is set opens anything.
type policies struct {
	log    *slog.Logger
	store  LatchStore                    // nil: nothing is kept
	held   map[peers.PublicKey]bool      // the latched peers, of all policies
	silent map[peers.PublicKey]time.Time // since when there is no session although we call; absent: there is, or we do not
	loaded bool
	dirty  bool  // held is another than the store's
	unread error // why it is not known who has answered: all are taken to; nil: it is known
	unkept error // why held could not be saved; nil: it is, or need not be
}

// accept goes over from one config to another, and reads what is kept if that has
// not been possible yet. Old is nil at the first.
func (s *policies) accept(old, c *peers.Config) {
	var latches peers.Latches
	if old != nil {
		latches = old.Latches(s.held)
	}
	if s.store != nil && !s.loaded {
		latches = s.load()
	}
	if s.unread != nil {
		latches = c.Latches(everybody(c))
	}
	s.held = latches.Of(c)
	s.dirty = s.dirty || !slices.Equal(latches, c.Latches(s.held))
}

func (s *policies) load() peers.Latches {
	latches, err := s.store.Load()
	if err != nil && s.unread == nil {
		s.log.Error("taking every peer for one that has answered", "error", err)
	}
	s.loaded, s.unread = err == nil, err
	return latches
}

func everybody(c *peers.Config) map[peers.PublicKey]bool {
	all := map[peers.PublicKey]bool{}
	for _, p := range c.Peers {
		all[p.PublicKey] = true
	}
	return all
}

// look notes who answers and who does not, and keeps it before anybody acts on it.
func (s *policies) look(c *peers.Config, have State, now time.Time) {
	silent := make(map[peers.PublicKey]time.Time, len(s.silent))
	for _, p := range c.Peers {
		device := have.Device.peer(p.PublicKey)
		calls := have.Link.Up && device != nil // where nobody calls, nobody can answer
		since, was := s.silent[p.PublicKey]
		if !was || !calls {
			since = now
		}
		last := handshake(device)
		held := s.held[p.PublicKey]
		switch {
		case alive(last, now) || p.Policy != peers.Prefer && !last.IsZero():
			held = true
		case p.Policy == peers.Prefer && now.Sub(since) >= c.Host.ClearAfter:
			held = false
		}
		if calls && !alive(last, now) {
			silent[p.PublicKey] = since
		}
		s.dirty = s.dirty || held != s.held[p.PublicKey]
		s.held[p.PublicKey] = held
	}
	s.silent = silent
	s.keep(c)
}

// handshake returns when a peer answered last. Zero: never, or it is not known.
func handshake(d *DevicePeer) time.Time {
	if d == nil {
		return time.Time{}
	}
	return d.LastHandshake
}

// open returns the peers whose SMTP goes in clear.
func (s *policies) open(c *peers.Config) map[peers.PublicKey]bool { return c.Open(s.held) }

// alive says whether there is a session. A handshake in the future, by a clock
// that went backwards, counts as one.
func alive(handshake, now time.Time) bool {
	return !handshake.IsZero() && now.Sub(handshake) < sessionLife
}

// keep saves what is held, if it has changed. What could not be is tried again at
// the next look.
func (s *policies) keep(c *peers.Config) {
	if s.store == nil || !s.dirty || s.unread != nil {
		return // what cannot be read is not overwritten
	}
	was := s.unkept
	s.unkept = s.store.Save(c.Latches(s.held))
	s.dirty = s.unkept != nil
	if s.unkept != nil && was == nil {
		s.log.Error("a restart will not know which peers have answered", "error", s.unkept)
	}
}

// problem says what is wrong with what is kept; nil: nothing.
func (s *policies) problem() error { return errors.Join(s.unread, s.unkept) }

// due returns how long there is still to wait until a peer is given up.
func (s *policies) due(c *peers.Config, now time.Time) time.Duration {
	wait := interval
	for _, p := range c.Peers {
		if since, ok := s.silent[p.PublicKey]; ok && p.Policy == peers.Prefer && s.held[p.PublicKey] {
			wait = min(wait, max(0, since.Add(c.Host.ClearAfter).Sub(now)))
		}
	}
	return wait
}

// bypass says whether a wish lets SMTP with a peer go in clear.
func bypass(p peers.Peer, want State) bool {
	return p.Policy.MayBypass() && len(p.Addresses) > 0 && !slices.ContainsFunc(p.Addresses, want.Guard.guards)
}

// whyClear is the reason for which a peer's policy lets its SMTP go in clear.
func whyClear(p peers.Peer, handshake time.Time) string {
	if handshake.IsZero() {
		return fmt.Sprintf("policy %s: it has not answered yet", p.Policy)
	}
	return fmt.Sprintf("policy %s: it has not answered since %s", p.Policy, handshake.UTC().Format("2006-01-02 15:04 MST"))
}

// keepalive is the peer's, or that which its policy needs.
func keepalive(p peers.Peer) time.Duration {
	if p.Keepalive == 0 && p.Policy.MayBypass() {
		return policyKeepalive
	}
	return p.Keepalive
}
