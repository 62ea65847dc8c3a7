package tunnel

import (
	"context"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"postroad/peers"
)

// When domains are looked up.
const (
	domainTimeout = 20 * time.Second // for all there is to ask about one
	domainRetry   = 30 * time.Second // after a lookup that failed
	domainsAtOnce = 4
	perHost       = time.Second // at least between two lookups, for each MX host: short TTLs must not keep us busy
)

// A domain's answer is what is known of where its mail goes.
type answer struct {
	peers.Delivery
	looked  time.Time // when DNS last said all of it; zero: never
	failing time.Time // since when it does not; zero: it does
	due     time.Time // when to ask again
}

// domains watches where mail for the peers' domains goes, beside the loop so that
// a slow server delays no pass. What was known stays known when DNS does not say.
type domains struct {
	lookup  func(ctx context.Context, domain string) peers.Delivery
	changed func()
	kick    chan struct{}

	mu    sync.Mutex
	known map[string]answer // of the domains to watch
}

func newDomains(lookup func(context.Context, string) peers.Delivery, changed func()) *domains {
	return &domains{lookup: lookup, changed: changed, kick: make(chan struct{}, 1), known: map[string]answer{}}
}

// want says which domains to watch. One of which DNS did not say is asked for at
// once: whoever reads the file again may have mended DNS.
func (d *domains) want(all []peers.Peer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	known := map[string]answer{}
	for _, p := range all {
		for _, domain := range p.Domains {
			a := d.known[domain]
			if !a.failing.IsZero() {
				a.due = time.Time{}
			}
			known[domain] = a
		}
	}
	d.known = known
	select {
	case d.kick <- struct{}{}:
	default:
	}
}

// answers returns what is known.
func (d *domains) answers() map[string]answer {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.known)
}

// run looks the domains up whenever what is known of them has had its time, until
// ctx ends.
func (d *domains) run(ctx context.Context) error {
	if d.lookup == nil {
		return nil
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.kick:
		case <-timer.C:
		}
		d.refresh(ctx)
		timer.Reset(d.wait(time.Now()))
	}
}

// refresh looks up what is due.
func (d *domains) refresh(ctx context.Context) {
	var g errgroup.Group
	g.SetLimit(domainsAtOnce)
	for domain, a := range d.answers() {
		if time.Now().Before(a.due) {
			continue
		}
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, domainTimeout)
			defer cancel()
			d.learn(domain, d.lookup(ctx, domain), time.Now())
			return nil
		})
	}
	_ = g.Wait()
	if ctx.Err() == nil {
		d.changed()
	}
}

// learn takes the result of a lookup.
func (d *domains) learn(domain string, found peers.Delivery, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a, ok := d.known[domain]
	if !ok { // the file no longer has it
		return
	}
	a.Delivery = found.After(a.Delivery)
	switch {
	case a.Failed() == nil:
		a.looked, a.failing, a.due = now, time.Time{}, now.Add(max(found.TTL, time.Duration(len(found.Hosts))*perHost))
	case a.failing.IsZero():
		a.failing = now
		fallthrough
	default:
		a.due = now.Add(domainRetry)
	}
	d.known[domain] = a
}

// wait returns how long nothing is due.
func (d *domains) wait(now time.Time) time.Duration {
	wait := time.Hour
	for _, a := range d.answers() {
		wait = min(wait, a.due.Sub(now))
	}
	return max(wait, 0)
}
