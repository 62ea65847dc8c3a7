package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postroad/scripts/lab"
)

// nameserver runs dnsmasq(8) on a host, with these settings and no other names.
func nameserver(ctx context.Context, t *testing.T, s *lab.Site, settings ...string) *lab.Proc {
	t.Helper()
	must(t, s.WriteFile("/etc/hosts", []byte("127.0.0.1 localhost\n127.0.1.1 "+s.Name+"\n"), 0o644)) // as Debian does
	words := []string{"--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--local=/example/",
		"--listen-address=127.0.0.1", "--bind-interfaces", "--user=root", "--pid-file="}
	p, err := s.Host.Start("dnsmasq", append(words, settings...)...)
	must(t, err)
	must(t, lab.Eventually(ctx, 10*time.Second, "the name server", func() error {
		if err := s.Listening(53); err != nil {
			return fmt.Errorf("%w: %s", err, p.Output())
		}
		return nil
	}))
	return p
}

// What a real name server says of this host, and of a peer, is shown.
func TestUserspaceOnboardingAsksDNS(t *testing.T) {
	needBackend(t, "userspace") // not for the VM, which has no name server
	ctx, l := newLab(t)
	alice, bob := newOperator(t, l.Alpha), newOperator(t, l.Bravo)
	own := "--host-record=mx1.alpha.example,192.0.2.10,2001:db8:a::10"
	dns := nameserver(ctx, t, l.Alpha, own, "--mx-host=alpha.example,mx1.alpha.example,10")
	out := alice.types(ctx, t, "", "init")
	if !strings.Contains(out, "domains      alpha.example\n") || strings.Contains(out, "note") {
		t.Errorf("init says:\n%s", out)
	}
	bob.types(ctx, t, "", "init", "--domain", "bravo.example")
	card := bob.types(ctx, t, "", "card")
	const bravo = "--host-record=mx.bravo.example,198.51.100.20,2001:db8:b::20"
	const mx, mx2 = "--mx-host=bravo.example,mx.bravo.example,10", "--mx-host=bravo.example,mx2.bravo.example,20"
	for _, tt := range []struct {
		name     string
		settings []string
		says     []string
	}{
		{"agrees", []string{bravo, mx}, []string{"agrees:"}},
		{"backup MX is us", []string{bravo, mx, own, "--mx-host=bravo.example,mx1.alpha.example,20"}, []string{"agrees:"}},
		{"no such name", []string{mx}, []string{"DNS knows no address of mx.bravo.example", "takes no mail for bravo.example"}},
		{"one address more", []string{bravo, mx, "--host-record=mx.bravo.example,198.51.100.21"}, []string{"is 198.51.100.21 too", "normally goes to mx.bravo.example IN CLEAR (preference 10, 198.51.100.21)"}},
		{"elsewhere", []string{"--host-record=mx.bravo.example,203.0.113.99", mx}, []string{"which is none of the peer's addresses here", "takes no mail for bravo.example"}},
		{"an MX that is no peer", []string{bravo, mx, mx2, "--host-record=mx2.bravo.example,203.0.113.30"}, []string{"can go to mx2.bravo.example in clear (preference 20, 203.0.113.30)"}},
		{"no MX of it", []string{bravo, mx2}, []string{"mx.bravo.example takes no mail for bravo.example: none of its MX hosts (mx2.bravo.example)"}},
	} {
		must(t, dns.Stop(ctx, unix.SIGTERM))
		dns = nameserver(ctx, t, l.Alpha, tt.settings...)
		out := alice.types(ctx, t, card, "peer", "add", "--dry-run")
		for _, says := range tt.says {
			if !strings.Contains(out, says) {
				t.Errorf("%s: it does not say %q:\n%s", tt.name, says, out)
			}
		}
		if agrees := tt.says[0] == "agrees:"; agrees == strings.Contains(out, "WARNING") {
			t.Errorf("%s: it says\n%s", tt.name, out)
		}
	}
	must(t, dns.Stop(ctx, unix.SIGTERM))
	if out := alice.types(ctx, t, card, "peer", "add"); !strings.Contains(out, "WARNING: asking DNS for the addresses of mx.bravo.example") || !strings.Contains(out, "added to ") {
		t.Errorf("without DNS it says:\n%s", out)
	}
}
