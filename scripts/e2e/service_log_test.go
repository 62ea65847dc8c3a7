package e2e

import (
	"errors"
	"strings"
	"testing"
	"time"

	"postroad/scripts/lab"
)

// In the journal each line has its priority, so that journalctl -p finds what
// needs a look; the time is the journal's alone.
func TestServiceLogsWithPriorities(t *testing.T) {
	ctx, s, none := booted(t)
	run(ctx, t, s.m.Host, "nft", "delete", "table", "inet", "postroad")
	must(t, s.m.WriteFile(lab.PeersFile, []byte("[host]\nmtu = 1\n"), 0o644))
	if s.systemctl(ctx, "reload", "postroad") == nil {
		t.Error("a broken file is in force")
	}
	journal := func(priority string) string {
		return run(ctx, t, s.m.Host, "journalctl", "-b", "-u", "postroad", "-t", "postroad", "-o", "cat", "-p", priority+".."+priority)
	}
	must(t, lab.Eventually(ctx, 10*time.Second, "the journal to have all", func() error {
		if !strings.Contains(journal("err"), `level=ERROR msg="peers file not in force" error="`+lab.PeersFile+`:2: host: mtu: 1 is out of range`) {
			return errors.New("errors: " + journal("err"))
		}
		if !strings.Contains(journal("warning"), `level=WARN msg="drift repaired" what=guard steps=1 by="nft (pid `) {
			return errors.New("warnings: " + journal("warning"))
		}
		return nil
	}))
	if got := journal("info"); !strings.HasPrefix(got, "level=INFO msg=starting ") || strings.Contains(got, "level=WARN") {
		t.Errorf("info:\n%s", got)
	}
	if got := journal("notice"); got != "" {
		t.Errorf("without a priority of ours:\n%s", got)
	}
	none()
}
