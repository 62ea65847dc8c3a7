package e2e

import (
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postroad/scripts/lab"
)

// clock returns a function that sets this machine's clock, by as much as it is to
// be off. In the end it is right again.
func clock(t *testing.T) (set func(off time.Duration)) {
	t.Helper()
	needBackend(t, "kernel")
	if os.Getenv("POSTROAD_TEST_CLOCK") == "" {
		t.Skip("POSTROAD_TEST_CLOCK does not say that this machine's clock may be set")
	}
	begin := time.Now()
	set = func(off time.Duration) {
		t.Helper()
		tv := unix.NsecToTimeval(begin.Add(time.Since(begin) + off).UnixNano()) // time.Since does not see the clock that we set
		must(t, unix.Settimeofday(&tv))
	}
	t.Cleanup(func() { set(0) })
	return set
}

// Two hosts have both begun handshakes while their clocks were an hour ahead. When
// the clocks are right again each takes the other's calls for replays, and yet they
// meet.
func TestKernelClocksWereAhead(t *testing.T) {
	set := clock(t)
	ctx, r := newRoad(t)
	alpha, bravo := postfix(ctx, t, r.Alpha, lab.PreferIPv4), postfix(ctx, t, r.Bravo, lab.PreferIPv4)
	none := watch(ctx, t, r.Standard)
	meet := func(since time.Time, within time.Duration) {
		t.Helper()
		since = since.Round(0) // by the clock as it is set
		for p, other := range map[*lab.Postroad]*lab.Site{r.alpha: r.Bravo, r.bravo: r.Alpha} {
			must(t, lab.Eventually(ctx, within, p.Site.Name+" to have a handshake of now", func() error {
				s, err := p.Peer(ctx, other.Name)
				if now := time.Now().Round(0); err == nil && (s.LastHandshake.Before(since) || s.LastHandshake.After(now)) {
					err = fmt.Errorf("its last is of %s, and now is %s", s.LastHandshake, now)
				}
				return err
			}))
		}
	}
	set(time.Hour)
	for _, p := range []*lab.Postroad{r.alpha, r.bravo} { // who is set down and up again calls, and the other remembers when
		begin := time.Now()
		run(ctx, t, p.Site.Host, "ip", "link", "set", "postroad0", "down")
		meet(begin, 15*time.Second)
	}
	set(0)
	for _, p := range []*lab.Postroad{r.alpha, r.bravo} {
		run(ctx, t, p.Site.Host, "ip", "link", "set", "postroad0", "down") // its sessions end
	}
	begin := time.Now()
	meet(begin, 15*time.Second)
	t.Logf("figure: both clocks were an hour ahead: the hosts meet %s after they are right", time.Since(begin).Round(time.Millisecond))
	arrives(ctx, t, alpha, "alice@alpha.example", bravo, "bob@bravo.example", r.Alpha.IPv4)
	arrives(ctx, t, bravo, "bob@bravo.example", alpha, "alice@alpha.example", r.Bravo.IPv4)
	none()
}

// A clock that is set, forward or back, by an hour, ends no session and opens
// nothing: mail goes on both ways. Once it is right again, a host that began its
// sessions anew meanwhile is reached, and reaches others, though it has used a time
// that is still to come.
func TestKernelClockIsSet(t *testing.T) {
	set := clock(t)
	ctx, r := newRoad(t, `policy = "prefer"`, `clear_after = "1m"`)
	// Mail waits for a handshake, which comes after 15 s, and then for TCP's next try, 31 s after the first.
	patient := []string{"inet_protocols = ipv4", "smtp_connect_timeout = 90s"}
	alpha, bravo := postfix(ctx, t, r.Alpha, patient...), postfix(ctx, t, r.Bravo, patient...)
	none := watch(ctx, t, r.Standard)
	bothWays := func() {
		t.Helper()
		arrives(ctx, t, alpha, "alice@alpha.example", bravo, "bob@bravo.example", r.Alpha.IPv4)
		arrives(ctx, t, bravo, "bob@bravo.example", alpha, "alice@alpha.example", r.Bravo.IPv4)
	}
	for _, off := range []time.Duration{time.Hour, -time.Hour, 0} {
		t.Run(fmt.Sprint(off), func(t *testing.T) {
			set(off)
			for _, p := range []*lab.Postroad{r.alpha, r.bravo} {
				_, err := p.Command(ctx, "reload") // it looks
				must(t, err)
			}
			must(t, r.alpha.WaitState(ctx, r.Bravo.Name, "protected"))
			must(t, r.bravo.WaitState(ctx, r.Alpha.Name, "protected"))
			bothWays()
			must(t, r.alpha.Kill())
			run(ctx, t, r.Alpha.Host, "ip", "link", "delete", "postroad0") // with its sessions
			must(t, r.alpha.Start(ctx))
			bothWays()
			must(t, r.bravo.WaitState(ctx, r.Alpha.Name, "protected"))
			must(t, r.alpha.WaitState(ctx, r.Bravo.Name, "protected"))
			for _, p := range []*lab.Postroad{r.alpha, r.bravo} {
				s, err := p.Status(ctx)
				must(t, err)
				if len(s.Peers) != 1 || s.Peers[0].State != "protected" || s.Peers[0].ClearSeconds > 1 {
					t.Errorf("%s says %+v", p.Site.Name, s.Peers)
				}
			}
		})
	}
	none()
}
