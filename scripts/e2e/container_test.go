package e2e

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postroad/scripts/lab"
)

// published are the ports of a mail server's container, and one that is no
// business of peers.
var published = map[uint16]uint16{25: 2525, 587: 2587, 8080: 80}

// contain puts a mail server into a container of alpha's, and returns the
// container as if it were alpha.
func contain(ctx context.Context, t *testing.T, r *road, e lab.Engine, settings ...string) (*lab.Site, *lab.Postfix) {
	t.Helper()
	inside := behind(ctx, t, r)
	must(t, r.Alpha.Publish(ctx, e, inside.Host, published))
	p := postfix(ctx, t, inside, settings...)
	run(ctx, t, inside.Host, "postconf", "-Me", "2525/inet=2525 inet n - n - - smtpd")
	must(t, p.Reload(ctx))
	must(t, lab.Eventually(ctx, 10*time.Second, "the port", func() error { return inside.Listening(2525) }))
	return inside, p
}

// behind boots a host that is alpha to the world, and not yet connected to it.
func behind(ctx context.Context, t *testing.T, r *road) *lab.Site {
	t.Helper()
	h, err := r.Host(ctx, r.Alpha.Name)
	must(t, err)
	names, err := r.Alpha.ReadFile("/etc/hosts")
	must(t, err)
	must(t, h.WriteFile("/etc/hosts", names, 0o644))
	return &lab.Site{Host: h, Link: r.Alpha.Link, IPv4: r.Alpha.IPv4, IPv6: r.Alpha.IPv6}
}

// bothWays delivers a mail each way, over each family, and looks at whom the
// receiver takes the sender for.
func bothWays(ctx context.Context, t *testing.T, r *road, alpha *lab.Postfix, bravo *lab.Exim) {
	t.Helper()
	const alice, bob = "alice@alpha.example", "bob@bravo.example"
	for _, v6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("v6=%v/out", v6), func(t *testing.T) {
			must(t, alpha.Set(ctx, fmt.Sprintf("relayhost = [%s]", r.Bravo.Addr(v6)), "smtp_tls_security_level = none"))
			arrives(ctx, t, alpha, alice, bravo, bob, r.Alpha.Addr(v6))
		})
		t.Run(fmt.Sprintf("v6=%v/in", v6), func(t *testing.T) {
			must(t, bravo.Set(ctx, lab.EximRoute(r.Alpha.Addr(v6).String(), 25)))
			arrives(ctx, t, bravo, bob, alpha, alice, r.Bravo.Addr(v6))
		})
	}
}

// A mail server in a container, with real container networking: it sees the
// peers' addresses, its answers follow their connections whatever their port,
// and what it sends leaves from the host's mail address. With the daemon dead,
// the link gone, and layer after layer of the protection too, nothing is in clear.
func TestContainer(t *testing.T) {
	t.Run("podman", func(t *testing.T) {
		ctx, r := newRoad(t)
		none := watch(ctx, t, r.Standard)
		_, alpha := contain(ctx, t, r, lab.Podman, "message_size_limit = 0", "mailbox_size_limit = 0")
		bravo := exim(ctx, t, r.Bravo)
		bothWays(ctx, t, r, alpha, bravo)
		t.Run("large", func(t *testing.T) { largeMail(ctx, t, r, alpha, bravo) })
		t.Run("down", func(t *testing.T) { containerWaits(ctx, t, r, alpha, bravo) })
		none()
	})
	t.Run("docker", func(t *testing.T) {
		ctx, r := newRoad(t)
		none := watch(ctx, t, r.Standard)
		inside, alpha := contain(ctx, t, r, lab.Docker)
		bravo := exim(ctx, t, r.Bravo)
		bothWays(ctx, t, r, alpha, bravo)
		t.Run("closed", func(t *testing.T) { answersStayInside(ctx, t, r, inside) })
		none()
		t.Run("other ports", func(t *testing.T) { otherPortsStayShut(ctx, t, r, inside) })
	})
}

// largeMail needs the path MTU of the link to become known in the container.
func largeMail(ctx context.Context, t *testing.T, r *road, alpha, bravo lab.MailServer) {
	for _, v6 := range []bool{false, true} {
		must(t, alpha.(*lab.Postfix).Set(ctx, fmt.Sprintf("relayhost = [%s]", r.Bravo.Addr(v6))))
		end := fmt.Sprintf("the end, v6 %v", v6) // a mail is seen while it is being written
		body := largeBody(1<<20) + end
		_, err := alpha.Send(ctx, "alice@alpha.example", "bob@bravo.example", "large", body)
		must(t, err)
		mail, err := bravo.WaitMail(ctx, "bob", end)
		must(t, err)
		if _, got, _ := strings.Cut(mail, "\n\n"); strings.TrimSpace(got) != body {
			t.Errorf("it was altered (v6 %v): %d bytes of %d", v6, len(got), len(body))
		}
	}
}

// answersStayInside has a server in the container talk on and on, in connections
// from bravo, while the layers are taken away.
func answersStayInside(ctx context.Context, t *testing.T, r *road, inside *lab.Site) {
	families := map[bool]string{false: "-4", true: "-6"}
	heard := map[bool]*lab.Proc{}
	for v6, flag := range families {
		_, err := inside.Start("sh", "-c", "while echo tick; do sleep 0.1; done | nc "+flag+" -l 2587")
		must(t, err)
		must(t, lab.Eventually(ctx, 10*time.Second, "a connection", func() (err error) {
			if heard[v6], err = r.Bravo.Start("nc", "-n", "-d", r.Alpha.Addr(v6).String(), "587"); err != nil {
				return err
			}
			return lab.Eventually(ctx, time.Second, "a tick", func() error { return heardMore(heard[v6], 0) })
		}))
	}
	wire, err := inside.Capture(ctx, "eth0", "tcp src port 2587")
	must(t, err)
	must(t, r.alpha.Signal(unix.SIGSTOP)) // so that it does not repair
	for _, layer := range []struct {
		gone, away string
		tried      func(v6 bool) (int, error) // how many packets met what is left
	}{
		{"the link", "ip link del postroad0", func(v6 bool) (int, error) { return wire.Count(ctx, map[bool]string{false: "ip", true: "ip6"}[v6]) }},
		{"the rules", allRules, func(v6 bool) (int, error) { return refused(ctx, r.Alpha, v6) }},
		{"the chain that refuses what is forwarded", "nft flush chain inet postroad passing", func(v6 bool) (int, error) { return refused(ctx, r.Alpha, v6) }},
	} {
		run(ctx, t, r.Alpha.Host, "sh", "-c", layer.away)
		for v6 := range families {
			before, err := layer.tried(v6)
			must(t, err)
			must(t, lab.Eventually(ctx, 30*time.Second, fmt.Sprintf("a packet (v6 %v) with %s gone", v6, layer.gone), func() error {
				now, err := layer.tried(v6)
				if err == nil && now == before {
					err = errors.New("there is none")
				}
				return err
			}))
		}
	}
	check(t, wire.Stop(ctx))
	must(t, r.alpha.Signal(unix.SIGCONT))
	for v6 := range families {
		before := strings.Count(heard[v6].Output(), "tick")
		check(t, lab.Eventually(ctx, 60*time.Second, fmt.Sprintf("the connection to go on (v6 %v)", v6), func() error { return heardMore(heard[v6], before) }))
		must(t, heard[v6].Kill())
	}
}

func heardMore(p *lab.Proc, than int) error {
	if n := strings.Count(p.Output(), "tick"); n <= than {
		return fmt.Errorf("%d ticks", n)
	}
	return nil
}

var packetsOut = regexp.MustCompile(`counter packets (\d+)`)

// refused counts what the guard has stopped on the way out to the one peer.
func refused(ctx context.Context, s *lab.Site, v6 bool) (int, error) {
	out, err := s.Run(ctx, "nft", "list", "set", "inet", "postroad", map[bool]string{false: "out4", true: "out6"}[v6])
	if err != nil {
		return 0, err
	}
	m := packetsOut.FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("counting what was refused: %q", out)
	}
	return strconv.Atoi(m[1])
}

// containerWaits has the daemon killed, and the link with it: the container's
// mail waits, and nobody reaches it, until the daemon is back.
func containerWaits(ctx context.Context, t *testing.T, r *road, alpha, bravo lab.MailServer) {
	must(t, r.alpha.Kill())
	run(ctx, t, r.Alpha.Host, "sh", "-c", "! ip link del postroad0 2>/dev/null || true") // the kernel's stays
	id, err := alpha.Send(ctx, "alice@alpha.example", "bob@bravo.example", "later", "hello")
	must(t, err)
	reason, err := alpha.WaitDeferred(ctx, id)
	must(t, err)
	if !strings.Contains(reason, "No route to host") && !strings.Contains(reason, "unreachable") {
		t.Errorf("the container's mail waits because of %q", reason)
	}
	for _, v6 := range []bool{false, true} {
		if reach(ctx, r.Bravo, r.Alpha.Addr(v6).String(), "25") {
			t.Errorf("bravo reaches the container without a link (v6 %v)", v6)
		}
	}
	must(t, r.alpha.Start(ctx))
	must(t, r.alpha.WaitState(ctx, r.Bravo.Name, "protected"))
	must(t, alpha.Flush(ctx))
	_, err = bravo.WaitMail(ctx, "bob", "later")
	must(t, err)
}

// otherPortsStayShut has a peer try, through the tunnel, what is published for
// the world, and the container itself.
func otherPortsStayShut(ctx context.Context, t *testing.T, r *road, inside *lab.Site) {
	listen(ctx, t, inside, "80")
	for _, v6 := range []bool{false, true} {
		if !reach(ctx, r.Bravo, r.Alpha.Addr(v6).String(), "8080") {
			t.Errorf("the control does not get through in clear (v6 %v)", v6)
		}
	}
	must(t, r.bravo.Write("[host]\nports = [25, 8080, 2525]", r.alpha.Block()))
	_, err := r.bravo.Command(ctx, "reload")
	must(t, err)
	must(t, r.bravo.WaitState(ctx, r.Alpha.Name, "protected"))
	for _, v6 := range []bool{false, true} {
		to := r.Alpha.Addr(v6).String()
		if !reach(ctx, r.Bravo, to, "25") {
			t.Errorf("SMTP does not get through (v6 %v)", v6)
		}
		for _, port := range []string{"8080", "2525"} {
			if reach(ctx, r.Bravo, to, port) || reach(ctx, r.Bravo, "-p", "25", to, port) {
				t.Errorf("port %s got through the tunnel (v6 %v)", port, v6)
			}
		}
	}
}
