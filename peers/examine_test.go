package peers

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A zone is a resolver that knows what it is given, by absolute name. A name
// with the address or MX "fails" gets no answer. After an MX there may be its
// preference.
type zone struct {
	addrs map[string][]string
	mx    map[string][]string
}

func (z zone) LookupNetIP(_ context.Context, network, host string) (all []netip.Addr, err error) {
	for _, s := range z.addrs[host] {
		if s == "fails" {
			return nil, &net.DNSError{Err: "server misbehaving", Name: host, IsTemporary: true}
		}
		all = append(all, netip.MustParseAddr(s))
	}
	return all, absent(len(all), host)
}

func (z zone) LookupMX(_ context.Context, name string) (all []*net.MX, err error) {
	for _, s := range z.mx[name] {
		if s == "fails" {
			return all, errors.New("i/o timeout")
		}
		host, pref, _ := strings.Cut(s, " ")
		n, _ := strconv.Atoi(pref)
		all = append(all, &net.MX{Host: host, Pref: uint16(n)})
	}
	return all, absent(len(all), name)
}

func absent(n int, name string) error {
	if n > 0 {
		return nil
	}
	return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func TestExamine(t *testing.T) {
	const mx, other, domain = "mx.partner.example.", "mx2.partner.example.", "partner.example."
	at := func(pairs ...string) map[string][]string {
		m := map[string][]string{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = append(m[pairs[i]], pairs[i+1])
		}
		return m
	}
	for _, tt := range []struct {
		name  string
		zone  zone
		want  []RemarkKind
		words string // part of those of the first remark
	}{
		{"all is well", zone{at(mx, "203.0.113.5", mx, "2001:db8:b::5"), at(domain, mx)}, nil, ""},
		{"IPv4 in IPv6", zone{at(mx, "::ffff:203.0.113.5"), at(domain, mx)}, nil, ""},
		{"name elsewhere", zone{at(mx, "203.0.113.77"), nil}, []RemarkKind{NameElsewhere, NotMX}, "203.0.113.77"},
		{"name has more", zone{at(mx, "203.0.113.5", mx, "203.0.113.77", domain, "203.0.113.5"), nil}, []RemarkKind{NameHasMore}, "is 203.0.113.77 too"},
		{"more is another peer's", zone{at(mx, "203.0.113.5", mx, "203.0.113.6"), at(domain, mx)}, nil, ""},
		{"no name", zone{at(other, "203.0.113.5"), at(domain, other)}, []RemarkKind{NameNotFound}, "no address of mx.partner.example:"},
		{"no DNS", zone{at(mx, "fails"), at(domain, "fails")}, []RemarkKind{DNSUnavailable, DNSUnavailable}, "server misbehaving"},
		{"MX not known", zone{at(mx, "203.0.113.5"), at(domain, "fails")}, []RemarkKind{DNSUnavailable}, "i/o timeout"},
		{"MX in part", zone{at(mx, "203.0.113.5"), at(domain, mx, domain, "fails")}, nil, ""},
		{"MX host not known", zone{at(mx, "203.0.113.5", other, "fails"), at(domain, other)}, []RemarkKind{DNSUnavailable}, "mx2.partner.example"},
		{"another MX", zone{at(mx, "203.0.113.5", other, "203.0.113.77"), at(domain, mx+" 10", domain, other+" 20")}, []RemarkKind{MXUnprotected},
			"mail for partner.example can go to mx2.partner.example in clear (preference 20, 203.0.113.77)"},
		{"another MX that is as good", zone{at(mx, "203.0.113.5", other, "203.0.113.77"), at(domain, mx+" 10", domain, other+" 10")}, []RemarkKind{MXFirst},
			"mail for partner.example normally goes to mx2.partner.example IN CLEAR (preference 10, 203.0.113.77)"},
		{"a better MX", zone{at(mx, "203.0.113.5", other, "203.0.113.77"), at(domain, other+" 5", domain, mx+" 10")}, []RemarkKind{MXFirst}, "normally goes"},
		{"too many MX", zone{at(mx, "203.0.113.5"), at(append([]string{domain, mx + " 1"}, slices.Repeat([]string{domain, other + " 5"}, 24)...)...)},
			[]RemarkKind{MXNotLookedAt}, "partner.example has 5 more MX hosts than are looked at"},
		{"another MX with a peer's address", zone{at(mx, "203.0.113.5", other, "203.0.113.6"), at(domain, mx, domain, other)}, nil, ""},
		{"this host is another MX", zone{at(mx, "203.0.113.5", other, "127.0.1.1"), at(domain, mx, domain, other)}, nil, ""},
		{"only another MX", zone{at(mx, "203.0.113.5", other, "203.0.113.6"), at(domain, other)}, []RemarkKind{NotMX}, "(mx2.partner.example)"},
		{"MX without address", zone{at(mx, "203.0.113.5"), at(domain, mx, domain, other)}, nil, ""},
		{"domain is its own MX", zone{at(mx, "203.0.113.5", domain, "203.0.113.5"), nil}, nil, ""},
		{"domain takes no mail", zone{at(mx, "203.0.113.5", domain, "203.0.113.5"), at(domain, ".")}, []RemarkKind{NotMX}, "none at all"},
		{"no such domain", zone{at(mx, "203.0.113.5"), nil}, []RemarkKind{NotMX}, "takes no mail for partner.example"},
	} {
		p := Peer{Name: "mx.partner.example", Addresses: addrs("203.0.113.5", "2001:db8:b::5"), Domains: []string{"partner.example"}}
		got := Examine(t.Context(), tt.zone, p, addrs("203.0.113.6"))
		var kinds []RemarkKind
		for _, r := range got {
			kinds = append(kinds, r.Kind)
		}
		if d := diff(tt.want, kinds); d != "" {
			t.Errorf("%s (-want +got):\n%s%v", tt.name, d, got)
		} else if len(got) > 0 && !strings.Contains(got[0].Words, tt.words) {
			t.Errorf("%s: %q does not say %q", tt.name, got[0].Words, tt.words)
		}
	}
}

// The resolver of a host must not try names below its search domains, where a
// wildcard would answer for all of them: the zone knows absolute names only.
func TestExamineSaysEachThingOnce(t *testing.T) {
	p := Peer{Name: "mx.partner.example", Addresses: addrs("203.0.113.5"), Domains: []string{"a.example", "b.example"}}
	z := zone{addrs: map[string][]string{"mx.partner.example.": {"fails"}},
		mx: map[string][]string{"a.example.": {"mx.partner.example."}, "b.example.": {"mx.partner.example."}}}
	if got := Examine(t.Context(), z, p, nil); len(got) != 1 {
		t.Errorf("got %v, want one remark", got)
	}
}
