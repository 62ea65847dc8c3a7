package linux

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"postroad/tunnel"
)

// nftGroup is NFNLGRP_NFTABLES, linux/netfilter/nfnetlink.h.
const nftGroup = 7

// Watch implements tunnel.System: links, addresses, routes, rules and nft
// tables. What an event says is a hint to look, and who made it a word for the log.
func (k *Kernel) Watch(ctx context.Context, changed func(tunnel.Culprit)) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return watch(ctx, changed, routeInformer(&k.link), unix.NETLINK_ROUTE,
			unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
			unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
			unix.RTNLGRP_IPV4_NETCONF) // the last tells of rp_filter
	})
	g.Go(func() error { return watch(ctx, changed, nftInformer(), unix.NETLINK_NETFILTER, nftGroup) })
	return g.Wait()
}

func watch(ctx context.Context, changed func(tunnel.Culprit), who informer, protocol int, groups ...uint) error {
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
	changed(tunnel.Culprit{}) // what happened before we listened
	for {
		messages, from, err := s.Receive()
		if ctx.Err() != nil {
			return nil
		}
		// An overflow has lost events, not the subscription.
		if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("receiving from netlink: %w", err)
		}
		by := tunnel.Culprit{Guard: protocol == unix.NETLINK_NETFILTER}
		for _, m := range messages {
			if name := who(m); from.Pid == 0 && name != "" { // from the kernel
				by.Name = name
			}
		}
		changed(by)
	}
}
