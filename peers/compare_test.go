package peers

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func sample() *Config {
	return &Config{
		Host: Host{Name: "mx1.example.org", Ports: []uint16{25, 587}, MTU: 1420},
		Peers: []Peer{
			{Name: "a.example", PublicKey: PublicKey{1}, Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8::1")}},
			{Name: "b.example", PublicKey: PublicKey{2}, Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.2")}},
		},
	}
}

func TestCompare(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Config)
		want   Changes
	}{
		"nothing": {func(*Config) {}, Changes{}},
		"order and case": {func(c *Config) {
			slices.Reverse(c.Peers)
			slices.Reverse(c.Peers[1].Addresses)
			c.Peers[1].Name = "A.Example"
		}, Changes{}},
		"added":   {func(c *Config) { c.Peers = append(c.Peers, Peer{Name: "c.example"}) }, Changes{Added: []string{"c.example"}}},
		"removed": {func(c *Config) { c.Peers = c.Peers[1:] }, Changes{Removed: []string{"a.example"}}},
		"renamed": {func(c *Config) { c.Peers[0].Name = "z.example" },
			Changes{Added: []string{"z.example"}, Removed: []string{"a.example"}}},
		"an address more": {func(c *Config) {
			c.Peers[1].Addresses = append(c.Peers[1].Addresses, netip.MustParseAddr("203.0.113.3"))
		},
			Changes{Changed: []PeerChange{{"b.example", []string{"addresses"}}}}},
		"another address": {func(c *Config) { c.Peers[1].Addresses[0] = netip.MustParseAddr("203.0.113.3") },
			Changes{Changed: []PeerChange{{"b.example", []string{"addresses"}}}}},
		"both": {func(c *Config) {
			c.Host.MTU, c.Host.Ports = 1400, []uint16{25}
			c.Peers[0].PresharedKey = PresharedKeyFrom([32]byte{7})
			c.Peers[0].Keepalive = time.Second
		}, Changes{Host: []string{"ports", "mtu"}, Changed: []PeerChange{{"a.example", []string{"preshared_key_file", "keepalive"}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			c := sample()
			tc.change(c)
			got := Compare(sample(), c)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got.None() != reflect.DeepEqual(tc.want, Changes{}) {
				t.Errorf("None is %v of %v", got.None(), got)
			}
		})
	}
}

// Whatever field a host or a peer has, a change of it is noticed, under a name
// that the peers file knows.
func TestCompareKnowsEveryField(t *testing.T) {
	for i := range reflect.TypeFor[Host]().NumField() {
		c := sample()
		alter(t, reflect.ValueOf(&c.Host).Elem().Field(i))
		if got := Compare(sample(), c); len(got.Host) != 1 || !slices.Contains(hostKeys, got.Host[0]) {
			t.Errorf("a change of Host.%s gives %v", reflect.TypeFor[Host]().Field(i).Name, got)
		}
	}
	for i := range reflect.TypeFor[Peer]().NumField() {
		c, field := sample(), reflect.TypeFor[Peer]().Field(i).Name
		if field == "Name" {
			continue // is which peer it is
		}
		alter(t, reflect.ValueOf(&c.Peers[0]).Elem().Field(i))
		if got := Compare(sample(), c); len(got.Changed) != 1 || len(got.Changed[0].Keys) != 1 || !slices.Contains(peerKeys, got.Changed[0].Keys[0]) {
			t.Errorf("a change of Peer.%s gives %v", field, got)
		}
	}
}

// alter gives v another value.
func alter(t *testing.T, v reflect.Value) {
	t.Helper()
	switch x := v.Addr().Interface().(type) {
	case *PrivateKey:
		*x = PrivateKeyFrom([32]byte{9})
	case *PresharedKey:
		*x = PresharedKeyFrom([32]byte{9})
	case *PublicKey:
		x[0]++
	case *Endpoint:
		x.Port++
	case *netip.AddrPort:
		*x = netip.MustParseAddrPort("192.0.2.99:9525")
	case *[]netip.Addr:
		*x = append(*x, netip.MustParseAddr("192.0.2.99"))
	default:
		alterBasic(t, v)
	}
}

func alterBasic(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Uint16:
		v.SetUint(v.Uint() + 1)
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.New(v.Type().Elem()).Elem()))
	default:
		t.Fatalf("no way to alter a %s", v.Type())
	}
}

func TestPeerChangeString(t *testing.T) {
	if got := fmt.Sprint(PeerChange{"a.example", []string{"endpoint", "policy"}}); got != "a.example (endpoint, policy)" {
		t.Error(got)
	}
}

func TestNamesIn(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"sound":    {"[[peer]]\nname = \"b.example\"\n[[peer]]\nname = \"a.example\"\n", []string{"b.example", "a.example"}},
		"unsound":  {"[host]\nmtu = 1\ncolour = 2\n[[peer]]\nname = \"a.example\"\npublic_key = 5\n[[peer]]\nname = 7\n", []string{"a.example"}},
		"odd name": {"[[peer]]\nname = \"a\\nb\\tc\"\n", nil},
		"no TOML":  {"[[peer\n", nil},
		"too deep": {"x = " + strings.Repeat("[", 1000), nil},
		"nothing":  {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "peers.toml")
			if err := os.WriteFile(file, []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, NamesIn(file)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if got := NamesIn("/nonexistent/peers.toml"); got != nil {
		t.Errorf("a missing file has %v", got)
	}
}
