// Package e2e tests postroad from the outside: the real binary on mail hosts in
// namespaces, real Postfix, and a capture on the wire between them.
package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postroad/scripts/lab"
)

// mustRun turns every skip into a failure; the test command sets it.
const mustRun = "POSTROAD_TEST_ROOT"

var binary string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

// testMain builds the daemon as it ships, unless POSTROAD_BINARY names one.
func testMain(m *testing.M) int {
	if binary = os.Getenv("POSTROAD_BINARY"); binary == "" {
		dir, err := os.MkdirTemp("", "postroad-e2e")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "postroad")
		build := exec.Command("go", "build", "-o", binary, "postroad/cmd/postroad")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the daemon: %v\n%s", err, out)
			return 1
		}
	}
	return m.Run()
}

// needBackend ends a test of one backend where another one is tested. The test
// command leaves such tests out by name, and takes a skip for a failure.
func needBackend(t *testing.T, want string) {
	t.Helper()
	if got := lab.Backend(); got != want {
		t.Skipf("POSTROAD_BACKEND is %s, not %s", got, want)
	}
}

// emulated says whether the tests run on a machine without processors of its own,
// where all takes many times as long, and less has to do.
func emulated() bool { return lab.Patience() > 2 }

// rounds is how often to try something: less often on a machine that is slow.
func rounds(n int) int { return max(1, n/min(3, int(lab.Patience()))) }

// newLab boots the standard layout, and ends the test where that cannot be.
func newLab(t *testing.T) (context.Context, *lab.Standard) {
	t.Helper()
	return boot(t, lab.NewStandard)
}

// boot boots a layout.
func boot(t *testing.T, layout func(context.Context) (*lab.Standard, error)) (context.Context, *lab.Standard) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute*lab.Patience())
	t.Cleanup(cancel)
	l, err := layout(ctx)
	if err != nil {
		if os.Getenv(mustRun) != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(func() { check(t, l.Close()) })
	return ctx, l
}

// A road is a lab whose alpha and bravo are peers.
type road struct {
	*lab.Standard
	alpha, bravo *lab.Postroad
}

// newRoad boots a lab and lays the road between alpha and bravo. Whatever the
// daemons said is shown when the test fails.
func newRoad(t *testing.T, host ...string) (context.Context, *road) {
	t.Helper()
	ctx, l := newLab(t)
	return ctx, pave(ctx, t, l, host...)
}

// pave lays the road in a lab.
func pave(ctx context.Context, t *testing.T, l *lab.Standard, host ...string) *road {
	t.Helper()
	r := &road{Standard: l}
	var err error
	r.alpha, r.bravo, err = l.Pave(ctx, binary, host...)
	t.Cleanup(func() {
		for _, p := range []*lab.Postroad{r.alpha, r.bravo} {
			if t.Failed() && p != nil && p.Proc != nil {
				t.Logf("%s:\n%s", p.Site.Name, p.Output())
			}
		}
	})
	must(t, err)
	for _, p := range []*lab.Postroad{r.alpha, r.bravo} {
		if s, err := p.Status(ctx); err != nil || s.Backend != lab.Backend() {
			t.Fatalf("the backend of %s is %q, want %q (%v)", p.Site.Name, s.Backend, lab.Backend(), err)
		}
	}
	return r
}

// newHalfRoad boots a lab where alpha is about to run postroad, with bravo for a
// peer that has none.
func newHalfRoad(t *testing.T, host ...string) (context.Context, *lab.Standard, *lab.Postroad) {
	t.Helper()
	ctx, l := newLab(t)
	alpha, err := l.Alpha.Postroad(ctx, binary)
	must(t, err)
	bravo, err := l.Bravo.Postroad(ctx, binary)
	must(t, err)
	must(t, alpha.Write("[host]\n"+strings.Join(host, "\n"), bravo.Block()))
	return ctx, l, alpha
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run runs a program on a host and returns its trimmed output.
func run(ctx context.Context, t *testing.T, h *lab.Host, words ...string) string {
	t.Helper()
	out, err := h.Run(ctx, words[0], words[1:]...)
	must(t, err)
	return strings.TrimSpace(out)
}

// watch looks for clear SMTP from now on; the function it returns ends the
// test's claim that there was none.
func watch(ctx context.Context, t *testing.T, l *lab.Standard, ports ...int) (none func()) {
	t.Helper()
	w, err := l.WatchClear(ctx, ports...)
	must(t, err)
	return func() {
		t.Helper()
		n, err := w.Finish(ctx)
		must(t, err)
		if n != 0 {
			t.Errorf("%d packets of SMTP in clear on the wire:\n%s", n, w.Tell(ctx, 20))
		}
	}
}

// inPlace waits until the kernel has all that the peers file wants, at most as
// long as the promise is.
func inPlace(ctx context.Context, p *lab.Postroad) error {
	return lab.Eventually(ctx, time.Second, "all to be in place on "+p.Site.Name, func() error {
		out, err := p.Command(ctx, "plan")
		if err == nil && out != "nothing to change\n" {
			err = fmt.Errorf("there is still to do: %s", out)
		}
		return err
	})
}

// eventuallySays waits for words in a daemon's log.
func eventuallySays(ctx context.Context, p *lab.Proc, words string) error {
	return lab.Eventually(ctx, 10*time.Second, words, func() error {
		if !strings.Contains(p.Output(), words) {
			return fmt.Errorf("it says: %s", p.Output())
		}
		return nil
	})
}
