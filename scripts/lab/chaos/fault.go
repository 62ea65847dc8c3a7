package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postroad/scripts/lab"
)

// What service may take to be back after the cause of an outage is gone. Where
// WireGuard's own timers decide: the other side finds out after 15 s that its
// session is dead (KEEPALIVE_TIMEOUT 10 s and REKEY_TIMEOUT 5 s, whitepaper 6.1).
// What is emulated does its own part slowly, and that is all that it may take longer.
var (
	slow   = min(3, lab.Patience())
	soon   = 5 * time.Second * slow
	timers = 10*time.Second + soon
)

// A fault is one kind of what befalls a host.
type fault struct {
	name   string
	within time.Duration // in which mail flows again after the cause is gone
	flows  bool          // mail must flow all the time
	hold   time.Duration // how long it lasts; zero: it happens, and is over
	do     infliction
}

// An infliction inflicts a fault on a host. What it returns takes the cause away.
type infliction func(ctx context.Context, s *stage, h *host, r *rand.Rand) (undo func(context.Context) error, err error)

// A script is a fault that shell commands on the host are, and undo.
func script(do, undo string) infliction {
	return func(ctx context.Context, _ *stage, h *host, _ *rand.Rand) (func(context.Context) error, error) {
		return shell(undo, h.Site.Host), shell(do, h.Site.Host)(ctx)
	}
}

func shell(words string, h *lab.Host) func(context.Context) error {
	return func(ctx context.Context) error {
		if words == "" {
			return nil
		}
		_, err := h.Run(ctx, "sh", "-ec", words)
		return err
	}
}

// onWire is a fault that nft rules on the router are, in a chain that what comes
// from the host and goes to it passes. WIRE stands for the interface to the host,
// PERCENT for 1 to 30. It is an error if no packet came to the rules' counter.
func onWire(rules string) infliction {
	return func(ctx context.Context, s *stage, h *host, r *rand.Rand) (func(context.Context) error, error) {
		do := "nft -f - <<'X'\ntable inet chaos {\nchain forward {\ntype filter hook forward priority 50\niifname != WIRE oifname != WIRE accept\n" + rules + "\n}\n}\nX"
		do = strings.NewReplacer("WIRE", h.Site.Link.RouterInterface, "PERCENT", fmt.Sprint(1+r.IntN(30))).Replace(do)
		return shell(counted("inet chaos"), s.Router), shell(do, s.Router)(ctx)
	}
}

// counted removes an nft table once its counter has seen a packet, for which it
// waits half a minute at most: without one, nothing befell anybody.
func counted(table string) string {
	return fmt.Sprintf("seen=; for _ in $(seq 300); do nft list table %[1]s | grep -q 'packets [1-9]' && seen=1 && break; sleep 0.1; done; nft delete table %[1]s; [ $seen ]", table)
}

// writing is a fault that a peers file is which is put in force.
func writing(text func(h *host) string) infliction {
	return func(_ context.Context, _ *stage, h *host, _ *rand.Rand) (func(context.Context) error, error) {
		err := errors.Join(h.Site.WriteFile(lab.PeersFile, []byte(text(h)), 0o644), h.Hangup())
		return func(context.Context) error { return errors.Join(h.Write(h.file...), h.Hangup()) }, err
	}
}

// What the daemon makes, by the host's policy rules that Linux has not by itself.
const (
	rulesGone  = `for f in -4 -6; do ip $f rule | sed -n '/lookup \(local\|main\|default\)/!s/:.*//p' | while read -r p; do ip $f rule delete pref $p; done; done`
	routesGone = `for f in -4 -6; do for t in $(ip $f rule | sed -n '/lookup \(local\|main\|default\)/!s/.*lookup \([^ ]*\).*/\1/p' | sort -u); do ip $f route flush table $t; done; done`
	allGone    = "nft flush ruleset\n" + routesGone + "\n" + rulesGone + "\nip link delete postroad0 2>/dev/null || true\nrm -rf /run/postroad"
)

func faults() []fault {
	kill := func(_ context.Context, _ *stage, h *host, _ *rand.Rand) (func(context.Context) error, error) {
		return h.Start, h.Kill()
	}
	return append([]fault{
		{name: "kill -9", within: soon, hold: 3 * time.Second, do: kill},
		{name: "restart", within: soon, do: func(ctx context.Context, _ *stage, h *host, _ *rand.Rand) (func(context.Context) error, error) {
			return h.Start, h.stop(ctx)
		}},
		{name: "upgrade", within: soon, do: func(ctx context.Context, _ *stage, h *host, _ *rand.Rand) (func(context.Context) error, error) {
			again := func(ctx context.Context) error { return errors.Join(h.stop(ctx), h.Start(ctx)) }
			return again, shell("p=$(command -v postroad); cp -p $p $p.new; mv $p.new $p", h.Site.Host)(ctx)
		}},
		{name: "SIGSTOP", within: timers, hold: *frozen, do: func(_ context.Context, _ *stage, h *host, _ *rand.Rand) (func(context.Context) error, error) {
			return func(context.Context) error { return h.Signal(unix.SIGCONT) }, h.Signal(unix.SIGSTOP)
		}},
		{name: "reboot", within: timers, hold: 3 * time.Second, do: reboot},
		{name: "link deleted", within: soon, do: script("ip link delete postroad0", "")},
		{name: "link set down", within: soon, do: script("ip link set postroad0 down", "")},
		{name: "link renamed", within: soon, do: script("ip link set postroad0 down; ip link set postroad0 name lost0; ip link set lost0 up || true", "ip link delete lost0 2>/dev/null || true")},
		{name: "rules deleted", within: soon, do: script(rulesGone, "")},
		{name: "routes deleted", within: soon, do: script(routesGone, "")},
		{name: "nft table deleted", within: soon, do: script("nft delete table inet postroad", "")},
		{name: "nft ruleset flushed", within: soon, do: script("nft flush ruleset", "")},
		{name: "reload, good file", within: soon, flows: true, hold: time.Second, do: writing(func(h *host) string {
			return string(lab.PeersText(append(h.file, "keepalive = \"25s\"\n")...))
		})},
		{name: "reload, broken file", within: soon, flows: true, hold: time.Second, do: writing(func(h *host) string {
			return strings.Replace(string(lab.PeersText(h.file...)), "public_key", "publik_key", 1)
		})},
		{name: "reload, half a file", within: soon, flows: true, hold: time.Second, do: writing(func(h *host) string {
			text := string(lab.PeersText(h.file...))
			return text[:len(text)-20]
		})},
		{name: "reload, empty file", within: soon, flows: true, hold: time.Second, do: writing(func(*host) string { return "" })},
		{name: "no descriptors", within: soon, flows: true, hold: 3 * time.Second, do: starve},
		{name: "memory limit hit", within: soon, hold: time.Second, do: squeeze},
		{name: "DNS gone", within: soon, flows: true, hold: 5 * time.Second, do: func(ctx context.Context, s *stage, h *host, _ *rand.Rand) (func(context.Context) error, error) {
			return s.dns.Start, errors.Join(s.dns.Stop(ctx), h.Hangup())
		}},
		{name: "disk full", within: soon, flows: true, hold: 3 * time.Second, do: fill},
		{name: "packet loss", within: timers, hold: 5 * time.Second, do: onWire("udp dport 51825 counter numgen random mod 100 < PERCENT drop")},
		{name: "corruption", within: timers, hold: 5 * time.Second, do: onWire("udp dport 51825 counter numgen random mod 100 < PERCENT @th,320,32 set 0x6c6f7374")},
		{name: "partition", within: timers, hold: 5 * time.Second, do: onWire("counter drop")},
		{name: "partition, one way", within: timers, hold: 5 * time.Second, do: onWire("iifname WIRE counter drop")},
		{name: "packets delayed", within: timers, hold: 5 * time.Second, do: carriedBy(delaying)},
		{name: "packets doubled", within: timers, hold: 5 * time.Second, do: carriedBy(doubling)},
		{name: "packets out of order", within: timers, hold: 5 * time.Second, do: carriedBy(shuffling)},
		{name: "NAT mapping changed", within: timers, hold: 5 * time.Second, do: remap(0)},
		{name: "outer address changed", within: timers, hold: 5 * time.Second, do: remap(100)},
		{name: "wire pulled", within: timers, hold: 3 * time.Second, do: func(ctx context.Context, _ *stage, h *host, _ *rand.Rand) (func(context.Context) error, error) {
			return h.Site.Link.Up, h.Site.Link.Down(ctx)
		}},
	}, clockFaults()...)
}

// starve lets the daemon open no more descriptors, and has it want some.
func starve(_ context.Context, _ *stage, h *host, _ *rand.Rand) (func(context.Context) error, error) {
	var was unix.Rlimit
	if err := unix.Prlimit(h.Pid(), unix.RLIMIT_NOFILE, nil, &was); err != nil {
		return nil, err
	}
	feed := func(context.Context) error {
		return errors.Join(unix.Prlimit(h.Pid(), unix.RLIMIT_NOFILE, &was, nil), h.Hangup())
	}
	return feed, errors.Join(unix.Prlimit(h.Pid(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: was.Max}, nil), h.Hangup())
}

// fill leaves no room where the daemon keeps its state, and has it look.
func fill(ctx context.Context, _ *stage, h *host, _ *rand.Rand) (func(context.Context) error, error) {
	const words = `d=/var/lib/postroad; cp -a $d /tmp/chaos.$$; mount -t tmpfs -o size=64k,mode=700 chaos $d; cp -a /tmp/chaos.$$/. $d; rm -r /tmp/chaos.$$; cat /dev/zero >$d/zero 2>/dev/null || true`
	undo := func(ctx context.Context) error {
		return errors.Join(shell("umount -l /var/lib/postroad", h.Site.Host)(ctx), h.Hangup())
	}
	return undo, errors.Join(shell(words, h.Site.Host)(ctx), h.Hangup())
}

// reboot ends the daemon and leaves nothing of what it made. As at a boot, where
// its unit comes before the network, the wire is dead until it is ready.
func reboot(ctx context.Context, _ *stage, h *host, _ *rand.Rand) (func(context.Context) error, error) {
	boot := func(ctx context.Context) error {
		err := h.Start(ctx)
		// What the mail server, which would have ended too, has sent meanwhile waits for the router's MAC address.
		return errors.Join(err, shell("ip neighbour flush dev "+h.Site.Link.HostInterface, h.Site.Host)(ctx), h.Site.Link.Up(ctx))
	}
	return boot, errors.Join(h.Site.Link.Down(ctx), h.Kill(), shell(allGone, h.Site.Host)(ctx))
}

// squeeze lets the daemon have no more memory than it has, and has it want some,
// in the midst of a reload: it dies.
func squeeze(ctx context.Context, _ *stage, h *host, _ *rand.Rand) (func(context.Context) error, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.Pid()))
	if err != nil {
		return nil, err
	}
	var kB uint64
	_, data, _ := strings.Cut(string(status), "\nVmData:")
	if _, err := fmt.Sscan(data, &kB); err != nil {
		return nil, fmt.Errorf("reading how much memory the daemon has: %w", err)
	}
	large := string(lab.PeersText(h.file...)) + strings.Repeat("# much to read\n", 1<<20)
	limit := &unix.Rlimit{Cur: kB<<10 + 1<<20, Max: unix.RLIM_INFINITY}
	err = errors.Join(unix.Prlimit(h.Pid(), unix.RLIMIT_DATA, limit, nil), h.Site.WriteFile(lab.PeersFile, []byte(large), 0o644), h.Hangup())
	if err != nil {
		return nil, err
	}
	select {
	case <-h.Exited():
	case <-time.After(20 * time.Second * lab.Patience()):
		return nil, errors.New("the daemon lives with too little memory")
	}
	return func(ctx context.Context) error { return errors.Join(h.Write(h.file...), h.Start(ctx)) }, nil
}

// mapping is what such a NAT is, without the kernel's, which would not touch a
// connection that there is: OLD's tunnel is NEW's PORT for all others, and its old
// port nobody's.
const mapping = `nft -f - <<'X'
table inet chaosnat {
	chain pre {
		type filter hook prerouting priority -300
		ip daddr OLD udp dport 51825 drop
		ip daddr NEW udp dport PORT udp dport set 51825 ip daddr set OLD
		ip saddr OLD udp sport 51825 counter udp sport set PORT ip saddr set NEW
	}
}
X`

// remap has the router give the host's tunnel another port, and another address
// if there is a number to add to it, as a NAT that forgot it does, and then the
// old ones again.
func remap(further byte) infliction {
	return func(ctx context.Context, s *stage, h *host, r *rand.Rand) (func(context.Context) error, error) {
		addr := h.Site.IPv4.As4()
		addr[3] += further
		words := strings.NewReplacer("OLD", h.Site.IPv4.String(), "NEW", netip.AddrFrom4(addr).String(), "PORT", fmt.Sprint(20000+r.IntN(10000))).Replace(mapping)
		return shell(counted("inet chaosnat"), s.Router), shell(words, s.Router)(ctx)
	}
}

// crowd opens 100 connections to a peer's mail server, or fewer if it is slow, waits
// until each was greeted, and keeps them until it is killed.
func (h *host) crowd(ctx context.Context, peer *host) (*lab.Proc, error) {
	words := fmt.Sprintf("for i in $(seq %d); do exec {f}<>/dev/tcp/%s/25; all+=($f); done; for f in ${all[*]}; do read -r line <&$f; done; echo open; exec sleep 1000", 100/int(lab.Patience()), peer.Site.Addr(h.v6))
	p, err := h.Site.Start("bash", "-ec", words)
	if err != nil {
		return nil, err
	}
	return p, p.Until(ctx, time.Minute, "connections", func() error {
		if !strings.Contains(p.Output(), "open") {
			return errors.New("they are not open: " + p.Output())
		}
		return nil
	})
}
