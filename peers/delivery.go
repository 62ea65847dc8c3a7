package peers

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// How much of a domain's mail routes is looked at. Without a bound a server could
// keep us busy, and fill our memory.
const (
	MaxExchangers = 20 // MX hosts of a domain, the preferred ones first
	MaxPerHost    = 16 // addresses of an MX host
)

// A Delivery is where a domain's mail goes, as far as DNS says (RFC 5321, section
// 5.1).
type Delivery struct {
	Hosts []Exchanger   // preferred ones first; none: the domain takes no mail (RFC 7505), or see Err
	More  int           // MX hosts beyond MaxExchangers, of which nothing is known
	TTL   time.Duration // for how long it holds
	Err   error         // why the hosts are not known; nil: they are
}

// An Exchanger is an MX host: one that takes a domain's mail.
type Exchanger struct {
	Host       string // in lower case, without a dot at its end
	Preference uint16 // the lowest is tried first
	Addresses  []netip.Addr
	More       int   // addresses beyond MaxPerHost
	NoIPv4     error // why not all IPv4 addresses are known; nil: they are
	NoIPv6     error // the same for IPv6
}

// NewExchanger returns an MX host with the addresses found for it, as far as they
// are looked at.
func NewExchanger(host string, preference uint16, f Found) Exchanger {
	addrs := make([]netip.Addr, len(f.Addrs))
	for i, a := range f.Addrs {
		addrs[i] = a.Unmap().WithZone("")
	}
	addrs = distinct(addrs)
	n := min(len(addrs), MaxPerHost)
	return Exchanger{host, preference, addrs[:n:n], len(addrs) - n, f.NoIPv4, f.NoIPv6}
}

// Failed returns why not all is known; nil: it is.
func (d Delivery) Failed() error {
	if d.Err != nil {
		return d.Err
	}
	for _, x := range d.Hosts {
		switch {
		case x.NoIPv4 != nil:
			return fmt.Errorf("asking for the addresses of %s: %w", x.Host, x.NoIPv4)
		case x.NoIPv6 != nil:
			return fmt.Errorf("asking for the addresses of %s: %w", x.Host, x.NoIPv6)
		}
	}
	return nil
}

// After returns what is known after a lookup: what DNS does not say now is as it
// was known before.
func (d Delivery) After(before Delivery) Delivery {
	if d.Err != nil {
		before.TTL, before.Err = d.TTL, d.Err
		return before
	}
	d.Hosts = slices.Clone(d.Hosts)
	for i, x := range d.Hosts {
		was := slices.IndexFunc(before.Hosts, func(b Exchanger) bool { return b.Host == x.Host })
		if was < 0 || x.NoIPv4 == nil && x.NoIPv6 == nil {
			continue
		}
		addrs := slices.Clone(x.Addresses)
		for _, a := range before.Hosts[was].Addresses {
			if a.Is4() && x.NoIPv4 != nil || a.Is6() && x.NoIPv6 != nil {
				addrs = append(addrs, a)
			}
		}
		addrs = distinct(addrs)
		d.Hosts[i].Addresses = addrs[:min(len(addrs), MaxPerHost)]
	}
	return d
}

// An OpenMX is an MX host to which a domain's mail can go in clear: it has
// addresses that are no peer's. Its JSON is stable.
type OpenMX struct {
	Host       string       `json:"host"`
	Preference uint16       `json:"preference"`
	Addresses  []netip.Addr `json:"addresses"` // those of it that are no peer's
	First      bool         `json:"first"`     // no protected MX host is preferred to it: mail normally goes there
}

// Open returns the MX hosts to which mail can go in clear. Protected says whether
// no clear SMTP with an address is on the wire: those of all peers, and this
// host's.
func (d Delivery) Open(protected func(netip.Addr) bool) (all []OpenMX) {
	best, some := uint16(0), false // of the hosts that are protected, if only in part, or may be
	for _, x := range d.Hosts {
		if (x.unknown() || slices.ContainsFunc(x.Addresses, protected)) && (!some || x.Preference < best) {
			best, some = x.Preference, true
		}
	}
	for _, x := range d.Hosts {
		open := slices.DeleteFunc(slices.Clone(x.Addresses), protected)
		if len(open) > 0 {
			all = append(all, OpenMX{x.Host, x.Preference, open, !some || x.Preference <= best})
		}
	}
	return all
}

// unknown says whether DNS did not say where the host is.
func (x Exchanger) unknown() bool {
	return len(x.Addresses) == 0 && (x.NoIPv4 != nil || x.NoIPv6 != nil)
}

// Sentence says where a domain's mail can go in clear, without a full stop.
func (o OpenMX) Sentence(domain string) string {
	words := "mail for %s can go to %s in clear (preference %d, %s)"
	if o.First {
		words = "mail for %s normally goes to %s IN CLEAR (preference %d, %s)"
	}
	return fmt.Sprintf(words, domain, o.Host, o.Preference, few(o.Addresses))
}

// Overflow says that there is more than is looked at, and how much. Empty: there
// is not.
func (d Delivery) Overflow() string {
	var parts []string
	if d.More > 0 {
		parts = append(parts, fmt.Sprintf("%d more MX hosts", d.More))
	}
	for _, x := range d.Hosts {
		if x.More > 0 {
			parts = append(parts, fmt.Sprintf("%d more addresses of %s", x.More, x.Host))
		}
	}
	return strings.Join(parts, ", ")
}
