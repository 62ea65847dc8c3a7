package e2e

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"postroad/scripts/lab"
)

// A broken file changes nothing, and everybody is told: who reloads, the log,
// and status.
func TestReloadOfBrokenFile(t *testing.T) {
	ctx, r := newRoad(t)
	before, err := r.alpha.Peer(ctx, r.Bravo.Name)
	must(t, err)
	must(t, r.alpha.Write("[host]\nmtu = 1", "colour = \"red\"", r.bravo.Block("keepalive = \"often\"")))
	wants := []string{
		"/etc/postroad/postroad.toml:2: host: mtu: 1 is out of range",
		"/etc/postroad/postroad.toml:3: host: colour: is not a known key",
		`/etc/postroad/postroad.toml:9: peer "mx.bravo.example": keepalive: "often" is not a duration`,
	}
	says := func(t *testing.T, what, text string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not say %q:\n%s", what, want, text)
			}
		}
	}
	must(t, r.alpha.Hangup())
	must(t, lab.Eventually(ctx, 5*time.Second, "status to tell", func() error {
		if s, err := r.alpha.Status(ctx); err != nil || s.File.InForce {
			return errors.Join(err, errors.New("the file is in force"))
		}
		return nil
	}))
	out, err := r.alpha.Command(ctx, "status")
	exitStatus(t, err, 1)
	if !strings.Contains(out, "NOT in force") {
		t.Errorf("status hides it:\n%s", out)
	}
	says(t, "status", out)
	says(t, "the log", strings.ReplaceAll(r.alpha.Output(), `\"`, `"`))
	_, err = r.alpha.Command(ctx, "reload")
	exitStatus(t, err, 2)
	says(t, "reload", fmt.Sprint(err))
	_, err = r.alpha.Command(ctx, "check")
	exitStatus(t, err, 2)
	says(t, "check", fmt.Sprint(err))

	after, err := r.alpha.Peer(ctx, r.Bravo.Name)
	must(t, err)
	if after.State != "protected" || !after.LastHandshake.Equal(before.LastHandshake) {
		t.Errorf("the session was disturbed: %+v, then %+v", before, after)
	}
	must(t, r.alpha.Write("[host]", r.bravo.Block()))
	out, err = r.alpha.Command(ctx, "reload")
	must(t, err)
	if !strings.Contains(out, "in force") {
		t.Errorf("reload says %q", out)
	}
	_, err = r.alpha.Command(ctx, "status")
	must(t, err)
}

// A peer that comes leaves the sessions of the others alone.
func TestReloadKeepsOtherSessions(t *testing.T) {
	ctx, r := newRoad(t)
	_, err := r.Bravo.Sink(ctx, "0.0.0.0:25")
	must(t, err)
	s := newSession(ctx, t, r.Alpha, r.Bravo.IPv4.String())
	before, err := r.alpha.Peer(ctx, r.Bravo.Name)
	must(t, err)
	charlie, err := r.Charlie.Postroad(ctx, binary)
	must(t, err)
	must(t, r.alpha.Write("[host]", r.bravo.Block(), charlie.Block("keepalive = \"5s\"")))
	must(t, r.alpha.Hangup())
	must(t, charlie.Write("[host]", r.alpha.Block()))
	must(t, charlie.Start(ctx))
	must(t, r.alpha.WaitState(ctx, r.Charlie.Name, "protected"))
	s.noop(t)
	s.answer(t)
	after, err := r.alpha.Peer(ctx, r.Bravo.Name)
	must(t, err)
	if !after.LastHandshake.Equal(before.LastHandshake) || after.Sent <= before.Sent || after.Received <= before.Received {
		t.Errorf("the session was disturbed: %+v, then %+v", before, after)
	}
	must(t, r.alpha.Write("[host]", charlie.Block("keepalive = \"5s\""))) // bravo leaves: charlie does not notice
	before, err = r.alpha.Peer(ctx, r.Charlie.Name)
	must(t, err)
	_, err = r.alpha.Command(ctx, "reload")
	must(t, err)
	after, err = r.alpha.Peer(ctx, r.Charlie.Name)
	must(t, err)
	if !after.LastHandshake.Equal(before.LastHandshake) {
		t.Errorf("removing a peer disturbed another: %+v, then %+v", before, after)
	}
}

// wantUnaltered waits until a large mail of alice's has come to bob, and fails the
// test unless it took one connection and is what was sent.
func wantUnaltered(ctx context.Context, t *testing.T, from, to *lab.Postfix, recipient, id, marker, body string) {
	t.Helper()
	must(t, lab.Eventually(ctx, time.Minute, "the mail to be sent", func() error {
		if log, err := from.Log(); err != nil || !strings.Contains(log, id+": removed") {
			return errors.Join(err, errors.New("it is not"))
		}
		return nil
	}))
	must(t, delivered(ctx, to))
	user, _, _ := strings.Cut(recipient, "@")
	mail, err := to.WaitMail(ctx, user, marker)
	must(t, err)
	_, got, _ := strings.Cut(mail, "\n\n")
	if sha256.Sum256([]byte(strings.TrimSpace(got))) != sha256.Sum256([]byte(strings.TrimSpace(body))) {
		t.Error("the mail arrived altered")
	}
	log, err := from.Log()
	must(t, err)
	if n := strings.Count(log, id+": to=<"+recipient+">"); n != 1 {
		t.Errorf("it took %d deliveries, not one connection", n)
	}
}

// delivered waits until nothing is on its way to a mailbox any more: a large
// message is in it in part before it is there as a whole.
func delivered(ctx context.Context, p *lab.Postfix) error {
	return lab.Eventually(ctx, time.Minute, "the mailbox to be written", func() error {
		log, err := p.Log()
		if queue, qErr := p.Queue(ctx); err == nil && (qErr != nil || len(queue) > 0 || !strings.Contains(log, "delivered to mailbox")) {
			err = errors.Join(qErr, errors.New("a message is under way"))
		}
		return err
	})
}

// largeBody is text that does not compress, in lines that need no rewriting.
func largeBody(size int) string {
	raw := make([]byte, 57)
	var b strings.Builder
	for b.Len() < size {
		rand.Read(raw)
		b.WriteString(base64.StdEncoding.EncodeToString(raw))
		b.WriteByte('\n')
	}
	return b.String()
}

func sealedBytes(ctx context.Context, t *testing.T, r *road) uint64 {
	t.Helper()
	_, n, err := r.Sealed(ctx)
	must(t, err)
	return n
}

// more waits until that many bytes were through the tunnel.
func more(ctx context.Context, r *road, want uint64, timeout time.Duration) error {
	return lab.Eventually(ctx, timeout, "the mail to go on", func() error {
		_, n, err := r.Sealed(ctx)
		if err == nil && n < want {
			err = fmt.Errorf("%d bytes of %d are through", n, want)
		}
		return err
	})
}

// Any WireGuard can be a peer: here an older build of another origin, set up by
// hand with wg and ip.
func TestStockWireGuardAsPeer(t *testing.T) {
	ctx, l := newLab(t)
	alpha, err := l.Alpha.Postroad(ctx, binary)
	must(t, err)
	private := run(ctx, t, l.Bravo.Host, "wg", "genkey")
	psk := run(ctx, t, l.Bravo.Host, "wg", "genpsk")
	must(t, l.Bravo.WriteFile("/etc/wg.key", []byte(private), 0o600))
	must(t, l.Bravo.WriteFile("/etc/wg.psk", []byte(psk), 0o600))
	must(t, l.Alpha.WriteFile("/etc/postroad/bravo.psk", []byte(psk), 0o600))
	public := run(ctx, t, l.Bravo.Host, "sh", "-c", "wg pubkey </etc/wg.key")
	run(ctx, t, l.Bravo.Host, "sh", "-c", fmt.Sprintf(`
		WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD=1 wireguard-go wg0 >/dev/null 2>&1 || exit
		wg set wg0 private-key /etc/wg.key listen-port 4711 peer %s preshared-key /etc/wg.psk \
			allowed-ips %s/32,%s/128 endpoint %s:51825
		ip link set wg0 up mtu 1420
		for f in -4 -6; do for p in sport dport; do ip $f rule add ipproto tcp $p 25 lookup 77; done; done
		ip route add %s dev wg0 src %s table 77
		ip route add %s dev wg0 src %s table 77`,
		alpha.Key, l.Alpha.IPv4, l.Alpha.IPv6, l.Alpha.IPv4, l.Alpha.IPv4, l.Bravo.IPv4, l.Alpha.IPv6, l.Bravo.IPv6))
	must(t, alpha.Write("[host]\nports = [25]", fmt.Sprintf(`[[peer]]
name = "stock.example"
public_key = %q
addresses = [%q, %q]
endpoint = "mx.bravo.example:4711"
preshared_key_file = "/etc/postroad/bravo.psk"`, public, l.Bravo.IPv4, l.Bravo.IPv6)))
	must(t, alpha.Start(ctx))
	must(t, alpha.WaitState(ctx, "stock.example", "protected"))
	none := watch(ctx, t, l)
	a, b := postfix(ctx, t, l.Alpha), postfix(ctx, t, l.Bravo)
	for _, v6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("v6=%v", v6), func(t *testing.T) {
			deliver(ctx, t, a, l.Alpha, "alice", b, l.Bravo, "bob", v6, 25)
			deliver(ctx, t, b, l.Bravo, "bob", a, l.Alpha, "alice", v6, 25)
		})
	}
	none()
}
