package peers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// A Resolver asks DNS. *[net.Resolver] is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
}

var _ Resolver = (*net.Resolver)(nil)

// A RemarkKind says what DNS has against a peer.
type RemarkKind string

// The kinds of remarks.
const (
	NameNotFound   RemarkKind = "name-not-found"   // the peer's name has no address
	NameElsewhere  RemarkKind = "name-elsewhere"   // the peer's name has none of its addresses
	NameHasMore    RemarkKind = "name-has-more"    // the peer's name has an address that the file does not give: mail to it goes in clear
	NotMX          RemarkKind = "not-mx"           // the peer takes no mail for a domain that it says
	MXUnprotected  RemarkKind = "mx-unprotected"   // an MX host of the domain has an address that is no peer's: mail to it goes in clear
	MXFirst        RemarkKind = "mx-first"         // the same, and no protected one is preferred to it: mail normally goes in clear
	MXNotLookedAt  RemarkKind = "mx-not-looked-at" // the domain has more MX hosts or addresses than are looked at
	DNSUnavailable RemarkKind = "dns-unavailable"  // DNS did not answer: nothing is known

	// Those of the names in a peer's addresses and endpoint.
	NameUnresolved RemarkKind = "name-unresolved" // no address of the name was ever known
	NameFailing    RemarkKind = "name-failing"    // DNS does not answer for the name; what is known is kept
	AddressLeft    RemarkKind = "address-left"    // an address has left DNS, and is still protected
	AddressTaken   RemarkKind = "address-taken"   // DNS gives the peer an address that is another's
	AddressRefused RemarkKind = "address-refused" // DNS gives the peer an address that cannot be its own
	AddressExcess  RemarkKind = "address-excess"  // DNS gives more addresses than are taken: mail to the rest goes in clear
)

// NameRemarks are the kinds of remarks on the names of a peers file.
var NameRemarks = []RemarkKind{NameUnresolved, NameFailing, AddressLeft, AddressTaken, AddressRefused, AddressExcess}

// A Remark is something about a peer that an operator should know. None keeps
// the peer from being used.
type Remark struct {
	Kind  RemarkKind `json:"kind"`
	Words string     `json:"words"` // a sentence without a full stop
}

// Examine compares a peer with what DNS says of its name and its domains.
// Known are the addresses to which no clear SMTP goes: those of all peers, and
// this host's; the peer's own need not be among them. How long it may take is
// the context's to say: what is not known by then is DNSUnavailable.
func Examine(ctx context.Context, r Resolver, p Peer, known []netip.Addr) []Remark {
	e := &examiner{ctx: ctx, r: r, peer: p, known: known}
	for _, name := range p.Names { // what DNS says of these is the peer's by definition
		addrs, _ := e.addresses(name)
		e.peer.Addresses = distinct(slices.Concat(e.peer.Addresses, addrs))
	}
	e.name()
	for _, domain := range p.Domains {
		e.domain(domain)
	}
	return e.remarks
}

// An examiner gathers the remarks on one peer.
type examiner struct {
	ctx     context.Context
	r       Resolver
	peer    Peer
	known   []netip.Addr
	remarks []Remark
}

func (e *examiner) remark(kind RemarkKind, format string, args ...any) {
	r := Remark{kind, fmt.Sprintf(format, args...)}
	if !slices.Contains(e.remarks, r) {
		e.remarks = append(e.remarks, r)
	}
}

// name compares the addresses of the peer's name with the peer's.
func (e *examiner) name() {
	name := e.peer.Name
	addrs, err := e.addresses(name)
	more := slices.DeleteFunc(slices.Clone(addrs), e.isKnown)
	switch {
	case err != nil:
	case len(addrs) == 0:
		e.remark(NameNotFound, "DNS knows no address of %s: is the name spelt right?", name)
	case !slices.ContainsFunc(addrs, e.isPeers):
		e.remark(NameElsewhere, "DNS says that %s is %s, which is none of the peer's addresses here (%s): mail to that name is not protected by this peer",
			name, joined(addrs), joined(e.peer.Addresses))
	case len(more) > 0:
		e.remark(NameHasMore, "DNS says that %s is %s too, which is not among the peer's addresses here: mail to it goes IN CLEAR", name, joined(more))
	}
}

// domain compares where a domain's mail goes with the peer.
func (e *examiner) domain(domain string) {
	d := e.delivery(domain)
	led := d.Err != nil // whether mail for the domain can reach the peer; true where it is not known
	var hosts []string
	for _, x := range d.Hosts {
		hosts = append(hosts, x.Host)
		led = led || x.unknown() || slices.ContainsFunc(x.Addresses, e.isPeers)
	}
	for _, open := range d.Open(e.isKnown) {
		kind := MXUnprotected
		if open.First {
			kind = MXFirst
		}
		e.remark(kind, "%s", open.Sentence(domain))
	}
	if more := d.Overflow(); more != "" {
		e.remark(MXNotLookedAt, "%s has %s than are looked at", domain, more)
	}
	if !led {
		e.remark(NotMX, "%s takes no mail for %s: none of its MX hosts (%s) has an address of the peer", e.peer.Name, domain, orNone(hosts))
	}
}

// delivery looks up where a domain's mail goes: to the hosts of its MX records,
// or where it has none to itself (RFC 5321, section 5.1). A domain that takes no
// mail, RFC 7505, has none.
func (e *examiner) delivery(domain string) (d Delivery) {
	records, err := e.r.LookupMX(e.ctx, rooted(domain))
	switch {
	case len(records) > 0: // with an error, too: that is about other records
	case notFound(err) || err == nil:
		records = []*net.MX{{Host: domain}}
	default:
		e.remark(DNSUnavailable, "asking DNS for the MX of %s: %v", domain, err)
		return Delivery{Err: err}
	}
	for _, mx := range records {
		host := strings.ToLower(strings.TrimSuffix(mx.Host, "."))
		switch {
		case host == "":
		case len(d.Hosts) == MaxExchangers:
			d.More++
		default:
			addrs, err := e.addresses(host)
			d.Hosts = append(d.Hosts, NewExchanger(host, mx.Pref, Found{Addrs: addrs, NoIPv4: err, NoIPv6: err}))
		}
	}
	return d
}

// addresses returns those of a name, of which there may be none. With an error
// DNS did not say.
func (e *examiner) addresses(name string) ([]netip.Addr, error) {
	addrs, err := e.r.LookupNetIP(e.ctx, "ip", rooted(name))
	if err != nil && !notFound(err) {
		e.remark(DNSUnavailable, "asking DNS for the addresses of %s: %v", name, err)
		return nil, err
	}
	all := make([]netip.Addr, len(addrs))
	for i, a := range addrs {
		all[i] = a.Unmap().WithZone("")
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all), nil
}

func (e *examiner) isPeers(a netip.Addr) bool { return slices.Contains(e.peer.Addresses, a) }

// isKnown says whether no clear SMTP to the address is on the wire. A hosts file
// may give this host's own name a loopback address, and this host be a backup MX.
func (e *examiner) isKnown(a netip.Addr) bool {
	return a.IsLoopback() || e.isPeers(a) || slices.Contains(e.known, a)
}

// rooted keeps the resolver from trying the name below its search domains.
func rooted(name string) string { return strings.TrimSuffix(name, ".") + "." }

func notFound(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

// joined writes addresses as people do.
func joined(addrs []netip.Addr) string {
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.String()
	}
	return strings.Join(texts, ", ")
}

func orNone(hosts []string) string {
	if len(hosts) == 0 {
		return "none at all"
	}
	return strings.Join(hosts, ", ")
}
