package e2e

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"postroad/scripts/lab"
)

// top, in a terminal and with a daemon, as its user sees it: the peer, its
// traffic, a daemon that goes and comes back, a window that gets small; and the
// shell as it was, whichever way top ends.
func TestUserspaceTop(t *testing.T) {
	needBackend(t, "userspace")
	ctx, r := newRoad(t)
	_, err := r.Bravo.Sink(ctx, "0.0.0.0:25")
	must(t, err)
	term := openTop(ctx, t, r.Alpha)
	shows := func(what ...string) {
		t.Helper()
		must(t, term.Wait(ctx, 15*time.Second, "top to show "+strings.Join(what, ", "), func(screen string) error {
			for _, w := range what {
				if !regexp.MustCompile(w).MatchString(screen) {
					return fmt.Errorf("no %q", w)
				}
			}
			return nil
		}))
	}
	peer := regexp.QuoteMeta(r.Bravo.Name) + " +"
	shows("All SMTP with peers goes through the tunnel", peer+"protected .* [▁▂▃]*▁ +0 ")

	must(t, r.Alpha.Source(ctx, "-m", "5", "-l", "1000000", r.Bravo.IPv4.String()+":25"))
	shows(peer + "protected .*█")
	shows(peer + "protected .*█[▂▃▄▅▆▇█]*▁+ +0 ") // and it is over
	newSession(ctx, t, r.Alpha, r.Bravo.IPv4.String())
	shows("1 peer, 1 SMTP connection,", peer+"protected .* 1 ")

	must(t, r.alpha.Kill())
	shows(`NO ANSWER for \d+s \(postroad is not running\)`, peer)
	must(t, r.alpha.Start(ctx))
	shows("All SMTP with peers goes through the tunnel", peer+"protected")
	must(t, term.Resize(ctx, 40, 10))
	shows(`(?m)^▸ \S+ +protected .{0,20}$`, "q quit")

	for _, end := range []func() error{
		func() error { return term.Press(ctx, "q") },
		func() error { return term.Press(ctx, "C-c") },
		func() error { _, err := r.Alpha.Run(ctx, "sh", "-c", "kill -TERM $(cat /run/top.pid)"); return err },
	} {
		must(t, end())
		shows(`(?m)^status=0$`, `(?m)^restored$`)
		if got, err := term.Ask(ctx, "#{alternate_on} #{cursor_flag}"); err != nil || got != "0 1" {
			t.Errorf("alternate screen and cursor are %q, %v", got, err)
		}
		must(t, term.Type(ctx, "clear; top"))
		shows("All SMTP with peers", "q quit")
	}
}

// openTop starts top in a shell that tells how it ended and whether the
// terminal's settings are what they were.
func openTop(ctx context.Context, t *testing.T, site *lab.Site) *lab.Terminal {
	t.Helper()
	must(t, site.WriteFile("/run/bin/top", []byte(`#!/bin/sh
before=$(stty -g)
sh -c 'echo $$ >/run/top.pid; exec postroad top'
echo status=$?
[ "$(stty -g)" != "$before" ] || echo restored
`), 0o755))
	term, err := site.Terminal(ctx, 100, 24)
	must(t, err)
	must(t, term.Type(ctx, "top"))
	return term
}
