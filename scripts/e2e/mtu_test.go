package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postroad/scripts/lab"
)

// A longRoad is a road with a wire in its middle that takes less than both ends
// see, between routers that say nothing of it and pass no fragments.
type longRoad struct {
	*road
	middle  *lab.Link
	postfix *lab.Postfix // alpha's
	exim    *lab.Exim    // bravo's
	mails   int
}

// silent has a router drop what would tell of the path's size, and fragments. It
// counts those, and what of the embedded device's it could fragment.
const silent = `table inet silent {
	counter fragments { }
	counter divisible { }
	chain tell {
		type filter hook output priority 0
		icmp type destination-unreachable icmp code frag-needed drop
		icmpv6 type packet-too-big drop
	}
	chain pass {
		type filter hook forward priority 0
		icmp type destination-unreachable icmp code frag-needed drop
		icmpv6 type packet-too-big drop
		ip frag-off & 0x3fff != 0 counter name fragments drop
		exthdr frag exists counter name fragments drop
		udp dport 51825 ip frag-off & 0x4000 == 0 counter name divisible
	}
	chain slow {
		type filter hook forward priority 10
	}
}
`

// talkative turns a silent router into one that does as the RFCs want.
const talkative = `flush chain inet silent tell
flush chain inet silent pass
add rule inet silent pass ip frag-off & 0x3fff != 0 counter name fragments
add rule inet silent pass exthdr frag exists counter name fragments
`

// newLongRoad boots one whose tunnel runs over a family, with no daemon yet.
func newLongRoad(t *testing.T, v6 bool) (context.Context, *longRoad) {
	t.Helper()
	ctx, l := newLab(t)
	r := &longRoad{road: &road{Standard: l}}
	var err error
	r.middle, err = l.Lengthen(ctx, l.Bravo)
	must(t, err)
	for _, w := range []*lab.Link{l.Alpha.Link, l.Bravo.Link} {
		must(t, w.SetMTU(ctx, 9000))
	}
	r.rule(ctx, t, silent)
	r.alpha, err = l.Alpha.Postroad(ctx, binary)
	must(t, err)
	r.bravo, err = l.Bravo.Postroad(ctx, binary)
	must(t, err)
	endpoint := func(s *lab.Site) string {
		return fmt.Sprintf("endpoint = %q\n", netip.AddrPortFrom(s.Addr(v6), lab.TunnelPort))
	}
	must(t, r.alpha.Write("[host]\n", r.bravo.Block(endpoint(l.Bravo))))
	must(t, r.bravo.Write("[host]\n", r.alpha.Block(endpoint(l.Alpha))))
	t.Cleanup(func() {
		for _, p := range []*lab.Postroad{r.alpha, r.bravo} {
			if t.Failed() && p.Proc != nil {
				t.Logf("%s:\n%s", p.Site.Name, p.Output())
			}
		}
	})
	r.postfix = postfix(ctx, t, l.Alpha, "message_size_limit = 0", "smtp_tls_security_level = none")
	r.exim, err = l.Bravo.Exim(ctx, lab.EximNoTLS)
	must(t, err)
	return ctx, r
}

// rule has both routers follow nft rules.
func (r *longRoad) rule(ctx context.Context, t *testing.T, rules string) {
	t.Helper()
	for _, h := range []*lab.Host{r.Router, r.middle.Host} {
		run(ctx, t, h, "sh", "-c", "nft -f - <<'X'\n"+rules+"X")
	}
}

// restart starts both daemons anew: none of them knows anything of the path.
func (r *longRoad) restart(ctx context.Context, t *testing.T) {
	t.Helper()
	for _, p := range []*lab.Postroad{r.alpha, r.bravo} {
		if p.Proc != nil {
			must(t, p.Stop(ctx, unix.SIGTERM))
		}
		must(t, p.Start(ctx))
	}
}

// mail sends large mail from alpha to bravo and back, over a family inside the
// tunnel. The function it returns waits until all of it is there.
func (r *longRoad) mail(ctx context.Context, t *testing.T, v6 bool, size int) (arrives func()) {
	t.Helper()
	r.mails++
	end := fmt.Sprintf("end-of-mail-%d", r.mails)
	body := largeBody(size) + end
	must(t, r.postfix.Set(ctx, route(r.Bravo, v6, 25)...))
	must(t, r.exim.Set(ctx, lab.EximNoTLS, lab.EximRoute(r.Alpha.Addr(v6).String(), 25)))
	_, err := r.postfix.Send(ctx, "alice@alpha.example", "bob@bravo.example", end, body)
	must(t, err)
	_, err = r.exim.Send(ctx, "bob@bravo.example", "alice@alpha.example", end, body)
	must(t, err)
	return func() {
		t.Helper()
		for user, s := range map[string]lab.MailServer{"bob": r.exim, "alice": r.postfix} {
			_, err := s.WaitMail(ctx, user, "\n"+end)
			must(t, err)
		}
	}
}

// wantMTU waits until both sides have found what gets through.
func (r *longRoad) wantMTU(ctx context.Context, t *testing.T, want int) {
	t.Helper()
	for p, peer := range map[*lab.Postroad]string{r.alpha: r.Bravo.Name, r.bravo: r.Alpha.Name} {
		must(t, lab.Eventually(ctx, 40*time.Second, fmt.Sprintf("%d bytes on %s", want, p.Site.Name), func() error {
			s, err := p.Peer(ctx, peer)
			if err == nil && (s.MTU != want || s.MTUMeasured.IsZero()) {
				err = fmt.Errorf("it is %d, measured %s, silent %v", s.MTU, s.MTUMeasured, s.MTUSilent)
			}
			return err
		}))
	}
}

// count returns what both routers have counted.
func (r *longRoad) count(ctx context.Context, t *testing.T, counter string) (packets int) {
	t.Helper()
	for _, h := range []*lab.Host{r.Router, r.middle.Host} {
		out := run(ctx, t, h, "nft", "list", "counter", "inet", "silent", counter)
		_, after, _ := strings.Cut(out, "packets ")
		var n int
		if _, err := fmt.Sscan(after, &n); err != nil {
			t.Fatal(out, err)
		}
		packets += n
	}
	return packets
}

// shrink makes the path smaller while a mail is under way.
func (r *longRoad) shrink(ctx context.Context, t *testing.T, path int, v6 bool) (arrives func()) {
	t.Helper()
	const size = 4 << 20
	run(ctx, t, r.Router, "nft", "add rule inet silent slow limit rate over 1 mbytes/second burst 200 kbytes drop")
	begin := sealedBytes(ctx, t, r.road)
	arrives = r.mail(ctx, t, v6, size)
	must(t, more(ctx, r.road, begin+300<<10, 10*time.Second))
	must(t, r.middle.SetMTU(ctx, path))
	if sealedBytes(ctx, t, r.road) > begin+size {
		t.Error("the mail was through before the path shrank")
	}
	run(ctx, t, r.Router, "nft", "flush chain inet silent slow")
	return arrives
}

// Large mail gets through paths of every size from the first moment, although no
// router says what it takes; both sides find the size that fits, routers have
// nothing to fragment, and a path that shrinks under a mail does not keep it: not
// at all where routers tell, for then our host fragments until it is measured.
func TestPathMTU(t *testing.T) {
	outers := []struct {
		v6   bool
		fits map[int]int // path to what fits inside
	}{
		{false, map[int]int{1280: 1216, 1400: 1328, 1492: 1424, 9000: 8928}},
		{true, map[int]int{1280: 1200, 1400: 1312, 1492: 1408, 9000: 8912}},
	}
	if emulated() {
		outers = outers[:1]
	}
	for _, outer := range outers {
		t.Run(fmt.Sprintf("outer v6=%v", outer.v6), func(t *testing.T) {
			if !emulated() {
				t.Parallel()
			}
			ctx, r := newLongRoad(t, outer.v6)
			none := watch(ctx, t, r.Standard)
			paths := []int{1280, 1492, 9000}
			if emulated() { // each takes minutes
				paths = []int{1492}
			}
			for _, path := range paths {
				must(t, r.middle.SetMTU(ctx, path))
				r.restart(ctx, t)
				for _, v6 := range []bool{false, true} {
					r.mail(ctx, t, v6, 2<<20)()
				}
				r.wantMTU(ctx, t, outer.fits[path])
				r.mail(ctx, t, outer.v6, 2<<20)()
			}
			if n := r.count(ctx, t, "fragments"); n != 0 {
				t.Errorf("%d packets were fragmented", n)
			}
			if n := r.count(ctx, t, "divisible"); n != 0 && lab.Backend() == "userspace" {
				t.Errorf("%d packets of the tunnels could have been fragmented", n)
			}
			if emulated() { // what follows needs a mail that takes its time, but not minutes
				none()
				return
			}
			r.shrink(ctx, t, 1400, outer.v6)()
			r.wantMTU(ctx, t, outer.fits[1400])

			r.rule(ctx, t, talkative)
			before := r.count(ctx, t, "fragments")
			r.shrink(ctx, t, 1280, outer.v6)()
			if n := r.count(ctx, t, "fragments"); n == before {
				t.Error("nothing was sent in fragments after a router had told of the path")
			}
			r.wantMTU(ctx, t, outer.fits[1280])
			none()
		})
	}
}
