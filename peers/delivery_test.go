package peers

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// What is looked at of one host is bounded, in order and told once each.
func TestNewExchanger(t *testing.T) {
	var many []netip.Addr
	for i := range 5000 {
		many = append(many, netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}))
	}
	x := NewExchanger("mx", 10, Found{Addrs: append(many, many...)})
	if len(x.Addresses) != MaxPerHost || cap(x.Addresses) != MaxPerHost || x.More != 5000-MaxPerHost {
		t.Errorf("%d addresses, room for %d, %d more", len(x.Addresses), cap(x.Addresses), x.More)
	}
	x = NewExchanger("mx", 10, Found{Addrs: addrs("::ffff:203.0.113.5", "203.0.113.5", "203.0.113.4")})
	if d := diff(addrs("203.0.113.4", "203.0.113.5"), x.Addresses); d != "" || x.More != 0 {
		t.Errorf("(-want +got):\n%s%d more", d, x.More)
	}
}

func TestDeliveryAfter(t *testing.T) {
	silent := errors.New("no answer")
	host := func(name string, v4, v6 error, addresses ...string) Exchanger {
		return Exchanger{Host: name, Addresses: addrs(addresses...), NoIPv4: v4, NoIPv6: v6}
	}
	known := Delivery{Hosts: []Exchanger{host("a", nil, nil, "203.0.113.5", "2001:db8::5"), host("b", nil, nil, "203.0.113.6")}}
	for name, tt := range map[string]struct {
		found  Delivery
		want   string
		failed bool
	}{
		"something else":       {Delivery{Hosts: []Exchanger{host("c", nil, nil, "203.0.113.7")}}, "c 203.0.113.7", false},
		"nothing":              {Delivery{}, "", false},
		"no MX known":          {Delivery{Err: silent}, "a 203.0.113.5, 2001:db8::5; b 203.0.113.6", true},
		"no address known":     {Delivery{Hosts: []Exchanger{host("a", silent, silent)}}, "a 203.0.113.5, 2001:db8::5", true},
		"IPv6 known":           {Delivery{Hosts: []Exchanger{host("a", silent, nil, "2001:db8::6")}}, "a 203.0.113.5, 2001:db8::6", true},
		"IPv4 known":           {Delivery{Hosts: []Exchanger{host("a", nil, silent, "203.0.113.9")}}, "a 203.0.113.9, 2001:db8::5", true},
		"a new one is unknown": {Delivery{Hosts: []Exchanger{host("c", silent, silent)}}, "c ", true},
	} {
		got := tt.found.After(known)
		var hosts []string
		for _, x := range got.Hosts {
			hosts = append(hosts, fmt.Sprintf("%s %s", x.Host, joined(x.Addresses)))
		}
		if strings.Join(hosts, "; ") != tt.want || (got.Failed() != nil) != tt.failed {
			t.Errorf("%s: got %q (%v), want %q", name, hosts, got.Failed(), tt.want)
		}
	}
	if again := (Delivery{}).After((Delivery{Err: silent}).After(known)); again.Failed() != nil {
		t.Errorf("an answer after a failure: %v", again.Failed())
	}
}

func TestOverflow(t *testing.T) {
	d := Delivery{More: 3, Hosts: []Exchanger{{Host: "a", More: 7}, {Host: "b"}}}
	if got := d.Overflow(); got != "3 more MX hosts, 7 more addresses of a" {
		t.Errorf("got %q", got)
	}
	if got := (Delivery{}).Overflow(); got != "" {
		t.Errorf("got %q", got)
	}
}
