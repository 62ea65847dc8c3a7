package peers

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// ErrAlready is the error of adding a peer that the file has just so.
var ErrAlready = errors.New("the peer is there already")

// errInline is what is wrong with files that we cannot edit.
var errInline = errors.New(`the file has its peers as an array of inline tables (peer = [{...}]): write each below a line [[peer]], or change the file yourself`)

// A Change is a peers file's new text, and how it differs from the old.
type Change struct {
	Text  []byte // the whole file's
	Lines string // those that came or went
	Line  int    // number of the first of them: in the new text if they came, in the old if they went
}

// Add returns the change that appends a peer to the peers file data; name is the
// file's, for errors. What the file has stays as it is, byte by byte. It fails
// with [Decode]'s error if the file is broken, with one that is ErrAlready if it
// has that very peer, and with one that says what is wrong if it cannot take it.
// The peer's policy, and whether its names may have private addresses, is the
// file's default whatever p says.
func Add(name string, data []byte, env Env, p Peer) (Change, error) {
	before, err := Decode(name, data, env)
	if err != nil {
		return Change{}, err
	}
	if err := before.fits(p); err != nil {
		return Change{}, err
	}
	p.PrivateAddresses = before.Host.PrivateAddresses
	block := p.Block()
	text, line := appendBlock(data, block)
	after, err := Decode(name, text, env)
	if err != nil {
		return Change{}, whyNot(data, p, err)
	}
	if i := after.index(p.Name); i >= 0 {
		p.Policy = after.Peers[i].Policy
	}
	return Change{text, block, line}, before.plus(p).must(after)
}

// Remove returns the change that takes the named peer out of the peers file
// data. The errors are as Add's.
func Remove(name string, data []byte, env Env, peer string) (Change, error) {
	before, err := Decode(name, data, env)
	if err != nil {
		return Change{}, err
	}
	i := before.index(peer)
	if i < 0 {
		return Change{}, fmt.Errorf("there is no peer %q in %s: %s", peer, name, before.whoIsThere())
	}
	text, lines, line, ok := cutBlock(data, i)
	if !ok {
		return Change{}, errInline
	}
	if len(bytes.TrimSpace(text)) == 0 {
		text = []byte("[host]\n") // an empty file is refused, see load
	}
	after, err := Decode(name, text, env)
	if err != nil {
		return Change{}, fmt.Errorf("taking peer %q out would break the file: %w", peer, err)
	}
	return Change{text, lines, line}, before.minus(i).must(after)
}

// fits says whether a peer is this host, or is there already.
func (c *Config) fits(p Peer) error {
	i := c.index(p.Name)
	switch {
	case p.PublicKey == c.Host.PrivateKey.Public():
		return fmt.Errorf("this is the card of this host itself (its public_key is this host's own): add that of the other host")
	case i < 0:
		return nil
	}
	if differs := differing(c.Peers[i], p); len(differs) > 0 {
		return fmt.Errorf("peer %q is there already, with another %s: to replace it, take it out first (postroad peer remove %s), "+
			"add this one, and reload only then", p.Name, strings.Join(differs, ", another "), p.Name)
	}
	return fmt.Errorf("%w: %q, with the same key and addresses", ErrAlready, p.Name)
}

// differing names what a peer of the file has otherwise than a new one of its
// name. What the operator of the file has set beyond that is no difference.
func differing(have, p Peer) (keys []string) {
	for _, d := range []struct {
		key  string
		same bool
	}{
		{"public_key", have.PublicKey == p.PublicKey},
		{"endpoint", have.Endpoint == p.Endpoint},
		{"addresses", sameSet(have.Addresses, p.Addresses) && sameSet(have.Names, p.Names)},
		{"domains", sameSet(have.Domains, p.Domains)},
		{"keepalive", have.Keepalive == p.Keepalive || p.Keepalive == 0},
	} {
		if !d.same {
			keys = append(keys, d.key)
		}
	}
	return keys
}

// index returns which peer has the name; -1: none.
func (c *Config) index(name string) int {
	return slices.IndexFunc(c.Peers, func(p Peer) bool { return strings.EqualFold(p.Name, name) })
}

// Peer returns the peer of a name, in whatever case, or an error that says who
// is there.
func (c *Config) Peer(name string) (Peer, error) {
	if i := c.index(name); i >= 0 {
		return c.Peers[i], nil
	}
	return Peer{}, fmt.Errorf("there is no peer %q in the peers file: %s", name, c.whoIsThere())
}

func (c *Config) whoIsThere() string {
	const most = 10
	var names []string
	for _, p := range c.Peers[:min(most, len(c.Peers))] {
		names = append(names, p.Name)
	}
	switch {
	case len(names) == 0:
		return "it has none"
	case len(c.Peers) > most:
		names = append(names, fmt.Sprintf("and %d more", len(c.Peers)-most))
	}
	return "it has " + strings.Join(names, ", ")
}

// whyNot says why a file that was sound is not with one more peer.
func whyNot(data []byte, p Peer, err error) error {
	if s := scan(withoutBOM(string(data))); s.lines[under("", "peer")] > 0 && s.counts[under("", "peer")] == 0 {
		return errInline
	}
	var all []error
	for _, problem := range Problems(err) {
		problem.Where = "" // what is wrong is the new peer's; its lines are not in the file
		all = append(all, fmt.Errorf("adding peer %q: %s: %s", p.Name, problem.Key, problem.Text))
	}
	return errors.Join(all...)
}

// plus returns the config with one more peer.
func (c *Config) plus(p Peer) *Config {
	return &Config{Host: c.Host, Peers: append(slices.Clone(c.Peers), p)}
}

// minus returns the config without the i-th peer.
func (c *Config) minus(i int) *Config {
	return &Config{Host: c.Host, Peers: slices.Delete(slices.Clone(c.Peers), i, i+1)}
}

// must fails unless an edited file says what it should. It guards against our
// own mistakes: nothing is written then.
func (c *Config) must(got *Config) error {
	want := c.normal()
	if !reflect.DeepEqual(want, got.normal()) {
		return errors.New("the change would alter more than the peer: nothing is changed; please change the file yourself")
	}
	return nil
}

// normal returns the config in the form that compares: a peer's policy may be
// the file's default.
func (c *Config) normal() Config {
	n := Config{Host: c.Host, Peers: append([]Peer(nil), c.Peers...)} // nil if there are none
	for i := range n.Peers {
		if n.Peers[i].Policy == "" {
			n.Peers[i].Policy = Require
		}
	}
	return n
}
