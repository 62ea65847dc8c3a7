package e2e

import (
	"context"
	"testing"

	"golang.org/x/sys/unix"

	"postroad/scripts/lab"
)

// Peers on one Ethernet segment: each is on-link for the other, and finds it by
// ARP and neighbour discovery, whatever the routes to it say of SMTP.
func TestNeighboursEthernet(t *testing.T) {
	ctx, l := boot(t, lab.NewSegment)
	r := pave(ctx, t, l)
	p := newPost(ctx, t, l)
	none := watch(ctx, t, l)
	t.Run("neighbours forgotten", func(t *testing.T) {
		for _, v6 := range []bool{false, true} {
			p.bothWays(ctx, t, v6)
			forgetNeighbours(ctx, t, l)
			p.bothWays(ctx, t, v6)
		}
		seesNeighbours(ctx, t, l)
	})
	t.Run("wire cut and mended", func(t *testing.T) {
		must(t, r.Alpha.Link.Down(ctx))
		forgetNeighbours(ctx, t, l)
		if reach(ctx, l.Alpha, l.Bravo.IPv4.String(), "25") {
			t.Error("bravo is reached without a wire")
		}
		must(t, r.Alpha.Link.Up(ctx))
		p.bothWays(ctx, t, true)
	})
	t.Run("link down", func(t *testing.T) {
		must(t, r.alpha.Signal(unix.SIGSTOP)) // so that it does not repair
		run(ctx, t, r.Alpha.Host, "ip", "link", "set", "postroad0", "down")
		closedOnLink(ctx, t, l)
		run(ctx, t, r.Alpha.Host, "sh", "-c", allRules) // only the guard is left
		closedOnLink(ctx, t, l)
		must(t, r.alpha.Signal(unix.SIGCONT))
		must(t, r.alpha.WaitState(ctx, r.Bravo.Name, "protected"))
		p.toBravo(ctx, t, false)
	})
	t.Run("daemon down", func(t *testing.T) {
		must(t, r.alpha.Kill())
		forgetNeighbours(ctx, t, l)
		if lab.Backend() == "userspace" {
			closedOnLink(ctx, t, l)
		} else {
			p.bothWays(ctx, t, true)
		}
		seesNeighbours(ctx, t, l)
		must(t, r.alpha.Start(ctx))
		must(t, r.alpha.WaitState(ctx, r.Bravo.Name, "protected"))
		p.toBravo(ctx, t, true)
	})
	none()
}

// forgetNeighbours has both hosts ask anew who is on the segment.
func forgetNeighbours(ctx context.Context, t *testing.T, l *lab.Standard) {
	t.Helper()
	for _, h := range []*lab.Site{l.Alpha, l.Bravo} {
		run(ctx, t, h.Host, "ip", "neigh", "flush", "all")
	}
}

// seesNeighbours fails the test unless all that is not SMTP goes straight from
// host to host.
func seesNeighbours(ctx context.Context, t *testing.T, l *lab.Standard) {
	t.Helper()
	forgetNeighbours(ctx, t, l)
	for _, ends := range [][2]*lab.Site{{l.Alpha, l.Bravo}, {l.Bravo, l.Alpha}} {
		for _, v6 := range []bool{false, true} {
			to := ends[1].Addr(v6).String()
			if _, err := ends[0].Run(ctx, "ping", "-n", "-c", "1", "-W", "5", to); err != nil {
				t.Errorf("%s does not find its neighbour %s: %v", ends[0].Name, to, err)
			}
			if out := run(ctx, t, ends[0].Host, "ip", "neigh", "show", to, "dev", "eth0"); out == "" {
				t.Errorf("%s went another way to its neighbour %s", ends[0].Name, to)
			}
		}
	}
}

// closedOnLink fails the test unless SMTP from alpha to its neighbour is refused
// at once, and all else goes on.
func closedOnLink(ctx context.Context, t *testing.T, l *lab.Standard) {
	t.Helper()
	seesNeighbours(ctx, t, l)
	for _, v6 := range []bool{false, true} {
		refusedAtOnce(ctx, t, l.Alpha, l.Bravo.Addr(v6).String())
	}
	seesNeighbours(ctx, t, l)
}
