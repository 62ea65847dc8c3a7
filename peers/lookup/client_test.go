package lookup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postroad/peers"
)

// A server answers over UDP and TCP on one port of 127.0.0.1.
type server struct {
	*Client
	asked atomic.Int32
}

// serve starts a server; reply gets the question and the answer to be, and says
// whether to send it.
func serve(t *testing.T, reply func(network string, q, a *dns.Msg) bool) *server {
	t.Helper()
	s := &server{}
	packets, stream := listenBoth(t)
	_, port, _ := net.SplitHostPort(stream.Addr().String())
	for _, d := range []*dns.Server{{PacketConn: packets}, {Listener: stream}} {
		network := "tcp"
		if d.PacketConn != nil {
			network = "udp"
		}
		started := make(chan struct{})
		d.NotifyStartedFunc = func() { close(started) }
		d.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			s.asked.Add(1)
			a := new(dns.Msg)
			a.SetReply(q)
			a.RecursionAvailable = true
			if reply(network, q, a) {
				_ = w.WriteMsg(a)
			}
		})
		go func() { _ = d.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = d.Shutdown() })
	}
	dir := t.TempDir()
	s.Client = &Client{ResolvConf: filepath.Join(dir, "resolv.conf"), Hosts: filepath.Join(dir, "hosts"), Port: port,
		Patience: 100 * time.Millisecond, Fallback: func(context.Context, string, string) ([]netip.Addr, error) {
			return nil, errors.New("not to be asked")
		}}
	write(t, s.ResolvConf, "search wrong.example\nnameserver 127.0.0.1\n")
	return s
}

func listenBoth(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p, err := net.ListenPacket("udp", l.Addr().String())
		if err == nil {
			return p, l
		}
		l.Close()
	}
	t.Fatal("no port is free for both")
	return nil, nil
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func rr(t *testing.T, s string, args ...any) dns.RR {
	t.Helper()
	r, err := dns.NewRR(fmt.Sprintf(s, args...))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// says answers with those records that fit the question's type, and aliases.
func says(t *testing.T, records ...string) func(string, *dns.Msg, *dns.Msg) bool {
	return func(_ string, q, a *dns.Msg) bool {
		for _, text := range records {
			r := rr(t, "%s", text)
			switch kind := r.Header().Rrtype; kind {
			case q.Question[0].Qtype, dns.TypeCNAME:
				a.Answer = append(a.Answer, r)
			case dns.TypeSOA:
				a.Ns = append(a.Ns, r)
			}
		}
		return true
	}
}

func rcode(code int) func(string, *dns.Msg, *dns.Msg) bool {
	return func(_ string, _, a *dns.Msg) bool { a.Rcode = code; return true }
}

// only answers one kind of question otherwise than the rest.
func only(kind uint16, one, rest func(string, *dns.Msg, *dns.Msg) bool) func(string, *dns.Msg, *dns.Msg) bool {
	return func(network string, q, a *dns.Msg) bool {
		if q.Question[0].Qtype == kind {
			return one(network, q, a)
		}
		return rest(network, q, a)
	}
}

func silent(string, *dns.Msg, *dns.Msg) bool { return false }

const (
	v4 = "mx.b.example. 300 IN A 203.0.113.5"
	v6 = "mx.b.example. 600 IN AAAA 2001:db8:b::5"
)

func TestAddresses(t *testing.T) {
	both := []string{"203.0.113.5", "2001:db8:b::5"}
	for name, tt := range map[string]struct {
		reply          func(string, *dns.Msg, *dns.Msg) bool
		want           []string
		ttl            time.Duration
		noIPv4, noIPv6 string // parts of the errors
	}{
		"both":          {says(t, v4, v6), both, 300 * time.Second, "", ""},
		"one only":      {says(t, v4, "b.example. 900 IN SOA a. b. 1 2 3 4 120"), both[:1], 120 * time.Second, "", ""},
		"none":          {rcode(dns.RcodeNameError), nil, time.Minute, "", ""},
		"TTL zero":      {says(t, "mx.b.example. 0 IN A 203.0.113.5", v6), both, minTTL, "", ""},
		"TTL negative":  {says(t, "mx.b.example. 4294967295 IN A 203.0.113.5", v6), both, minTTL, "", ""},
		"TTL of years":  {says(t, "mx.b.example. 2147483647 IN A 203.0.113.5", "mx.b.example. 2147483647 IN AAAA 2001:db8:b::5"), both, maxTTL, "", ""},
		"in other case": {says(t, "MX.B.example. 300 IN A 203.0.113.5", "mX.b.eXample. 300 IN AAAA 2001:db8:b::5"), both, 300 * time.Second, "", ""},
		"an alias":      {says(t, "mx.b.example. 60 IN CNAME c.example.", "c.example. 300 IN A 203.0.113.5", "c.example. 300 IN AAAA 2001:db8:b::5"), both, time.Minute, "", ""},
		"aliases out of order": {says(t, "c.example. 300 IN A 203.0.113.5", "c.example. 300 IN AAAA 2001:db8:b::5",
			"d.example. 60 IN CNAME c.example.", "mx.b.example. 60 IN CNAME d.example."), both, time.Minute, "", ""},
		"aliases in a circle": {says(t, "mx.b.example. 60 IN CNAME c.example.", "c.example. 60 IN CNAME mx.b.example.", "c.example. 60 IN A 203.0.113.9"),
			nil, minTTL, "without end", "without end"},
		"an alias of itself":  {says(t, "mx.b.example. 60 IN CNAME mx.b.example."), nil, minTTL, "without end", "without end"},
		"an alias of nothing": {says(t, "mx.b.example. 60 IN CNAME c.example."), nil, minTTL, "ends with the name c.example.", "ends with the name"},
		"an alias of no such kind": {says(t, "mx.b.example. 60 IN CNAME c.example.", "c.example. 60 IN A 203.0.113.5", "example. 60 IN SOA a. b. 1 2 3 4 60"),
			both[:1], time.Minute, "", ""},
		"others' records": {says(t, "mx.c.example. 60 IN A 203.0.113.9", "c.mx.b.example. 60 IN AAAA 2001:db8::9", v4, v6), both, 300 * time.Second, "", ""},
		"another class":   {says(t, "mx.b.example. 60 CH A 203.0.113.9", v4, v6), both, 300 * time.Second, "", ""},
		"SERVFAIL":        {rcode(dns.RcodeServerFailure), nil, minTTL, "SERVFAIL", "SERVFAIL"},
		"REFUSED of one":  {only(dns.TypeAAAA, rcode(dns.RcodeRefused), says(t, v4)), both[:1], minTTL, "", "REFUSED"},
		"silence":         {silent, nil, minTTL, "no answer", "no answer"},
		"silence of one":  {only(dns.TypeA, silent, says(t, v6)), both[1:], minTTL, "no answer", ""},
		"a referral": {func(_ string, _, a *dns.Msg) bool {
			a.RecursionAvailable = false
			a.Ns = []dns.RR{rr(t, "example. 60 IN NS ns.example.")}
			return true
		}, nil, minTTL, "refers elsewhere", "refers elsewhere"},
		"cut over UDP": {func(network string, q, a *dns.Msg) bool {
			if network == "udp" {
				a.Truncated = true
				return true
			}
			return says(t, v4, v6)(network, q, a)
		}, both, 300 * time.Second, "", ""},
		"cut over TCP too": {func(network string, q, a *dns.Msg) bool {
			a.Truncated = true
			return says(t, v4, v6)(network, q, a)
		}, both, minTTL, "cut", "cut"},
		"cut, and no TCP": {func(network string, q, a *dns.Msg) bool {
			a.Truncated = true
			return network == "udp" && says(t, v4)(network, q, a)
		}, both[:1], minTTL, "over TCP", "over TCP"},
		"a wrong id": {func(network string, q, a *dns.Msg) bool {
			a.Id++
			return says(t, v4, v6)(network, q, a)
		}, nil, minTTL, "no answer", "no answer"},
		"no response": {func(network string, q, a *dns.Msg) bool {
			a.Response = false
			return says(t, v4, v6)(network, q, a)
		}, nil, minTTL, "no answer", "no answer"},
		"a wrong question": {func(network string, q, a *dns.Msg) bool {
			a.Question[0].Name = "other.example."
			return says(t, v4, v6)(network, q, a)
		}, nil, minTTL, "no answer", "no answer"},
		"a question of another kind": {func(network string, q, a *dns.Msg) bool {
			ok := says(t, v4, v6)(network, q, a)
			a.Question[0].Qtype = dns.TypeTXT
			return ok
		}, nil, minTTL, "no answer", "no answer"},
		"no EDNS": {func(network string, q, a *dns.Msg) bool {
			if q.IsEdns0() != nil {
				a.Rcode = dns.RcodeFormatError
				return true
			}
			return says(t, v4, v6)(network, q, a)
		}, both, 300 * time.Second, "", ""},
		"IPv4 in IPv6": {says(t, "mx.b.example. 60 IN AAAA ::ffff:203.0.113.5", "mx.b.example. 60 IN A 203.0.113.5"), []string{"203.0.113.5", "203.0.113.5"}, time.Minute, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, tt.reply)
			got := s.Addresses(t.Context(), "mx.b.example")
			var addrs []string
			for _, a := range got.Addrs {
				addrs = append(addrs, a.String())
			}
			if !slices.Equal(addrs, tt.want) || got.TTL != tt.ttl || !saysError(got.NoIPv4, tt.noIPv4) || !saysError(got.NoIPv6, tt.noIPv6) {
				t.Errorf("got %v for %s (%v; %v), want %v for %s (%s; %s)", addrs, got.TTL, got.NoIPv4, got.NoIPv6, tt.want, tt.ttl, tt.noIPv4, tt.noIPv6)
			}
		})
	}
}

// saysError says whether an error has the words; none: whether there is none.
func saysError(err error, words string) bool {
	if words == "" || err == nil {
		return words == "" && err == nil
	}
	return strings.Contains(err.Error(), words)
}

// What is no DNS, and what comes before the answer, is not taken for it.
func TestStrayPackets(t *testing.T) {
	for name, tt := range map[string]struct {
		before, after int
		want          string
	}{"few": {10, 0, ""}, "many": {maxStrays + 1, 0, errStrays.Error()}} {
		t.Run(name, func(t *testing.T) {
			p, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			go strays(t, p, tt.before)
			_, port, _ := net.SplitHostPort(p.LocalAddr().String())
			c := &Client{Patience: time.Second}
			a := c.askServer(t.Context(), "127.0.0.1:"+port, "mx.b.example", dns.TypeA)
			if !saysError(a.err, tt.want) || tt.want == "" && len(a.addrs) != 1 {
				t.Errorf("got %v, %v", a.addrs, a.err)
			}
		})
	}
}

// strays answers a question after n packets that are no answer.
func strays(t *testing.T, p net.PacketConn, n int) {
	buf := make([]byte, 1500)
	for {
		size, from, err := p.ReadFrom(buf)
		if err != nil {
			return
		}
		q, a := new(dns.Msg), new(dns.Msg)
		if q.Unpack(buf[:size]) != nil {
			continue
		}
		for i := range n {
			_, _ = p.WriteTo([]byte(strings.Repeat("x", i*7)), from)
		}
		a.SetReply(q)
		says(t, v4)("udp", q, a)
		data, _ := a.Pack()
		_, _ = p.WriteTo(data, from)
	}
}

// As many addresses as a message over TCP holds, of both families.
func TestThousandsOfAddresses(t *testing.T) {
	s := serve(t, func(network string, q, a *dns.Msg) bool {
		a.Compress = true
		a.Truncated = network == "udp"
		for i := range 5000 {
			text := fmt.Sprintf("mx.b.example. 300 IN A 203.%d.%d.5", i/250, i%250)
			if q.Question[0].Qtype == dns.TypeAAAA {
				text = fmt.Sprintf("mx.b.example. 300 IN AAAA 2001:db8::%x", i)
			}
			if network == "udp" {
				break
			}
			if a.Answer = append(a.Answer, rr(t, "%s", text)); i > 2200 && q.Question[0].Qtype == dns.TypeAAAA {
				break
			}
			if i > 3900 {
				break
			}
		}
		return true
	})
	s.Patience = 30 * time.Second
	got := s.Addresses(t.Context(), "mx.b.example")
	if len(got.Addrs) < 5000 || got.NoIPv4 != nil || got.NoIPv6 != nil {
		t.Errorf("got %d addresses (%v, %v)", len(got.Addrs), got.NoIPv4, got.NoIPv6)
	}
}

// The system's settings count, as they are at the time.
func TestSystemSettings(t *testing.T) {
	s := serve(t, says(t, v4, v6))
	ask := func() []string {
		var all []string
		for _, a := range s.Addresses(t.Context(), "mx.b.example.").Addrs {
			all = append(all, a.String())
		}
		return all
	}
	expect := func(what string, want ...string) {
		t.Helper()
		if got := ask(); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	expect("a server", "203.0.113.5", "2001:db8:b::5")
	write(t, s.ResolvConf, "nameserver 127.0.0.77\nnameserver 127.0.0.1\n")
	expect("the first is dead", "203.0.113.5", "2001:db8:b::5")
	write(t, s.Hosts, "192.0.2.1 other.example\n192.0.2.2 MX.b.example # 192.0.2.3 mx.b.example\nnonsense mx.b.example\n2001:db8::2 x mx.b.example\n")
	expect("the hosts file has it", "192.0.2.2", "2001:db8::2")
	write(t, s.Hosts, "192.0.2.1 other.example\n")
	expect("the hosts file no longer has it", "203.0.113.5", "2001:db8:b::5")
	s.Fallback = func(_ context.Context, network, name string) ([]netip.Addr, error) {
		if network != "ip" || name != "mx.b.example." {
			t.Errorf("asked for %s %s", network, name)
		}
		return []netip.Addr{netip.MustParseAddr("192.0.2.9")}, nil
	}
	write(t, s.ResolvConf, "nameserver nonsense\n")
	expect("there is no server", "192.0.2.9")
	if err := os.Remove(s.ResolvConf); err != nil {
		t.Fatal(err)
	}
	expect("there is no resolv.conf", "192.0.2.9")
	s.Fallback = func(context.Context, string, string) ([]netip.Addr, error) {
		return nil, &net.DNSError{IsNotFound: true}
	}
	if got := s.Addresses(t.Context(), "mx.b.example"); got.NoIPv4 != nil || got.NoIPv6 != nil || got.TTL != noTTL {
		t.Errorf("no such name, by the Go resolver: %+v", got)
	}
	s.Fallback = func(context.Context, string, string) ([]netip.Addr, error) { return nil, errors.New("dead") }
	if got := s.Addresses(t.Context(), "mx.b.example"); got.NoIPv4 == nil || got.NoIPv6 == nil {
		t.Errorf("a failure of the Go resolver: %+v", got)
	}
}

// The context ends a lookup, whatever servers there are.
func TestLookupEnds(t *testing.T) {
	s := serve(t, silent)
	s.Patience = time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	done := make(chan peers.Found)
	go func() { done <- s.Addresses(ctx, "mx.b.example") }()
	select {
	case got := <-done:
		if got.NoIPv4 == nil || got.NoIPv6 == nil {
			t.Errorf("got %+v", got)
		}
	case <-time.After(10 * time.Second):
		t.Error("it goes on")
	}
}

func TestMX(t *testing.T) {
	many := make([]string, 200)
	for i := range many {
		many[i] = fmt.Sprintf("b.example. 300 IN MX %d mx%d.b.example.", 1000-i, i)
	}
	for name, tt := range map[string]struct {
		reply func(string, *dns.Msg, *dns.Msg) bool
		want  []MX
		n     int // of so many records
		err   string
	}{
		"sorted":         {says(t, "b.example. 300 IN MX 20 MX2.b.example.", "b.example. 300 IN MX 10 mx.b.example."), []MX{{"mx.b.example", 10}, {"mx2.b.example", 20}}, 2, ""},
		"null":           {says(t, "b.example. 300 IN MX 0 ."), []MX{{"", 0}}, 1, ""},
		"none":           {says(t, "b.example. 300 IN SOA a. b. 1 2 3 4 5"), nil, 0, ""},
		"no such domain": {rcode(dns.RcodeNameError), nil, 0, ""},
		"SERVFAIL":       {rcode(dns.RcodeServerFailure), nil, 0, "SERVFAIL"},
		"many": {func(n string, q, a *dns.Msg) bool {
			a.Truncated = n == "udp"
			return a.Truncated || says(t, many...)(n, q, a)
		}, []MX{{"mx199.b.example", 801}}, maxMX, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, ttl, err := serve(t, tt.reply).MX(t.Context(), "b.example")
			if len(got) != tt.n || !slices.Equal(got[:len(tt.want)], tt.want) || !saysError(err, tt.err) || ttl < minTTL {
				t.Errorf("got %v for %s (%v)", got, ttl, err)
			}
		})
	}
}

// packed is an answer to a question for mx.b.example's addresses, or with other
// records.
func packed(f *testing.F, change func(m *dns.Msg), records ...string) []byte {
	f.Helper()
	m := new(dns.Msg)
	m.SetQuestion("mx.b.example.", dns.TypeA)
	m.Response, m.RecursionAvailable = true, true
	for _, text := range records {
		r, err := dns.NewRR(text)
		if err != nil {
			f.Fatal(err)
		}
		if r.Header().Rrtype == dns.TypeSOA {
			m.Ns = append(m.Ns, r)
		} else {
			m.Answer = append(m.Answer, r)
		}
	}
	change(m)
	data, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	return data
}

// messages adds answers as servers give them.
func messages(f *testing.F) {
	f.Helper()
	same := func(*dns.Msg) {}
	for _, records := range [][]string{
		{v4, v6}, {"mx.b.example. 60 IN CNAME c.example.", "c.example. 60 IN CNAME mx.b.example."}, {"mx.b.example. 60 IN CNAME c.example.", "c.example. 4294967295 IN A 203.0.113.9"},
		{"mx.b.example. 300 IN MX 20 MX2.b.example.", "mx.b.example. 300 IN MX 10 mx.b.example.", "mx.b.example. 0 IN MX 0 ."}, {"b.example. 300 IN SOA a. b. 1 2 3 4 5"},
		{"mx.b.example. 300 CH A 203.0.113.5", "other.example. 300 IN A 203.0.113.6"}, {}, {"mx.b.example. 300 IN AAAA ::ffff:203.0.113.5"},
	} {
		f.Add(packed(f, same, records...))
	}
	f.Add(packed(f, func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }, "b.example. 300 IN SOA a. b. 1 2 3 4 5"))
	f.Add(packed(f, func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }))
	f.Add(packed(f, func(m *dns.Msg) { m.Rcode = dns.RcodeFormatError }))
	f.Add(packed(f, func(m *dns.Msg) { m.Truncated = true }, v4))
	f.Add(packed(f, func(m *dns.Msg) { m.Response = false }, v4))
	f.Add(packed(f, func(m *dns.Msg) { m.Question[0].Name = "MX.b.EXAMPLE." }, v4))
	f.Add(packed(f, func(m *dns.Msg) { m.SetEdns0(udpSize, true) }, v4))
}

// Whatever a message says, reading it ends, and what it gives is the name's.
func FuzzRead(f *testing.F) {
	messages(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		m := new(dns.Msg)
		if m.Unpack(data) != nil {
			return
		}
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeMX} {
			a := read(m, "mx.b.example", kind)
			if a.ttl < minTTL || a.ttl > maxTTL || len(a.addrs) > len(m.Answer) || len(a.mx) > maxMX || kind == dns.TypeMX && a.addrs != nil || kind != dns.TypeMX && a.mx != nil {
				t.Errorf("%s: %+v", dns.TypeToString[kind], a)
			}
			for _, addr := range a.addrs {
				if !said(m, kind, addr) {
					t.Errorf("%s: %s is not in %s", dns.TypeToString[kind], addr, m)
				}
			}
			if !slices.IsSortedFunc(a.mx, func(x, y MX) int { return int(x.Preference) - int(y.Preference) }) {
				t.Errorf("the preferred ones are not first: %v", a.mx)
			}
		}
	})
}

// said says whether an answer has a record of the kind with an address.
func said(m *dns.Msg, kind uint16, addr netip.Addr) bool {
	return slices.ContainsFunc(m.Answer, func(r dns.RR) bool {
		got := netip.Addr{}
		switch r := r.(type) {
		case *dns.A:
			got, _ = netip.AddrFromSlice(r.A)
		case *dns.AAAA:
			got, _ = netip.AddrFromSlice(r.AAAA)
		}
		return r.Header().Rrtype == kind && got.Unmap() == addr
	})
}

// Whatever comes before the answer, or in its place: what is no answer to the
// question counts for nothing, and what is one is what it says.
func FuzzAsk(f *testing.F) {
	messages(f)
	server, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { server.Close() })
	var stray atomic.Pointer[[]byte]
	go answerBehind(server, &stray)
	c := &Client{Patience: 5 * time.Second}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > readSize {
			return
		}
		stray.Store(&data)
		got := c.ask(t.Context(), []string{server.LocalAddr().String()}, "mx.b.example", dns.TypeA)
		want := answer{addrs: []netip.Addr{netip.MustParseAddr("203.0.113.5")}}
		if m := asAnswer(data); m != nil {
			if want = read(m, "mx.b.example", dns.TypeA); want.err != nil || m.Truncated {
				return // it is asked again
			}
		}
		if got.err != nil || !slices.Equal(got.addrs, want.addrs) {
			t.Errorf("it takes %v (%v), want %v", got.addrs, got.err, want.addrs)
		}
	})
}

// asAnswer reads what is an answer to a question for the addresses, but for its
// number; nil: it is none, or has a signature, which we did not ask for.
func asAnswer(data []byte) *dns.Msg {
	m, q := new(dns.Msg), new(dns.Msg)
	if len(data) < 12 || m.Unpack(data) != nil || m.IsTsig() != nil {
		return nil
	}
	q.SetQuestion("mx.b.example.", dns.TypeA)
	if q.Id = m.Id; !answers(m, q) {
		return nil
	}
	return m
}

// answerBehind answers every question truly, behind a datagram that is told, with
// the question's number.
func answerBehind(server *net.UDPConn, stray *atomic.Pointer[[]byte]) {
	for b := make([]byte, readSize); ; {
		n, from, err := server.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		q, a := new(dns.Msg), new(dns.Msg)
		if q.Unpack(b[:n]) != nil {
			continue
		}
		first := slices.Clone(*stray.Load())
		copy(first, b[:min(2, len(first))])
		_, _ = server.WriteToUDPAddrPort(first, from)
		a.SetReply(q)
		a.Answer = append(a.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 300}, A: net.IPv4(203, 0, 113, 5)})
		if data, err := a.Pack(); err == nil {
			_, _ = server.WriteToUDPAddrPort(data, from)
		}
	}
}
