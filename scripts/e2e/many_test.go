package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postroad/scripts/lab"
)

// many is how many peers alpha has beside bravo; nobody answers for any of them.
const many = 9999

// Ten thousand peers, all of them with routes, in the guard and in WireGuard; one
// of them changes, and nothing else does; the memory is bounded. That one is there
// for mail all along: the others that are silent take nothing from it.
func TestUserspaceManyPeers(t *testing.T) {
	needBackend(t, "userspace")
	ctx, l := newLab(t)
	alpha, err := l.Alpha.Postroad(ctx, binary)
	must(t, err)
	bravo, err := l.Bravo.Postroad(ctx, binary)
	must(t, err)
	must(t, bravo.Write("[host]", alpha.Block()))
	must(t, bravo.Start(ctx))
	must(t, alpha.Write("[host]", bravo.Block(), lab.ManyPeers(0, many)))
	must(t, alpha.StartWithin(ctx, time.Minute))
	must(t, eventuallySays(ctx, alpha.Proc, "many peers for WireGuard within this process"))
	must(t, alpha.WaitState(ctx, l.Bravo.Name, "protected"))

	keys := wantMany(ctx, t, l, 0)
	s, err := alpha.Status(ctx)
	if err != nil || len(s.Peers) != many+1 || s.Problem != "" {
		t.Errorf("status knows %d peers, problem %q (%v)", len(s.Peers), s.Problem, err)
	}
	session, err := alpha.Peer(ctx, l.Bravo.Name)
	must(t, err)

	// one peer is another, of another name, key and address
	must(t, alpha.Write("[host]", bravo.Block(), lab.ManyPeers(1, many)))
	_, err = alpha.Command(ctx, "reload")
	must(t, err)
	changed := wantMany(ctx, t, l, 1)
	gone := slices.DeleteFunc(slices.Clone(keys), func(k string) bool { _, is := slices.BinarySearch(changed, k); return is })
	if want := lab.ManyKey(0); len(gone) != 1 || gone[0] != want {
		t.Errorf("the peers that are gone are %v, want %s alone", gone, want)
	}
	if !strings.Contains(alpha.Output(), "added="+lab.ManyName(many)+" removed="+lab.ManyName(0)) {
		t.Error("the log does not say what changed")
	}
	must(t, inPlace(ctx, alpha))
	if now, err := alpha.Peer(ctx, l.Bravo.Name); err != nil || now.State != "protected" || now.LastHandshake.Before(session.LastHandshake) {
		t.Errorf("bravo is %s, its session of %s (%v)", now.State, now.LastHandshake, err)
	}
	// about 220 MB here; with all peers in WireGuard at once, at 40 KiB each, it would be 450 MB
	must(t, lab.Eventually(ctx, 20*time.Second, "400 MB at most", func() error {
		kb, err := alpha.Resident()
		if err == nil && kb > 400<<10 {
			err = fmt.Errorf("%d MB are resident", kb>>10)
		}
		return err
	}))
	kb, err := alpha.Resident()
	must(t, err)
	t.Logf("figure: 10,000 peers, userspace backend: %d MB resident", kb>>10)
}

// wantMany fails the test unless alpha has all of many peers, from the given one
// on, and bravo, in its three places; it returns the keys, sorted.
func wantMany(ctx context.Context, t *testing.T, l *lab.Standard, from int) (keys []string) {
	t.Helper()
	keys = strings.Fields(run(ctx, t, l.Alpha.Host, "wg", "show", "postroad0", "peers"))
	slices.Sort(keys)
	routes := run(ctx, t, l.Alpha.Host, "ip", "route", "show", "table", "2525")
	guard := run(ctx, t, l.Alpha.Host, "nft", "list", "table", "inet", "postroad")
	for what, got := range map[string]int{
		"peers of WireGuard":  len(keys),
		"routes":              strings.Count(routes, " dev postroad0 "),
		"unreachable routes":  strings.Count(routes, "unreachable "),
		"elements for output": elements(guard, "out4"),
		"elements for input":  elements(guard, "in4"),
	} {
		if got != many+1 {
			t.Errorf("%d %s, want %d", got, what, many+1)
		}
	}
	for _, i := range []int{from, from + many/2, from + many - 1} {
		if a := lab.ManyAddr(i).String(); !strings.Contains(routes, a+" dev postroad0 ") || !strings.Contains(guard, a+" ") {
			t.Errorf("%s lacks a route, or is not in the guard", a)
		}
		if _, is := slices.BinarySearch(keys, lab.ManyKey(i)); !is {
			t.Errorf("WireGuard does not know peer %d", i)
		}
	}
	return keys
}

// elements counts those of a set in the words of nft(8).
func elements(table, set string) int {
	_, rest, _ := strings.Cut(table, "set "+set+" {")
	rest, _, _ = strings.Cut(rest, "}\n\t}")
	return strings.Count(rest, "counter packets")
}
