package peers

import (
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// Whatever is in the file: what is taken from it is what could have been written
// there, comes back when it is written again, and gives no peer an address that
// another one has, or none can have.
func FuzzParseAnswers(f *testing.F) {
	saved, err := json.Marshal(answersFile{Answers{"mx.b.example": knowing("203.0.113.5", "-2001:db8:b::5"), "mx.c.example": knowing("203.0.113.5", "10.0.0.1")}})
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{
		string(saved), string(saved[:len(saved)/2]), "", "null", "{}", `{"names":null}`, `{"names":{"mx.b.example":null}}`,
		`{"names":{"mx.b.example":[{"address":"203.0.113.5"}]}}`, `{"names":{"mx.b.example":[{"address":"","since":"2026-11-24T12:00:00Z"}]}}`,
		`{"names":{"mx.b.example":[{"address":"fe80::1%eth0"}],"MX.b.example":[{"address":"::ffff:203.0.113.5"}]}}`,
		`{"names":{"mx.b.example":[{"address":"203.0.113.5","left":"9999-12-31T23:59:59.999999999-23:59"},{"address":"203.0.113.5"}]}}`,
		`{"names":{"mx.b.example.":[]},"names":{"1.2.3.4":[{"address":"192.0.2.10"}]}}`,
	} {
		f.Add([]byte(text))
	}
	own := addrs("192.0.2.10")
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := parseAnswers(data)
		if err != nil {
			if a != nil || err.Error() == "" {
				t.Errorf("got %v, %v", a, err)
			}
			return
		}
		checkAnswers(t, a)
		c := &Config{}
		for i, name := range slices.Sorted(maps.Keys(a)) {
			c.Peers = append(c.Peers, Peer{Name: name, PublicKey: PublicKey{byte(i), byte(i >> 8), 1}, Names: []string{name}})
		}
		resolved, _ := Resolve(c, a, own)
		seen := map[netip.Addr]bool{own[0]: true}
		for _, p := range resolved.Peers {
			checkAddresses(t, p.Addresses, seen)
		}
		for _, name := range resolved.Peers {
			learnt, _ := Learn(name.Name, a[name.Name], found("203.0.113.99"), time.Hour, Trust{}, now)
			if len(learnt) > MaxHeld {
				t.Errorf("%d addresses are held", len(learnt))
			}
		}
	})
}

func checkAnswers(t *testing.T, a Answers) {
	t.Helper()
	for name, all := range a {
		if !isHostName(name) || strings.ToLower(name) != name || len(all) > MaxHeld {
			t.Errorf("%q has %d addresses", name, len(all))
		}
		for i, k := range all {
			if !k.Addr.IsValid() || checkAddress(k.Addr) != nil || slices.ContainsFunc(all[:i], func(b Known) bool { return b.Addr == k.Addr }) {
				t.Errorf("%q has the address %s", name, k.Addr)
			}
		}
	}
	text, err := json.Marshal(answersFile{a})
	if err != nil {
		t.Fatal(err)
	}
	again, err := parseAnswers(text)
	if err != nil {
		t.Fatalf("%s is not read again: %v", text, err)
	}
	if told, err := json.Marshal(answersFile{again}); err != nil || string(told) != string(text) {
		t.Errorf("%s is written again as %s (%v)", text, told, err)
	}
}
