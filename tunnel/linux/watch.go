package linux

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// nftGroup is NFNLGRP_NFTABLES, linux/netfilter/nfnetlink.h.
const nftGroup = 7

// Watch implements tunnel.System: links, addresses, routes, rules and nft
// tables. What an event says is not read: it is a hint to look.
func (k *Kernel) Watch(ctx context.Context, changed func()) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return watch(ctx, changed, unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
			unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
			unix.RTNLGRP_IPV4_NETCONF) // the last tells of rp_filter
	})
	g.Go(func() error { return watch(ctx, changed, unix.NETLINK_NETFILTER, nftGroup) })
	return g.Wait()
}

func watch(ctx context.Context, changed func(), protocol int, groups ...uint) error {
	s, err := nl.Subscribe(protocol, groups...)
	if err != nil {
		return fmt.Errorf("subscribing to netlink: %w", err)
	}
	stop := context.AfterFunc(ctx, s.Close)
	defer func() {
		if stop() {
			s.Close()
		}
	}()
	changed() // what happened before we listened
	for {
		_, _, err := s.Receive()
		if ctx.Err() != nil {
			return nil
		}
		// An overflow has lost events, not the subscription.
		if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("receiving from netlink: %w", err)
		}
		changed()
	}
}
