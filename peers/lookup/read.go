package lookup

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// maxAliases is how many names an answer may lead through.
const maxAliases = 16

var errChain = errors.New("its answer leads from name to name without end")

// An answer is what a server says to one question.
type answer struct {
	addrs []netip.Addr
	mx    []MX
	ttl   time.Duration
	err   error // it does not say; what else is here is true, and not all
}

// read returns what a message says of a name. That there is no such name, or
// that it has nothing of the kind, is an answer.
func read(m *dns.Msg, name string, kind uint16) answer {
	switch m.Rcode {
	case dns.RcodeNameError:
		return answer{ttl: negativeTTL(m)}
	case dns.RcodeSuccess:
	default:
		return answer{ttl: minTTL, err: fmt.Errorf("it answers %s", dns.RcodeToString[m.Rcode])}
	}
	if len(m.Answer) == 0 {
		return empty(m)
	}
	owner, ttl, err := follow(m.Answer, name)
	a := answer{ttl: ttl, err: err}
	for _, rr := range m.Answer {
		if !sameName(rr.Header().Name, owner) || rr.Header().Class != dns.ClassINET || rr.Header().Rrtype != kind {
			continue
		}
		a.ttl = min(a.ttl, lasting(rr))
		a.take(rr)
	}
	if err == nil && len(a.addrs)+len(a.mx) == 0 && !sameName(owner, name) && !m.Truncated && soa(m) == nil {
		a.err = fmt.Errorf("its answer ends with the name %s", owner)
	}
	slices.SortStableFunc(a.mx, func(x, y MX) int { return cmp.Compare(x.Preference, y.Preference) })
	a.mx = a.mx[:min(len(a.mx), maxMX)]
	return a
}

// empty reads a message without an answer.
func empty(m *dns.Msg) answer {
	if soa(m) == nil && !m.Authoritative && !m.RecursionAvailable {
		return answer{ttl: minTTL, err: errLame}
	}
	return answer{ttl: negativeTTL(m)}
}

// take adds what a record says.
func (a *answer) take(rr dns.RR) {
	switch rr := rr.(type) {
	case *dns.A:
		if addr, ok := netip.AddrFromSlice(rr.A); ok {
			a.addrs = append(a.addrs, addr.Unmap())
		}
	case *dns.AAAA:
		if addr, ok := netip.AddrFromSlice(rr.AAAA); ok {
			a.addrs = append(a.addrs, addr.Unmap())
		}
	case *dns.MX:
		a.mx = append(a.mx, MX{Host: strings.ToLower(strings.TrimSuffix(rr.Mx, ".")), Preference: rr.Preference})
	}
}

// follow returns the name that the aliases of an answer lead to (RFC 1034,
// section 3.6.2), and for how long they all hold.
func follow(records []dns.RR, name string) (owner string, ttl time.Duration, err error) {
	owner, ttl = name, maxTTL
	for range maxAliases {
		i := slices.IndexFunc(records, func(rr dns.RR) bool {
			_, alias := rr.(*dns.CNAME)
			return alias && sameName(rr.Header().Name, owner)
		})
		if i < 0 {
			return owner, ttl, nil
		}
		owner, ttl = records[i].(*dns.CNAME).Target, min(ttl, lasting(records[i]))
	}
	return owner, minTTL, errChain
}

// lasting returns for how long a record holds. One for more than half of what 32
// bits hold is none (RFC 2181, section 8).
func lasting(rr dns.RR) time.Duration {
	s := rr.Header().Ttl
	if s > 1<<31-1 {
		s = 0
	}
	return min(max(time.Duration(s)*time.Second, minTTL), maxTTL)
}

// negativeTTL returns for how long it holds that there is nothing (RFC 2308,
// section 5).
func negativeTTL(m *dns.Msg) time.Duration {
	s := soa(m)
	if s == nil {
		return noTTL
	}
	return min(lasting(s), max(time.Duration(s.Minttl)*time.Second, minTTL))
}

func soa(m *dns.Msg) *dns.SOA {
	for _, rr := range m.Ns {
		if s, ok := rr.(*dns.SOA); ok {
			return s
		}
	}
	return nil
}
