package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"postroad/scripts/lab"
)

// A watched is a road whose bravo takes the mail of bravo.example, as a real name
// server on charlie says.
type watched struct {
	*road
	dns *lab.DNS
}

// hosts are the names of the lab; a TTL of 5 s is the shortest that counts.
const hosts = `$TTL 5
mx.bravo A 198.51.100.20
mx.bravo AAAA 2001:db8:b::20
mx.charlie A 203.0.113.30
mx.charlie AAAA 2001:db8:c::30
`

func newWatched(t *testing.T, mx string) (context.Context, *watched) {
	t.Helper()
	ctx, s := newLab(t)
	w := &watched{road: &road{Standard: s}}
	var err error
	w.dns, err = s.Charlie.DNS(ctx, map[string]string{"example": hosts + mx})
	must(t, err)
	must(t, w.dns.Serve(s.Charlie.IPv4, s.Alpha.Host))
	w.alpha, err = s.Alpha.Postroad(ctx, binary)
	must(t, err)
	w.bravo, err = s.Bravo.Postroad(ctx, binary)
	must(t, err)
	must(t, w.alpha.Write("[host]\nmetrics = \"127.0.0.1:9525\"", w.bravo.Block(`domains = ["bravo.example"]`)))
	must(t, w.bravo.Write("[host]", w.alpha.Block()))
	must(t, w.alpha.Start(ctx))
	must(t, w.bravo.Start(ctx))
	must(t, w.alpha.WaitState(ctx, s.Bravo.Name, "protected"))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("alpha:\n%s\nDNS:\n%s", w.alpha.Output(), w.dns.Log())
		}
	})
	return ctx, w
}

// A domain is what `postroad status --json` says of one.
type domain struct {
	Domain string
	Open   []struct {
		Host      string
		Addresses []string
		First     bool
	} `json:"unprotected_mx"`
	Looked  time.Time `json:"looked_up"`
	Failing time.Time `json:"failing_since"`
	Error   string
}

// says waits until the status of bravo.example is as wanted, and checks that its
// summary and exit status are.
func (w *watched) says(ctx context.Context, t *testing.T, what string, summary string, is func(domain) bool) (d domain) {
	t.Helper()
	check(t, lab.Eventually(ctx, 20*time.Second, what, func() error {
		out, err := w.alpha.Command(ctx, "status", "--json")
		var s struct {
			Summary string
			Well    bool
			Domains []domain
		}
		if err := errors.Join(err, json.Unmarshal([]byte(out), &s)); err != nil {
			return err
		}
		if len(s.Domains) != 1 || !is(s.Domains[0]) || !s.Well || !strings.Contains(s.Summary, summary) {
			return fmt.Errorf("status says %s", out)
		}
		d = s.Domains[0]
		return nil
	}))
	return d
}

// told waits for a line in alpha's log that has all of the words, and for as many
// such lines in all.
func (w *watched) told(ctx context.Context, t *testing.T, n int, words ...string) {
	t.Helper()
	check(t, lab.Eventually(ctx, 15*time.Second, fmt.Sprint("lines with ", words), func() error {
		found := 0
		for line := range strings.Lines(w.alpha.Output()) {
			all := true
			for _, word := range words {
				all = all && strings.Contains(line, word)
			}
			if all {
				found++
			}
		}
		if found != n {
			return fmt.Errorf("%d lines", found)
		}
		return nil
	}))
}

func (w *watched) metric(ctx context.Context, t *testing.T, want string) {
	t.Helper()
	check(t, lab.Eventually(ctx, 5*time.Second, want, func() error {
		out, err := w.alpha.Command(ctx, "metrics")
		if err == nil && !strings.Contains(out, want+"\n") {
			err = errors.New(out)
		}
		return err
	}))
}

func (w *watched) doctor(ctx context.Context, t *testing.T, severity, what string) {
	t.Helper()
	r, err := examine(ctx, w.alpha)
	must(t, err)
	for _, f := range r.Findings {
		if f.Check == "mx" && f.Severity == severity && strings.Contains(f.What, what) {
			return
		}
	}
	t.Errorf("the doctor does not say %q as a %s: %+v", what, severity, r.Findings)
}

func nothingOpen(d domain) bool {
	return len(d.Open) == 0 && d.Error == "" && !d.Looked.IsZero()
}

func openTo(host string, first bool) func(domain) bool {
	return func(d domain) bool { return len(d.Open) == 1 && d.Open[0].Host == host && d.Open[0].First == first }
}

// A second MX host that is no peer appears in DNS, is preferred, and becomes a
// peer: log, status, metrics and doctor follow.
func TestDomainsMX(t *testing.T) {
	const second = "mx.charlie.example"
	ctx, w := newWatched(t, "bravo MX 10 mx.bravo\n")
	w.says(ctx, t, "nothing open", "goes through the tunnel.", nothingOpen)
	w.metric(ctx, t, `postroad_domain_unprotected_mx{domain="bravo.example"} 0`)

	must(t, w.dns.SetZone(ctx, "example", hosts+"bravo MX 10 mx.bravo\nbravo MX 20 mx.charlie\n"))
	d := w.says(ctx, t, "the second MX", "But mail for bravo.example can go to "+second+" in clear", openTo(second, false))
	if got := strings.Join(d.Open[0].Addresses, " "); got != "203.0.113.30 2001:db8:c::30" {
		t.Errorf("it is at %s", got)
	}
	w.told(ctx, t, 1, "level=WARN", "mail for a domain can go in clear", "domain=bravo.example", "mx="+second)
	w.metric(ctx, t, `postroad_domain_unprotected_mx{domain="bravo.example"} 1`)
	w.metric(ctx, t, `postroad_domain_unprotected_first{domain="bravo.example"} 0`)
	w.doctor(ctx, t, "warning", "mail for bravo.example can go to "+second+" in clear")

	must(t, w.dns.SetZone(ctx, "example", hosts+"bravo MX 10 mx.bravo\nbravo MX 10 mx.charlie\n"))
	w.says(ctx, t, "the second MX to be as good", "mail for bravo.example normally goes to "+second+" IN CLEAR", openTo(second, true))
	w.told(ctx, t, 1, "level=WARN", "mail for a domain normally goes in clear", "mx="+second)
	w.metric(ctx, t, `postroad_domain_unprotected_first{domain="bravo.example"} 1`)
	w.doctor(ctx, t, "problem", "mail for bravo.example normally goes to "+second+" IN CLEAR")

	charlie, err := w.Charlie.Postroad(ctx, binary)
	must(t, err)
	must(t, charlie.Write("[host]", w.alpha.Block()))
	must(t, charlie.Start(ctx))
	must(t, w.alpha.Write("[host]\nmetrics = \"127.0.0.1:9525\"", w.bravo.Block(`domains = ["bravo.example"]`), charlie.Block()))
	_, err = w.alpha.Command(ctx, "reload")
	must(t, err)
	must(t, w.alpha.WaitState(ctx, second, "protected"))
	w.says(ctx, t, "nothing open", "All SMTP with peers goes through the tunnel.", nothingOpen)
	w.told(ctx, t, 1, "level=INFO", "mail for a domain can no longer go there in clear", "mx="+second)
	w.metric(ctx, t, `postroad_domain_unprotected_mx{domain="bravo.example"} 0`)
}

// A name server that dies takes nothing away of what is known; a domain that takes
// no mail is at peace.
func TestDomainsDNS(t *testing.T) {
	const second = "mx.charlie.example"
	ctx, w := newWatched(t, "bravo MX 10 mx.bravo\nbravo MX 20 mx.charlie\n")
	w.says(ctx, t, "the second MX", "in clear", openTo(second, false))
	must(t, w.dns.Stop(ctx))
	d := w.says(ctx, t, "DNS to be missed", "But mail for bravo.example can go to "+second, func(d domain) bool {
		return openTo(second, false)(d) && d.Error != "" && !d.Failing.IsZero()
	})
	w.told(ctx, t, 1, "level=WARN", "DNS does not say where mail for a domain goes", "domain=bravo.example")
	w.metric(ctx, t, `postroad_domain_lookup_failing{domain="bravo.example"} 1`)
	out, err := w.alpha.Command(ctx, "status")
	must(t, err)
	if want := "where mail for bravo.example goes, and what was known is kept: "; !strings.Contains(out, want) {
		t.Errorf("no %q in\n%s", want, out)
	}
	if d.Looked.After(d.Failing) {
		t.Errorf("looked up at %v, failing since %v", d.Looked, d.Failing)
	}

	must(t, w.dns.SetZone(ctx, "example", hosts+"bravo MX 0 .\nbravo A 203.0.113.30\n"))
	must(t, w.dns.Start(ctx))
	must(t, w.alpha.Hangup()) // it need not wait for the next try
	w.says(ctx, t, "the domain that takes no mail", "All SMTP with peers goes through the tunnel.", nothingOpen)
	w.told(ctx, t, 1, "level=INFO", "DNS says again where mail for a domain goes")

	// Without MX the domain is its own (RFC 5321, section 5.1).
	must(t, w.dns.SetZone(ctx, "example", hosts+"bravo A 203.0.113.30\n"))
	w.says(ctx, t, "the implicit MX", "mail for bravo.example normally goes to bravo.example IN CLEAR", openTo("bravo.example", true))
}
