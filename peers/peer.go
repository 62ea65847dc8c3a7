package peers

import (
	"fmt"
	"strings"
	"time"
)

// required is what to give for the keys that every peer must have.
var required = []struct{ key, give string }{
	{"name", `give the peer's host name, such as "mx.partner.example"`},
	{"public_key", "give the peer's public key, 44 characters of base64"},
}

// peer decodes a [[peer]].
func (d *decoder) peer(t table, host Host, policy Policy) Peer {
	t.known(peerKeys)
	t.required()
	p := Peer{
		Name:             t.peerName(),
		PublicKey:        t.publicKey(),
		Endpoint:         t.endpoint(),
		PresharedKey:     fromFile(t, "preshared_key_file", "", ParsePresharedKey),
		Keepalive:        t.keepalive(),
		Policy:           t.policy(policy),
		PrivateAddresses: t.boolean("private_addresses", host.PrivateAddresses),
		Domains:          t.domains(),
	}
	p.Addresses, p.Names = t.addressesOrNames(p.Name)
	return p
}

// required notes what is missing.
func (t table) required() {
	for _, r := range required {
		v, ok := t.values[r.key]
		items, isArray := elements(v)
		switch {
		case !ok:
			t.problemAt(place{table: t.path}, r.key, "is missing: %s", r.give)
		case isArray && len(items) == 0:
			t.problem(r.key, "is empty: %s", r.give)
		}
	}
}

func (t table) peerName() string {
	name := t.text("name", "", `"mx.partner.example"`, checkHostName)
	folded := strings.ToLower(name)
	if first, taken := t.d.names[folded]; taken {
		t.problem("name", "is given to two peers, first in line %d: give each its own", t.d.line(first.at))
	} else if name != "" {
		t.d.names[folded] = t.owner("name")
	}
	return name
}

func (t table) publicKey() PublicKey {
	text, ok := value[string](t, "public_key", `"xTIBA5rb...8Dg="`)
	if !ok {
		return PublicKey{}
	}
	k, err := ParsePublicKey(text)
	if err != nil {
		t.problem("public_key", "%v", err)
		return k
	}
	first, taken := t.d.keys[k]
	switch {
	case !taken:
		t.d.keys[k] = t.owner("public_key")
	case first.where == "host":
		t.problem("public_key", "is this host's own: give the peer's")
	default:
		t.problem("public_key", "is that of %s too (line %d): every host has a key of its own", first.where, t.d.line(first.at))
	}
	return k
}

func (t table) endpoint() (e Endpoint) {
	t.text("endpoint", "", `"mx.partner.example:51825"`, func(s string) (err error) {
		e, err = ParseEndpoint(s)
		return err
	})
	return e
}

// keepalive takes the integer 0 too, for off.
func (t table) keepalive() (d time.Duration) {
	if t.values["keepalive"] == int64(0) {
		return 0
	}
	t.text("keepalive", "", `"25s"`, func(s string) (err error) {
		d, err = parseKeepalive(s)
		return err
	})
	return d
}

// parseKeepalive returns what WireGuard can express: whole seconds in 16 bits.
func parseKeepalive(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return 0, fmt.Errorf(`%s is not a duration: give one such as "25s", or "0s" for off`, quote(s))
	case d < 0 || d > 65535*time.Second:
		return 0, fmt.Errorf(`%s is out of range: give "1s" to "65535s", or "0s" for off`, quote(s))
	case d%time.Second != 0:
		return 0, fmt.Errorf(`%s has a fraction of a second: give whole seconds, such as "25s"`, quote(s))
	}
	return d, nil
}
