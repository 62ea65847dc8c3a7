package main

import (
	"context"
	"errors"
	"time"

	"postroad/scripts/lab"
)

// The way contenders are set up that are daemons on both hosts, with files of their own.

// A side is a host of a contender while it is being set up.
type side struct {
	own, peer *lab.Site
	first     bool // alpha: the one that connects, where only one does
}

// sides are both hosts.
func (s *stage) sides() []side {
	return []side{{own: s.Alpha, peer: s.Bravo, first: true}, {own: s.Bravo, peer: s.Alpha}}
}

// write writes files with names and contents in turn, for nobody else to read.
func write(host *lab.Site, namesAndContents ...string) error {
	var errs []error
	for i := 0; i < len(namesAndContents); i += 2 {
		errs = append(errs, host.WriteFile(namesAndContents[i], []byte(namesAndContents[i+1]), 0o600))
	}
	return errors.Join(errs...)
}

// tunnel starts a daemon on a host, waits until it has made its interface, and takes that up.
func tunnel(ctx context.Context, host *lab.Site, iface, program string, args ...string) (*lab.Proc, error) {
	p, err := host.Host.Start(program, args...)
	if err != nil {
		return nil, err
	}
	err = p.Until(ctx, 10*time.Second, program, func() error {
		_, err := host.ReadFile("/sys/class/net/" + iface + "/mtu")
		return err
	})
	if err != nil {
		return nil, err
	}
	return p, ip(ctx, host, "link set "+iface+" up")
}
