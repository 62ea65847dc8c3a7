package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postroad/scripts/lab"
)

// hammer opens SMTP connections in both directions, all ports and families, as
// fast as it can, until the function it returns is called. Its own listeners
// answer, so that packets from port 25 are on the road too.
func hammer(ctx context.Context, t *testing.T, l *lab.Standard) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, ends := range [][2]*lab.Site{{l.Alpha, l.Bravo}, {l.Bravo, l.Alpha}} {
		var targets []string
		for _, port := range []string{"25", "465", "587"} {
			for _, v6 := range []bool{false, true} {
				to := ends[1].Addr(v6).String()
				listen := "0.0.0.0:" + port
				if v6 {
					listen = "[::]:" + port
				}
				_, err := ends[1].Sink(ctx, listen)
				must(t, err)
				targets = append(targets, to+" "+port)
			}
		}
		for _, target := range targets {
			script := "while :; do nc -n -z -w 1 " + target + "; done"
			wg.Go(func() { _, _ = ends[0].Run(ctx, "bash", "-c", script) })
		}
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

// attempts counts the connections that a hammer has opened, and fails the test
// if there were hardly any.
func attempts(ctx context.Context, t *testing.T, l *lab.Standard) {
	t.Helper()
	for _, s := range []*lab.Site{l.Alpha, l.Bravo} {
		out := run(ctx, t, s.Host, "nstat", "-asz", "TcpActiveOpens")
		var n int
		if _, err := fmt.Sscan(out[strings.Index(out, "TcpActiveOpens")+len("TcpActiveOpens"):], &n); err != nil || n < 20 {
			t.Errorf("%s tried only %d connections (%v): the watch shows little", s.Name, n, err)
		}
	}
}

// The life of a daemon, with a hammer running: no packet of it is ever in clear.
func TestNothingInClear(t *testing.T) {
	ctx, r := newRoad(t)
	third := "\n[[peer]]\nname = \"third.example\"\npublic_key = \"HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=\"\naddresses = [\"203.0.113.99\"]\n"
	none := watch(ctx, t, r.Standard)
	stop := hammer(ctx, t, r.Standard)
	for range rounds(6) {
		must(t, r.alpha.WaitState(ctx, r.Bravo.Name, "protected"))
		must(t, r.bravo.WaitState(ctx, r.Alpha.Name, "protected"))
		must(t, r.alpha.Kill())
		must(t, r.alpha.Start(ctx))
		must(t, r.bravo.Stop(ctx, unix.SIGTERM))
		must(t, r.alpha.Write("[host]", r.bravo.Block(), third)) // a peer comes, with bravo down
		_, err := r.alpha.Command(ctx, "reload")
		must(t, err)
		must(t, r.bravo.Start(ctx))
		must(t, r.alpha.Write("[host]\nlisten_port = 51826\nmtu = 1400", r.bravo.Block())) // and goes
		must(t, r.alpha.Hangup())
		must(t, lab.Eventually(ctx, 5*time.Second, "the new port", func() error {
			out, err := r.Alpha.Run(ctx, "ss", "-Hlun", "sport", "=", ":51826")
			if err == nil && out == "" {
				err = errors.New("nobody listens")
			}
			return err
		}))
		must(t, r.alpha.Write("[host]", r.bravo.Block()))
		_, err = r.alpha.Command(ctx, "reload")
		must(t, err)
	}
	stop()
	none()
	attempts(ctx, t, r.Standard)
	must(t, r.alpha.WaitState(ctx, r.Bravo.Name, "protected"))
}

// The first start ever, with SMTP being tried: from the moment that the daemon
// says it is ready nothing is in clear, and the peer is not there yet at all.
func TestNothingInClearOnOneSidedStart(t *testing.T) {
	ctx, l, alpha := newHalfRoad(t)
	must(t, alpha.Start(ctx))
	none := watch(ctx, t, l)
	for range 10 {
		_, err := l.Alpha.Run(ctx, "nc", "-n", "-z", "-w", "1", l.Bravo.IPv4.String(), "25")
		if err == nil {
			t.Error("reached a host that has no postroad")
		}
	}
	none()
	must(t, alpha.WaitState(ctx, l.Bravo.Name, "waiting"))
	_, err := alpha.Command(ctx, "status")
	exitStatus(t, err, 1)
}

func exitStatus(t *testing.T, err error, want int) {
	t.Helper()
	got := 0
	if e := (*exec.ExitError)(nil); errors.As(err, &e) {
		got = e.ExitCode()
	} else if err != nil {
		t.Errorf("no exit status: %v", err)
	}
	if got != want {
		t.Errorf("exit status %d, want %d: %v", got, want, err)
	}
}

// allRules deletes as many rules as there are, in one go: deleting until there
// are none would be a race with who puts them back.
const allRules = `for f in -4 -6; do
	ip $f rule show | sed -n 's/.*lookup 2525.*/rule del lookup 2525/p' | ip $f -force -batch - 2>/dev/null
done; true`

// damages are what operators and other programs do to a host's network.
func damages(peer *lab.Site) map[string][]string {
	v4, v6 := peer.IPv4.String(), peer.IPv6.String()
	return map[string][]string{
		"a rule":                  {"ip", "rule", "del", "ipproto", "tcp", "dport", "25", "lookup", "2525"},
		"an IPv6 rule":            {"ip", "-6", "rule", "del", "ipproto", "tcp", "sport", "25", "lookup", "2525"},
		"the rule for marks":      {"ip", "rule", "del", "fwmark", "0x2000000/0x2000000", "lookup", "2525"},
		"all rules":               {"sh", "-c", allRules},
		"a route":                 {"ip", "route", "del", v4, "dev", "postroad0", "table", "2525"},
		"an IPv6 route":           {"ip", "-6", "route", "del", v6, "dev", "postroad0", "table", "2525"},
		"the twin":                {"ip", "route", "del", "unreachable", v4, "table", "2525"},
		"the routing table":       {"sh", "-c", "ip -4 route flush table 2525; ip -6 route flush table 2525"},
		"the link":                {"ip", "link", "del", "postroad0"},
		"the link's state":        {"ip", "link", "set", "postroad0", "down"},
		"the link's name":         {"sh", "-c", "until ip link set postroad0 name elsewhere0; do ip link set postroad0 down; done 2>/dev/null"}, // old kernels want it down
		"the link's mtu":          {"ip", "link", "set", "postroad0", "mtu", "1300"},
		"the link's address":      {"ip", "addr", "flush", "dev", "postroad0"},
		"the link's path filter":  {"sysctl", "-qw", "net.ipv4.conf.postroad0.rp_filter=1"},
		"the guard":               {"nft", "delete", "table", "inet", "postroad"},
		"the whole ruleset":       {"nft", "flush", "ruleset"},
		"a chain's rules":         {"nft", "flush", "chain", "inet", "postroad", "sending"},
		"a rule that lets out":    {"nft", "insert", "rule", "inet", "postroad", "sending", "accept"},
		"an unreadable rule":      {"nft", "insert", "rule", "inet", "postroad", "leaving", "meta", "l4proto", "tcp", "ct", "original", "proto-dst", "25", "accept"},
		"an element":              {"nft", "delete", "element", "inet", "postroad", "out4", "{", v4, "}"},
		"a foreign peer":          {"nft", "add", "element", "inet", "postroad", "out4", "{", "203.0.113.30", "}"},
		"an element of a pair":    {"nft", "delete", "element", "inet", "postroad", "in6", "{", v6, "}"},
		"a foreign element":       {"nft", "add", "element", "inet", "postroad", "own4", "{", "198.18.0.1", "}"},
		"a foreign set":           {"nft", "add", "set", "inet", "postroad", "mine", "{", "type", "mark", ";", "}"},
		"the guard's sleep":       {"nft", "add", "table", "inet", "postroad", "{", "flags", "dormant", ";", "}"},
		"a route of another kind": {"ip", "route", "replace", v4, "via", "192.0.2.1", "table", "2525", "proto", "125"},
	}
}

// Whatever is deleted by hand is back within a second.
func TestRepairs(t *testing.T) {
	ctx, r := newRoad(t)
	var slowest time.Duration
	for name, words := range damages(r.Bravo) {
		t.Run(name, func(t *testing.T) {
			run(ctx, t, r.Alpha.Host, words...)
			begin := time.Now()
			check(t, inPlace(ctx, r.alpha))
			slowest = max(slowest, time.Since(begin))
		})
	}
	t.Logf("figure: %d kinds of damage, the slowest repair was seen after %s", len(damages(r.Bravo)), slowest.Round(time.Millisecond))
	must(t, r.alpha.WaitState(ctx, r.Bravo.Name, "protected"))
}

// The same in a loop, in random order, each as soon as the last is repaired,
// with a hammer running: what remains protects.
func TestNothingInClearWhileDeleting(t *testing.T) {
	ctx, r := newRoad(t)
	none := watch(ctx, t, r.Standard)
	stop := hammer(ctx, t, r.Standard)
	all := damages(r.Bravo)
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	var names []string
	for name := range all {
		names = append(names, name)
	}
	for range rounds(60) {
		name := names[random.IntN(len(names))]
		t.Log(time.Now().UTC().Format("15:04:05.000000"), name)
		if _, err := r.Alpha.Run(ctx, all[name][0], all[name][1:]...); err != nil {
			t.Fatalf("seed %d: %s: %v", seed, name, err)
		}
		if err := inPlace(ctx, r.alpha); err != nil {
			t.Fatalf("seed %d: %s: %v", seed, name, err)
		}
	}
	stop()
	none()
	attempts(ctx, t, r.Standard)
}

// After down the host is as it was before the first start, to the byte.
func TestDownLeavesNothing(t *testing.T) {
	ctx, l, alpha := newHalfRoad(t, `addresses = ["192.0.2.10", "2001:db8:a::10", "192.0.2.11"]`)
	// What is other people's stays, even in the ranges that are ours.
	run(ctx, t, l.Alpha.Host, "sh", "-c", `
		ip rule add priority 2510 from 198.18.0.0/15 lookup 100
		ip rule add priority 5210 fwmark 0x80000/0xff0000 lookup 52
		ip route add 198.18.0.0/15 via 192.0.2.1 table 2525
		nft add table inet other; nft add chain inet other c; nft add rule inet other c tcp dport 25 accept`)
	snapshot := func() string {
		return run(ctx, t, l.Alpha.Host, "sh", "-c",
			"ip rule; ip -6 rule; ip route show table all; ip -6 route show table all; nft list ruleset; ip link; ip addr")
	}
	before := snapshot()
	for _, how := range []string{"running", "killed", "stopped"} {
		t.Run(how, func(t *testing.T) {
			must(t, alpha.Start(ctx))
			if snapshot() == before {
				t.Fatal("the daemon changes nothing")
			}
			switch how {
			case "killed":
				must(t, alpha.Kill())
			case "stopped":
				must(t, alpha.Stop(ctx, unix.SIGTERM))
			}
			out, err := alpha.Command(ctx, "down")
			must(t, err)
			if !strings.Contains(out, "IN CLEAR") || !strings.Contains(out, "198.51.100.20\n") || !strings.Contains(out, "2001:db8:b::20\n") {
				t.Errorf("does not say what flows in clear:\n%s", out)
			}
			if how == "running" {
				exitStatus(t, alpha.Wait(ctx), 3) // not to be started again
			}
			if after := snapshot(); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}
