package tunnel

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2")
		type answer struct {
			addrs []netip.Addr
			err   error
		}
		var next atomic.Pointer[answer]
		var changes atomic.Int32
		says := func(err error, addrs ...netip.Addr) { next.Store(&answer{addrs, err}) }
		lookup := func(context.Context, string) ([]netip.Addr, error) {
			n := next.Load()
			return slices.Clone(n.addrs), n.err
		}
		n := newNames(lookup, slog.New(slog.DiscardHandler), func() { changes.Add(1) })
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- n.run(ctx) }()
		step := func(what string, wantChanges int32, want ...netip.Addr) {
			t.Helper()
			time.Sleep(lookupInterval + time.Second)
			synctest.Wait()
			if got := n.known()["mx.example"]; !slices.Equal(got, want) || changes.Load() != wantChanges {
				t.Errorf("%s: knows %v after %d changes, want %v after %d", what, got, changes.Load(), want, wantChanges)
			}
		}

		says(errors.New("no such host"))
		n.want([]string{"mx.example"})
		step("nothing resolved yet", 0)
		says(nil, a, b)
		step("resolved", 1, a, b)
		says(nil, b, a)
		step("the same, turned round", 1, a, b)
		says(errors.New("timeout"))
		step("a failure", 1, a, b)
		says(nil)
		step("an empty answer", 1, a, b)
		says(nil, netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("224.0.0.1"), netip.IPv6Unspecified())
		step("only addresses that are no host's", 1, a, b)
		says(nil, b)
		step("another answer", 2, b)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
