package peers

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// Resolve returns c with the addresses that the names in it are known to have,
// beside those that it gives itself, and by the peers' names what is odd about
// them. Own are this host's addresses. An address has one peer: the one whose
// addresses give it, or else the one that had it first.
func Resolve(c *Config, known Answers, own []netip.Addr) (*Config, map[string][]Remark) {
	if !slices.ContainsFunc(c.Peers, func(p Peer) bool { return len(p.Names) > 0 }) {
		return c, map[string][]Remark{}
	}
	r := &resolution{known: known, own: slices.Concat(own, c.Host.Addresses),
		holders: map[netip.Addr]string{}, remarks: map[string][]Remark{}}
	resolved := &Config{Host: c.Host, Peers: slices.Clone(c.Peers)}
	for _, p := range c.Peers {
		for _, a := range p.Addresses {
			r.holders[a] = p.Name
		}
	}
	got := make([][]Known, len(c.Peers))
	for _, claim := range r.claims(c) {
		if r.settle(claim) {
			got[claim.peer] = append(got[claim.peer], claim.Known)
		}
	}
	for i, p := range c.Peers {
		if len(p.Names) > 0 {
			resolved.Peers[i].Addresses = slices.Concat(p.Addresses, inOrder(got[i]))
		}
	}
	return resolved, r.remarks
}

// A resolution is one that goes on.
type resolution struct {
	known   Answers
	own     []netip.Addr
	holders map[netip.Addr]string // names of peers
	remarks map[string][]Remark   // by name of peer
}

// A claim is what a name of a peer has to an address.
type claim struct {
	Known
	peer       int
	who, name  string
	refusedFor string
}

// claims returns those of all peers, the oldest first.
func (r *resolution) claims(c *Config) (all []claim) {
	for i, p := range c.Peers {
		trust := Trust{Private: p.PrivateAddresses, Own: r.own}
		for _, name := range p.Names {
			if len(r.known[name]) == 0 {
				r.remark(p.Name, remarkf(NameUnresolved, "DNS has not said the address of %s yet", name))
			}
			for _, k := range r.known[name] {
				all = append(all, claim{k, i, p.Name, name, trust.refuses(k.Addr)})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b claim) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.peer, b.peer))
	})
	return all
}

// settle says whether a claim gives the peer an address that it had not.
func (r *resolution) settle(c claim) bool {
	holder, held := r.holders[c.Addr]
	switch {
	case held && holder == c.who:
		return false
	case c.refusedFor != "":
		r.remark(c.who, remarkf(AddressRefused, "DNS says that %s is %s: not believed, for it is %s", c.name, c.Addr, c.refusedFor))
		return false
	case held:
		r.remark(c.who, remarkf(AddressTaken, "DNS says that %s is %s, which is an address of %s and stays so", c.name, c.Addr, holder))
		return false
	case !c.Left.IsZero():
		r.remark(c.who, remarkf(AddressLeft, "DNS no longer says that %s is %s, which stays protected for the time being", c.name, c.Addr))
	}
	r.holders[c.Addr] = c.who
	return true
}

func (r *resolution) remark(peer string, what Remark) {
	if !slices.Contains(r.remarks[peer], what) {
		r.remarks[peer] = append(r.remarks[peer], what)
	}
}

// inOrder returns addresses in the order in which to try them: what has left DNS
// comes last.
func inOrder(all []Known) []netip.Addr {
	slices.SortFunc(all, func(a, b Known) int {
		return cmp.Or(compareBools(!a.Left.IsZero(), !b.Left.IsZero()), a.Addr.Compare(b.Addr))
	})
	addrs := make([]netip.Addr, len(all))
	for i, k := range all {
		addrs[i] = k.Addr
	}
	return addrs
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// LookupNames returns the names whose addresses are asked for: those among the
// peer's addresses, and that of its endpoint.
func (p Peer) LookupNames() []string {
	names := p.Names
	if _, literal := p.Endpoint.Addr(); !literal && p.Endpoint.Host != "" && !slices.Contains(names, p.Endpoint.name()) {
		names = append(slices.Clone(names), p.Endpoint.name())
	}
	return names
}

// AgeTogether gives an address that several names of a peer have the age that the
// first of them gives it: while one of them has it, no other peer comes to.
func (a Answers) AgeTogether(p Peer) {
	if len(p.Names) < 2 {
		return
	}
	first := map[netip.Addr]time.Time{}
	for _, name := range p.Names {
		for _, k := range a[name] {
			if at, known := first[k.Addr]; !known || k.Since.Before(at) {
				first[k.Addr] = k.Since
			}
		}
	}
	for _, name := range p.Names {
		a[name] = slices.Clone(a[name])
		for i := range a[name] {
			a[name][i].Since = first[a[name][i].Addr]
		}
	}
}

// Lookups returns the names whose addresses the peers of c have, and for each
// whether a peer that has it takes addresses of private ranges.
func (c *Config) Lookups() map[string]bool {
	all := map[string]bool{}
	for _, p := range c.Peers {
		for _, name := range p.LookupNames() {
			all[name] = all[name] || p.PrivateAddresses
		}
	}
	return all
}

// name is the endpoint's host as Answers have it.
func (e Endpoint) name() string { return nameKey(e.Host) }

// Endpoints returns what the names of endpoints resolve to, by the host that the
// endpoint has, in the order in which to try them.
func (c *Config) Endpoints(known Answers, own []netip.Addr) map[string][]netip.Addr {
	all := map[string][]netip.Addr{}
	own = slices.Concat(own, c.Host.Addresses)
	for _, p := range c.Peers {
		if p.Endpoint.Host == "" {
			continue
		}
		trust := Trust{Private: p.PrivateAddresses, Own: own}
		believed := slices.DeleteFunc(slices.Clone(known[p.Endpoint.name()]), func(k Known) bool { return trust.refuses(k.Addr) != "" })
		if addrs := inOrder(believed); len(addrs) > 0 {
			all[p.Endpoint.Host] = addrs
		}
	}
	return all
}
