package e2e

import (
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postroad/scripts/lab"
)

// A clock that is set, forward or back, by an hour, ends no session and opens
// nothing: mail goes on both ways. Once it is right again, a host that began its
// sessions anew meanwhile is reached, and reaches others: as it may have used a
// time that is still to come, and WireGuard takes no earlier one from it
// (whitepaper, section 5.1), the other has to speak first.
func TestKernelClockIsSet(t *testing.T) {
	needBackend(t, "kernel")
	if os.Getenv("POSTROAD_TEST_CLOCK") == "" {
		t.Skip("POSTROAD_TEST_CLOCK does not say that this machine's clock may be set")
	}
	ctx, r := newRoad(t, `policy = "prefer"`, `clear_after = "1m"`)
	// Mail waits for a handshake, which comes after 15 s, and then for TCP's next try, 31 s after the first.
	patient := []string{"inet_protocols = ipv4", "smtp_connect_timeout = 90s"}
	alpha, bravo := postfix(ctx, t, r.Alpha, patient...), postfix(ctx, t, r.Bravo, patient...)
	none := watch(ctx, t, r.Standard)
	begin := time.Now()
	set := func(off time.Duration) {
		t.Helper()
		tv := unix.NsecToTimeval(begin.Add(time.Since(begin) + off).UnixNano()) // time.Since does not see the clock that we set
		must(t, unix.Settimeofday(&tv))
	}
	t.Cleanup(func() { set(0) })
	bothWays := func() {
		t.Helper()
		arrives(ctx, t, bravo, "bob@bravo.example", alpha, "alice@alpha.example", r.Bravo.IPv4)
		arrives(ctx, t, alpha, "alice@alpha.example", bravo, "bob@bravo.example", r.Alpha.IPv4)
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
			bothWays() // bravo speaks first
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
