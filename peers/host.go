package peers

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// The range of clear_after.
const (
	minClearAfter = 30 * time.Second
	maxClearAfter = 24 * time.Hour
)

// defaultPorts are what counts as SMTP: relay, submission over TLS, submission.
var defaultPorts = []uint16{25, 465, 587}

// host decodes [host], and the policy of the peers that do not say.
func (d *decoder) host(t table) (Host, Policy) {
	t.known(hostKeys)
	h := Host{
		Name:       t.hostName(),
		PrivateKey: fromFile(t, "private_key_file", DefaultKeyFile, ParsePrivateKey),
		ListenPort: uint16(t.integer("listen_port", DefaultListenPort, 1, 65535)),
		Addresses:  t.addresses(),
		Ports:      t.ports(),
		Link:       t.text("link", DefaultLink, `"postroad0"`, checkLink),
		Backend:    Backend(t.text("backend", string(Auto), `"auto"`, checkBackend)),
		MTU:        t.mtu(),
		Domains:    t.domains(),
		ClearAfter: t.clearAfter(),
		Metrics:    t.metrics(),

		KeepAddresses:    t.keepAddresses(),
		PrivateAddresses: t.boolean("private_addresses", false),
	}
	if !h.PrivateKey.IsZero() {
		d.keys[h.PrivateKey.Public()] = t.owner("private_key_file")
	}
	d.hosts[strings.ToLower(h.Name)] = t.owner("name")
	return h, t.policy(Require)
}

// mtu returns how large packets in the tunnels are; zero: that is to be found.
func (t table) mtu() int {
	if _, given := t.values["mtu"]; !given {
		return 0
	}
	return int(t.integer("mtu", DefaultMTU, 1280, 65535)) // IPv6 needs 1280
}

func (t table) hostName() string {
	if _, ok := t.values["name"]; ok {
		return t.text("name", "", `"mx1.example.org"`, checkHostName)
	}
	name, err := t.d.env.Hostname()
	if err == nil {
		err = checkHostName(name)
	}
	if err != nil {
		t.problem("name", "is missing, and the system's will not do: %v", err)
	}
	return name
}

// addresses returns a host's mail addresses, each of which is given once in the
// file.
func (t table) addresses() (all []netip.Addr) {
	items, _ := list[string](t, "addresses", `"203.0.113.5"`)
	for _, i := range items {
		a, err := ParseAddress(i.value)
		if err != nil {
			t.problemAt(i.at, "addresses", "%v", err)
		} else if t.claimAddress(a, i.at) {
			all = append(all, a)
		}
	}
	return all
}

// claimAddress notes whose an address is, and is false if it was taken.
func (t table) claimAddress(a netip.Addr, at place) bool {
	first, taken := t.d.addrs[a]
	switch {
	case !taken && t.where != "host" && t.d.local[a]:
		t.problemAt(at, "addresses", `"%s" is an address of this host, on one of its interfaces: give the peer's own`, a)
		return false
	case !taken:
		t.d.addrs[a] = owner{t.path, t.where, at}
	case first.table == t.path:
		t.problemAt(at, "addresses", `"%s" is given twice, first in line %d`, a, t.d.line(first.at))
	case first.where == "host":
		t.problemAt(at, "addresses", `"%s" is an address of this host (line %d): give the peer's own`, a, t.d.line(first.at))
	default:
		t.problemAt(at, "addresses", `"%s" is an address of %s too (line %d): an address has one peer`, a, first.where, t.d.line(first.at))
	}
	return !taken
}

// ports returns the TCP ports that count as SMTP, ascending.
func (t table) ports() (all []uint16) {
	items, given := list[int64](t, "ports", "25")
	if !given {
		return slices.Clone(defaultPorts)
	}
	if v, _ := elements(t.values["ports"]); len(v) == 0 {
		t.problem("ports", "is empty: give at least one port, such as 25")
	}
	for _, i := range items {
		switch {
		case i.value < 1 || i.value > 65535:
			t.problemAt(i.at, "ports", "%d is out of range: give 1 to 65535", i.value)
		case slices.Contains(all, uint16(i.value)):
			t.problemAt(i.at, "ports", "%d is given twice", i.value)
		default:
			all = append(all, uint16(i.value))
		}
	}
	slices.Sort(all)
	return all
}

// policy returns a policy, or if there is none the default.
func (t table) policy(def Policy) Policy {
	return Policy(t.text("policy", string(def), `"require"`, checkPolicy))
}

func checkPolicy(s string) error {
	if !slices.Contains([]Policy{Require, Prefer, Latch}, Policy(s)) {
		return fmt.Errorf(`%s is not a policy: give "require", "prefer" or "latch"`, quote(s))
	}
	return nil
}

// clearAfter returns how long to wait for an answer. Less than WireGuard's own
// attempts take to get through a bad moment would be no wait, and more than a day
// is what the policy latch is for.
func (t table) clearAfter() time.Duration {
	d := DefaultClearAfter
	t.text("clear_after", "", `"3m"`, func(s string) (err error) {
		d, err = parseClearAfter(s)
		return err
	})
	return d
}

func parseClearAfter(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return 0, fmt.Errorf(`%s is not a duration: give one such as "3m"`, quote(s))
	case d < minClearAfter || d > maxClearAfter:
		return 0, fmt.Errorf(`%s is out of range: give "30s" to "24h"`, quote(s))
	}
	return d, nil
}

func checkBackend(s string) error {
	if !slices.Contains([]Backend{Auto, Kernel, Userspace}, Backend(s)) {
		return fmt.Errorf(`%s is not a backend: give "auto", "kernel" or "userspace"`, quote(s))
	}
	return nil
}

func (t table) owner(key string) owner { return owner{t.path, t.where, t.place(key)} }
