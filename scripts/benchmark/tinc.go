package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"golang.org/x/sys/unix"

	"postroad/scripts/lab"
)

// tinc is tinc as a router of the two hosts' addresses.
func tinc() contender {
	return contender{
		name:    "tinc",
		version: says(3, "tincd", "--version"),
		lacks:   need("tincd"),
		up:      raiseTinc,
		settle:  settleTinc,
	}
}

func raiseTinc(ctx context.Context, s *stage) (daemons []*lab.Proc, err error) {
	names := map[*lab.Site]string{s.Alpha: "alpha", s.Bravo: "bravo"}
	for host, name := range names {
		conf := fmt.Sprintf("Name = %s\nInterface = tinc0\nAddressFamily = ipv4\n", name)
		if host == s.Alpha {
			conf += "ConnectTo = bravo\n"
		}
		about := fmt.Sprintf("Address = %s\nSubnet = %s/32\nCipher = aes-256-cbc\nDigest = sha256\n", host.IPv4, host.IPv4)
		if err := write(host, "/etc/tinc/bench/tinc.conf", conf, "/etc/tinc/bench/hosts/"+name, about); err != nil {
			return nil, err
		}
		if _, err := host.Run(ctx, "tincd", "-n", "bench", "-K2048"); err != nil {
			return nil, err
		}
	}
	for _, at := range s.sides() { // each gets what the other's public key was added to
		file := "/etc/tinc/bench/hosts/" + names[at.peer]
		about, err := at.peer.ReadFile(file)
		if err == nil {
			err = write(at.own, file, string(about))
		}
		if err != nil {
			return nil, err
		}
	}
	for _, at := range s.sides() {
		p, err := tunnel(ctx, at.own, "tinc0", "tincd", "-n", "bench", "-D")
		if err != nil {
			return nil, err
		}
		daemons = append(daemons, p)
	}
	return daemons, s.steer(ctx, "tinc0")
}

var tincPath = regexp.MustCompile(`pmtu (\d+) \(min (\d+) max (\d+)\)`)

// settleTinc waits until each daemon knows how large a packet to the other may be: larger ones go over TCP until then. SIGUSR2
// makes it tell.
func settleTinc(ctx context.Context, _ *stage, daemons []*lab.Proc) error {
	for _, d := range daemons {
		err := d.Until(ctx, 20*time.Second, "tinc to find out the path's MTU", func() error {
			if err := d.Signal(unix.SIGUSR2); err != nil {
				return err
			}
			all := tincPath.FindAllStringSubmatch(d.Output(), -1)
			for _, m := range all[max(0, len(all)-2):] { // of itself it has another one
				if m[1] == m[2] && m[2] == m[3] && m[1] != "0" {
					return nil
				}
			}
			return errors.New("it has not")
		})
		if err != nil {
			return err
		}
	}
	return nil
}
