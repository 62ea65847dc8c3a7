package tunnel

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"postroad/peers"
)

// The times of lookups.
const (
	lookupTimeout = 5 * time.Second
	lookupJitter  = time.Second      // at most; what is longer lets mail servers know of a new address first
	retryMin      = 5 * time.Second  // after a lookup that failed
	retryMax      = time.Minute      // after many
	hurryGap      = 15 * time.Second // between lookups that are made for want of a handshake
	saveGap       = 10 * time.Second // after answers could not be saved
	saveShare     = 20               // times as long as it took to save them is waited before they are again
	lookupsAtOnce = 16
)

// names keeps what DNS says of the names in the peers file, beside the loop so
// that a slow server delays no pass. What was known stays known when a lookup
// fails.
type names struct {
	lookup  func(ctx context.Context, name string) peers.Found
	save    func(peers.Answers) error // nil: nothing is kept
	log     *slog.Logger
	changed func()
	kick    chan struct{}

	mu      sync.Mutex
	private map[string]bool // by the names that are wanted, whether private addresses are believed
	peers   []peers.Peer    // with several names
	keep    time.Duration
	own     []netip.Addr
	known   peers.Answers
	lookups map[string]*lookupState
	since   time.Time // when names were wanted last
	news    bool      // somebody is to be told
	unsaved bool
	saveAt  time.Time // not before
	saveErr error     // why the answers could not be saved; nil: they could
}

func newNames(l *Loop) *names {
	known := l.Answers
	if known == nil {
		known = peers.Answers{}
	}
	return &names{lookup: l.Lookup, save: l.SaveAnswers, log: l.Log, changed: l.Poke, kick: make(chan struct{}, 1),
		known: maps.Clone(known), lookups: map[string]*lookupState{}}
}

// want says which names to keep, and has them looked up; what is known of others is
// forgotten.
func (n *names) want(c *peers.Config) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before := n.private
	n.peers = slices.DeleteFunc(slices.Clone(c.Peers), func(p peers.Peer) bool { return len(p.Names) < 2 })
	n.private, n.keep, n.since = c.Lookups(), c.Host.KeepAddresses, time.Now()
	for name := range n.known {
		if _, wanted := n.private[name]; !wanted {
			delete(n.known, name)
			n.unsaved = n.unsaved || before != nil // at the start the file may have what the next one wants
		}
	}
	maps.DeleteFunc(n.lookups, func(name string, _ *lookupState) bool { _, wanted := n.private[name]; return !wanted })
	for name := range n.private {
		if s := n.lookups[name]; s != nil {
			s.due = time.Time{} // who reloads wants to know
		} else {
			n.lookups[name] = &lookupState{}
		}
	}
	n.wake()
}

// isOwn says which addresses this host has.
func (n *names) isOwn(own []netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.own = own
}

func (n *names) wake() {
	select {
	case n.kick <- struct{}{}:
	default:
	}
}

// answers returns what is known, and what there is to say of the names.
func (n *names) answers() (peers.Answers, map[string][]peers.Remark) {
	n.mu.Lock()
	defer n.mu.Unlock()
	remarks := map[string][]peers.Remark{}
	for name, s := range n.lookups {
		remarks[name] = s.remarks
	}
	return maps.Clone(n.known), remarks
}

// settled says whether all that is wanted is known or has been asked for. It does
// not wait long for that.
func (n *names) settled(now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now.Sub(n.since) > lookupTimeout {
		return true
	}
	for name, s := range n.lookups {
		if !s.tried && len(n.known[name]) == 0 {
			return false
		}
	}
	return true
}

// await waits until all that is wanted is settled.
func (n *names) await(ctx context.Context) {
	for !n.settled(time.Now()) && ctx.Err() == nil {
		sleep(ctx, 20*time.Millisecond)
	}
}

// answered says whether DNS has said all that there is to say of each name, since
// the start. The answers of an earlier one may have lacked a family.
func (n *names) answered() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.lookups {
		if !s.whole {
			return false
		}
	}
	return true
}

// failure is why the answers are not on disk.
func (n *names) failure() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.saveErr
}

// hurry has names looked up soon, before what is known of them expires.
func (n *names) hurry(hosts []string, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, name := range hosts {
		if s := n.lookups[name]; s != nil && now.Sub(s.asked) >= hurryGap {
			s.due = now
		}
	}
	n.wake()
}

// run looks the names up when what is known of them expires, until ctx ends.
func (n *names) run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	slots := make(chan struct{}, lookupsAtOnce)
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		n.keepAndTell(time.Now())
		name, wait := n.next(time.Now(), len(slots) < cap(slots))
		if name != "" {
			slots <- struct{}{}
			all.Go(func() {
				n.refresh(ctx, name)
				<-slots
				n.wake()
			})
			continue
		}
		t.Reset(wait)
		select {
		case <-ctx.Done():
			n.saveLast()
			return nil
		case <-n.kick:
		case <-t.C:
		}
	}
}

// next returns a name that is due, if there is room for its lookup, or else how
// long to wait.
func (n *names) next(now time.Time, room bool) (name string, wait time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	wait = time.Hour
	for name, s := range n.lookups {
		if s.busy {
			continue
		}
		if room && !s.due.After(now) {
			s.busy, s.asked = true, now
			return name, 0
		}
		if room {
			wait = min(wait, s.due.Sub(now))
		}
	}
	if n.unsaved {
		wait = min(wait, max(0, n.saveAt.Sub(now)))
	}
	return "", wait
}

// refresh looks a name up and learns what DNS says.
func (n *names) refresh(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	f := n.lookup(ctx, name)
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.lookups[name]
	if s == nil || ctx.Err() == context.Canceled {
		return // it is no longer wanted
	}
	now := time.Now()
	trust := peers.Trust{Private: n.private[name], Own: n.own}
	known, remarks := peers.Learn(name, n.known[name], f, n.keep, trust, now)
	if failed := failing(name, f, len(known) > 0); failed != nil {
		remarks = append(remarks, *failed)
	}
	if !slices.Equal(remarks, s.remarks) || !s.tried {
		s.remarks, n.news = remarks, true
	}
	if whole := len(known) > 0 && f.NoIPv4 == nil && f.NoIPv6 == nil; whole && !s.whole {
		s.whole, n.news = true, true
	}
	if !slices.Equal(known, n.known[name]) {
		n.known[name], n.news, n.unsaved = known, true, true
		n.ageTogether(name)
	}
	s.busy, s.tried, s.due = false, true, now.Add(s.wait(f))
}

// ageTogether makes what is new of a name as old as the peer has had it.
func (n *names) ageTogether(name string) {
	for _, p := range n.peers {
		if slices.Contains(p.Names, name) {
			n.known.AgeTogether(p)
		}
	}
}

// keepAndTell saves what is new, and then says that there is something new: of
// what comes in quick succession all at once.
func (n *names) keepAndTell(now time.Time) {
	n.mu.Lock()
	if n.unsaved && n.saveErr == nil && now.Before(n.saveAt) {
		n.mu.Unlock()
		return
	}
	news, unsaved := n.news, n.unsaved && !now.Before(n.saveAt)
	var known peers.Answers
	if n.news = false; unsaved {
		n.unsaved, known = false, maps.Clone(n.known)
	}
	n.mu.Unlock()
	if unsaved && n.save != nil {
		n.saved(n.save(known), now)
	}
	if news {
		n.changed()
	}
}

// saveLast saves, before the end, what was to be saved later.
func (n *names) saveLast() {
	n.mu.Lock()
	n.saveAt = time.Time{}
	n.mu.Unlock()
	n.keepAndTell(time.Now())
}

// saved notes how saving went. What failed is tried again.
func (n *names) saved(err error, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.saveAt = time.Now().Add(saveShare * time.Since(now))
	if err != nil {
		if n.saveErr == nil {
			n.log.Error("a start without DNS will not know what it says now", "error", err)
		}
		n.unsaved, n.saveAt = true, now.Add(saveGap)
	}
	n.saveErr = err
}
