package peers

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ownPublic is the public key of testEnv's host.
var ownPublic = func() string {
	k, _ := ParsePrivateKey(privateText)
	return k.Public().String()
}()

func TestProblems(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"syntax: value", `[host]
mtu = 
`, `f:2: not TOML: expected value but found '\n' instead`},
		{"syntax: unquoted key", `[[peer]]
public_key = ` + publicA + `
`, `f:2: not TOML: expected value but found (not shown)`},
		{"syntax: unquoted secret", `[host]
private_key = nan` + privateText + `
`, `f:2: not TOML: expected a top-level item to end with a newline, comment, or EOF, but got 'M' instead`},
		{"syntax: secret as a number", `[host]
x = 1e299999999999999999999999999999999999999999999_
`, `f:2: not TOML: Invalid float (not shown)`},
		{"syntax: huge number", `[host]
x = 99999999999999999999999999999999999999999999
`, `f:2: not TOML: a number is out of range`},
		{"syntax: duplicate key", `[host]
mtu = 1420
mtu = 1420
`, `f:3: not TOML: Key 'host.mtu' has already been defined.`},
		{"syntax: duplicate table", `[host]
[host]
`, `f:2: not TOML: Key 'host' has already been defined.`},
		{"syntax: duplicate unknown key", `abc = 1
abc = 1
`, `f:2: not TOML: Key (not shown)`},
		{"syntax: open string", `[host]
name = "mx
`, `f:2: not TOML: strings cannot contain newlines`},
		{"syntax: control character", "[host]\nname = \"mx\x00\"\n", `f:2: not TOML: TOML files cannot contain control characters: '0x00'`},
		{"syntax: escape", `[host]
name = "\mx"
`, `f:2: not TOML: invalid escape in string '\m'`},
		{"syntax: NUL at the start", "\x00\x00", `f:1: not TOML: files cannot contain NULL bytes; probably using UTF-16; TOML files must be UTF-8`},
		{"syntax: UTF-8", "[host]\nname = \"\xff\"\n", `f:2: not TOML: invalid UTF-8 byte: 0xff`},
		{"host is a string", "host = \"mx\"\n", `f:1: host: is a string: give a table, such as [host]`},
		{"host is an array", "[[host]]\n", `f:1: host: is an array: give a table, such as [host]`},
		{"peer is one table", `[peer]
name = "b"
`, `f:1: peer: is a table: write [[peer]], in two brackets, before each peer`},
		{"peer is an integer", "peer = 1\n", `f:1: peer: is an integer: write [[peer]], in two brackets, before each peer`},
		{"peer is an array of all sorts", "peer = [{name = \"b\"}, 1]\n", `f:1: peer: is an array: write [[peer]], in two brackets, before each peer`},
		{"unknown table", "[hots]\n", `f:1: hots: is not a known key: did you mean [host]?`},
		{"unknown top-level table", "[[peers]]\n", `f:1: peers: is not a known key: did you mean [[peer]]?`},
		{"wg-quick's table", "[Interface]\n", `f:1: Interface: is not a known key: did you mean [host]?`},
		{"table in another case", "[Host]\n", `f:1: Host: is not a known key: did you mean [host]?`},
		{"host's key at the top", "listen_port = 51825\n", `f:1: listen_port: is not a known key: did you mean "listen_port", in [host]?`},
		{"nothing alike", "zebra = 1\n", `f:1: zebra: is not a known key: the keys here are host, peer`},
		{"key as a key", "MB3wPXrBRa6kY7yLJpvS6UbGYTgMTKJYKTmhLjgLVEXXXXXXXX = 1\n", `f:1: (not shown): is not a known key: the keys here are host, peer`},
		{"unprintable key", "\"a\\u0007b\" = 1\n", `f:1: "a\ab": is not a known key: the keys here are host, peer`},
		{"unknown key", `[host]
prots = [25]
`, `f:2: host: prots: is not a known key: did you mean "ports"?`},
		{"unknown key, far off", `[host]
colour = "` + privateText + `"
`, `f:2: host: colour: is not a known key: the keys here are name, private_key_file, listen_port, addresses, ports, link, backend, mtu, policy, clear_after, domains, metrics, keep_addresses, private_addresses`},
		{"private key", `[host]
private_key = "` + privateText + `"
`, `f:2: host: private_key: is not a known key: a private key does not belong in this file: put it into a file of its own with mode 0600, named by host.private_key_file; if others can read this file, make a new key`},
		{"wg-quick's private key", `[host]
PrivateKey = "` + privateText + `"
`, `f:2: host: PrivateKey: is not a known key: a private key does not belong in this file: put it into a file of its own with mode 0600, named by host.private_key_file; if others can read this file, make a new key`},
		{"peer's key in host", `[host]
public_key = "` + privateText + `"
`, `f:2: host: public_key: is not a known key: did you mean "public_key", in [[peer]]?`},
		{"endpoint in host", `[host]
endpoint = "x:1"
`, `f:2: host: endpoint: is not a known key: it belongs in [[peer]]`},
		{"wg-quick's address", `[host]
Address = "10.0.0.1/24"
`, `f:2: host: Address: is not a known key: did you mean "addresses"? It takes this host's mail addresses; the link needs none of its own`},
		{"wg-quick's port", `[host]
ListenPort = 1
`, `f:2: host: ListenPort: is not a known key: did you mean "listen_port", in [host]?`},
		{"hyphens", `[host]
listen-port = 1
`, `f:2: host: listen-port: is not a known key: did you mean "listen_port", in [host]?`},
		{"preshared key", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
preshared_key = "` + privateText + `"
`, `f:5: peer "b": preshared_key: is not a known key: a preshared key does not belong in this file: put it into a file of its own with mode 0600, named by preshared_key_file; if others can read this file, make a new key`},
		{"private key of a peer", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
private_key = "` + privateText + `"
`, `f:5: peer "b": private_key: is not a known key: give the peer's public_key; its private key is for its own eyes, and if this is it, the peer needs a new one`},
		{"wg-quick's names", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
AllowedIPs = "203.0.113.5/32"
PublicKey = "` + privateText + `"
Endpoint = "x:1"
PersistentKeepalive = 25
PresharedKey = "` + privateText + `"
`, `f:5: peer "b": AllowedIPs: is not a known key: did you mean "addresses"? It takes single addresses, those that the peer's mail comes from and goes to
f:6: peer "b": PublicKey: is not a known key: did you mean "public_key", in [[peer]]?
f:7: peer "b": Endpoint: is not a known key: did you mean "endpoint"?
f:8: peer "b": PersistentKeepalive: is not a known key: did you mean "keepalive"? It takes a duration, such as "25s"
f:9: peer "b": PresharedKey: is not a known key: a preshared key does not belong in this file: put it into a file of its own with mode 0600, named by preshared_key_file; if others can read this file, make a new key`},
		{"table in peer", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
[peer.tls]
x = 1
`, `f:5: peer "b": tls: is not a known key: the keys here are name, public_key, endpoint, addresses, preshared_key_file, keepalive, policy, domains, private_addresses`},
		{"host's key in peer", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
mtu = 1420
`, `f:5: peer "b": mtu: is not a known key: it belongs in [host]`},
		{"types in host", `[host]
name = 1
private_key_file = 1
listen_port = "1"
addresses = "198.51.100.7"
ports = 25
link = 1.5
backend = true
mtu = [1]
policy = 1979-05-27
`, `f:2: host: name: is an integer: give a string, such as "mx1.example.org"
f:3: host: private_key_file: is an integer: give a string, such as "/etc/postroad/private.key"
f:4: host: listen_port: is a string: give an integer, such as 51825
f:5: host: addresses: is a string: give an array of strings, such as ["203.0.113.5"]
f:6: host: ports: is an integer: give an array of integers, such as [25]
f:7: host: link: is a float: give a string, such as "postroad0"
f:8: host: backend: is a boolean: give a string, such as "auto"
f:9: host: mtu: is an array: give an integer, such as 1420
f:10: host: policy: is a date or time: give a string, such as "require"`},
		{"types in a peer", `[[peer]]
name = 1
public_key = 1
addresses = 1
endpoint = 1
preshared_key_file = {}
keepalive = 1.5
policy = []
`, `f:2: peer 1: name: is an integer: give a string, such as "mx.partner.example"
f:3: peer 1: public_key: is an integer: give a string, such as "xTIBA5rb...8Dg="
f:4: peer 1: addresses: is an integer: give an array of strings, such as ["203.0.113.5"]
f:5: peer 1: endpoint: is an integer: give a string, such as "mx.partner.example:51825"
f:6: peer 1: preshared_key_file: is a table: give a string, such as "/etc/postroad/partner.psk"
f:7: peer 1: keepalive: is a float: give a string, such as "25s"
f:8: peer 1: policy: is an array: give a string, such as "require"`},
		{"types of elements", `[host]
ports = [
  "25",
  25,
  true,
]
addresses = [{}, {}]
`, `f:3: host: ports: element 1 is a string: give an integer, such as 25
f:5: host: ports: element 3 is a boolean: give an integer, such as 25
f:7: host: addresses: element 1 is a table: give a string, such as "203.0.113.5"
f:7: host: addresses: element 2 is a table: give a string, such as "203.0.113.5"`},
		{"peer of nothing", "[[peer]]\n", `f:1: peer 1: name: is missing: give the peer's host name, such as "mx.partner.example"
f:1: peer 1: public_key: is missing: give the peer's public key, 44 characters of base64`},
		{"nameless peers", `[[peer]]
name = ""
[[peer]]
name = 1
`, `f:1: peer 1: public_key: is missing: give the peer's public key, 44 characters of base64
f:2: peer 1: name: "" is not a host name: give letters, digits and hyphens, such as "mx1.example.org"
f:3: peer 2: public_key: is missing: give the peer's public key, 44 characters of base64
f:4: peer 2: name: is an integer: give a string, such as "mx.partner.example"`},
		{"no public key", `[[peer]]
name = "b"
addresses = ["203.0.113.5"]
`, `f:1: peer "b": public_key: is missing: give the peer's public key, 44 characters of base64`},
		{"no addresses", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = []
`, `f:4: peer "b": addresses: is empty: give the peer's mail addresses, such as ["203.0.113.5"] or ["mx.partner.example"], or leave the key out for those of its name`},
		{"name", `[host]
name = "mx1_example"
`, `f:2: host: name: "mx1_example" is not a host name: give letters, digits and hyphens, such as "mx1.example.org"`},
		{"name with control character", "[host]\nname = \"mx1\\u001b[1m.example\"\n", `f:2: host: name: "mx1\x1b[1m.example" is not a host name: give letters, digits and hyphens, such as "mx1.example.org"`},
		{"name is an address", `[host]
name = "203.0.113.5"
`, `f:2: host: name: "203.0.113.5" is not a host name: give letters, digits and hyphens, such as "mx1.example.org"`},
		{"name is empty", `[host]
name = ""
`, `f:2: host: name: "" is not a host name: give letters, digits and hyphens, such as "mx1.example.org"`},
		{"name with newline", `[[peer]]
name = "b\nf:1: c"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
`, `f:2: peer "b\nf:1: c": name: "b\nf:1: c" is not a host name: give letters, digits and hyphens, such as "mx1.example.org"`},
		{"name is a key", `[[peer]]
name = "` + privateText + `"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
`, `f:2: peer (not shown): name: (not shown) is not a host name: give letters, digits and hyphens, such as "mx1.example.org"`},
		{"name is long", `[[peer]]
name = "abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc."
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
`, `f:2: peer "abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc."...: name: "abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc.abc."... is not a host name: give letters, digits and hyphens, such as "mx1.example.org"`},
		{"bad base64", `[[peer]]
name = "b"
public_key = "MB3wPXrB+R!6kY7yLJpvS6UbGYTgMTKJYKTmhLjgLVE="
addresses = ["203.0.113.5"]
`, `f:3: peer "b": public_key: not a key: give standard base64 of 32 bytes, which is 44 characters`},
		{"short key", `[[peer]]
name = "b"
public_key = "MB3wPXrB+Ra6kY7yLJpvS6UbGYTgMTKJYKTmhLjg"
addresses = ["203.0.113.5"]
`, `f:3: peer "b": public_key: not a key: give standard base64 of 32 bytes, which is 44 characters`},
		{"zero key", `[[peer]]
name = "b"
public_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
addresses = ["203.0.113.5"]
`, `f:3: peer "b": public_key: not a key: all its bytes are zero`},
		{"address twice", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = [
"203.0.113.5",
"2001:db8::5",
"2001:0db8::0005"]
`, `f:7: peer "b": addresses: "2001:db8::5" is given twice, first in line 6`},
		{"own address twice", `[host]
addresses = ["198.51.100.7", "198.51.100.7"]
`, `f:2: host: addresses: "198.51.100.7" is given twice, first in line 2`},
		{"address of two peers", `[[peer]]
name = "a"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
[[peer]]
name = "b"
public_key = "` + publicB + `"
addresses = ["203.0.113.5"]
`, `f:8: peer "b": addresses: "203.0.113.5" is an address of peer "a" too (line 4): an address has one peer`},
		{"domains", `[host]
domains = "example.org"
[[peer]]
name = "a"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
domains = [
"partner.example",
"Partner.example",
"@partner.example", 1]
`, `f:2: host: domains: is a string: give an array of strings, such as ["partner.example"]
f:9: peer "a": domains: "partner.example" is given twice
f:10: peer "a": domains: element 4 is an integer: give a string, such as "partner.example"
f:10: peer "a": domains: "@partner.example" is not a mail domain: give what stands after the @ of an address, such as "partner.example"`},
		{"key of two peers", `[[peer]]
name = "a"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.6"]
`, `f:7: peer "b": public_key: is that of peer "a" too (line 3): every host has a key of its own`},
		{"name of two peers", `[[peer]]
name = "a"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
[[peer]]
name = "A"
public_key = "` + publicB + `"
addresses = ["203.0.113.6"]
`, `f:6: peer "A": name: is given to two peers, first in line 2: give each its own`},
		{"own address", `[[peer]]
name = "a"
public_key = "` + publicA + `"
addresses = ["198.51.100.7"]
[host]
addresses = ["198.51.100.7"]
`, `f:4: peer "a": addresses: "198.51.100.7" is an address of this host (line 6): give the peer's own`},
		{"names", `[host]
name = "mx1.example.org"
addresses = ["mx1.example.org"]
keep_addresses = "a day"
private_addresses = "yes"
[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["mx.partner.example", "MX.partner.example.", "mx1.example.org", "203.0.113.5"]
private_addresses = 1
[[peer]]
name = "mx.partner.example"
public_key = "` + publicB + `"
`, `f:3: host: addresses: "mx1.example.org" is a name: give the IP addresses that it has
f:4: host: keep_addresses: "a day" is not a duration: give one such as "24h"
f:5: host: private_addresses: is a string: give a boolean, such as true
f:9: peer "b": addresses: "mx.partner.example" is given twice, first in line 9
f:9: peer "b": addresses: "mx1.example.org" is this host's own name: give the peer's
f:10: peer "b": private_addresses: is an integer: give a boolean, such as true
f:12: peer "mx.partner.example": name: the addresses of "mx.partner.example" are those of peer "b" too (line 9): an address has one peer`},
		{"the host's own name", `[[peer]]
name = "MX1.example.org"
public_key = "` + publicA + `"
`, `f:2: peer "MX1.example.org": name: "mx1.example.org" is this host's own name: give the peer's, or its addresses`},
		{"kept for too long", "[host]\nkeep_addresses = \"8761h\"\n", `f:2: host: keep_addresses: "8761h" is out of range: give "0s" to "8760h"`},
		{"own key", `[[peer]]
name = "a"
public_key = "` + ownPublic + `"
addresses = ["203.0.113.5"]
`, `f:3: peer "a": public_key: is this host's own: give the peer's`},
		{"addresses", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = [
"0.0.0.0",
"::",
"127.0.0.53",
"::1",
"169.254.1.1",
"fe80::1",
"fe80::1%eth0",
"2001:db8::1%eth0",
"224.0.0.1",
"ff02::1",
"255.255.255.255",
"0.1.2.3",
"::ffff:203.0.113.5",
"203.0.113.0/24",
"203.0.113.5/32",
"mx partner.example",
"203.0.113",
"203.0.113.05",
"[2001:db8::5]",
"203.0.113.5:25",
"",
]
`, `f:5: peer "b": addresses: "0.0.0.0" is the unspecified address: give one that other hosts can reach
f:6: peer "b": addresses: "::" is the unspecified address: give one that other hosts can reach
f:7: peer "b": addresses: "127.0.0.53" is a loopback address: give one that other hosts can reach
f:8: peer "b": addresses: "::1" is a loopback address: give one that other hosts can reach
f:9: peer "b": addresses: "169.254.1.1" is a link-local address: give one that other hosts can reach
f:10: peer "b": addresses: "fe80::1" is a link-local address: give one that other hosts can reach
f:11: peer "b": addresses: "fe80::1%eth0" has a zone: give an address that is valid beyond one link
f:12: peer "b": addresses: "2001:db8::1%eth0" has a zone: give an address that is valid beyond one link
f:13: peer "b": addresses: "224.0.0.1" is a multicast address: give one that other hosts can reach
f:14: peer "b": addresses: "ff02::1" is a multicast address: give one that other hosts can reach
f:15: peer "b": addresses: "255.255.255.255" is the broadcast address: give one that other hosts can reach
f:16: peer "b": addresses: "0.1.2.3" is a reserved address: give one that other hosts can reach
f:17: peer "b": addresses: "::ffff:203.0.113.5" is IPv4 in IPv6: give "203.0.113.5"
f:18: peer "b": addresses: "203.0.113.0/24" is not one address: give single ones, such as "203.0.113.5"
f:19: peer "b": addresses: "203.0.113.5/32" is not one address: give single ones, such as "203.0.113.5"
f:20: peer "b": addresses: "mx partner.example" is not an IP address: give one such as "203.0.113.5" or "2001:db8:b::5"
f:21: peer "b": addresses: "203.0.113" is not an IP address: give one such as "203.0.113.5" or "2001:db8:b::5"
f:22: peer "b": addresses: "203.0.113.05" is not an IP address: give one such as "203.0.113.5" or "2001:db8:b::5"
f:23: peer "b": addresses: "[2001:db8::5]" is not an IP address: give one such as "203.0.113.5" or "2001:db8:b::5"
f:24: peer "b": addresses: "203.0.113.5:25" is not an IP address: give one such as "203.0.113.5" or "2001:db8:b::5"
f:25: peer "b": addresses: "" is not an IP address: give one such as "203.0.113.5" or "2001:db8:b::5"`},
		{"ports", `[host]
ports = [0, 65536, -1, 25, 25]
`, `f:2: host: ports: 0 is out of range: give 1 to 65535
f:2: host: ports: 65536 is out of range: give 1 to 65535
f:2: host: ports: -1 is out of range: give 1 to 65535
f:2: host: ports: 25 is given twice`},
		{"no ports", `[host]
ports = []
`, `f:2: host: ports: is empty: give at least one port, such as 25`},
		{"listen port 0", `[host]
listen_port = 0
`, `f:2: host: listen_port: 0 is out of range: give 1 to 65535`},
		{"listen port", `[host]
listen_port = 65536
`, `f:2: host: listen_port: 65536 is out of range: give 1 to 65535`},
		{"link ", `[host]
link = ""
`, `f:2: host: link: is empty: give an interface name, such as "postroad0"`},
		{"link 0123456789abcdef", `[host]
link = "0123456789abcdef"
`, `f:2: host: link: "0123456789abcdef" is too long: interface names have at most 15 bytes`},
		{"link a/b", `[host]
link = "a/b"
`, `f:2: host: link: "a/b" is not an interface name: give printable ASCII without "/", ":", "%" and white space`},
		{"link a:b", `[host]
link = "a:b"
`, `f:2: host: link: "a:b" is not an interface name: give printable ASCII without "/", ":", "%" and white space`},
		{"link a b", `[host]
link = "a b"
`, `f:2: host: link: "a b" is not an interface name: give printable ASCII without "/", ":", "%" and white space`},
		{"link a/tb", `[host]
link = "a\tb"
`, `f:2: host: link: "a\tb" is not an interface name: give printable ASCII without "/", ":", "%" and white space`},
		{"link .", `[host]
link = "."
`, `f:2: host: link: "." is not an interface name: give printable ASCII without "/", ":", "%" and white space`},
		{"link ..", `[host]
link = ".."
`, `f:2: host: link: ".." is not an interface name: give printable ASCII without "/", ":", "%" and white space`},
		{"link wg%d", `[host]
link = "wg%d"
`, `f:2: host: link: "wg%d" is not an interface name: give printable ASCII without "/", ":", "%" and white space`},
		{"link a/u0001", "[host]\nlink = \"a\\u0001\"\n", `f:2: host: link: "a\x01" is not an interface name: give printable ASCII without "/", ":", "%" and white space`},
		{"link pöst", `[host]
link = "pöst"
`, `f:2: host: link: "pöst" is not an interface name: give printable ASCII without "/", ":", "%" and white space`},
		{"link all", `[host]
link = "all"
`, `f:2: host: link: "all" is taken by the system: give another name, such as "postroad0"`},
		{"link default", `[host]
link = "default"
`, `f:2: host: link: "default" is taken by the system: give another name, such as "postroad0"`},
		{"link lo", `[host]
link = "lo"
`, `f:2: host: link: "lo" is taken by the system: give another name, such as "postroad0"`},
		{"mtu", `[host]
mtu = 1279
`, `f:2: host: mtu: 1279 is out of range: give 1280 to 65535`},
		{"large mtu", `[host]
mtu = 65536
`, `f:2: host: mtu: 65536 is out of range: give 1280 to 65535`},
		{"metrics: no port", `[host]
metrics = "127.0.0.1"
`, `f:2: host: metrics: "127.0.0.1" is not an IP address and a port: give "127.0.0.1:9525", or "[::1]:9525"`},
		{"metrics: a name", `[host]
metrics = "localhost:9525"
`, `f:2: host: metrics: "localhost:9525" is not an IP address and a port: give "127.0.0.1:9525", or "[::1]:9525"`},
		{"metrics: every address", `[host]
metrics = ":9525"
`, `f:2: host: metrics: ":9525" is not an IP address and a port: give "127.0.0.1:9525", or "[::1]:9525"`},
		{"metrics: port 0", `[host]
metrics = "[::1]:0"
`, `f:2: host: metrics: "[::1]:0" has no valid port: give 1 to 65535 after the colon`},
		{"metrics: zone", `[host]
metrics = "[fe80::1%eth0]:9525"
`, `f:2: host: metrics: "[fe80::1%eth0]:9525" is no address to listen on: give one of this host, without zone`},
		{"metrics: multicast", `[host]
metrics = "224.0.0.1:9525"
`, `f:2: host: metrics: "224.0.0.1:9525" is no address to listen on: give one of this host, without zone`},
		{"metrics: off", `[host]
metrics = ""
`, `f:2: host: metrics: is empty: leave the key out for no metrics, or give "127.0.0.1:9525"`},
		{"metrics: port alone", `[host]
metrics = 9525
`, `f:2: host: metrics: is an integer: give a string, such as "127.0.0.1:9525"`},
		{"metrics of a peer", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
metrics = "127.0.0.1:9525"
`, `f:5: peer "b": metrics: is not a known key: it belongs in [host]`},
		{"backend", `[host]
backend = "Kernel"
`, `f:2: host: backend: "Kernel" is not a backend: give "auto", "kernel" or "userspace"`},
		{"policy", `[host]
policy = "none"
`, `f:2: host: policy: "none" is not a policy: give "require", "prefer" or "latch"`},
		{"clear_after is no duration", `[host]
clear_after = "soon"
`, `f:2: host: clear_after: "soon" is not a duration: give one such as "3m"`},
		{"clear_after at once", `[host]
clear_after = "29s"
`, `f:2: host: clear_after: "29s" is out of range: give "30s" to "24h"`},
		{"clear_after never", `[host]
clear_after = "24h1s"
`, `f:2: host: clear_after: "24h1s" is out of range: give "30s" to "24h"`},
		{"clear_after is a number", `[host]
clear_after = 180
`, `f:2: host: clear_after: is an integer: give a string, such as "3m"`},
		{"clear_after of a peer", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
clear_after = "3m"
`, `f:5: peer "b": clear_after: is not a known key: it belongs in [host]`},
		{"policy of a peer", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
policy = "Prefer"
`, `f:5: peer "b": policy: "Prefer" is not a policy: give "require", "prefer" or "latch"`},
		{"keepalive 25", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
keepalive = "25"
`, `f:5: peer "b": keepalive: "25" is not a duration: give one such as "25s", or "0s" for off`},
		{"keepalive x", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
keepalive = "x"
`, `f:5: peer "b": keepalive: "x" is not a duration: give one such as "25s", or "0s" for off`},
		{"keepalive -1s", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
keepalive = "-1s"
`, `f:5: peer "b": keepalive: "-1s" is out of range: give "1s" to "65535s", or "0s" for off`},
		{"keepalive 65536s", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
keepalive = "65536s"
`, `f:5: peer "b": keepalive: "65536s" is out of range: give "1s" to "65535s", or "0s" for off`},
		{"keepalive 1.5s", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
keepalive = "1.5s"
`, `f:5: peer "b": keepalive: "1.5s" has a fraction of a second: give whole seconds, such as "25s"`},
		{"keepalive ", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
keepalive = ""
`, `f:5: peer "b": keepalive: "" is not a duration: give one such as "25s", or "0s" for off`},
		{"keepalive integer", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
keepalive = 25
`, `f:5: peer "b": keepalive: is an integer: give a string, such as "25s"`},
		{"endpoint mx.partner.example", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
endpoint = "mx.partner.example"
`, `f:5: peer "b": endpoint: "mx.partner.example" is not an endpoint: give host and port, such as "mx.partner.example:51825"`},
		{"endpoint 203.0.113.5", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
endpoint = "203.0.113.5"
`, `f:5: peer "b": endpoint: "203.0.113.5" is not an endpoint: give host and port, such as "mx.partner.example:51825"`},
		{"endpoint 2001:db8::5", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
endpoint = "2001:db8::5"
`, `f:5: peer "b": endpoint: "2001:db8::5" is not an endpoint: IPv6 addresses go in brackets, such as "[2001:db8:b::5]:51825"`},
		{"endpoint 2001:db8::5:51825", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
endpoint = "2001:db8::5:51825"
`, `f:5: peer "b": endpoint: "2001:db8::5:51825" is not an endpoint: IPv6 addresses go in brackets, such as "[2001:db8:b::5]:51825"`},
		{"endpoint [2001:db8::5]", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
endpoint = "[2001:db8::5]"
`, `f:5: peer "b": endpoint: "[2001:db8::5]" is not an endpoint: give host and port, such as "mx.partner.example:51825"`},
		{"endpoint [203.0.113.5]:1", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
endpoint = "[203.0.113.5]:1"
`, `f:5: peer "b": endpoint: "203.0.113.5" is not an IPv6 address: brackets are for these only`},
		{"endpoint [mx.example]:1", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
endpoint = "[mx.example]:1"
`, `f:5: peer "b": endpoint: "mx.example" is not an IPv6 address: brackets are for these only`},
		{"endpoint mx.example:0", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
endpoint = "mx.example:0"
`, `f:5: peer "b": endpoint: "mx.example:0" has no valid port: give 1 to 65535 after the colon`},
		{"endpoint mx.example:65536", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
endpoint = "mx.example:65536"
`, `f:5: peer "b": endpoint: "mx.example:65536" has no valid port: give 1 to 65535 after the colon`},
		{"endpoint mx.example:smtp", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
endpoint = "mx.example:smtp"
`, `f:5: peer "b": endpoint: "mx.example:smtp" has no valid port: give 1 to 65535 after the colon`},
		{"endpoint mx_1.example:1", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
endpoint = "mx_1.example:1"
`, `f:5: peer "b": endpoint: "mx_1.example" is neither an IP address nor a host name`},
		{"endpoint :1", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
endpoint = ":1"
`, `f:5: peer "b": endpoint: "" is neither an IP address nor a host name`},
		{"endpoint 203.0.113:1", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
endpoint = "203.0.113:1"
`, `f:5: peer "b": endpoint: "203.0.113" is neither an IP address nor a host name`},
		{"endpoint 224.0.0.1:1", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
endpoint = "224.0.0.1:1"
`, `f:5: peer "b": endpoint: "224.0.0.1" is a multicast address: give one that other hosts can reach`},
		{"endpoint [::]:1", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
endpoint = "[::]:1"
`, `f:5: peer "b": endpoint: "::" is the unspecified address: give one that other hosts can reach`},
		{"endpoint 127.0.0.1:1", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
endpoint = "127.0.0.1:1"
`, `f:5: peer "b": endpoint: "127.0.0.1" is a loopback address: give one that other hosts can reach`},
		{"endpoint [::1]:1", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
endpoint = "[::1]:1"
`, `f:5: peer "b": endpoint: "::1" is a loopback address: give one that other hosts can reach`},
		{"endpoint [fe80::1%eth0]:1", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
endpoint = "[fe80::1%eth0]:1"
`, `f:5: peer "b": endpoint: "fe80::1%eth0" has a zone: give an address that is valid beyond one link`},
		{"endpoint ", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
endpoint = ""
`, `f:5: peer "b": endpoint: "" is not an endpoint: give host and port, such as "mx.partner.example:51825"`},
		{"relative key file", `[host]
private_key_file = "private.key"
`, `f:2: host: private_key_file: "private.key" is not an absolute path: give one such as "/etc/postroad/private.key"`},
		{"no key file", `[host]
private_key_file = "/none"
`, `f:2: host: private_key_file: opening key file "/none": file does not exist: write the key there, with mode 0600`},
		{"empty key file name", `[host]
private_key_file = ""
`, `f:2: host: private_key_file: "" is not an absolute path: give one such as "/etc/postroad/private.key"`},
		{"key for a file name", `[host]
private_key_file = "` + privateText + `"
`, `f:2: host: private_key_file: looks like a key: put that into a file, and give the file's path`},
		{"key within a file name", `[host]
private_key_file = "/etc/MB3wPXrBxRa6kY7yLJpvS6UbGYTgMTKJYKTmhLjgLVE="
`, `f:2: host: private_key_file: looks like a key: put that into a file, and give the file's path`},
		{"malformed key", `[host]
private_key_file = "/bad.key"
`, `f:2: host: private_key_file: reading key file "/bad.key": not a key: give standard base64 of 32 bytes, which is 44 characters`},
		{"malformed preshared key", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
preshared_key_file = "/bad.key"
`, `f:5: peer "b": preshared_key_file: reading key file "/bad.key": not a key: give standard base64 of 32 bytes, which is 44 characters`},
		{"no preshared key", `[[peer]]
name = "b"
public_key = "` + publicA + `"
addresses = ["203.0.113.5"]
preshared_key_file = "/none"
`, `f:5: peer "b": preshared_key_file: opening key file "/none": file does not exist: write the key there, with mode 0600`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Decode("f", []byte(tt.in), testEnv)
			if c != nil {
				t.Error("there is a Config beside the error")
			}
			if d := cmp.Diff(strings.Split(tt.want, "\n"), strings.Split(fmt.Sprint(err), "\n")); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			noSecrets(t, err)
		})
	}
}

// noSecrets fails if an error holds a piece of a secret.
func noSecrets(t *testing.T, err error) {
	t.Helper()
	for _, secret := range []string{privateText, pskText} {
		for i := 0; i+12 <= len(secret); i += 4 {
			if strings.Contains(fmt.Sprint(err), secret[i:i+12]) {
				t.Errorf("part of a secret is in %v", err)
			}
		}
	}
}
