package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postroad/scripts/lab"
)

// A session is an SMTP connection that stays open.
type session struct {
	in  io.Writer
	out *bufio.Reader
}

// newSession connects to port 25 of a site and reads its greeting.
func newSession(ctx context.Context, t *testing.T, from *lab.Site, to string) *session {
	t.Helper()
	cmd := from.Command(ctx, "nc", "-n", to, "25")
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	s := &session{in, bufio.NewReader(out)}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	s.answer(t)
	return s
}

func (s *session) noop(t *testing.T) {
	t.Helper()
	_, err := io.WriteString(s.in, "NOOP\r\n")
	must(t, err)
}

func (s *session) answer(t *testing.T) {
	t.Helper()
	line, err := s.out.ReadString('\n')
	if err != nil || line[0] != '2' {
		t.Fatalf("answer %q, %v", line, err)
	}
}

// A socket remembers the route it last used. One that sent while a layer was
// missing must not go on to use what it learnt then, when that layer is back
// and the other one goes.
func TestOpenConnectionsForgetTheWayInClear(t *testing.T) {
	ctx, r := newRoad(t)
	for _, addr := range []string{"0.0.0.0:25", "[::]:25"} {
		_, err := r.Bravo.Sink(ctx, addr)
		must(t, err)
	}
	for _, damage := range []string{"the routing table", "all rules"} {
		for _, v6 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/v6=%v", damage, v6), func(t *testing.T) {
				s := newSession(ctx, t, r.Alpha, r.Bravo.Addr(v6).String())
				w, err := r.WatchClear(ctx)
				must(t, err)
				must(t, r.alpha.Signal(unix.SIGSTOP))
				run(ctx, t, r.Alpha.Host, damages(r.Bravo)[damage]...)
				s.noop(t) // refused by the guard
				must(t, refusals(ctx, r))
				must(t, r.alpha.Signal(unix.SIGCONT))
				must(t, inPlace(ctx, r.alpha))

				must(t, r.alpha.Signal(unix.SIGSTOP))
				run(ctx, t, r.Alpha.Host, "nft", "flush", "ruleset")
				s.noop(t)
				clear := lab.Eventually(ctx, time.Second, "a clear packet", func() error {
					if n, err := w.Clear(ctx); err != nil || n == 0 {
						return errors.Join(err, errors.New("there is none"))
					}
					return nil
				})
				must(t, r.alpha.Signal(unix.SIGCONT))
				if clear == nil {
					t.Errorf("packets in clear:\n%s", w.Tell(ctx, 5))
				}
				s.answer(t)
				s.answer(t)
				must(t, inPlace(ctx, r.alpha))
				if n, err := w.Finish(ctx); err != nil || n > 0 {
					t.Errorf("%d packets in clear (%v)", n, err)
				}
			})
		}
	}
}

// A command that looks at WireGuard in a daemon that hangs says so, and ends.
func TestUserspacePlanBesideAHangingDaemon(t *testing.T) {
	needBackend(t, "userspace")
	ctx, r := newRoad(t)
	must(t, r.alpha.Signal(unix.SIGSTOP))
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	out, err := r.alpha.Command(limited, "plan")
	if limited.Err() != nil || err == nil || !strings.Contains(err.Error(), "hangs") {
		t.Errorf("it says %q, %v", out, err)
	}
	must(t, r.alpha.Signal(unix.SIGCONT))
	must(t, inPlace(ctx, r.alpha))
}

// refusals waits until the guard on alpha has stopped something.
func refusals(ctx context.Context, r *road) error {
	return lab.Eventually(ctx, 5*time.Second, "a refusal", func() error {
		out, err := r.Alpha.Run(ctx, "sh", "-c", "nft list table inet postroad | grep -c 'packets [1-9]'")
		if out == "0\n" {
			err = errors.New("the counters are at zero")
		}
		return err
	})
}
