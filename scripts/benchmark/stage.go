package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"postroad/scripts/lab"
)

// The kinds of link.
const (
	linkWire = "wire" // every packet crosses singly, as it does to a host across the Internet
	linkVeth = "veth" // as the kernel makes it: packets cross in bundles
)

// Where the servers listen on bravo: SMTP ports, so that whatever steers SMTP steers all that is measured.
const (
	mailPort  = 25
	bulkPort  = 465
	probePort = 587
)

// ports are all of them.
var ports = []int{mailPort, bulkPort, probePort}

// counters count the TCP that a contender was to protect, on the wire, where it is in clear.
const counters = `table netdev bench {
	counter clear { }
	chain wire {
		type filter hook ingress device "eth0" priority 0
		tcp dport { 25, 465, 587 } counter name clear
		tcp sport { 25, 465, 587 } counter name clear
	}
}`

// A stage is two fresh hosts on one wire, with the servers of all workloads on bravo.
type stage struct {
	*lab.Pair
}

func newStage(ctx context.Context, link string) (*stage, error) {
	pair, err := lab.NewPair(ctx)
	if err != nil {
		return nil, err
	}
	s := &stage{Pair: pair}
	for _, host := range s.Sites() {
		err = errors.Join(err, prepare(ctx, host, link))
	}
	if err == nil {
		err = s.serve(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making two hosts: %w", err), s.Close())
	}
	return s, nil
}

// prepare makes a host's end of the wire what the link is to be, and room for as many connections as are going to be made.
func prepare(ctx context.Context, host *lab.Site, link string) error {
	err := errors.Join(
		host.Sysctl("net.ipv4.ip_local_port_range", "1024 65535"),
		host.Sysctl("net.ipv4.tcp_tw_reuse", "1"),
		host.WriteFile("/etc/nftables.bench", []byte(counters), 0o644),
	)
	if err == nil {
		_, err = host.Run(ctx, "nft", "-f", "/etc/nftables.bench")
	}
	if err == nil && link == linkWire {
		_, err = host.Run(ctx, "ethtool", "-K", "eth0", "tso", "off", "gso", "off", "gro", "off", "tx-udp-segmentation", "off")
	}
	return err
}

// serve starts the servers.
func (s *stage) serve(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	servers := [][]string{
		{"smtp-sink", "-u", "root", fmt.Sprintf("inet:0.0.0.0:%d", mailPort), "1000"},
		{"iperf3", "-s", "-p", strconv.Itoa(bulkPort)},
		{self, probeCommand, "serve", fmt.Sprintf("0.0.0.0:%d", probePort)},
	}
	for i, args := range servers {
		p, err := s.Bravo.Host.Start(args[0], args[1:]...)
		if err == nil {
			err = p.Until(ctx, 5*time.Second, args[0], func() error { return s.Bravo.Listening(uint16(ports[i])) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// probe runs a command of [probe] on alpha.
func (s *stage) probe(ctx context.Context, args ...string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	return s.Alpha.Run(ctx, self, append([]string{probeCommand}, args...)...)
}

// steer sends the SMTP of both hosts to each other's addresses into an interface, as postroad does: by rules for both
// directions of a connection and a table of their own.
func (s *stage) steer(ctx context.Context, iface string) error {
	err := s.steerOne(ctx, s.Alpha, s.Bravo.IPv4, iface)
	return errors.Join(err, s.steerOne(ctx, s.Bravo, s.Alpha.IPv4, iface))
}

func (s *stage) steerOne(ctx context.Context, host *lab.Site, peer netip.Addr, iface string) error {
	commands := []string{fmt.Sprintf("route add %s dev %s src %s table 2525", peer, iface, host.IPv4)}
	for _, port := range ports {
		for _, side := range []string{"sport", "dport"} {
			commands = append(commands, fmt.Sprintf("rule add ipproto tcp %s %d lookup 2525", side, port))
		}
	}
	return ip(ctx, host, commands...)
}

// ip runs commands of ip(8), in turn.
func ip(ctx context.Context, host *lab.Site, commands ...string) error {
	for _, c := range commands {
		if _, err := host.Run(ctx, "ip", strings.Fields(c)...); err != nil {
			return fmt.Errorf("ip %s: %w", c, err)
		}
	}
	return nil
}

var counted = regexp.MustCompile(`packets (\d+) bytes`)

// clear counts the packets of SMTP that have crossed the wire in clear so far.
func (s *stage) clear(ctx context.Context) (packets int, err error) {
	for _, host := range s.Sites() {
		out, err := host.Run(ctx, "nft", "list", "counter", "netdev", "bench", "clear")
		if err != nil {
			return 0, err
		}
		m := counted.FindStringSubmatch(out)
		if m == nil {
			return 0, fmt.Errorf("counting clear packets: nft says %q", out)
		}
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return 0, err
		}
		packets += n
	}
	return packets, nil
}

// crossed is how many bytes have crossed the wire so far, in both directions.
func (s *stage) crossed() (bytes int, err error) {
	for _, file := range []string{"rx_bytes", "tx_bytes"} {
		data, err := s.Bravo.ReadFile("/sys/class/net/eth0/statistics/" + file)
		if err != nil {
			return 0, err
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(data)))
		if err != nil {
			return 0, err
		}
		bytes += n
	}
	return bytes, nil
}
