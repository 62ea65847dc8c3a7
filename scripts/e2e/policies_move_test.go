package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postroad/scripts/lab"
)

// TestPoliciesAsPeersComeAndGo has alpha prefer bravo and latch charlie. Both come:
// mail moves into the tunnel, open connections too. Both go, and alpha reboots: mail
// waits, and goes back to clear with bravo after clear_after, and never with charlie.
func TestPoliciesAsPeersComeAndGo(t *testing.T) {
	t.Parallel()
	l := newPolicyLab(t)
	charlie, err := l.Charlie.Postroad(l.ctx, binary)
	must(t, err)
	listen(l.ctx, t, l.Charlie, "25")
	must(t, l.alpha.Write("[host]\nclear_after = \"30s\"", l.bravo.Block(`policy = "prefer"`), charlie.Block(`policy = "latch"`)))
	must(t, l.bravo.Write("[host]\npolicy = \"prefer\"", l.alpha.Block()))
	must(t, charlie.Write("[host]\npolicy = \"prefer\"", l.alpha.Block()))

	must(t, l.alpha.Start(l.ctx))
	l.wantClear(t, l.Bravo, l.Charlie)
	l.mail(t, inClear)
	if !reach(l.ctx, l.Alpha, l.Charlie.IPv4.String(), "25") || !reach(l.ctx, l.Charlie, l.Alpha.IPv6.String(), "25") {
		t.Fatal("charlie is not reached in clear")
	}

	talks := l.talks(t)
	began := time.Now()
	must(t, l.bravo.Start(l.ctx))
	must(t, charlie.Start(l.ctx))
	for _, site := range []*lab.Site{l.Bravo, l.Charlie} {
		must(t, l.alpha.WaitState(l.ctx, site.Name, inTunnel))
	}
	must(t, l.bravo.WaitState(l.ctx, l.Alpha.Name, inTunnel))
	t.Logf("figure: from the start of a peer's daemon to all in the tunnel: %s", time.Since(began).Round(time.Millisecond))
	for _, talk := range talks {
		must(t, talk.more(l.ctx, 1)) // what was on its way is there
	}
	l.counted(t)
	for _, talk := range talks {
		must(t, talk.more(l.ctx, 5))
	}
	if n := l.counted(t); n["alpha"]+n["bravo"]+n["charlie"] > 0 {
		t.Errorf("open connections go on in clear: %v", n)
	}
	for _, talk := range talks {
		must(t, talk.end())
	}
	must(t, l.quiet())

	l.away(t, []*lab.Postroad{l.bravo, charlie})
	must(t, l.alpha.Kill())
	forget(l.ctx, t, l.Alpha.Host)
	l.counted(t)
	must(t, l.alpha.Start(l.ctx)) // as after a reboot
	l.mail(t, waits)
	if n := l.counted(t); n["alpha"]+n["bravo"]+n["charlie"] > 0 {
		t.Errorf("packets in clear right after the start: %v", n)
	}
	check(t, lab.Eventually(l.ctx, 45*time.Second, "bravo to be given up", func() error {
		return l.clear(l.Bravo)
	}))
	l.mail(t, inClear)
	if n := l.counted(t); n["alpha"] == 0 || n["bravo"] == 0 || n["charlie"] > 0 {
		t.Errorf("packets in clear when bravo is given up: %v", n)
	}
	l.stillLatched(t)
	l.tells(t)
}

// wantClear waits until mail with sites flows in clear by policy.
func (l *policyLab) wantClear(t *testing.T, sites ...*lab.Site) {
	t.Helper()
	for _, site := range sites {
		must(t, lab.Eventually(l.ctx, 5*time.Second, site.Name+" to be in clear by policy", func() error { return l.clear(site) }))
	}
}

func (l *policyLab) clear(site *lab.Site) error {
	s, err := l.alpha.Peer(l.ctx, site.Name)
	if err == nil && (s.State != inClear || !s.ByPolicy || !strings.HasPrefix(s.Reason, "policy ")) {
		err = fmt.Errorf("it is %+v", s)
	}
	return err
}

// stillLatched looks whether charlie is closed, both ways.
func (l *policyLab) stillLatched(t *testing.T) {
	t.Helper()
	s, err := l.alpha.Peer(l.ctx, l.Charlie.Name)
	must(t, err)
	if !s.Latched || s.State != waits || reach(l.ctx, l.Alpha, l.Charlie.IPv4.String(), "25") || reach(l.ctx, l.Charlie, l.Alpha.IPv6.String(), "25") {
		t.Errorf("charlie is not latched: %+v", s)
	}
	if n := l.counted(t); n["charlie"] > 0 {
		t.Errorf("%d packets to charlie in clear", n["charlie"])
	}
}

// tells looks whether everybody is told that mail is in clear, and since when.
func (l *policyLab) tells(t *testing.T) {
	t.Helper()
	_, err := l.alpha.Command(l.ctx, "status")
	exitStatus(t, err, 1)
	s, err := l.alpha.Peer(l.ctx, l.Bravo.Name)
	must(t, err)
	if s.ClearSeconds <= 0 || s.ClearSeconds > 60*float64(lab.Patience()) {
		t.Errorf("in clear for %v s", s.ClearSeconds)
	}
	for _, words := range [][]string{{"status", l.Bravo.Name}, {"metrics"}, {"doctor", l.Bravo.Name}} {
		out, _ := l.alpha.Command(l.ctx, words...)
		want := map[string]string{
			"status":  "SMTP with mx.bravo.example flows IN CLEAR: policy prefer: it has not answered yet",
			"metrics": `postroad_peer_clear_by_policy{peer="mx.bravo.example"} 1`,
			"doctor":  "warning: mx.bravo.example: SMTP with it flows IN CLEAR, as its policy \"prefer\" says: it does not answer [policy]",
		}[words[0]]
		if !strings.Contains(out, want) || strings.Contains(out, "problem: mx.bravo.example") {
			t.Errorf("%s says\n%s\nand not %q", words, out, want)
		}
	}
	if want := `level=WARN msg="peer clear" peer=mx.bravo.example state=clear reason="policy prefer: it has not answered yet" was=waiting`; !strings.Contains(l.alpha.Output(), want) {
		t.Errorf("no line %q in the log", want)
	}
	if strings.Contains(l.alpha.Output(), "level=ERROR") {
		t.Error("errors in the log")
	}
}

// A talk is an SMTP connection on which one side says something all the time.
type talk struct {
	name    string
	answers atomic.Int64
	stop    context.CancelFunc
	ended   chan struct{}
	err     error // why it ended; to be read when ended is closed
}

// talks begins one between alpha and bravo for each way and family.
func (l *policyLab) talks(t *testing.T) (all []*talk) {
	t.Helper()
	for _, way := range [][2]*lab.Site{{l.Alpha, l.Bravo}, {l.Bravo, l.Alpha}} {
		for _, v6 := range []bool{false, true} {
			s := newSession(l.ctx, t, way[0], way[1].Addr(v6).String())
			ctx, stop := context.WithCancel(l.ctx)
			one := &talk{name: fmt.Sprintf("from %s, v6 %v", way[0].Name, v6), stop: stop, ended: make(chan struct{})}
			go func() {
				defer close(one.ended)
				one.err = one.run(ctx, s.in, s.out)
			}()
			all = append(all, one)
		}
	}
	return all
}

// run says NOOP, and takes the answer, until ctx ends; then QUIT.
func (k *talk) run(ctx context.Context, in io.Writer, out *bufio.Reader) error {
	for word := "NOOP"; ; time.Sleep(50 * time.Millisecond) {
		if ctx.Err() != nil {
			word = "QUIT"
		}
		if _, err := io.WriteString(in, word+"\r\n"); err != nil {
			return fmt.Errorf("the connection %s: %w", k.name, err)
		}
		if line, err := out.ReadString('\n'); err != nil || line[0] != '2' {
			return fmt.Errorf("the connection %s: answer %q, %w", k.name, line, err)
		}
		if k.answers.Add(1); word == "QUIT" {
			return in.(io.Closer).Close()
		}
	}
}

// more waits for n answers from now on.
func (k *talk) more(ctx context.Context, n int64) error {
	want := k.answers.Load() + n
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	return lab.Eventually(ctx, 20*time.Second, "answers on the connection "+k.name, func() error {
		select {
		case <-k.ended:
			cancel(k.err)
		default:
		}
		if have := k.answers.Load(); have < want {
			return fmt.Errorf("there are %d, want %d", have, want)
		}
		return nil
	})
}

func (k *talk) end() error {
	k.stop()
	<-k.ended
	return k.err
}
