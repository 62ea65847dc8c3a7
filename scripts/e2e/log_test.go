package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"postroad/scripts/lab"
)

// logs waits until a daemon's log has a line that a pattern matches.
func logs(ctx context.Context, p *lab.Proc, pattern string) error {
	re := regexp.MustCompile("(?m)" + pattern)
	return lab.Eventually(ctx, 45*time.Second, pattern, func() error {
		if !re.MatchString(p.Output()) {
			return fmt.Errorf("it says:\n%s", p.Output())
		}
		return nil
	})
}

// What others change is repaired, and told with what it was and who did it; what
// the daemon does itself is nobody's fault.
func TestLogSaysWhoChangedWhat(t *testing.T) {
	ctx, r := newRoad(t)
	run(ctx, t, r.Alpha.Host, "nft", "add", "table", "inet", "other")
	must(t, inPlace(ctx, r.alpha))
	if out := r.alpha.Output(); strings.Contains(out, "drift") || !strings.Contains(out, `msg="changes applied" steps=`) {
		t.Errorf("nothing of ours was changed, and the log says:\n%s", out)
	}
	run(ctx, t, r.Alpha.Host, "nft", "delete", "table", "inet", "postroad")
	must(t, logs(ctx, r.alpha.Proc, `level=WARN msg="drift repaired" what=guard steps=1 by="nft \(pid \d+\)"$`))
	run(ctx, t, r.Alpha.Host, "ip", "rule", "del", "priority", "2510") // flush uses a second socket, whose process is not known
	must(t, logs(ctx, r.alpha.Proc, `level=WARN msg="drift repaired" what=rule steps=1 by="(ip \(pid \d+\)|pid \d+)"$`))
	must(t, inPlace(ctx, r.alpha))
}

// A reload tells what the file changes, and what is wrong with one.
func TestLogTellsReloads(t *testing.T) {
	ctx, r := newRoad(t)
	must(t, r.alpha.Write("[host]\nmtu = 1380", r.bravo.Block("keepalive = \"25s\""),
		"[[peer]]\nname = \"third.example\"\npublic_key = \"hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=\"\naddresses = [\"192.0.2.99\"]"))
	_, err := r.alpha.Command(ctx, "reload")
	must(t, err)
	must(t, logs(ctx, r.alpha.Proc, `level=INFO msg="peers file in force" peers=2 added=third.example changed="`+r.Bravo.Name+` \(keepalive\)" host=mtu$`))
	must(t, r.alpha.Write("[host]\nmtu = 1"))
	must(t, r.alpha.Hangup())
	must(t, logs(ctx, r.alpha.Proc, `level=ERROR msg="peers file not in force" error="`+lab.PeersFile+`:2: host: mtu: 1 is out of range`))
	if strings.Contains(r.alpha.Output(), "drift") {
		t.Errorf("a reload is told as somebody's drift:\n%s", r.alpha.Output())
	}
}

// Refused packets are counted in the log, the first of them within one look.
func TestLogCountsRefusedPackets(t *testing.T) {
	ctx, r := newRoad(t)
	must(t, r.bravo.Kill())
	run(ctx, t, r.Bravo.Host, "sh", "-c", "nft flush ruleset; ip rule flush table 2525; ip -6 rule flush table 2525")
	reach(ctx, r.Bravo, r.Alpha.IPv4.String(), "25")
	must(t, logs(ctx, r.alpha.Proc, `level=WARN msg="clear packets refused" peer=`+r.Bravo.Name+` direction=in count=[1-9]`))
}

// In JSON every line is one value, of standard keys; at a higher level there are
// fewer. Why it does not start is in lines of the same kind.
func TestLogJSON(t *testing.T) {
	ctx, l, alpha := newHalfRoad(t)
	p, err := l.Alpha.Host.Start("postroad", "run", "--log-format", "json", "--log-level", "debug")
	must(t, err)
	must(t, logs(ctx, p, `"level":"DEBUG","msg":"applied","step":"put guard in place`))
	must(t, logs(ctx, p, `"msg":"ready: `))
	must(t, p.Kill())
	must(t, alpha.Write("[host]\nmtu = 1"))
	broken, err := l.Alpha.Host.Start("postroad", "run", "--log-format", "json", "--log-level", "error")
	must(t, err)
	must(t, logs(ctx, broken, `"level":"ERROR","msg":"not running","error":"`+lab.PeersFile+`:2: host: mtu`))
	<-broken.Exited()
	for line := range strings.Lines(p.Output() + broken.Output()) {
		var v struct{ Time, Level, Msg string }
		if err := json.Unmarshal([]byte(line), &v); err != nil || v.Time == "" || v.Level == "" || v.Msg == "" {
			t.Errorf("%v: %s", err, line)
		}
	}
	if strings.Count(broken.Output(), "\n") != 1 {
		t.Errorf("at level error it says more:\n%s", broken.Output())
	}
}
