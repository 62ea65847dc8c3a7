package peers

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// now is when the tests' answers come.
var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// knowing returns what is known: addresses, those behind a minus left an hour
// ago.
func knowing(texts ...string) (all []Known) {
	for _, s := range texts {
		k := Known{Since: now.Add(-48 * time.Hour)}
		if rest, left := strings.CutPrefix(s, "-"); left {
			s, k.Left = rest, now.Add(-time.Hour)
		}
		k.Addr = netip.MustParseAddr(s)
		all = append(all, k)
	}
	return all
}

// known writes what is known as knowing reads it.
func known(all []Known) (texts []string) {
	for _, k := range all {
		s := k.Addr.String()
		if !k.Left.IsZero() {
			s = "-" + s
		}
		texts = append(texts, s)
	}
	return texts
}

func found(texts ...string) Found { return Found{Addrs: addrs(texts...)} }

func TestLearn(t *testing.T) {
	lost := errors.New("SERVFAIL")
	own := addrs("192.0.2.10")
	for name, tt := range map[string]struct {
		known []Known
		found Found
		keep  time.Duration
		trust Trust
		want  []string
		says  string // kinds of the remarks
	}{
		"first":             {nil, found("203.0.113.6", "203.0.113.5"), time.Hour, Trust{}, []string{"203.0.113.5", "203.0.113.6"}, ""},
		"the same":          {knowing("203.0.113.5"), found("203.0.113.5"), time.Hour, Trust{}, []string{"203.0.113.5"}, ""},
		"one leaves":        {knowing("203.0.113.5", "203.0.113.6"), found("203.0.113.6"), time.Hour, Trust{}, []string{"-203.0.113.5", "203.0.113.6"}, ""},
		"one is gone":       {knowing("-203.0.113.5", "203.0.113.6"), found("203.0.113.6"), time.Hour, Trust{}, []string{"203.0.113.6"}, ""},
		"one is kept":       {knowing("-203.0.113.5", "203.0.113.6"), found("203.0.113.6"), time.Hour + 1, Trust{}, []string{"-203.0.113.5", "203.0.113.6"}, ""},
		"nothing is kept":   {knowing("203.0.113.5"), found("203.0.113.6"), 0, Trust{}, []string{"203.0.113.6"}, ""},
		"it comes back":     {knowing("-203.0.113.5"), found("203.0.113.5"), time.Hour, Trust{}, []string{"203.0.113.5"}, ""},
		"no such name":      {knowing("203.0.113.5", "-203.0.113.6"), Found{}, 0, Trust{}, []string{"203.0.113.5", "-203.0.113.6"}, ""},
		"no answer":         {knowing("203.0.113.5", "-203.0.113.6"), Found{NoIPv4: lost, NoIPv6: lost}, 0, Trust{}, []string{"203.0.113.5", "-203.0.113.6"}, ""},
		"no IPv4 answer":    {knowing("203.0.113.5", "-203.0.113.6", "2001:db8::5"), Found{Addrs: addrs("2001:db8::6"), NoIPv4: lost}, 0, Trust{}, []string{"203.0.113.5", "-203.0.113.6", "2001:db8::6"}, ""},
		"no IPv6 answer":    {knowing("203.0.113.5", "2001:db8::5"), Found{Addrs: addrs("203.0.113.6"), NoIPv6: lost}, 0, Trust{}, []string{"203.0.113.6", "2001:db8::5"}, ""},
		"no IPv6 addresses": {knowing("203.0.113.5", "2001:db8::5"), found("203.0.113.5"), time.Hour, Trust{}, []string{"203.0.113.5", "-2001:db8::5"}, ""},
		"part of an answer": {knowing("203.0.113.5"), Found{Addrs: addrs("203.0.113.6"), NoIPv4: lost, NoIPv6: lost}, 0, Trust{}, []string{"203.0.113.5", "203.0.113.6"}, ""},
		"nobody's": {knowing("203.0.113.5"), found("127.0.0.1", "::1", "169.254.1.1", "fe80::1%eth0", "224.0.0.1", "ff02::1", "0.0.0.0", "::",
			"255.255.255.255", "0.1.2.3", "240.0.0.1", "::203.0.113.9"), 0, Trust{}, []string{"203.0.113.5"},
			"address-refused address-refused address-refused address-refused address-refused address-refused"},
		"private":           {nil, found("10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "fd00::1", "fec0::1"), 0, Trust{}, nil, "address-refused"},
		"private, believed": {nil, found("10.0.0.1", "fd00::1"), 0, Trust{Private: true}, []string{"10.0.0.1", "fd00::1"}, ""},
		"our own":           {knowing("203.0.113.5"), found("192.0.2.10"), 0, Trust{Own: own}, []string{"203.0.113.5"}, "address-refused"},
		"our own, and more": {knowing("203.0.113.5"), found("192.0.2.10", "203.0.113.6"), 0, Trust{Own: own}, []string{"203.0.113.6"}, "address-refused"},
		"IPv4 in IPv6":      {nil, found("::ffff:203.0.113.5", "203.0.113.5", "::ffff:127.0.0.1"), 0, Trust{}, []string{"203.0.113.5"}, "address-refused"},
	} {
		t.Run(name, func(t *testing.T) {
			before := slices.Clone(tt.known)
			got, remarks := Learn("mx.b.example", tt.known, tt.found, tt.keep, tt.trust, now)
			var kinds []string
			for _, r := range remarks {
				kinds = append(kinds, string(r.Kind))
			}
			if !slices.Equal(known(got), tt.want) || strings.Join(kinds, " ") != tt.says {
				t.Errorf("knows %v (%v), want %v (%s)", known(got), remarks, tt.want, tt.says)
			}
			if !slices.Equal(tt.known, before) {
				t.Error("it changes what it is given")
			}
		})
	}
}

// Of thousands of addresses those are taken that are known, and no more than a
// few; which ones does not depend on how the server turns them.
func TestLearnExcess(t *testing.T) {
	var many []netip.Addr
	for i := range 5000 {
		many = append(many, netip.AddrFrom4([4]byte{203, byte(i / 250), byte(i % 250), 5}))
	}
	start := knowing("203.19.0.5")
	first, remarks := Learn("mx.b.example", start, Found{Addrs: many}, time.Hour, Trust{}, now)
	if len(first) != MaxCurrent || !slices.ContainsFunc(first, func(k Known) bool { return k == start[0] }) {
		t.Errorf("it takes %v", known(first))
	}
	if len(remarks) != 1 || remarks[0].Kind != AddressExcess || !strings.Contains(remarks[0].Words, fmt.Sprint(5000-MaxCurrent)) || len(remarks[0].Words) > 300 {
		t.Errorf("it says %v", remarks)
	}
	rand.Shuffle(len(many), func(i, j int) { many[i], many[j] = many[j], many[i] })
	if again, _ := Learn("mx.b.example", first, Found{Addrs: many}, time.Hour, Trust{}, now.Add(time.Minute)); !slices.Equal(again, first) {
		t.Errorf("it changes its mind: %v", known(again))
	}
}

// A server that says something else every time has no protection taken away, and
// no more than so much added.
func TestLearnChurn(t *testing.T) {
	all := knowing("203.0.113.5", "2001:db8::5")
	for i := range 10_000 {
		f := Found{}
		for range rand.IntN(20) {
			f.Addrs = append(f.Addrs, netip.AddrFrom4([4]byte{byte(rand.IntN(256)), byte(rand.IntN(256)), 1, 1}))
		}
		if i%3 == 0 {
			f.NoIPv6 = errors.New("timeout")
		}
		all, _ = Learn("mx.b.example", all, f, 24*time.Hour, Trust{}, now.Add(time.Duration(i)*time.Second))
		if len(all) > MaxHeld {
			t.Fatalf("it holds %d addresses", len(all))
		}
	}
	for _, k := range knowing("203.0.113.5", "2001:db8::5") {
		if !slices.ContainsFunc(all, func(h Known) bool { return h.Addr == k.Addr }) {
			t.Errorf("%s is lost", k.Addr)
		}
	}
}

// Whatever DNS says, and whatever was known: what is believed can be a peer's,
// nothing that is known is given up before its time, and no more is taken than
// there is room for.
func FuzzLearn(f *testing.F) {
	f.Add([]byte{0, 203, 0, 113, 5, 1, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5}, []byte{0, 203, 0, 113, 6, 0, 127, 0, 0, 1, 0, 10, 0, 0, 1}, uint8(0))
	f.Add([]byte{2, 203, 0, 113, 5}, []byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 203, 0, 113, 5, 0, 192, 0, 2, 10}, uint8(7))
	f.Add([]byte{}, slices.Concat(slices.Repeat([]byte{0, 203, 0, 113, 5, 0, 203, 0, 113, 6}, 3), []byte{1, 0xfe, 0x80}), uint8(1))
	f.Fuzz(func(t *testing.T, before, said []byte, how uint8) {
		had := heldIn(before)
		kept := slices.Clone(had)
		found := Found{Addrs: addrsIn(said), TTL: time.Minute}
		if how&1 != 0 {
			found.NoIPv4 = errors.New("SERVFAIL")
		}
		if how&2 != 0 {
			found.NoIPv6 = errors.New("SERVFAIL")
		}
		trust := Trust{Private: how&4 != 0, Own: addrs("192.0.2.10")}
		got, remarks := Learn("mx.b.example", had, found, 2*time.Hour, trust, now)
		if !slices.Equal(had, kept) {
			t.Error("it changes what it is given")
		}
		checkLearnt(t, had, got, found, trust)
		for _, r := range remarks {
			if len(r.Words) > 400 || !strings.Contains(r.Words, "mx.b.example") {
				t.Errorf("it says %s", r.Words)
			}
		}
		if again, _ := Learn("mx.b.example", got, found, 2*time.Hour, trust, now); !slices.Equal(again, got) {
			t.Errorf("it changes its mind from %v to %v", known(got), known(again))
		}
	})
}

func checkLearnt(t *testing.T, had, got []Known, f Found, trust Trust) {
	t.Helper()
	current := 0
	for i, k := range got {
		if i > 0 && !got[i-1].Addr.Less(k.Addr) && len(had) < len(got) {
			t.Errorf("%v are not in order", known(got))
		}
		was := slices.ContainsFunc(had, func(h Known) bool { return h.Addr == k.Addr })
		if !was && trust.refuses(k.Addr) != "" {
			t.Errorf("%s is believed", k.Addr)
		}
		if !was {
			current++
		}
	}
	for _, h := range had { // none has left for so long that it would go
		if !slices.ContainsFunc(got, func(k Known) bool { return k.Addr == h.Addr && k.Since.Equal(h.Since) }) {
			t.Errorf("%s is no longer known", h.Addr)
		}
	}
	if current > MaxCurrent || len(got) > max(MaxHeld, len(had)) {
		t.Errorf("it takes %d of %d addresses", current, len(f.Addrs))
	}
}

// addrsIn makes addresses of bytes: each begins with its kind.
func addrsIn(b []byte) (all []netip.Addr) {
	for len(b) > 4 {
		size := 4 + 12*int(b[0]&1)
		if len(b) <= size {
			return all
		}
		a, _ := netip.AddrFromSlice(b[1 : 1+size])
		all = append(all, a)
		b = b[1+size:]
	}
	return all
}

// heldIn makes what is known of bytes: different addresses that can be a peer's,
// some of which left an hour ago.
func heldIn(b []byte) (all []Known) {
	for i, a := range distinct(addrsIn(b)) {
		if (Trust{Private: true}).refuses(a) == "" && len(all) < MaxHeld {
			k := Known{Addr: a, Since: now.Add(-48 * time.Hour)}
			if i%3 == 2 {
				k.Left = now.Add(-time.Hour)
			}
			all = append(all, k)
		}
	}
	return all
}
