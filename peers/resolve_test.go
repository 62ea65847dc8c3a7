package peers

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// from returns what is known of a name since so many hours.
func from(hours int, texts ...string) []Known {
	all := knowing(texts...)
	for i := range all {
		all[i].Since = now.Add(time.Duration(-hours) * time.Hour)
	}
	return all
}

// namedPeers is a config with a peer for each text: its addresses and names.
func namedPeers(all ...string) *Config {
	c := &Config{}
	for i, words := range all {
		p := Peer{Name: string(rune('a' + i))}
		for _, w := range strings.Fields(words) {
			if a, err := netip.ParseAddr(w); err == nil {
				p.Addresses = append(p.Addresses, a)
			} else {
				p.Names = append(p.Names, w)
			}
		}
		c.Peers = append(c.Peers, p)
	}
	return c
}

func TestResolve(t *testing.T) {
	for name, tt := range map[string]struct {
		peers []string
		known Answers
		want  []string // by peer
		says  string   // peer and kind of remarks, in order
	}{
		"literals only":              {[]string{"203.0.113.5 2001:db8::5"}, nil, []string{"203.0.113.5 2001:db8::5"}, ""},
		"a name":                     {[]string{"x"}, Answers{"x": from(1, "203.0.113.5")}, []string{"203.0.113.5"}, ""},
		"both":                       {[]string{"203.0.113.9 x"}, Answers{"x": from(1, "203.0.113.5")}, []string{"203.0.113.9 203.0.113.5"}, ""},
		"two names":                  {[]string{"x y"}, Answers{"x": from(1, "203.0.113.5"), "y": from(1, "203.0.113.5", "203.0.113.6")}, []string{"203.0.113.5 203.0.113.6"}, ""},
		"not known":                  {[]string{"x", "203.0.113.5 y"}, nil, []string{"", "203.0.113.5"}, "a name-unresolved b name-unresolved"},
		"left":                       {[]string{"x"}, Answers{"x": from(1, "-203.0.113.5", "203.0.113.6")}, []string{"203.0.113.6 203.0.113.5"}, "a address-left"},
		"left, literal":              {[]string{"203.0.113.5 x"}, Answers{"x": from(1, "-203.0.113.5", "203.0.113.6")}, []string{"203.0.113.5 203.0.113.6"}, ""},
		"a literal wins":             {[]string{"x", "203.0.113.5"}, Answers{"x": from(99, "203.0.113.5")}, []string{"", "203.0.113.5"}, "a address-taken"},
		"the first wins":             {[]string{"x", "y"}, Answers{"x": from(1, "203.0.113.5"), "y": from(2, "203.0.113.5")}, []string{"", "203.0.113.5"}, "a address-taken"},
		"at once":                    {[]string{"x", "y"}, Answers{"x": from(1, "203.0.113.5"), "y": from(1, "203.0.113.5")}, []string{"203.0.113.5", ""}, "b address-taken"},
		"the one that left keeps it": {[]string{"x", "y"}, Answers{"x": from(2, "-203.0.113.5"), "y": from(1, "203.0.113.5")}, []string{"203.0.113.5", ""}, "a address-left b address-taken"},
		"our own":                    {[]string{"x"}, Answers{"x": from(1, "192.0.2.10", "203.0.113.5")}, []string{"203.0.113.5"}, "a address-refused"},
		"private":                    {[]string{"x"}, Answers{"x": from(1, "10.0.0.1", "203.0.113.5")}, []string{"203.0.113.5"}, "a address-refused"},
		"private, given":             {[]string{"10.0.0.1 x"}, Answers{"x": from(1, "10.0.0.1")}, []string{"10.0.0.1"}, ""},
		"nobody's":                   {[]string{"x"}, Answers{"x": from(1, "127.0.0.1", "ff02::1", "::")}, []string{""}, "a address-refused a address-refused a address-refused"},
	} {
		t.Run(name, func(t *testing.T) {
			c := namedPeers(tt.peers...)
			before := fmt.Sprint(*c)
			got, remarks := Resolve(c, tt.known, addrs("192.0.2.10"))
			var have, says []string
			for _, p := range got.Peers {
				have = append(have, strings.Join(texts(p.Addresses), " "))
			}
			for _, peer := range slices.Sorted(maps.Keys(remarks)) {
				for _, r := range remarks[peer] {
					says = append(says, peer+" "+string(r.Kind))
				}
			}
			if !slices.Equal(have, tt.want) || strings.Join(says, " ") != tt.says {
				t.Errorf("got %q (%v), want %q (%s)", have, remarks, tt.want, tt.says)
			}
			if fmt.Sprint(*c) != before {
				t.Error("it changes what it is given")
			}
		})
	}
}

func TestResolvePrivate(t *testing.T) {
	c := namedPeers("x", "y")
	c.Peers[0].PrivateAddresses = true
	got, _ := Resolve(c, Answers{"x": from(1, "10.0.0.1"), "y": from(1, "10.0.0.2")}, nil)
	if len(got.Peers[0].Addresses) != 1 || len(got.Peers[1].Addresses) != 0 {
		t.Errorf("got %v", got.Peers)
	}
}

// Whatever DNS says, and in whatever order: an address that the file gives is its
// peer's, one that a peer has stays its own for as long as it is kept, none has
// two, and none is insane.
func TestResolveKeepsWhatIsThere(t *testing.T) {
	const keep = 24 * time.Hour
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	c := namedPeers("203.0.113.1 x", "y z", "203.0.113.2 203.0.113.3", "w")
	own := addrs("203.0.113.4")
	pool := addrs("203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4", "203.0.113.5", "203.0.113.6", "203.0.113.7", "127.0.0.1", "10.0.0.1", "::1", "2001:db8::1")
	known, at := Answers{}, now
	holder := map[netip.Addr]string{}
	said := map[string]time.Time{} // by peer and address, when one of its names said so last
	for step := range 20_000 {
		at = at.Add(time.Duration(random.IntN(3600)) * time.Second)
		i := random.IntN(len(c.Peers))
		names := c.Peers[i].Names
		if len(names) == 0 {
			continue
		}
		name := names[random.IntN(len(names))]
		f := Found{}
		for range random.IntN(5) {
			f.Addrs = append(f.Addrs, pool[random.IntN(len(pool))])
		}
		if random.IntN(4) == 0 {
			f.NoIPv4 = os.ErrDeadlineExceeded
		}
		known[name], _ = Learn(name, known[name], f, keep, Trust{Own: own}, at)
		known.AgeTogether(c.Peers[i])
		got, _ := Resolve(c, known, own)
		has := map[netip.Addr]string{}
		for n, p := range got.Peers {
			for _, a := range p.Addresses {
				if other, taken := has[a]; taken {
					t.Fatalf("seed %d, step %d: %s is of %s and %s", seed, step, a, other, p.Name)
				}
				has[a] = p.Name
				if given := slices.Contains(c.Peers[n].Addresses, a); !given && (Trust{Own: own}).refuses(a) != "" {
					t.Fatalf("seed %d, step %d: %s has %s", seed, step, p.Name, a)
				}
			}
			for _, a := range c.Peers[n].Addresses {
				if has[a] != p.Name {
					t.Fatalf("seed %d, step %d: %s has lost %s", seed, step, p.Name, a)
				}
			}
		}
		for a, who := range holder {
			if last := said[who+a.String()]; has[a] != who && at.Sub(last) < keep {
				t.Fatalf("seed %d, step %d: %s had %s until %s, and %q has it now", seed, step, who, a, last, has[a])
			}
		}
		holder = has
		for _, a := range f.Addrs {
			said[c.Peers[i].Name+a.String()] = at
		}
	}
}

func TestLookups(t *testing.T) {
	c := namedPeers("x y", "203.0.113.5", "203.0.113.6", "203.0.113.7")
	c.Peers[0].Endpoint = Endpoint{"X.", 1}
	c.Peers[1].Endpoint = Endpoint{"Z.example", 2}
	c.Peers[1].PrivateAddresses = true
	c.Peers[2].Endpoint = Endpoint{"203.0.113.9", 3}
	if got, want := c.Lookups(), map[string]bool{"x": false, "y": false, "z.example": true}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	got := c.Endpoints(Answers{"x": from(1, "-203.0.113.1", "203.0.113.2", "127.0.0.1", "192.0.2.10"), "z.example": from(1, "10.0.0.1")}, addrs("192.0.2.10"))
	if want := map[string][]netip.Addr{"X.": addrs("203.0.113.2", "203.0.113.1"), "Z.example": addrs("10.0.0.1")}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAnswersFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", AnswersFile)
	if got, err := LoadAnswers(path); got != nil || err != nil {
		t.Errorf("no file: %v, %v", got, err)
	}
	want := Answers{"mx.b.example": from(1, "203.0.113.5", "-2001:db8::5"), "x": {}}
	if err := want.Save(path); err != nil {
		t.Fatal(err)
	}
	if got, err := LoadAnswers(path); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for name, text := range map[string]string{
		"cut":           `{"names":{"mx.b.example":[{"addr`,
		"no JSON":       "\x00\x00\x00",
		"empty":         "",
		"no name":       `{"names":{"a b":[]}}`,
		"other case":    `{"names":{"X":[{"address":"203.0.113.5"}]}}`,
		"twice":         `{"names":{"x":[{"address":"203.0.113.5"},{"address":"203.0.113.5"}]}}`,
		"no address":    `{"names":{"x":[{"since":"2026-01-01T00:00:00Z"}]}}`,
		"loopback":      `{"names":{"x":[{"address":"127.0.0.1","since":"2026-01-01T00:00:00Z"}]}}`,
		"too many":      `{"names":{"x":[` + strings.Repeat(`{"address":"203.0.113.5"},`, MaxHeld) + `{"address":"203.0.113.5"}]}}`,
		"another thing": `[]`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := LoadAnswers(path); got != nil || err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if err := want.Save("/proc/none/x"); err == nil {
		t.Error("saved where that cannot be")
	}
}
