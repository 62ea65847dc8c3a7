package peers

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// How many addresses are taken from DNS. Without a bound a server could fill the
// kernel's tables; that what is held is not pushed out for what is new keeps a
// server that lies from taking protection away.
const (
	MaxCurrent = 16 // of one answer
	MaxHeld    = 64 // of one name, with those that have left DNS and are still protected
)

// Found is what a lookup of a name has brought.
type Found struct {
	Addrs  []netip.Addr
	TTL    time.Duration // for how long it holds
	NoIPv4 error         // why not all IPv4 addresses are known; nil: they are
	NoIPv6 error         // the same for IPv6
}

// A Known is an address that a name is known to have.
type Known struct {
	Addr  netip.Addr `json:"address"`
	Since time.Time  `json:"since"`         // when DNS said so first
	Left  time.Time  `json:"left,omitzero"` // when DNS no longer said so; zero: it does, as far as is known
}

// Answers are what is known of DNS names: the last good answers, by name in
// lower case.
type Answers map[string][]Known

// Trust is which answers are believed.
type Trust struct {
	Private bool         // addresses of private ranges, too
	Own     []netip.Addr // addresses of this host, which no peer has
}

// refuses says why an address from DNS is not believed. Empty: it is.
func (t Trust) refuses(a netip.Addr) string {
	switch what := special(a); {
	case what != "":
		return what + " address"
	case a.Zone() != "", a.Is4In6():
		return "no plain address"
	case slices.Contains(t.Own, a):
		return "this host's own"
	case reserved.contains(a):
		return "a reserved address"
	case !t.Private && private.contains(a):
		return "a private address, which private_addresses = true would allow"
	}
	return ""
}

// prefixes are ranges of addresses.
type prefixes []netip.Prefix

var (
	// private ranges: RFC 1918, RFC 6598, RFC 4193, RFC 3879.
	private = prefixes{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fec0::/10")}
	// reserved is what nobody has: RFC 1112 section 4, RFC 4291 section 2.5.5.1.
	reserved = prefixes{netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("::/96")}
)

func (p prefixes) contains(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(r netip.Prefix) bool { return r.Contains(a) })
}

// Learn returns what is known of a name after a lookup. What was known stays:
// while DNS says so, while it does not say, and for keep after it has left DNS.
// The last that DNS said stays for as long as it says nothing else.
func Learn(name string, known []Known, f Found, keep time.Duration, t Trust, now time.Time) (after []Known, remarks []Remark) {
	said, remarks := f.believed(name, t)
	if len(said) == 0 {
		return known, remarks
	}
	for _, k := range known {
		in := slices.Contains(said, k.Addr)
		unsure := k.Addr.Is4() && f.NoIPv4 != nil || k.Addr.Is6() && f.NoIPv6 != nil
		switch {
		case in:
			k.Left = time.Time{}
		case unsure:
		case k.Left.IsZero():
			k.Left = now
		}
		if k.Left.IsZero() || unsure || now.Sub(k.Left) < keep {
			after = append(after, k)
		}
	}
	after, over := take(after, said, now)
	if len(over) > 0 {
		remarks = append(remarks, remarkf(AddressExcess, "DNS gives %s more addresses than are taken, %d too many (%s): mail to them goes IN CLEAR",
			name, len(over), few(over)))
	}
	return after, remarks
}

// believed returns the addresses of an answer that are believed, in order and
// without duplicates: servers turn them round.
func (f Found) believed(name string, t Trust) (said []netip.Addr, remarks []Remark) {
	refused := map[string][]netip.Addr{}
	for _, a := range f.Addrs {
		a = a.Unmap().WithZone("")
		if why := t.refuses(a); why != "" {
			refused[why] = append(refused[why], a)
			continue
		}
		said = append(said, a)
	}
	for _, why := range slices.Sorted(maps.Keys(refused)) {
		remarks = append(remarks, remarkf(AddressRefused, "DNS says that %s is %s: not believed, for it is %s", name, few(distinct(refused[why])), why))
	}
	return distinct(said), remarks
}

// take adds what is new of an answer, as far as there is room, and returns what
// there is none for.
func take(after []Known, said []netip.Addr, now time.Time) (all []Known, over []netip.Addr) {
	held := make(map[netip.Addr]bool, len(after))
	current := 0
	for _, k := range after {
		held[k.Addr] = true
		if _, in := slices.BinarySearchFunc(said, k.Addr, netip.Addr.Compare); in {
			current++
		}
	}
	for _, a := range said {
		switch {
		case held[a]:
		case current >= MaxCurrent || len(after) >= MaxHeld:
			over = append(over, a)
		default:
			after = append(after, Known{Addr: a, Since: now})
			current++
		}
	}
	slices.SortFunc(after, func(a, b Known) int { return a.Addr.Compare(b.Addr) })
	return after, over
}

func distinct(addrs []netip.Addr) []netip.Addr {
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

// few writes addresses, of many only the first.
func few(addrs []netip.Addr) string {
	const most = 4
	if more := len(addrs) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", joined(addrs[:most]), more)
	}
	return joined(addrs)
}

func remarkf(kind RemarkKind, format string, args ...any) Remark {
	return Remark{kind, fmt.Sprintf(format, args...)}
}
