package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"strings"
	"time"

	"postroad/scripts/lab"
)

// upstream is the command that comes with the WireGuard that postroad embeds, set up by hand.
func upstream(binary string) contender {
	return contender{
		name:    "upstream",
		version: func() string { return "wireguard-go " + builtFrom(binary) },
		lacks:   need(binary, "wg"),
		up: func(ctx context.Context, s *stage) (daemons []*lab.Proc, err error) {
			for _, host := range s.Sites() {
				p, err := host.Host.Start("env", "LOG_LEVEL=error", binary, "-f", "wg0")
				if err != nil {
					return nil, err
				}
				daemons = append(daemons, p)
				err = p.Until(ctx, 5*time.Second, "wireguard-go", func() error {
					_, err := host.Run(ctx, "wg", "show", "wg0")
					return err
				})
				if err != nil {
					return nil, err
				}
			}
			return daemons, s.byHand(ctx)
		},
	}
}

// builtFrom is the version of the module that a program was built from.
func builtFrom(binary string) string {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err.Error()
	}
	return info.Main.Version
}

// byHand configures the WireGuard that wg0 is on both hosts, and steers SMTP into it.
func (s *stage) byHand(ctx context.Context) error {
	keys, err := s.Alpha.Run(ctx, "sh", "-c", "for i in 1 2; do k=$(wg genkey); echo $k $(echo $k | wg pubkey); done")
	if err != nil {
		return err
	}
	words := strings.Fields(keys)
	if len(words) != 4 {
		return fmt.Errorf("making keys: wg says %q", keys)
	}
	for i, host := range s.Sites() {
		peer := s.Sites()[1-i]
		conf := fmt.Sprintf("[Interface]\nListenPort = 51820\nPrivateKey = %s\n[Peer]\nPublicKey = %s\nEndpoint = %s:51820\nAllowedIPs = %s/32\n",
			words[2*i], words[3-2*i], peer.IPv4, peer.IPv4)
		if err := host.WriteFile("/etc/wg0.conf", []byte(conf), 0o600); err != nil {
			return err
		}
		if _, err := host.Run(ctx, "wg", "setconf", "wg0", "/etc/wg0.conf"); err != nil {
			return err
		}
		if err := ip(ctx, host, "link set wg0 mtu 1420 up"); err != nil {
			return err
		}
	}
	return s.steer(ctx, "wg0")
}
