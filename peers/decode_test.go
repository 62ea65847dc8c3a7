package peers

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Keys of the tests. The private ones are known by what they must never print.
var (
	ownKey  = PrivateKeyFrom([32]byte{0: 8, 1: 0xaa, 31: 0x40})
	pskText = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\xbb", 32)))
	keyB    = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
	keyC    = "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw="
)

// testEnv has two key files and a host name, and no operating system.
func testEnv() Env {
	files := map[string]string{DefaultKeyFile: ownKey.Reveal() + "\n", "/etc/postroad/b.psk": pskText, "/etc/bad": "qqqqqqqqqqqqqq", "/etc/empty": ""}
	return Env{
		Hostname: func() (string, error) { return "mx1.example.org", nil },
		ReadKey: func(path string) ([]byte, error) {
			if s, ok := files[path]; ok {
				return []byte(s), nil
			}
			return nil, fmt.Errorf("opening key file %q: %w", path, fs.ErrNotExist)
		},
	}
}

var compare = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b PrivateKey) bool { return a == b }),
	cmp.Comparer(func(a, b PresharedKey) bool { return a == b }),
}

func addrs(texts ...string) (all []netip.Addr) {
	for _, s := range texts {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

func publicKey(s string) PublicKey {
	k, err := ParsePublicKey(s)
	if err != nil {
		panic(err)
	}
	return k
}

var defaults = Host{Name: "mx1.example.org", PrivateKey: ownKey, ListenPort: 51825, Ports: []uint16{25, 465, 587},
	Link: "postroad0", Backend: Auto, MTU: 1420}

func TestDecode(t *testing.T) {
	full := `
[host]
name = "mail.example.org"
listen_port = 4000
addresses = ["198.51.100.7", "2001:db8:a::7"]
ports = [587, 25]
link = "road"
backend = "userspace"
mtu = 1380
policy = "require"
[[peer]]
name = "mx.b.example"
public_key = "` + keyB + `"
endpoint = "[2001:db8:b::5]:51826"
addresses = ["203.0.113.5", "2001:db8:b::5"]
preshared_key_file = "/etc/postroad/b.psk"
keepalive = "25s"
[[peer]]
name = "mx.c.example"
public_key = "` + keyC + `"
addresses = ["10.1.2.3"]
keepalive = 0
`
	psk, err := ParsePresharedKey(pskText)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, file string
		want       Config
	}{
		{"empty", "", Config{Host: defaults}},
		{"full", full, Config{
			Host: Host{Name: "mail.example.org", PrivateKey: ownKey, ListenPort: 4000, Addresses: addrs("198.51.100.7", "2001:db8:a::7"),
				Ports: []uint16{25, 587}, Link: "road", Backend: Userspace, MTU: 1380},
			Peers: []Peer{
				{Name: "mx.b.example", PublicKey: publicKey(keyB), Endpoint: Endpoint{"2001:db8:b::5", 51826}, Policy: Require,
					Addresses: addrs("203.0.113.5", "2001:db8:b::5"), PresharedKey: psk, Keepalive: 25 * time.Second},
				{Name: "mx.c.example", PublicKey: publicKey(keyC), Addresses: addrs("10.1.2.3"), Policy: Require},
			}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Decode("f", []byte(test.file), testEnv())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&test.want, got, compare); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestProblems has a file for each thing that can be wrong; HOST and PEER stand
// for a sound host table and peer, at fixed lines.
func TestProblems(t *testing.T) {
	host := func(line string) string { return "[host]\n" + line + "\n" }
	peer := func(lines ...string) string {
		return "[[peer]]\nname = \"b\"\npublic_key = \"" + keyB + "\"\naddresses = [\"203.0.113.5\"]\n" + strings.Join(lines, "\n") + "\n"
	}
	with := func(line string) string { // instead of its own
		key, _, _ := strings.Cut(line, " ")
		return regexp.MustCompile(`(?m)^`+key+` .*$`).ReplaceAllLiteralString(peer(), line)
	}
	for _, test := range []struct{ name, file, want string }{
		{"syntax", "[host]\nlink = \n", "f:2: not TOML: "},
		{"twice", host("mtu = 1400\nmtu = 1400"), "f:3: not TOML: "},
		{"misspelt table", "[hots]\n", "f:1: hots: is not a known key: did you mean [host]?"},
		{"peer in one bracket", "[peer]\nname = \"b\"\n", "f:1: peer: is a table: write [[peer]], in two brackets, before each peer"},
		{"misspelt key", host("listen_prot = 1"), `f:2: host: listen_prot: is not a known key: did you mean "listen_port"?`},
		{"misspelt peer key", peer(`adresses = []`), `f:5: peer "b": adresses: is not a known key: did you mean "addresses"?`},
		{"key of wg-quick", peer(`AllowedIPs = "0.0.0.0/0"`), `f:5: peer "b": AllowedIPs: is not a known key: did you mean "addresses"?`},
		{"private key in the file", host(`private_key = "` + ownKey.Reveal() + `"`), "f:2: host: private_key: is not a known key: a private key does not belong in this file"},
		{"wrong type", host("mtu = \"1400\""), "f:2: host: mtu: is a string: give an integer, such as 1420"},
		{"wrong element", host("ports = [25, \"465\"]"), "f:2: host: ports: element 2 is a string: give an integer, such as 25"},
		{"no list", with(`addresses = "203.0.113.5"`), `f:4: peer "b": addresses: is a string: give an array of strings, such as ["203.0.113.5"]`},
		{"no name", "[[peer]]\npublic_key = \"" + keyB + "\"\naddresses = [\"203.0.113.5\"]\n", "f:1: peer 1: name: is missing"},
		{"no key", "[[peer]]\nname = \"b\"\naddresses = [\"203.0.113.5\"]\n", `f:1: peer "b": public_key: is missing`},
		{"no addresses", "[[peer]]\nname = \"b\"\npublic_key = \"" + keyB + "\"\n", `f:1: peer "b": addresses: is missing`},
		{"empty addresses", with("addresses = []"), `f:4: peer "b": addresses: is empty`},
		{"bad base64", with(`public_key = "` + strings.Repeat("!", 44) + `"`), `f:3: peer "b": public_key: not a key`},
		{"short key", with(`public_key = "c2hvcnQ="`), `f:3: peer "b": public_key: not a key: give standard base64 of 32 bytes, which is 44 characters`},
		{"zero key", with(`public_key = "` + strings.Repeat("A", 43) + `="`), `f:3: peer "b": public_key: not a key: all its bytes are zero`},
		{"own key", with(`public_key = "` + ownKey.Public().String() + `"`), `f:3: peer "b": public_key: is this host's own: give the peer's`},
		{"key twice", peer() + strings.NewReplacer(`"b"`, `"c"`, "113.5", "113.6").Replace(peer()), `f:8: peer "c": public_key: is that of peer "b" too (line 3)`},
		{"name twice", peer() + strings.NewReplacer(`"b"`, `"B"`, "113.5", "113.6", keyB, keyC).Replace(peer()), `f:7: peer "B": name: is given to two peers, first in line 2`},
		{"address twice", with(`addresses = ["203.0.113.5", "203.0.113.5"]`), `f:4: peer "b": addresses: "203.0.113.5" is given twice, first in line 4`},
		{"address in two peers", peer() + strings.NewReplacer(`"b"`, `"c"`, keyB, keyC).Replace(peer()), `f:9: peer "c": addresses: "203.0.113.5" is an address of peer "b" too (line 4)`},
		{"own address", "[host]\naddresses = [\"203.0.113.5\"]\n" + peer(), `f:6: peer "b": addresses: "203.0.113.5" is an address of this host (line 2)`},
		{"own address, host last", peer() + "[host]\naddresses = [\"203.0.113.5\"]\n", `f:4: peer "b": addresses: "203.0.113.5" is an address of this host (line 7)`},
		{"element's own line", with("addresses = [\n  \"203.0.113.5\",\n  # why\n  \"nope!\",\n]"), `f:7: peer "b": addresses: "nope!" is not an IP address`},
		{"name for address", with(`addresses = ["mx.b.example"]`), `f:4: peer "b": addresses: "mx.b.example" is a name: give the IP addresses that it has`},
		{"network", with(`addresses = ["203.0.113.0/24"]`), `f:4: peer "b": addresses: "203.0.113.0/24" is not one address`},
		{"unspecified", with(`addresses = ["::"]`), `is the unspecified address`},
		{"loopback", with(`addresses = ["127.0.0.1"]`), `is a loopback address`},
		{"link-local", with(`addresses = ["fe80::1"]`), `is a link-local address`},
		{"multicast", with(`addresses = ["224.0.0.1"]`), `is a multicast address`},
		{"broadcast", with(`addresses = ["255.255.255.255"]`), `is the broadcast address`},
		{"mapped", with(`addresses = ["::ffff:203.0.113.5"]`), `is IPv4 in IPv6: give "203.0.113.5"`},
		{"zone", with(`addresses = ["2001:db8::1%eth0"]`), `has a zone`},
		{"no ports", host("ports = []"), "f:2: host: ports: is empty"},
		{"port 0", host("ports = [0]"), "f:2: host: ports: 0 is out of range: give 1 to 65535"},
		{"port too large", host("ports = [65536]"), "65536 is out of range"},
		{"port twice", host("ports = [25, 25]"), "25 is given twice"},
		{"listen port", host("listen_port = 0"), "f:2: host: listen_port: 0 is out of range: give 1 to 65535"},
		{"mtu", host("mtu = 1279"), "f:2: host: mtu: 1279 is out of range: give 1280 to 65535"},
		{"empty link", host(`link = ""`), "f:2: host: link: is empty"},
		{"long link", host(`link = "sixteen-bytes-xx"`), "f:2: host: link: \"sixteen-bytes-xx\" is too long"},
		{"slash in link", host(`link = "a/b"`), "is not an interface name"},
		{"space in link", host(`link = "a b"`), "is not an interface name"},
		{"percent in link", host(`link = "a%d"`), "is not an interface name"},
		{"dots as link", host(`link = ".."`), "is not an interface name"},
		{"lo as link", host(`link = "lo"`), "is taken by the system"},
		{"backend", host(`backend = "fast"`), `f:2: host: backend: "fast" is not a backend: give "auto", "kernel" or "userspace"`},
		{"policy", host(`policy = "prefer"`), `f:2: host: policy: "prefer" is not supported`},
		{"peer's policy", peer(`policy = "never"`), `f:5: peer "b": policy: "never" is not supported`},
		{"host name", host(`name = "a b"`), `f:2: host: name: "a b" is not a host name`},
		{"control characters", with(`name = "b\u001b[31m"`), `f:2: peer "b\x1b[31m": name: "b\x1b[31m" is not a host name`},
		{"endpoint without port", peer(`endpoint = "mx.b.example"`), `f:5: peer "b": endpoint: "mx.b.example" is not an endpoint: give host and port`},
		{"endpoint port 0", peer(`endpoint = "mx.b.example:0"`), "has no valid port"},
		{"bare IPv6 endpoint", peer(`endpoint = "2001:db8::5:51825"`), "IPv6 addresses go in brackets"},
		{"loopback endpoint", peer(`endpoint = "127.0.0.1:51825"`), "is a loopback address"},
		{"endpoint's name", peer(`endpoint = "mx_b:51825"`), "is neither an IP address nor a host name"},
		{"keepalive", peer(`keepalive = "often"`), `f:5: peer "b": keepalive: "often" is not a duration`},
		{"negative keepalive", peer(`keepalive = "-1s"`), "is out of range"},
		{"long keepalive", peer(`keepalive = "65536s"`), "is out of range"},
		{"fine keepalive", peer(`keepalive = "1500ms"`), "has a fraction of a second"},
		{"bare keepalive", peer(`keepalive = 25`), `f:5: peer "b": keepalive: is an integer: give a string, such as "25s"`},
		{"no key file", host(`private_key_file = "/nope"`), `f:2: host: private_key_file: opening key file "/nope": file does not exist`},
		{"malformed key file", host(`private_key_file = "/etc/bad"`), `f:2: host: private_key_file: reading key file "/etc/bad": not a key`},
		{"empty key file", host(`private_key_file = "/etc/empty"`), `f:2: host: private_key_file: reading key file "/etc/empty": not a key`},
		{"relative key file", host(`private_key_file = "key"`), `f:2: host: private_key_file: "key" is not an absolute path`},
		{"key for its file", peer(`preshared_key_file = "` + pskText + `"`), `f:5: peer "b": preshared_key_file: looks like a key: put that into a file`},
		{"deep", "x = " + strings.Repeat("[", 100_000), "f:1: arrays or inline tables nest too deeply"},
		{"large", strings.Repeat("#", MaxFileSize+1), "f:1: the file is too large"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Decode("f", []byte(test.file), testEnv())
			if err == nil {
				t.Fatalf("no error, want %s; file:\n%s", test.want, test.file)
			}
			if ps := Problems(err); len(ps) != 1 || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %d problems:\n%v\nwant one:\n%s", len(ps), err, test.want)
			}
			noSecret(t, err.Error())
		})
	}
}

// noSecret fails the test if a text has a part of a secret of the tests.
func noSecret(t *testing.T, text string) {
	t.Helper()
	for _, secret := range []string{ownKey.Reveal(), ownKey.Reveal()[:12], pskText[:12], "qqqqqq", "u7u7", "170 170", "187 187", "0xbb"} {
		if strings.Contains(text, secret) {
			t.Errorf("shows a secret: %.300s", text)
		}
	}
}

func TestAllProblemsInOneGo(t *testing.T) {
	file := `[host]
mtu = "big"
backend = "fast"
colour = "red"
ports = [0, 70000]
[[peer]]
public_key = "x"
[[peer]]
name = "c"
public_key = "` + keyC + `"
addresses = ["::1", "c.example"]
keepalive = "1ms"
`
	_, err := Decode("f", []byte(file), testEnv())
	var lines []string
	for _, p := range Problems(err) {
		lines = append(lines, fmt.Sprintf("%d %s %s", p.Line, p.Where, p.Key))
	}
	want := []string{"2 host mtu", "3 host backend", "4 host colour", "5 host ports", "5 host ports", "6 peer 1 name", "6 peer 1 addresses",
		"7 peer 1 public_key", `11 peer "c" addresses`, `11 peer "c" addresses`, `12 peer "c" keepalive`}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("(-want +got):\n%s\n%v", diff, err)
	}
}

func TestSecretsNeverPrint(t *testing.T) {
	file := `[[peer]]
name = "b"
public_key = "` + keyB + `"
addresses = ["203.0.113.5"]
preshared_key_file = "/etc/postroad/b.psk"`
	c, err := Decode("f", []byte(file), testEnv())
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "config", *c, "key", c.Host.PrivateKey, "psk", c.Peers[0].PresharedKey)
	js, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{log.String(), string(js)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		texts = append(texts, fmt.Sprintf(verb, *c), fmt.Sprintf(verb, c.Host.PrivateKey), fmt.Sprintf(verb, c.Peers[0].PresharedKey),
			fmt.Sprintf(verb, &c.Host.PrivateKey), fmt.Sprintf(verb, []PrivateKey{c.Host.PrivateKey}))
	}
	for _, text := range texts {
		noSecret(t, text)
		if strings.Contains(strings.ToLower(text), "aa0000") || strings.Contains(strings.ToLower(text), "bbbbbb") {
			t.Errorf("shows a secret: %s", text)
		}
	}
	if !strings.Contains(log.String(), "(redacted)") {
		t.Errorf("the log does not say that it hides something: %s", &log)
	}
}

// The reference file is valid as it ships, and with every setting taken out of
// its comment; the defaults that it claims are the defaults.
func TestReference(t *testing.T) {
	env := testEnv()
	env.ReadKey = func(path string) ([]byte, error) {
		return []byte(map[bool]string{true: ownKey.Reveal(), false: pskText}[path == DefaultKeyFile]), nil
	}
	c, err := Decode("reference.toml", []byte(Reference), env)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&Config{Host: defaults}, c, compare); diff != "" {
		t.Errorf("as it ships (-want +got):\n%s", diff)
	}
	all := regexp.MustCompile(`(?m)^#([^ \n])`).ReplaceAllString(Reference, "$1")
	c, err = Decode("reference.toml", []byte(all), env)
	if err != nil {
		t.Fatal(err)
	}
	c.Host.Addresses = nil // an example, as it says
	if diff := cmp.Diff(defaults, c.Host, compare); diff != "" {
		t.Errorf("its defaults are not the defaults (-want +got):\n%s", diff)
	}
	for _, v := range []vocabulary{hostKeys, peerKeys} {
		for _, key := range v {
			if !regexp.MustCompile(`(?m)^#` + key + ` = `).MatchString(Reference) {
				t.Errorf("does not show %s", key)
			}
		}
	}
}

func TestDecodeIsFastEnough(t *testing.T) {
	var file strings.Builder
	for i := range 10_000 {
		k := PublicKey{byte(i), byte(i >> 8), 1}
		fmt.Fprintf(&file, "[[peer]]\nname = \"p%d.example\"\npublic_key = %q\naddresses = [\"10.0.%d.%d\"]\n", i, k, i>>8, i&255)
	}
	c, err := Decode("f", []byte(file.String()), testEnv())
	if err != nil || len(c.Peers) != 10_000 {
		t.Fatal(err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"", Reference, "[host]\nmtu = 1\n", "[[peer]]\nname = \"b\"\npublic_key = \"" + keyB + "\"\naddresses = [\"203.0.113.5\",\n\"2001:db8::1\"]\n",
		"peer = [{name = 'x'}, {}]\nhost.mtu = 3", "a = \"\"\"\n[host]\n\"\"\"\n[host]\nlink = 'x'", "[host]\n\"mt\\u0075\" = 1400", "host = {mtu = 1400, ports = [25]}", "\xef\xbb\xbf[host]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Decode("f", data, testEnv())
		if err != nil {
			last := 1 + strings.Count(string(data), "\n")
			problems := Problems(err)
			for _, p := range problems {
				if p.Line < 1 || p.Line > last || p.Text == "" {
					t.Errorf("a problem outside of the file's %d lines: %+v", last, p)
				}
			}
			if len(problems) == 0 {
				t.Errorf("an error without problems: %v", err)
			}
			noSecret(t, err.Error())
			return
		}
		seen := map[netip.Addr]bool{}
		for _, p := range c.Peers {
			if len(p.Addresses) == 0 || p.Name == "" || p.PublicKey == (PublicKey{}) || p.Policy != Require || p.PublicKey == c.Host.PrivateKey.Public() {
				t.Errorf("invalid peer: %+v", p)
			}
			for _, a := range append(p.Addresses, c.Host.Addresses...) {
				if seen[a] && !contains(c.Host.Addresses, a) {
					t.Errorf("%s twice", a)
				}
				seen[a] = true
			}
		}
		if len(c.Host.Ports) == 0 || c.Host.MTU < 1280 || c.Host.ListenPort == 0 || c.Host.PrivateKey.IsZero() {
			t.Errorf("invalid host: %+v", c.Host)
		}
	})
}

func contains(all []netip.Addr, a netip.Addr) bool {
	for _, x := range all {
		if x == a {
			return true
		}
	}
	return false
}

func TestProblemsOfOtherErrors(t *testing.T) {
	if ps := Problems(errors.New("x")); ps != nil {
		t.Errorf("got %v", ps)
	}
}
