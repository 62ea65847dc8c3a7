// Package lookup asks DNS, with the system's settings, for what a daemon wants
// beside addresses: for how long an answer holds, and whether none came or there
// is none. Whatever a server answers, memory and time stay bounded.
package lookup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"postroad/peers"
)

// How long an answer is taken to hold, whatever its TTL: an answer for less
// would have us ask without end, one for more would hide what has changed.
const (
	minTTL    = 5 * time.Second
	maxTTL    = time.Hour
	noTTL     = time.Minute // where it is not said: no SOA (RFC 2308, section 5), or not asked by us
	maxMX     = 64          // records that are kept of an answer
	maxServer = 3           // servers that are asked, as MAXNS of resolver(3)
)

// A Client asks the system's DNS servers, or where it has none the Go resolver.
type Client struct {
	ResolvConf string        // the resolv.conf(5), read anew for every lookup
	Hosts      string        // the hosts(5), whose names are not asked for
	Port       string        // of the servers; empty: 53
	Patience   time.Duration // for one answer
	Fallback   func(ctx context.Context, network, name string) ([]netip.Addr, error)
}

// System returns the Client of this host.
func System() *Client {
	return &Client{ResolvConf: "/etc/resolv.conf", Hosts: "/etc/hosts", Patience: 2 * time.Second,
		Fallback: (&net.Resolver{PreferGo: true}).LookupNetIP}
}

// Addresses looks the addresses of a name up, which is absolute with or without
// the dot at its end. How long it may take is the context's to say.
func (c *Client) Addresses(ctx context.Context, name string) peers.Found {
	if addrs := c.inHosts(name); len(addrs) > 0 {
		return peers.Found{Addrs: addrs, TTL: minTTL} // whoever changes the file expects it to be seen
	}
	servers := c.servers()
	if len(servers) == 0 {
		return c.fallback(ctx, name)
	}
	var v4, v6 answer
	var both sync.WaitGroup
	both.Go(func() { v4 = c.ask(ctx, servers, name, dns.TypeA) })
	both.Go(func() { v6 = c.ask(ctx, servers, name, dns.TypeAAAA) })
	both.Wait()
	return peers.Found{Addrs: slices.Concat(v4.addrs, v6.addrs), TTL: min(v4.ttl, v6.ttl), NoIPv4: v4.err, NoIPv6: v6.err}
}

// fallback asks whom the Go resolver asks.
func (c *Client) fallback(ctx context.Context, name string) peers.Found {
	addrs, err := c.Fallback(ctx, "ip", rooted(name))
	if no := (*net.DNSError)(nil); errors.As(err, &no) && no.IsNotFound {
		addrs, err = nil, nil
	}
	return peers.Found{Addrs: addrs, TTL: noTTL, NoIPv4: err, NoIPv6: err}
}

// An MX is a mail exchanger of a domain.
type MX struct {
	Host       string // in lower case, without a dot at its end; empty: the domain takes no mail (RFC 7505)
	Preference uint16 // the lowest is tried first
}

// MX looks the mail exchangers of a domain up, the preferred ones first, and
// for how long they hold. None and no error: the domain has none, and is its own
// (RFC 5321, section 5.1).
func (c *Client) MX(ctx context.Context, domain string) (all []MX, ttl time.Duration, err error) {
	servers := c.servers()
	if len(servers) == 0 {
		return nil, noTTL, fmt.Errorf("%s names no DNS server", c.ResolvConf)
	}
	a := c.ask(ctx, servers, domain, dns.TypeMX)
	return a.mx, a.ttl, a.err
}

// servers returns the addresses and ports of the system's DNS servers.
func (c *Client) servers() (all []string) {
	conf, err := dns.ClientConfigFromFile(c.ResolvConf)
	if err != nil {
		return nil
	}
	for _, s := range conf.Servers {
		if _, err := netip.ParseAddr(s); err == nil {
			all = append(all, net.JoinHostPort(s, cmp.Or(c.Port, conf.Port)))
		}
	}
	return all[:min(len(all), maxServer)]
}

// inHosts returns the addresses that the hosts file gives a name.
func (c *Client) inHosts(name string) (all []netip.Addr) {
	data, err := os.ReadFile(c.Hosts)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 || !slices.ContainsFunc(fields[1:], func(f string) bool { return sameName(f, name) }) {
			continue
		}
		if a, err := netip.ParseAddr(fields[0]); err == nil {
			all = append(all, a)
		}
	}
	return all
}

// rooted keeps a resolver from trying the name below its search domains.
func rooted(name string) string { return strings.TrimSuffix(name, ".") + "." }

func sameName(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}
