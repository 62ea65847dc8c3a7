package peers

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// DefaultSelectorsFile is where the daemon remembers what it protects.
const DefaultSelectorsFile = "/var/lib/postroad/selectors.json"

// Selectors say which packets a peers file protects, in the sense of RFC 4301,
// section 4.4.1.1. They are remembered on disk, so that a peers file that is
// broken at the next boot leaves closed what the last good one protected.
type Selectors struct {
	Link      string       `json:"link"`
	Ports     []uint16     `json:"ports"`     // TCP, on either side
	Addresses []netip.Addr `json:"addresses"` // the peers'
}

// Selectors returns those of the config, but for peers that are open.
func (c *Config) Selectors(open map[PublicKey]bool) Selectors {
	s := Selectors{Link: c.Host.Link, Ports: slices.Clone(c.Host.Ports), Addresses: make([]netip.Addr, 0, len(c.Peers))}
	for i := range c.Peers {
		if p := &c.Peers[i]; !open[p.PublicKey] {
			s.Addresses = append(s.Addresses, p.Addresses...)
		}
	}
	return s
}

// Equal says whether both are the same, in the same order.
func (s Selectors) Equal(t Selectors) bool {
	return s.Link == t.Link && slices.Equal(s.Ports, t.Ports) && slices.Equal(s.Addresses, t.Addresses)
}

// Config returns a config that protects what s selects, and knows no way to
// carry it.
func (s Selectors) Config() *Config {
	return &Config{Host: Host{Link: s.Link, Ports: s.Ports}, Peers: []Peer{{Addresses: s.Addresses}}}
}

// Save writes the selectors to a file, whole or not at all.
func (s Selectors) Save(path string) error {
	if err := memorize(path, s); err != nil {
		return fmt.Errorf("remembering what is protected: %w", err)
	}
	return nil
}

// LoadSelectors reads what Save wrote. No file means nothing to protect, and is
// no error.
func LoadSelectors(path string) (s Selectors, err error) {
	s, err = recall(path, parseSelectors)
	if err != nil {
		return Selectors{}, fmt.Errorf("reading what was protected, from %s: %w", path, err)
	}
	return s, nil
}

func parseSelectors(data []byte) (s Selectors, err error) {
	if err := json.Unmarshal(data, &s); err != nil {
		return s, err
	}
	return s, s.check()
}

// check holds what is read to what a peers file may say.
func (s Selectors) check() error {
	err := checkLink(s.Link)
	for _, a := range s.Addresses {
		err = errors.Join(err, checkAddress(a))
	}
	if len(s.Ports) == 0 || slices.Contains(s.Ports, 0) {
		err = errors.Join(err, errors.New("a port is missing"))
	}
	return err
}
