package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postroad/peers"
	"postroad/tunnel/linux"
)

// resolver asks DNS. Tests have their own.
var resolver peers.Resolver = net.DefaultResolver

// dnsPatience is how long a command asks DNS about one host.
const dnsPatience = 8 * time.Second

// sourceAddresses finds this host's addresses out. Tests have their own.
var sourceAddresses = linux.SourceAddresses

// inDNS returns the addresses that a name has. If ok is false it is not known:
// the hosts file has the host's own name, on Debian as 127.0.1.1, or there is no
// answer.
func inDNS(ctx context.Context, name string) (all []netip.Addr, ok bool) {
	addrs, err := resolver.LookupNetIP(ctx, "ip", name+".")
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return nil, true
	}
	for _, a := range addrs {
		if a = a.Unmap(); !a.IsLoopback() {
			all = append(all, a)
		}
	}
	return all, len(all) > 0
}

// domainsOf returns the domains above a host's name, and the name itself, whose
// MX leads to the host.
func domainsOf(ctx context.Context, name string, addrs []netip.Addr) (domains []string) {
	for domain := strings.ToLower(name); strings.Contains(domain, "."); _, domain, _ = strings.Cut(domain, ".") {
		records, _ := resolver.LookupMX(ctx, domain+".") // not known is none
		if slices.ContainsFunc(records, func(mx *net.MX) bool { return leadsTo(ctx, mx.Host, name, addrs) }) {
			domains = append(domains, domain)
		}
	}
	return domains
}

// leadsTo says whether an MX host is the host of that name and those addresses.
func leadsTo(ctx context.Context, mx, name string, addrs []netip.Addr) bool {
	mx = strings.TrimSuffix(mx, ".")
	known, _ := inDNS(ctx, mx)
	return strings.EqualFold(mx, name) || slices.ContainsFunc(known, func(a netip.Addr) bool { return slices.Contains(addrs, a) })
}

// addressesOf returns a host's mail addresses: the file's, or else those that
// are found.
func addressesOf(h peers.Host) ([]netip.Addr, error) {
	if len(h.Addresses) > 0 {
		return h.Addresses, nil
	}
	addrs, err := sourceAddresses(h.Link)
	if public := slices.DeleteFunc(slices.Clone(addrs), netip.Addr.IsPrivate); len(public) > 0 {
		addrs = public // a private one of the other family is for the host's own network
	}
	if err == nil && len(addrs) == 0 {
		err = fmt.Errorf("this host has no address that others could reach: give its mail addresses in the peers file, addresses = [...] in [host]")
	}
	return addrs, err
}

// private returns the addresses that the Internet does not lead to.
func private(addrs []netip.Addr) (all []netip.Addr) {
	for _, a := range addrs {
		if a.IsPrivate() {
			all = append(all, a)
		}
	}
	return all
}

// joined writes a list as people do; none: "none".
func joined[T any](items []T) string {
	if len(items) == 0 {
		return "none"
	}
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = fmt.Sprint(item)
	}
	return strings.Join(texts, ", ")
}

// row writes one line of what a command has found out.
func row(w io.Writer, what, format string, args ...any) {
	fmt.Fprintf(w, "%-12s %s\n", what, fmt.Sprintf(format, args...))
}
