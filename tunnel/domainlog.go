package tunnel

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postroad/peers"
)

// How long there is between what is logged of one domain: nothing, and then ever
// more where DNS goes on to change.
const (
	firstDomainGap = time.Second
	lastDomainGap  = 10 * time.Minute
)

// A domainLog logs what changes with the domains, once each.
type domainLog struct {
	log  *slog.Logger
	told map[string]toldDomain
	held time.Time // when there is something to log that was held back; zero: there is nothing
}

// A toldDomain is what was logged of a domain last.
type toldDomain struct {
	DomainStatus
	at   time.Time
	next time.Time // not before
}

// update logs what is new, or holds it back.
func (l *domainLog) update(all []DomainStatus, now time.Time) {
	l.held = time.Time{}
	told := make(map[string]toldDomain, len(all))
	for _, s := range all {
		was := l.told[s.Domain]
		told[s.Domain] = was
		switch {
		case sameDomain(s, was.DomainStatus):
		case now.Before(was.next):
			if l.held.IsZero() || was.next.Before(l.held) {
				l.held = was.next
			}
		default:
			l.opened(s, was.DomainStatus)
			l.failed(s, was.DomainStatus)
			told[s.Domain] = toldDomain{s, now, now.Add(domainGap(was, now))}
		}
	}
	l.told = told
}

// due returns how long there is still to wait until something is to be told.
func (l *domainLog) due(now time.Time) time.Duration {
	if l.held.IsZero() {
		return interval
	}
	return max(0, l.held.Sub(now))
}

// domainGap doubles the last gap, unless the domain has been quiet since.
func domainGap(was toldDomain, now time.Time) time.Duration {
	if was.at.IsZero() || now.Sub(was.next) >= lastDomainGap {
		return firstDomainGap
	}
	return min(2*was.next.Sub(was.at), lastDomainGap)
}

func sameDomain(a, b DomainStatus) bool {
	return slices.EqualFunc(a.Open, b.Open, sameOpen) && a.More == b.More && (a.Error == "") == (b.Error == "")
}

func sameOpen(a, b peers.OpenMX) bool {
	return a.Host == b.Host && a.First == b.First && slices.Equal(a.Addresses, b.Addresses)
}

// opened logs MX hosts that are new, or whose rank is.
func (l *domainLog) opened(s, was DomainStatus) {
	for _, o := range s.Open {
		if slices.ContainsFunc(was.Open, func(b peers.OpenMX) bool { return sameOpen(o, b) }) {
			continue
		}
		what := "mail for a domain can go in clear"
		if o.First {
			what = "mail for a domain normally goes in clear"
		}
		l.log.Warn(what, "domain", s.Domain, "mx", o.Host, "preference", o.Preference, "addresses", words(o.Addresses), "peers", strings.Join(s.Peers, ","))
	}
	for _, b := range was.Open {
		if !slices.ContainsFunc(s.Open, func(o peers.OpenMX) bool { return o.Host == b.Host }) {
			l.log.Info("mail for a domain can no longer go there in clear", "domain", s.Domain, "mx", b.Host)
		}
	}
	if s.More != was.More && s.More != "" {
		l.log.Warn("a domain has more MX hosts than are looked at", "domain", s.Domain, "more", s.More)
	}
}

func (l *domainLog) failed(s, was DomainStatus) {
	switch {
	case s.Error != "" && was.Error == "":
		l.log.Warn("DNS does not say where mail for a domain goes; keeping what is known", "domain", s.Domain, "error", s.Error)
	case s.Error == "" && was.Error != "":
		l.log.Info("DNS says again where mail for a domain goes", "domain", s.Domain)
	}
}

func words(addrs []netip.Addr) string {
	all := make([]string, len(addrs))
	for i, a := range addrs {
		all[i] = a.String()
	}
	return strings.Join(all, ",")
}
