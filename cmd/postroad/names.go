package main

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"postroad/peers"
	"postroad/peers/lookup"
)

// lookUp asks for the addresses of a name as the daemon does.
var lookUp = lookup.System().Addresses

// lookupPatience is how long a command asks for the addresses of all names.
const lookupPatience = 5 * time.Second

// answersFile is where the daemon remembers what DNS said last.
func (o *options) answersFile() string {
	return filepath.Join(filepath.Dir(o.selectors), peers.AnswersFile)
}

// resolve returns c with the addresses of its names, and those of endpoints, as
// the daemon has them in force: what DNS said last, and of names that it has not
// said anything of, what it says now.
func (o *options) resolve(ctx context.Context, c *peers.Config) (*peers.Config, map[string][]netip.Addr) {
	known, err := peers.LoadAnswers(o.answersFile())
	if err != nil || known == nil {
		known = peers.Answers{} // the daemon says why, and asks
	}
	own := localAddresses()
	ask(ctx, c, known, append(own, c.Host.Addresses...))
	resolved, _ := peers.Resolve(c, known, own)
	return resolved, c.Endpoints(known, own)
}

// ask adds to what is known of names.
func ask(ctx context.Context, c *peers.Config, known peers.Answers, own []netip.Addr) {
	ctx, cancel := context.WithTimeout(ctx, lookupPatience)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	for name, private := range c.Lookups() {
		if len(known[name]) > 0 {
			continue
		}
		all.Go(func() {
			found := lookUp(ctx, name)
			mu.Lock()
			defer mu.Unlock()
			known[name], _ = peers.Learn(name, nil, found, 0, peers.Trust{Private: private, Own: own}, time.Now())
		})
	}
	all.Wait()
}

// localAddresses returns those that others could have taken from DNS; where they
// cannot be had, none.
func localAddresses() (all []netip.Addr) {
	nets, _ := net.InterfaceAddrs()
	for _, n := range nets {
		if p, err := netip.ParsePrefix(n.String()); err == nil && p.Addr().IsGlobalUnicast() {
			all = append(all, p.Addr())
		}
	}
	return all
}
