package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"postroad/scripts/lab"
)

// A namedRoad is a lab whose alpha and bravo are peers by name, and whose charlie
// says what their names are.
type namedRoad struct {
	*road
	dns            *lab.DNS
	postfix, other lab.MailServer // on alpha and bravo
}

// otherNames are what charlie says beside the addresses of bravo's mail host.
const otherNames = "mx1.alpha 60 A 192.0.2.10\nmx1.alpha 60 AAAA 2001:db8:a::10\nalpha 60 MX 10 mx1.alpha\nbravo 1 MX 10 mx.bravo\n"

// newNamedRoad boots the lab. Bravo is where the records say; more are lines of
// alpha's [host], or further blocks.
func newNamedRoad(t *testing.T, records string, more ...string) (context.Context, *namedRoad) {
	t.Helper()
	ctx, l := newLab(t)
	n := &namedRoad{road: &road{Standard: l}}
	var err error
	n.dns, err = l.Charlie.DNS(ctx, map[string]string{"example": otherNames + records})
	must(t, err)
	must(t, n.dns.Serve(l.Charlie.IPv4, l.Alpha.Host, l.Bravo.Host))
	n.alpha, err = l.Alpha.Postroad(ctx, binary)
	must(t, err)
	n.bravo, err = l.Bravo.Postroad(ctx, binary)
	must(t, err)
	t.Cleanup(func() {
		for _, p := range []*lab.Postroad{n.alpha, n.bravo} {
			if t.Failed() && p.Proc != nil {
				t.Logf("%s:\n%s", p.Site.Name, p.Output())
			}
		}
	})
	must(t, n.alpha.Write(append([]string{"[host]"}, append(more, byName(n.bravo))...)...))
	must(t, n.bravo.Write("[host]", byName(n.alpha)))
	n.postfix, err = l.Alpha.Postfix(ctx, "smtp_dns_support_level = enabled", "smtp_host_lookup = dns", "smtp_connect_timeout = 2s")
	must(t, err)
	n.other, err = l.Bravo.Exim(ctx, lab.EximUseDNS)
	must(t, err)
	return ctx, n
}

// byName is a block that gives no addresses.
func byName(p *lab.Postroad) string {
	return fmt.Sprintf("[[peer]]\nname = %q\npublic_key = %q\n", p.Site.Name, p.Key)
}

// exchange sends a mail each way.
func (n *namedRoad) exchange(ctx context.Context, t *testing.T, marker string) {
	t.Helper()
	_, err := n.postfix.Send(ctx, "alice@alpha.example", "bob@bravo.example", marker, "hello")
	must(t, err)
	_, err = n.other.WaitMail(ctx, "bob", marker)
	must(t, err)
	_, err = n.other.Send(ctx, "bob@bravo.example", "alice@alpha.example", marker, "hello")
	must(t, err)
	_, err = n.postfix.WaitMail(ctx, "alice", marker)
	must(t, err)
}

// shows waits until alpha's status of bravo has these words, after a reload, which
// asks DNS anew.
func (n *namedRoad) shows(ctx context.Context, t *testing.T, words ...string) {
	t.Helper()
	_, err := n.alpha.Command(ctx, "reload")
	must(t, err)
	must(t, lab.Eventually(ctx, 15*time.Second, strings.Join(words, ", "), func() error {
		out, err := n.alpha.Command(ctx, "status", "--json", n.Bravo.Name)
		for _, w := range words {
			if !strings.Contains(out, w) {
				return fmt.Errorf("no %q in %s (%v)", w, out, err)
			}
		}
		return nil
	}))
}

// aside looks for clear SMTP of alpha's with an address that is not bravo's own.
func (n *namedRoad) aside(ctx context.Context, t *testing.T, addr string) (none func()) {
	t.Helper()
	c, err := n.Router.Capture(ctx, n.Alpha.Link.RouterInterface, "host "+addr+" and tcp and (port 25 or port 4000)")
	must(t, err)
	return func() {
		t.Helper()
		_ = reach(ctx, n.Alpha, addr, "25")
		_ = reach(ctx, n.Alpha, addr, "4000")
		must(t, c.Stop(ctx))
		clear, err := c.Count(ctx, "port 25")
		if control, controlErr := c.Count(ctx, "port 4000"); err != nil || controlErr != nil || control == 0 || clear > 0 {
			t.Errorf("%s: %d packets of SMTP in clear, %d of the control (%v)", addr, clear, control, errors.Join(err, controlErr))
		}
	}
}

const bravoIsThere = "mx.bravo 1 A 198.51.100.20\nmx.bravo 1 AAAA 2001:db8:b::20\n"

// Peers that are given by name only: mail waits for where the name leads, follows
// it through the tunnel, and never goes to where it led in clear.
func TestNamesResolve(t *testing.T) {
	ctx, n := newNamedRoad(t, "mx.bravo 1 A 198.51.100.99\n")
	must(t, n.bravo.Write("[host]", byName(n.alpha)+"endpoint = \"mx1.alpha.example:9\"\n")) // alpha is to find bravo
	must(t, n.alpha.Start(ctx))
	must(t, n.bravo.Start(ctx))
	none, left := watch(ctx, t, n.Standard), n.aside(ctx, t, "198.51.100.99")
	id, err := n.postfix.Send(ctx, "alice@alpha.example", "bob@bravo.example", "first", "hello")
	must(t, err)
	must(t, n.alpha.WaitState(ctx, n.Bravo.Name, "waiting"))
	_, err = n.postfix.WaitDeferred(ctx, id)
	must(t, err)

	must(t, n.dns.SetZone(ctx, "example", otherNames+bravoIsThere))
	n.shows(ctx, t, `"198.51.100.99"`, `"198.51.100.20"`, `"2001:db8:b::20"`, `"address-left"`, `"endpoint": "198.51.100.20:51825"`)
	must(t, n.alpha.WaitState(ctx, n.Bravo.Name, "protected"))
	check(t, inPlace(ctx, n.alpha))
	must(t, n.postfix.Flush(ctx))
	_, err = n.other.WaitMail(ctx, "bob", "first")
	must(t, err)
	n.exchange(ctx, t, "second")
	left()
	none()
	if n, _, err := n.Sealed(ctx); err != nil || n < 20 {
		t.Errorf("only %d encrypted packets: the mail took another way (%v)", n, err)
	}
}

// After a reboot without DNS what it said last is closed, and then works; where
// even that is lost, what was protected stays closed until DNS answers.
func TestNamesBootWithoutDNS(t *testing.T) {
	ctx, n := newNamedRoad(t, bravoIsThere)
	must(t, n.alpha.Start(ctx))
	must(t, n.bravo.Start(ctx))
	must(t, n.alpha.WaitState(ctx, n.Bravo.Name, "protected"))
	must(t, n.dns.Stop(ctx))
	must(t, n.alpha.Kill())
	forget(ctx, t, n.Alpha.Host)
	none := watch(ctx, t, n.Standard)
	must(t, n.alpha.Start(ctx))
	must(t, n.alpha.WaitState(ctx, n.Bravo.Name, "protected"))
	for _, to := range []string{n.Bravo.IPv4.String(), n.Bravo.IPv6.String()} {
		if !reach(ctx, n.Alpha, to, "25") {
			t.Errorf("SMTP with %s does not go through the tunnel", to)
		}
	}
	n.shows(ctx, t, `"name-failing"`, `"state": "protected"`)
	none()

	must(t, n.alpha.Kill())
	forget(ctx, t, n.Alpha.Host)
	must(t, n.Alpha.WriteFile("/var/lib/postroad/addresses.json", []byte(`{"names":`), 0o600))
	none = watch(ctx, t, n.Standard)
	must(t, n.alpha.Start(ctx))
	for _, words := range []string{"starting without what DNS said last", "closed until DNS answers"} {
		if !strings.Contains(n.alpha.Output(), words) {
			t.Errorf("the log does not say %q", words)
		}
	}
	for _, to := range []string{n.Bravo.IPv4.String(), n.Bravo.IPv6.String()} {
		if reach(ctx, n.Alpha, to, "25") {
			t.Errorf("SMTP with %s flows", to)
		}
	}
	n.shows(ctx, t, `"state": "blocked"`, "DNS has not said that of mx.bravo.example")
	must(t, n.dns.Start(ctx))
	n.shows(ctx, t, `"198.51.100.20"`)
	must(t, n.alpha.WaitState(ctx, n.Bravo.Name, "protected"))
	n.exchange(ctx, t, "again")
	none()
}

// Whatever DNS says, what is protected stays so.
func TestNamesLies(t *testing.T) {
	charlie := fmt.Sprintf("[[peer]]\nname = \"mx.charlie.example\"\npublic_key = %q\naddresses = [\"203.0.113.40\"]\n", otherKey)
	ctx, n := newNamedRoad(t, bravoIsThere, charlie)
	must(t, n.alpha.Start(ctx))
	must(t, n.bravo.Start(ctx))
	must(t, n.alpha.WaitState(ctx, n.Bravo.Name, "protected"))
	none, other := watch(ctx, t, n.Standard), n.aside(ctx, t, "203.0.113.40")
	thousands := ""
	for i := range 3000 {
		thousands += fmt.Sprintf("mx.bravo 1 A 100.%d.%d.5\n", 128+i/250, i%250)
	}
	for _, lie := range []struct {
		name, records string
		kinds         []string
	}{
		{"nobody's, private, our own, another peer's", "mx.bravo 1 A 127.0.0.1\nmx.bravo 1 A 10.0.0.1\nmx.bravo 1 A 192.0.2.10\nmx.bravo 1 A 203.0.113.40\n",
			[]string{"address-refused", "address-taken", "a loopback address", "a private address", "this host's own", "an address of mx.charlie.example"}},
		{"thousands, over TCP", thousands, []string{"address-excess"}},
		{"too many for a message", thousands + strings.ReplaceAll(thousands, "A 100.1", "A 101.1"), []string{"name-failing"}},
		{"no such name", "", []string{"name-failing"}},
	} {
		t.Run(lie.name, func(t *testing.T) {
			must(t, n.dns.SetZone(ctx, "example", otherNames+lie.records))
			n.shows(ctx, t, append(lie.kinds, `"198.51.100.20"`, `"2001:db8:b::20"`, `"state": "protected"`)...)
			for _, to := range []string{n.Bravo.IPv4.String(), n.Bravo.IPv6.String()} {
				if !reach(ctx, n.Alpha, to, "25") {
					t.Errorf("SMTP with %s does not go through the tunnel", to)
				}
			}
			check(t, inPlace(ctx, n.alpha))
		})
	}
	must(t, n.dns.Stop(ctx)) // another takes its place, which has not that zone
	refusing, err := n.Charlie.DNS(ctx, map[string]string{"elsewhere": ""})
	must(t, err)
	n.shows(ctx, t, "REFUSED", `"198.51.100.20"`, `"state": "protected"`)
	must(t, refusing.Stop(ctx))
	must(t, n.dns.Start(ctx))
	must(t, n.dns.SetZone(ctx, "example", otherNames+bravoIsThere))
	for _, words := range []string{"kind=address-refused", "kind=address-taken", "kind=address-excess", "kind=name-failing"} {
		if !strings.Contains(n.alpha.Output(), words) {
			t.Errorf("the log does not say %s", words)
		}
	}
	n.shows(ctx, t, `"198.51.100.20"`)
	n.exchange(ctx, t, "after all the lies")
	other()
	none()
}
