package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"postroad/scripts/lab"
)

// The contenders that the kernel itself is, where it can.

// kernelWireGuard is the kernel's WireGuard set up by hand.
func kernelWireGuard() contender {
	return contender{
		name:    "wireguard",
		version: func() string { return "the kernel's WireGuard, set up by hand" },
		lacks:   kernelLacks("WireGuard", "ip link add wg0 type wireguard"),
		up: func(ctx context.Context, s *stage) ([]*lab.Proc, error) {
			for _, host := range s.Sites() {
				if err := ip(ctx, host, "link add wg0 type wireguard"); err != nil {
					return nil, err
				}
			}
			return nil, s.byHand(ctx)
		},
	}
}

// stateful is a firewall such as most hosts have, which keeps track of connections.
const stateful = `table inet firewall {
	chain input {
		type filter hook input priority 0; policy drop
		ct state established,related accept
		iifname "lo" accept
		meta l4proto { icmp, ipv6-icmp } accept
		tcp dport { 22, 25, 465, 587 } accept
		udp dport 51820 accept
	}
}`

// statefulWireGuard is the kernel's WireGuard set up by hand on hosts with such a firewall.
func statefulWireGuard() contender {
	c := kernelWireGuard()
	c.name += "-stateful"
	c.version = func() string { return "the same behind a firewall that keeps track of connections, as most hosts have" }
	up := c.up
	c.up = func(ctx context.Context, s *stage) ([]*lab.Proc, error) {
		for _, host := range s.Sites() {
			if err := host.WriteFile("/etc/nftables.conf", []byte(stateful), 0o644); err != nil {
				return nil, err
			}
			if _, err := host.Run(ctx, "nft", "-f", "/etc/nftables.conf"); err != nil {
				return nil, err
			}
		}
		return up(ctx, s)
	}
	return c
}

// postroadKernel is postroad with the kernel's WireGuard.
func postroadKernel(command string) contender {
	c := postroad("postroad-kernel", "kernel", command)
	program := c.lacks
	c.lacks = func() error {
		return errors.Join(program(), kernelWireGuard().lacks())
	}
	return c
}

// state is a security association with a key for nobody to know.
const state = "xfrm state add src %s dst %s proto esp spi %d mode transport aead rfc4106(gcm(aes)) 0x%x 128"

// kernelESP is the kernel's IPsec with keys set by hand: transport mode, AES-256-GCM.
func kernelESP() contender {
	return contender{
		name:    "esp",
		version: func() string { return "the kernel's ESP, transport mode, AES-256-GCM, set up by hand" },
		lacks:   kernelLacks("ESP", "ip "+strings.NewReplacer("(", `\(`, ")", `\)`).Replace(fmt.Sprintf(state, "192.0.2.1", "192.0.2.2", 1, make([]byte, 36)))),
		up:      raiseESP,
	}
}

func raiseESP(ctx context.Context, s *stage) ([]*lab.Proc, error) {
	var commands []string
	for i, at := range s.sides() {
		key := make([]byte, 36) // and a salt
		rand.Read(key)
		commands = append(commands, fmt.Sprintf(state, at.own.IPv4, at.peer.IPv4, 1000+i, key))
	}
	for _, at := range s.sides() {
		if err := ip(ctx, at.own, append(commands, policies(at)...)...); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// policies are those of one host: SMTP goes in ESP, both ways.
func policies(at side) (commands []string) {
	for _, port := range ports {
		for _, end := range []string{"sport", "dport"} {
			for direction, way := range map[string][]any{"out": {at.own.IPv4, at.peer.IPv4}, "in": {at.peer.IPv4, at.own.IPv4}} {
				commands = append(commands, fmt.Sprintf("xfrm policy add src %s dst %s", way...)+
					fmt.Sprintf(" proto tcp %s %d dir %s tmpl proto esp mode transport", end, port, direction))
			}
		}
	}
	return commands
}

// kernelLacks returns a lacks that tries a shell command in a network of its own.
func kernelLacks(what, command string) func() error {
	return func() error {
		if exec.Command("unshare", "-n", "sh", "-c", command).Run() != nil {
			return fmt.Errorf("the kernel here has no %s: try --vm", what)
		}
		return nil
	}
}
