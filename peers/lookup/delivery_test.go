package lookup

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestDelivery(t *testing.T) {
	const mx, mx2 = "b.example. 300 IN MX 10 MX.b.example.", "b.example. 300 IN MX 5 mx2.b.example."
	var many []string
	for i := range 30 {
		many = append(many, fmt.Sprintf("b.example. 300 IN MX %d mx%d.b.example.", i, i))
	}
	for name, tt := range map[string]struct {
		reply  func(string, *dns.Msg, *dns.Msg) bool
		want   string // hosts with their addresses
		more   int
		ttl    time.Duration
		failed string // part of the error
	}{
		"one":            {says(t, mx, v4, v6), "10 mx.b.example 203.0.113.5 2001:db8:b::5", 0, 300 * time.Second, ""},
		"preferred ones": {says(t, mx, mx2, "mx2.b.example. 60 IN A 203.0.113.6", v4), "5 mx2.b.example 203.0.113.6; 10 mx.b.example 203.0.113.5", 0, time.Minute, ""},
		"none":           {says(t, "b.example. 300 IN A 203.0.113.7", "b.example. 300 IN SOA a. b. 1 2 3 4 300"), "0 b.example 203.0.113.7", 0, 300 * time.Second, ""},
		"no such domain": {rcode(dns.RcodeNameError), "0 b.example", 0, time.Minute, ""},
		"takes no mail":  {says(t, "b.example. 300 IN MX 0 .", "b.example. 300 IN A 203.0.113.7"), "", 0, 300 * time.Second, ""},
		"too many":       {says(t, many...), "", 10, time.Minute, ""},
		"SERVFAIL":       {rcode(dns.RcodeServerFailure), "", 0, minTTL, "SERVFAIL"},
		"silence":        {silent, "", 0, minTTL, "no answer"},
		"silence about a host": {only(dns.TypeMX, says(t, mx), only(dns.TypeAAAA, silent, says(t, v4))),
			"10 mx.b.example 203.0.113.5", 0, minTTL, "addresses of mx.b.example"},
	} {
		t.Run(name, func(t *testing.T) {
			d := serve(t, tt.reply).Delivery(t.Context(), "b.example")
			var hosts []string
			for _, x := range d.Hosts {
				hosts = append(hosts, strings.TrimSpace(fmt.Sprintf("%d %s %s", x.Preference, x.Host, strings.Trim(fmt.Sprint(x.Addresses), "[]"))))
			}
			if got := strings.Join(hosts, "; "); got != tt.want && tt.more == 0 || d.More != tt.more || d.TTL != tt.ttl {
				t.Errorf("got %q, %d more, for %v", got, d.More, d.TTL)
			}
			if err := d.Failed(); err == nil && tt.failed != "" || err != nil && (tt.failed == "" || !strings.Contains(err.Error(), tt.failed)) {
				t.Errorf("failed: %v, want %q", err, tt.failed)
			}
		})
	}
}
