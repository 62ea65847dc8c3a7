package main

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"

	"postroad/peers"
)

// newFile returns the peers file of a host that has none.
func (o *options) newFile(ctx context.Context, h peers.Host) (data []byte, err error) {
	if h.Name == "" {
		if h.Name, err = peers.System().Hostname(); err != nil {
			return nil, fmt.Errorf("finding out this host's name: %w: give it with --name", err)
		}
	}
	if len(h.Addresses) == 0 {
		if h.Addresses, err = o.findAddresses(ctx, h.Name); err != nil {
			return nil, err
		}
	}
	if len(h.Domains) == 0 {
		h.Domains = domainsOf(ctx, h.Name, h.Addresses)
	}
	keyFile := peers.DefaultKeyFile
	if o.file != peers.DefaultFile {
		dir, err := filepath.Abs(filepath.Dir(o.file))
		if err != nil {
			return nil, err
		}
		keyFile = filepath.Join(dir, filepath.Base(keyFile))
	}
	return []byte(peers.HostFile(h, keyFile)), nil
}

// findAddresses returns this host's, unless those that it has can hardly be
// those that the world knows.
func (o *options) findAddresses(ctx context.Context, name string) ([]netip.Addr, error) {
	addrs, err := addressesOf(peers.Host{Link: peers.DefaultLink})
	if err != nil {
		return nil, fmt.Errorf("finding out this host's addresses: %w; or give them with --address", err)
	}
	known, _ := inDNS(ctx, name)
	elsewhere := !slices.ContainsFunc(known, func(a netip.Addr) bool { return slices.Contains(addrs, a) })
	if len(known) > 0 && elsewhere && len(private(addrs)) == len(addrs) {
		return nil, fmt.Errorf("this host has %s, and DNS says that %s is %s: if a router translates between them (1:1 NAT), run this again with%s; if not, with%s",
			joined(addrs), name, joined(known), flags(known), flags(addrs))
	}
	return addrs, nil
}

func flags(addrs []netip.Addr) (s string) {
	for _, a := range addrs {
		s += " --address " + a.String()
	}
	return s
}
