package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// A Site is a mail host on the lab's Internet.
type Site struct {
	*Host
	Link *Link
	IPv4 netip.Addr
	IPv6 netip.Addr
}

// Standard is the layout everything uses: two mail hosts that will be peers, one that will not, and a router between.
//
//	alpha    mx1.alpha.example    192.0.2.10     2001:db8:a::10   alice@alpha.example    router's eth0
//	bravo    mx.bravo.example     198.51.100.20  2001:db8:b::20   bob@bravo.example      router's eth1
//	charlie  mx.charlie.example   203.0.113.30   2001:db8:c::30   carol@charlie.example  router's eth2
//
// Names are in every host's /etc/hosts, a domain beside its mail host: its implicit MX (RFC 5321, 5.1).
type Standard struct {
	*Lab
	Router                *Host
	Alpha, Bravo, Charlie *Site
	more                  []*Site
}

// TunnelPort is where the hosts' WireGuard listens, for [Standard.Sealed].
const TunnelPort = 51825

// canary is an address of charlie's that nobody uses but a [Watch].
const canary = "203.0.113.25"

// sealed counts the tunnels' packets where they pass, which no load can make it miss.
var sealed = fmt.Sprintf(`table inet lab {
	counter sealed { }
	chain forward {
		type filter hook forward priority 0
		udp dport %d counter name sealed
	}
}`, TunnelPort)

// NewStandard boots the standard layout, without Postfix.
func NewStandard(ctx context.Context) (*Standard, error) {
	return standardWith(ctx, "198.51.100.20", "2001:db8:b::20")
}

// standardWith boots the standard layout with other addresses for bravo.
func standardWith(ctx context.Context, bravo4, bravo6 string) (*Standard, error) {
	l, err := New(ctx)
	if err != nil {
		return nil, err
	}
	s := &Standard{Lab: l}
	if err := s.build(ctx, bravo4, bravo6); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return s, nil
}

func (s *Standard) build(ctx context.Context, bravo4, bravo6 string) (err error) {
	if s.Router, err = s.Host(ctx, "router.example"); err != nil {
		return err
	}
	if _, err := s.Router.run(ctx, sealed, "nft", "-f", "-"); err != nil {
		return err
	}
	if s.Alpha, err = s.site(ctx, "mx1.alpha.example", "192.0.2.10", "2001:db8:a::10"); err != nil {
		return err
	}
	if s.Bravo, err = s.site(ctx, "mx.bravo.example", bravo4, bravo6); err != nil {
		return err
	}
	if s.Charlie, err = s.site(ctx, "mx.charlie.example", "203.0.113.30", "2001:db8:c::30"); err != nil {
		return err
	}
	return errors.Join(s.names(), s.Charlie.quiet(ctx, "ip", "address", "add", canary+"/24", "dev", "eth0"))
}

func (s *Standard) site(ctx context.Context, name, ipv4, ipv6 string) (*Site, error) {
	host, err := s.Host(ctx, name)
	if err != nil {
		return nil, err
	}
	link, err := s.Connect(ctx, s.Router, host, ipv4+"/24", ipv6+"/64")
	return &Site{Host: host, Link: link, IPv4: netip.MustParseAddr(ipv4), IPv6: netip.MustParseAddr(ipv6)}, err
}

// Join adds a mail host, on a wire of its own to the router, and tells its name to all others.
func (s *Standard) Join(ctx context.Context, name, ipv4, ipv6 string) (*Site, error) {
	site, err := s.site(ctx, name, ipv4, ipv6)
	if err != nil {
		return nil, err
	}
	s.more = append(s.more, site)
	return site, s.names()
}

// Sites are the mail hosts.
func (s *Standard) Sites() []*Site { return append([]*Site{s.Alpha, s.Bravo, s.Charlie}, s.more...) }

// names writes every host's /etc/hosts.
func (s *Standard) names() error {
	var hosts strings.Builder
	fmt.Fprintf(&hosts, "127.0.0.1 localhost\n::1 localhost ip6-localhost\n%s canary.charlie.example\n", canary)
	for _, site := range s.Sites() {
		fmt.Fprintf(&hosts, "%s %s %s\n", site.IPv4, site.Name, site.Domain())
		fmt.Fprintf(&hosts, "%s %s %s\n", site.IPv6, site.Name, site.Domain())
	}
	err := s.Router.WriteFile("/etc/hosts", []byte(hosts.String()), 0o644)
	for _, site := range s.Sites() {
		err = errors.Join(err, site.WriteFile("/etc/hosts", []byte(hosts.String()), 0o644))
	}
	return err
}

// Sealed counts the packets to [TunnelPort], and their bytes, that the router has passed on so far.
func (s *Standard) Sealed(ctx context.Context) (packets, bytes uint64, err error) {
	out, err := s.Router.Run(ctx, "nft", "-j", "list", "counter", "inet", "lab", "sealed")
	if err != nil {
		return 0, 0, err
	}
	var list struct {
		Nftables []struct {
			Counter struct{ Packets, Bytes uint64 }
		}
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return 0, 0, fmt.Errorf("counting tunnel packets: %w", err)
	}
	for _, e := range list.Nftables {
		packets, bytes = packets+e.Counter.Packets, bytes+e.Counter.Bytes
	}
	return packets, bytes, nil
}
