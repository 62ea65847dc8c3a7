package peers

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// maxKeep is how long an address that has left DNS can be kept.
const maxKeep = 365 * 24 * time.Hour

// addressesOrNames returns a peer's mail addresses and the names for the rest of
// them: that of the peer where none are given.
func (t table) addressesOrNames(peer string) (addrs []netip.Addr, names []string) {
	if _, given := t.values["addresses"]; !given {
		if name := nameKey(peer); peer != "" && t.claimName(name, "name", t.place("name")) {
			names = append(names, name)
		}
		return nil, names
	}
	items, isArray := list[string](t, "addresses", `"203.0.113.5"`)
	if all, _ := elements(t.values["addresses"]); isArray && len(all) == 0 {
		t.problem("addresses", `is empty: give the peer's mail addresses, such as ["203.0.113.5"] or ["mx.partner.example"], or leave the key out for those of its name`)
	}
	for _, i := range items {
		if isHostName(strings.TrimSuffix(i.value, ".")) {
			if name := nameKey(i.value); t.claimName(name, "addresses", i.at) {
				names = append(names, name)
			}
			continue
		}
		a, err := ParseAddress(i.value)
		if err != nil {
			t.problemAt(i.at, "addresses", "%v", err)
		} else if t.claimAddress(a, i.at) {
			addrs = append(addrs, a)
		}
	}
	return addrs, names
}

// nameKey returns a DNS name in the form that [Peer.Names] has.
func nameKey(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// claimName notes whose addresses a name has, and is false if it was taken.
func (t table) claimName(name, key string, at place) bool {
	first, taken := t.d.hosts[name]
	switch {
	case !taken:
		t.d.hosts[name] = owner{t.path, t.where, at}
	case first.table == t.path:
		t.problemAt(at, key, `"%s" is given twice, first in line %d`, name, t.d.line(first.at))
	case first.where == "host" && key == "name":
		t.problemAt(at, key, `"%s" is this host's own name: give the peer's, or its addresses`, name)
	case first.where == "host":
		t.problemAt(at, key, `"%s" is this host's own name: give the peer's`, name)
	default:
		t.problemAt(at, key, `the addresses of "%s" are those of %s too (line %d): an address has one peer`, name, first.where, t.d.line(first.at))
	}
	return !taken
}

// keepAddresses returns how long an address that has left DNS stays a peer's.
func (t table) keepAddresses() time.Duration {
	d := DefaultKeepAddresses
	t.text("keep_addresses", "", `"24h"`, func(s string) (err error) {
		d, err = parseKeep(s)
		return err
	})
	return d
}

func parseKeep(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return 0, fmt.Errorf(`%s is not a duration: give one such as "24h"`, quote(s))
	case d < 0 || d > maxKeep:
		return 0, fmt.Errorf(`%s is out of range: give "0s" to "8760h"`, quote(s))
	}
	return d, nil
}
