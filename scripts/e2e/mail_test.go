package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postroad/scripts/lab"
)

// Mail both ways, over both families, all three ports and all three settings of
// the reverse path filter; both sides' logs show the ordinary public addresses.
func TestMailBothWays(t *testing.T) {
	ctx, r := newRoad(t)
	alpha, bravo := postfix(ctx, t, r.Alpha), postfix(ctx, t, r.Bravo)
	none := watch(ctx, t, r.Standard)
	filters := []string{"1", "0", "2"}
	if emulated() {
		filters = filters[:1] // the strict one
	}
	for _, filter := range filters {
		for _, h := range []*lab.Site{r.Alpha, r.Bravo} {
			for _, conf := range []string{"all", "default", "eth0"} {
				must(t, h.Sysctl("net.ipv4.conf."+conf+".rp_filter", filter))
			}
		}
		for _, v6 := range []bool{false, true} {
			for _, port := range []int{25, 465, 587} {
				name := fmt.Sprintf("rp_filter=%s/v6=%v/%d", filter, v6, port)
				t.Run(name+"/alpha to bravo", func(t *testing.T) {
					deliver(ctx, t, alpha, r.Alpha, "alice", bravo, r.Bravo, "bob", v6, port)
				})
				t.Run(name+"/bravo to alpha", func(t *testing.T) {
					deliver(ctx, t, bravo, r.Bravo, "bob", alpha, r.Alpha, "alice", v6, port)
				})
			}
		}
	}
	none()
	if n, _, err := r.Sealed(ctx); err != nil || n < 100 {
		t.Errorf("only %d encrypted packets: the mail took another way (%v)", n, err)
	}
}

func postfix(ctx context.Context, t *testing.T, s *lab.Site, settings ...string) *lab.Postfix {
	t.Helper()
	p, err := s.Postfix(ctx, settings...)
	must(t, err)
	return p
}

// deliver sends one mail to the given port and looks at mailbox and logs.
func deliver(ctx context.Context, t *testing.T, from *lab.Postfix, fromSite *lab.Site, sender string,
	to *lab.Postfix, toSite *lab.Site, recipient string, v6 bool, port int) {
	t.Helper()
	must(t, from.Set(ctx, route(toSite, v6, port)...))
	marker := strings.ReplaceAll(t.Name(), "/", "_")
	_, err := from.Send(ctx, sender+"@"+fromSite.Domain(), recipient+"@"+toSite.Domain(), marker, "hello")
	must(t, err)
	mail, err := to.WaitMail(ctx, recipient, marker)
	must(t, err)
	source := bracketed(fromSite.Addr(v6))
	if want := fmt.Sprintf("from %s (%s %s)", fromSite.Name, fromSite.Name, source); !strings.Contains(mail, want) {
		t.Errorf("no %q in the mail:\n%s", want, mail)
	}
	logged(ctx, t, from, fmt.Sprintf("[%s]:%d, ", toSite.Addr(v6), port))
	logged(ctx, t, to, fmt.Sprintf("connect from %s[%s]", fromSite.Name, fromSite.Addr(v6)))
}

// route is what makes an MTA send to a port other than 25: a relay host.
func route(to *lab.Site, v6 bool, port int) []string {
	family, wrapped := lab.PreferIPv4, "no"
	if v6 {
		family = lab.PreferIPv6
	}
	if port == 465 {
		wrapped = "yes"
	}
	return []string{family, fmt.Sprintf("relayhost = [%s]:%d", to.Name, port),
		"smtp_tls_wrappermode = " + wrapped, "smtp_tls_security_level = " + map[string]string{"yes": "encrypt", "no": "none"}[wrapped]}
}

// bracketed is an address as a Received line has it (RFC 5321, section 4.1.3).
func bracketed(a netip.Addr) string {
	if a.Is6() {
		return "[IPv6:" + a.String() + "]"
	}
	return "[" + a.String() + "]"
}

func logged(ctx context.Context, t *testing.T, p *lab.Postfix, want string) {
	t.Helper()
	check(t, lab.Eventually(ctx, 5*time.Second, want+" in the log", func() error {
		log, err := p.Log()
		if err == nil && !strings.Contains(log, want) {
			err = errors.New(log)
		}
		return err
	}))
}
