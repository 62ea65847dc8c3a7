package tunnel

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	lookupInterval = time.Minute
	lookupTimeout  = 5 * time.Second
	maxAnswers     = 16 // addresses kept of one answer
)

// names keeps the addresses of endpoint names, beside the loop so that a slow
// resolver delays no pass. What was known stays known when a lookup fails.
type names struct {
	lookup  func(ctx context.Context, name string) ([]netip.Addr, error)
	log     *slog.Logger
	changed func()
	kick    chan struct{}

	mu     sync.Mutex
	hosts  []string
	addrs  map[string][]netip.Addr
	failed map[string]bool
}

func newNames(lookup func(context.Context, string) ([]netip.Addr, error), log *slog.Logger, changed func()) *names {
	return &names{lookup: lookup, log: log, changed: changed, kick: make(chan struct{}, 1),
		addrs: map[string][]netip.Addr{}, failed: map[string]bool{}}
}

// want says which names to keep.
func (n *names) want(hosts []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts = hosts
	select {
	case n.kick <- struct{}{}:
	default:
	}
}

// known returns what the names resolve to.
func (n *names) known() map[string][]netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.addrs)
}

// run looks the names up when they change and every minute, until ctx ends.
func (n *names) run(ctx context.Context) error {
	t := time.NewTicker(lookupInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.kick:
		case <-t.C:
		}
		n.mu.Lock()
		hosts := slices.Clone(n.hosts)
		n.mu.Unlock()
		for _, h := range hosts {
			n.refresh(ctx, h)
		}
	}
}

func (n *names) refresh(ctx context.Context, host string) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	addrs, err := n.lookup(ctx, host)
	addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool {
		return !a.IsValid() || a.IsLoopback() || a.IsMulticast() || a.IsUnspecified()
	})
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil || len(addrs) == 0 {
		if !n.failed[host] && ctx.Err() != context.Canceled {
			n.log.Warn("resolving an endpoint's name; keeping what is known", "name", host, "error", err)
		}
		n.failed[host] = true
		return
	}
	n.failed[host] = false
	if addrs = addrs[:min(len(addrs), maxAnswers)]; !sameAddrs(addrs, n.addrs[host]) {
		n.addrs[host] = addrs
		n.changed()
	}
}

// sameAddrs compares without regard to order: servers turn it round.
func sameAddrs(a, b []netip.Addr) bool {
	return slices.Equal(sortedAddrs(slices.Clone(a)), sortedAddrs(slices.Clone(b)))
}
