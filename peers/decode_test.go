package peers

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Keys of tests: no test may find the secret ones in an error.
const (
	privateText = "MB3wPXrB+Ra6kY7yLJpvS6UbGYTgMTKJYKTmhLjgLVE="
	pskText     = "cQ8HdWNWuqwGrRvuEUYhpmGAfQjEbrNmvTkJZgyQ1Xk="
	publicA     = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
	publicB     = "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0="
)

// testEnv is a system whose key files are in memory.
var testEnv = Env{
	Hostname: func() (string, error) { return "mx1.example.org", nil },
	ReadKey: func(path string) ([]byte, error) {
		switch path {
		case DefaultKeyFile:
			return []byte(privateText + "\n"), nil
		case "/etc/postroad/partner.psk":
			return []byte(pskText + "\n"), nil
		case "/bad.key":
			return []byte(privateText[:40]), nil
		}
		return nil, fmt.Errorf("opening key file %q: %w", path, fs.ErrNotExist)
	},
}

// defaults is the host of an empty file.
func defaults(t *testing.T) Host {
	t.Helper()
	key, err := ParsePrivateKey(privateText)
	if err != nil {
		t.Fatal(err)
	}
	return Host{
		Name:       "mx1.example.org",
		PrivateKey: key,
		ListenPort: 51825,
		Ports:      []uint16{25, 465, 587},
		Link:       "postroad0",
		Backend:    Auto,
		ClearAfter: 3 * time.Minute,

		KeepAddresses: DefaultKeepAddresses,
	}
}

func mustPublic(t *testing.T, s string) PublicKey {
	t.Helper()
	k, err := ParsePublicKey(s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustPSK(t *testing.T, s string) PresharedKey {
	t.Helper()
	k, err := ParsePresharedKey(s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func addrs(texts ...string) (all []netip.Addr) {
	for _, s := range texts {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

func diff(want, got any) string {
	return cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, PrivateKey{}, PresharedKey{}), cmpopts.EquateEmpty())
}

func TestDecode(t *testing.T) {
	full := defaults(t)
	full.Name = "Mail.example"
	full.ListenPort = 1
	full.Addresses = addrs("198.51.100.7", "2001:db8:a::7", "10.0.0.1", "fd00::1")
	full.Ports = []uint16{25, 2525}
	full.Link = "wg-mail.0"
	full.Backend = Userspace
	full.MTU = 1280
	full.ClearAfter = 90 * time.Minute
	full.Metrics = netip.MustParseAddrPort("[::1]:9525")
	named := defaults(t)
	named.KeepAddresses, named.PrivateAddresses = 0, true
	peer := Peer{Name: "b", PublicKey: mustPublic(t, publicB), Addresses: addrs("203.0.113.5"), Policy: Require}
	preferred := peer
	preferred.Policy = Prefer // as [host] says

	for _, tt := range []struct {
		name, in string
		want     Config
	}{
		{"empty", "", Config{Host: defaults(t)}},
		{"byte order mark", "\ufeff[host]\n", Config{Host: defaults(t)}},
		{"no peers", "peer = []\n[host]\naddresses = []\n", Config{Host: defaults(t)}},
		{"everything", `
[host]
name = "Mail.example"
private_key_file = "/etc/postroad/private.key"
listen_port = 1
addresses = ["198.51.100.7", "2001:db8:a::7", "10.0.0.1", "fd00::1"]
ports = [2525, 25]
link = "wg-mail.0"
backend = "userspace"
mtu = 1280
policy = "prefer"
clear_after = "1h30m"
metrics = "[::1]:9525"
[[peer]]
name = "mx.partner.example"
public_key = "` + publicA + `"
endpoint = "[2001:db8:b:0::5]:51825"
addresses = ["203.0.113.6", "2001:db8:b::5"]
preshared_key_file = "/etc/postroad/partner.psk"
keepalive = "1m5s"
policy = "latch"
[[peer]]
name = "b"
public_key = "` + publicB + `"
addresses = ["203.0.113.5"]
`, Config{Host: full, Peers: []Peer{{
			Name:         "mx.partner.example",
			PublicKey:    mustPublic(t, publicA),
			Endpoint:     Endpoint{"2001:db8:b::5", 51825},
			Addresses:    addrs("203.0.113.6", "2001:db8:b::5"),
			PresharedKey: mustPSK(t, pskText),
			Keepalive:    65 * time.Second,
			Policy:       Latch,
		}, preferred}}},
		{"inline tables", `peer = [{name = "b", public_key = "` + publicB + `", addresses = ["203.0.113.5"], keepalive = 0}]`,
			Config{Host: defaults(t), Peers: []Peer{peer}}},
		{"names", `
[host]
keep_addresses = "0s"
private_addresses = true
[[peer]]
name = "MX.partner.example"
public_key = "` + publicA + `"
private_addresses = false
[[peer]]
name = "b"
public_key = "` + publicB + `"
addresses = ["203.0.113.5", "Mail.b.example.", "xn--bcher-kva.example"]
`, Config{Host: named, Peers: []Peer{
			{Name: "MX.partner.example", PublicKey: mustPublic(t, publicA), Names: []string{"mx.partner.example"}, Policy: Require},
			{Name: "b", PublicKey: mustPublic(t, publicB), Addresses: addrs("203.0.113.5"),
				Names: []string{"mail.b.example", "xn--bcher-kva.example"}, Policy: Require, PrivateAddresses: true},
		}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Decode("f", []byte(tt.in), testEnv)
			if err != nil {
				t.Fatal(err)
			}
			if d := diff(&tt.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestDecodeAllProblems(t *testing.T) {
	in := `colour = "red"
[host]
listen_port = "51825"
private_key = "` + privateText + `"
addresses = [
	"198.51.100.7", # ours
	"127.0.0.1",
	25,
]
mtu = 1

[[peer]]
public_key = "` + publicA + `"
addresses = ["198.51.100.7", "203.0.113.5"]

[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
keepalive = 25
`
	want := `f:1: colour: is not a known key: the keys here are host, peer
f:3: host: listen_port: is a string: give an integer, such as 51825
f:4: host: private_key: is not a known key: ` + foreign["privatekey"] + `
f:7: host: addresses: "127.0.0.1" is a loopback address: give one that other hosts can reach
f:8: host: addresses: element 3 is an integer: give a string, such as "203.0.113.5"
f:10: host: mtu: 1 is out of range: give 1280 to 65535
f:12: peer 1: name: is missing: give the peer's host name, such as "mx.partner.example"
f:14: peer 1: addresses: "198.51.100.7" is an address of this host (line 6): give the peer's own
f:18: peer "b": public_key: is that of peer 1 too (line 13): every host has a key of its own
f:19: peer "b": addresses: "203.0.113.5" is an address of peer 1 too (line 14): an address has one peer
f:20: peer "b": keepalive: is an integer: give a string, such as "25s"`
	_, err := Decode("f", []byte(in), testEnv)
	if d := cmp.Diff(want, fmt.Sprint(err)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got := len(Problems(fmt.Errorf("loading: %w", err))); got != 11 {
		t.Errorf("Problems gives %d, want 11", got)
	}
	if got := Problems(errors.New("other")); got != nil {
		t.Errorf("Problems of another error gives %v", got)
	}
}

func TestDecodeLimits(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"size", strings.Repeat("#", MaxFileSize+1), "f:1: the file is too large: at most 16777216 bytes are read"},
		{"arrays", "\nx = " + strings.Repeat("[", 1<<20), "f:2: arrays or tables nest too deeply: at most 32 levels are read"},
		{"tables", "x = " + strings.Repeat("{a=", 1<<20), "f:1: arrays or tables nest too deeply: at most 32 levels are read"},
		{"dots", "\n\n[" + strings.Repeat("a.", 1<<20) + "a]", "f:3: arrays or tables nest too deeply: at most 32 levels are read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Decode("f", []byte(tt.in), testEnv); fmt.Sprint(err) != tt.want {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// manyPeers returns a file of n peers.
func manyPeers(n int) []byte {
	var b strings.Builder
	for i := range n {
		key := PublicKey{1, byte(i), byte(i >> 8), byte(i >> 16)}
		fmt.Fprintf(&b, "[[peer]]\nname = \"mx%d.example\"\npublic_key = %q\nendpoint = \"mx%d.example:51825\"\naddresses = [\"10.%d.%d.%d\", \"2001:db8::%x:%x\"]\n\n",
			i, key, i, i>>16, i>>8&255, i&255, i>>16, i&65535)
	}
	return []byte(b.String())
}

func TestDecodeManyPeers(t *testing.T) {
	start := time.Now()
	c, err := Decode("f", manyPeers(10_000), testEnv)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Peers) != 10_000 {
		t.Errorf("got %d peers", len(c.Peers))
	}
	if took := time.Since(start); took > time.Minute { // 1 s; 10 with -race on a busy machine; a quadratic one takes hours
		t.Errorf("took %v", took)
	}
}

func BenchmarkDecode(b *testing.B) {
	data := manyPeers(10_000)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Decode("f", data, testEnv); err != nil {
			b.Fatal(err)
		}
	}
}

// An address that the system has is this host's, whether the file says so or not.
func TestDecodeRefusesAddressOnInterface(t *testing.T) {
	env := testEnv
	env.Local = func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("::ffff:203.0.113.5")}, nil }
	file := "[[peer]]\nname = \"b\"\npublic_key = \"hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=\"\naddresses = [\"203.0.113.5\"]\n"
	_, err := Decode("f", []byte(file), env)
	if want := `f:4: peer "b": addresses: "203.0.113.5" is an address of this host, on one of its interfaces: give the peer's own`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := Decode("f", []byte("[host]\naddresses = [\"203.0.113.5\"]\n"), env); err != nil {
		t.Errorf("the host's own address: %v", err)
	}
}
