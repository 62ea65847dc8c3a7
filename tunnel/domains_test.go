package tunnel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postroad/peers"
)

var errSilent = errors.New("no answer")

func exchanger(host string, preference uint16, addrs ...string) peers.Exchanger {
	x := peers.Exchanger{Host: host, Preference: preference}
	for _, a := range addrs {
		x.Addresses = append(x.Addresses, netip.MustParseAddr(a))
	}
	return x
}

func partners() []peers.Peer {
	return []peers.Peer{
		{Name: "mx1", Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.5")}, Domains: []string{"partner.example"}},
		{Name: "mx2", Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.6")}, Domains: []string{"partner.example", "other.example"}},
	}
}

func TestJudgeDomains(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	protected := exchanger("mx1", 10, "203.0.113.5")
	for name, tt := range map[string]struct {
		hosts []peers.Exchanger
		want  string // host, rank and addresses
	}{
		"nothing known":              {nil, ""},
		"the peer":                   {[]peers.Exchanger{protected}, ""},
		"another peer":               {[]peers.Exchanger{protected, exchanger("mx2", 10, "203.0.113.6")}, ""},
		"this host":                  {[]peers.Exchanger{protected, exchanger("us", 20, "192.0.2.1")}, ""},
		"this host in its own hosts": {[]peers.Exchanger{protected, exchanger("us", 20, "127.0.1.1")}, ""},
		"a worse one":                {[]peers.Exchanger{protected, exchanger("mx3", 20, "203.0.113.7")}, "mx3/false/203.0.113.7"},
		"an equal one":               {[]peers.Exchanger{protected, exchanger("mx3", 10, "203.0.113.7")}, "mx3/true/203.0.113.7"},
		"a better one":               {[]peers.Exchanger{exchanger("mx3", 5, "203.0.113.7"), protected}, "mx3/true/203.0.113.7"},
		"another address of its own": {[]peers.Exchanger{exchanger("mx1", 10, "203.0.113.5", "203.0.113.8")}, "mx1/true/203.0.113.8"},
		"none is a peer":             {[]peers.Exchanger{exchanger("mx3", 50, "203.0.113.7"), exchanger("mx4", 60, "203.0.113.8")}, "mx3/true/203.0.113.7 mx4/true/203.0.113.8"},
		"one without addresses":      {[]peers.Exchanger{exchanger("mx3", 5), protected}, ""},
		"a better one is not known": {[]peers.Exchanger{{Host: "mx3", Preference: 5, NoIPv4: errSilent, NoIPv6: errSilent},
			exchanger("mx4", 7, "203.0.113.8")}, "mx4/false/203.0.113.8"},
	} {
		t.Run(name, func(t *testing.T) {
			all := judgeDomains(partners(), own, map[string]answer{"partner.example": {Delivery: peers.Delivery{Hosts: tt.hosts}}})
			if len(all) != 2 || strings.Join(all[0].Peers, " ") != "mx1 mx2" || all[1].Domain != "other.example" {
				t.Fatalf("got %+v", all)
			}
			var got []string
			for _, o := range all[0].Open {
				got = append(got, fmt.Sprintf("%s/%v/%s", o.Host, o.First, words(o.Addresses)))
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// The summary tells of open domains, the worst first and of many only some, and
// whether all is well does not depend on them.
func TestSummaryOfDomains(t *testing.T) {
	open := func(domain string, first bool) DomainStatus {
		return DomainStatus{Domain: domain, Peers: []string{"mx1"}, Open: []peers.OpenMX{{Host: "mx9", Preference: 20, First: first,
			Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.7")}}}}
	}
	s := Status{File: FileStatus{InForce: true}, Peers: []PeerStatus{{Name: "mx1", State: Protected}},
		Domains: []DomainStatus{open("a.example", false), open("b.example", true)}}
	want := "All SMTP with peers goes through the tunnel. But mail for b.example normally goes to mx9 IN CLEAR (preference 20, 203.0.113.7); " +
		"mail for a.example can go to mx9 in clear (preference 20, 203.0.113.7)."
	if got := s.Summary(); got != want || !s.Well() {
		t.Errorf("got  %q (well %v)\nwant %q", got, s.Well(), want)
	}
	for i := range 5 {
		s.Domains = append(s.Domains, open(fmt.Sprint(i), false))
	}
	if got := s.Summary(); !strings.Contains(got, "4 more domains likewise") {
		t.Errorf("of many: %s", got)
	}
	s.Peers[0].State = Waiting
	if got := s.Summary(); !strings.Contains(got, "; mail for b.example normally") {
		t.Errorf("beside waiting mail: %s", got)
	}
	if got := s.OpenDomains("mx2"); got != "" {
		t.Errorf("of a peer without domains: %s", got)
	}
}

// A deliverer is DNS: what it says now, and how often it was asked.
type deliverer struct {
	mu    sync.Mutex
	says  peers.Delivery
	asked int
}

func (d *deliverer) lookup(context.Context, string) peers.Delivery {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	return d.says
}

func (d *deliverer) say(x peers.Delivery) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.says = x
}

func (d *deliverer) times() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked
}

// What is known is asked for again when its TTL is over, and kept while DNS does
// not say.
func TestDomainsAreLookedUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := &deliverer{says: peers.Delivery{Hosts: []peers.Exchanger{exchanger("mx1", 10, "203.0.113.5")}, TTL: 5 * time.Minute}}
		var changed atomic.Int64
		d := newDomains(dns.lookup, func() { changed.Add(1) })
		d.want([]peers.Peer{{Domains: []string{"partner.example"}}})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = d.run(ctx) }()
		after := func(wait time.Duration, asked int, failing bool) {
			t.Helper()
			time.Sleep(wait)
			synctest.Wait()
			a := d.answers()["partner.example"]
			if n := dns.times(); n != asked || len(a.Hosts) != 1 || a.failing.IsZero() == failing {
				t.Errorf("asked %d times, want %d; known: %+v", n, asked, a)
			}
		}
		after(0, 1, false)
		after(4*time.Minute, 1, false)
		after(2*time.Minute, 2, false)
		dns.say(peers.Delivery{Err: errSilent})
		after(4*time.Minute+45*time.Second, 4, true) // when it was due, and once more
		since := d.answers()["partner.example"].failing
		after(domainRetry, 5, true)
		if got := d.answers()["partner.example"].failing; !got.Equal(since) {
			t.Errorf("failing since %v, then since %v", since, got)
		}
		dns.say(peers.Delivery{Hosts: []peers.Exchanger{exchanger("mx2", 10, "203.0.113.6")}, TTL: time.Hour})
		after(domainRetry, 6, false)
		d.want(nil)
		synctest.Wait()
		if len(d.answers()) != 0 || changed.Load() == 0 {
			t.Errorf("known of what is no longer asked for: %v; told %d times", d.answers(), changed.Load())
		}
		cancel()
	})
}

// DNS that says only a part takes nothing of the rest away.
func TestDeliveryInPart(t *testing.T) {
	var d domains
	d.known = map[string]answer{"d": {}}
	d.learn("d", peers.Delivery{Hosts: []peers.Exchanger{exchanger("mx1", 10, "203.0.113.5", "2001:db8::5")}}, time.Now())
	half := exchanger("mx1", 10, "203.0.113.6")
	half.NoIPv6 = errSilent
	d.learn("d", peers.Delivery{Hosts: []peers.Exchanger{half}}, time.Now())
	if got := words(d.known["d"].Hosts[0].Addresses); got != "203.0.113.6,2001:db8::5" || d.known["d"].failing.IsZero() {
		t.Errorf("got %s (%+v)", got, d.known["d"])
	}
}

// However short its TTL, a domain of many hosts is asked for rarely.
func TestDomainsAreNotAskedForTooOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := &deliverer{says: peers.Delivery{TTL: time.Second}}
		for range peers.MaxExchangers {
			dns.says.Hosts = append(dns.says.Hosts, exchanger("mx", 10, "203.0.113.5"))
		}
		d := newDomains(dns.lookup, func() {})
		d.want([]peers.Peer{{Domains: []string{"partner.example"}}})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = d.run(ctx) }()
		time.Sleep(time.Minute - time.Second)
		synctest.Wait()
		if n := dns.times(); n != 3 {
			t.Errorf("asked %d times in a minute, want 3", n)
		}
		cancel()
	})
}

func TestDomainLog(t *testing.T) {
	var b bytes.Buffer
	l := domainLog{log: slog.New(slog.NewTextHandler(&b, nil))}
	now := time.Unix(1e9, 0)
	says := func(wait time.Duration, s DomainStatus, want ...string) {
		t.Helper()
		now = now.Add(wait)
		s.Domain, s.Peers = "d", []string{"p"}
		b.Reset()
		l.update([]DomainStatus{s}, now)
		got := strings.Split(strings.TrimSpace(b.String()), "\n")
		if b.Len() == 0 {
			got = nil
		}
		if len(got) != len(want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		for i, w := range want {
			if !strings.Contains(got[i], w) {
				t.Errorf("got %q, want %q", got[i], w)
			}
		}
	}
	mx2 := peers.OpenMX{Host: "mx2", Preference: 20, Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.7")}}
	first := mx2
	first.First = true
	open, worse := DomainStatus{Open: []peers.OpenMX{mx2}}, DomainStatus{Open: []peers.OpenMX{first}}
	says(0, DomainStatus{})
	says(time.Hour, open, "level=WARN msg=\"mail for a domain can go in clear\" domain=d mx=mx2 preference=20 addresses=203.0.113.7 peers=p")
	says(time.Minute, open)
	says(time.Hour, worse, "level=WARN msg=\"mail for a domain normally goes in clear\"")
	says(time.Hour, DomainStatus{Open: worse.Open, Error: "no answer"}, "level=WARN msg=\"DNS does not say where mail for a domain goes; keeping what is known\"")
	says(time.Hour, DomainStatus{Open: worse.Open, Error: "another reason"})
	says(time.Hour, worse, "level=INFO msg=\"DNS says again")
	says(time.Hour, DomainStatus{}, "level=INFO msg=\"mail for a domain can no longer go there in clear\" domain=d mx=mx2")

	lines := 0 // of DNS that changes every second, for a day
	for i := range 86400 {
		b.Reset()
		now = now.Add(time.Second)
		s := DomainStatus{Domain: "d"}
		if i%2 == 0 {
			s = open
			s.Domain = "d"
		}
		l.update([]DomainStatus{s}, now)
		lines += strings.Count(b.String(), "\n")
	}
	if lines == 0 || lines > 24*7+20 {
		t.Errorf("%d lines", lines)
	}
	if due := l.due(now); due <= 0 && due > lastDomainGap {
		t.Errorf("due in %v", due)
	}
}
