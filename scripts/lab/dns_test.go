package lab

import (
	"strings"
	"testing"
)

// Mail finds its way by a real server's MX and address records, and by their changes; both mail servers use it.
func TestDNS(t *testing.T) {
	s := newStandard(t)
	const hosts = "mx1.alpha A 192.0.2.10\nmx1.alpha AAAA 2001:db8:a::10\nalpha MX 10 mx1.alpha\n" +
		"mx.bravo 60 A 198.51.100.20\nmx.bravo 60 AAAA 2001:db8:b::20\n"
	dns := must[*DNS](t)(s.Charlie.DNS(t.Context(), map[string]string{
		"example":                 hosts + "bravo 5 MX 10 mx.bravo\n",
		"100.51.198.in-addr.arpa": "20 PTR mx.bravo.example.",
	}))
	if err := dns.Serve(s.Charlie.IPv4, s.Alpha.Host, s.Bravo.Host); err != nil {
		t.Fatal(err)
	}
	if got := must[string](t)(s.Alpha.Run(t.Context(), "getent", "ahostsv4", "mx.bravo.example")); !strings.HasPrefix(got, "198.51.100.20 ") {
		t.Errorf("bravo is at %q", got)
	}
	if got := must[string](t)(s.Alpha.Run(t.Context(), "getent", "hosts", "198.51.100.20")); !strings.Contains(got, "mx.bravo.example") {
		t.Errorf("198.51.100.20 is %q", got)
	}
	alpha := startPostfix(t, s.Alpha, "smtp_dns_support_level = enabled", "smtp_host_lookup = dns")
	bravo := startExim(t, s.Bravo, EximUseDNS)
	must[string](t)(alpha.Send(t.Context(), "alice@alpha.example", "bob@bravo.example", "by MX", "Hello Bob."))
	must[string](t)(bravo.WaitMail(t.Context(), "bob", "Subject: by MX"))
	must[string](t)(bravo.Send(t.Context(), "bob@bravo.example", "alice@alpha.example", "by MX", "Hello Alice."))
	must[string](t)(alpha.WaitMail(t.Context(), "alice", "Subject: by MX"))

	if err := dns.SetZone(t.Context(), "example", hosts+"bravo MX 10 mx.elsewhere\nmx.elsewhere A 198.51.100.99\n"); err != nil {
		t.Fatal(err)
	}
	if got := must[string](t)(s.Alpha.Run(t.Context(), "getent", "ahostsv4", "mx.elsewhere.example")); !strings.HasPrefix(got, "198.51.100.99 ") {
		t.Errorf("the changed zone says %q", got)
	}
	if err := dns.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out, err := s.Alpha.Run(t.Context(), "getent", "ahostsv4", "mx.bravo.example"); err == nil {
		t.Errorf("a stopped server says %q", out)
	}
	if err := dns.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	must[string](t)(s.Alpha.Run(t.Context(), "getent", "ahostsv4", "mx.bravo.example"))
}
