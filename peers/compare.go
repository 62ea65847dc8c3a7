package peers

import (
	"slices"
	"strings"
)

// Changes are what differs between two configs, in the words of the peers file.
// No value of a setting is among them, so no secret either.
type Changes struct {
	Host    []string     // keys of [host] with other values
	Added   []string     // names of peers
	Removed []string     // names of peers
	Changed []PeerChange // peers of the same name with other values
}

// A PeerChange says which keys of a peer have other values.
type PeerChange struct {
	Name string
	Keys []string
}

// None says whether nothing differs.
func (c Changes) None() bool {
	return len(c.Host)+len(c.Added)+len(c.Removed)+len(c.Changed) == 0
}

// String gives a peer's change as "name (key, key)".
func (p PeerChange) String() string { return p.Name + " (" + strings.Join(p.Keys, ", ") + ")" }

// Compare says what is different in c beside old. The order of peers, of
// addresses and the case of names are no difference.
func Compare(old, c *Config) (ch Changes) {
	ch.Host = changedHost(old.Host, c.Host)
	was := make(map[string]Peer, len(old.Peers))
	for _, p := range old.Peers {
		was[strings.ToLower(p.Name)] = p
	}
	for _, p := range c.Peers {
		before, known := was[strings.ToLower(p.Name)]
		delete(was, strings.ToLower(p.Name))
		if !known {
			ch.Added = append(ch.Added, p.Name)
		} else if keys := changedPeer(before, p); len(keys) > 0 {
			ch.Changed = append(ch.Changed, PeerChange{p.Name, keys})
		}
	}
	for _, p := range old.Peers {
		if _, gone := was[strings.ToLower(p.Name)]; gone {
			ch.Removed = append(ch.Removed, p.Name)
		}
	}
	return ch
}

func changedHost(a, b Host) []string {
	return keysOf([]difference{
		{"name", a.Name != b.Name},
		{"private_key_file", a.PrivateKey != b.PrivateKey},
		{"listen_port", a.ListenPort != b.ListenPort},
		{"addresses", !sameSet(a.Addresses, b.Addresses)},
		{"ports", !sameSet(a.Ports, b.Ports)},
		{"link", a.Link != b.Link},
		{"backend", a.Backend != b.Backend},
		{"mtu", a.MTU != b.MTU},
		{"clear_after", a.ClearAfter != b.ClearAfter},
		{"domains", !sameSet(a.Domains, b.Domains)},
		{"metrics", a.Metrics != b.Metrics},
		{"keep_addresses", a.KeepAddresses != b.KeepAddresses},
		{"private_addresses", a.PrivateAddresses != b.PrivateAddresses},
	})
}

func changedPeer(a, b Peer) []string {
	return keysOf([]difference{
		{"public_key", a.PublicKey != b.PublicKey},
		{"addresses", !sameSet(a.Addresses, b.Addresses) || !sameSet(a.Names, b.Names)},
		{"endpoint", a.Endpoint != b.Endpoint},
		{"preshared_key_file", a.PresharedKey != b.PresharedKey},
		{"keepalive", a.Keepalive != b.Keepalive},
		{"policy", a.Policy != b.Policy},
		{"domains", !sameSet(a.Domains, b.Domains)},
		{"private_addresses", a.PrivateAddresses != b.PrivateAddresses},
	})
}

// A difference says whether a key has another value.
type difference struct {
	key string
	is  bool
}

func keysOf(all []difference) (keys []string) {
	for _, d := range all {
		if d.is {
			keys = append(keys, d.key)
		}
	}
	return keys
}

// sameSet says whether a and b, in which nothing is twice, have the same elements.
func sameSet[T comparable](a, b []T) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(x T) bool { return !slices.Contains(b, x) })
}
