package e2e

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"postroad/scripts/lab"
)

// What becomes of mail between two hosts.
const (
	inTunnel = "protected"
	inClear  = "clear"
	waits    = "waiting"
)

const noPostroad = "no postroad"

// TestPolicies is the table of who can talk to whom: alpha's policy for bravo and
// bravo's for alpha, on hosts that have never met. Mail goes both ways, between
// Postfix and Exim. Where both have postroad nothing at all is in clear, whatever
// the policies are.
func TestPolicies(t *testing.T) {
	t.Parallel()
	l := newPolicyLab(t)
	for _, row := range []struct{ alpha, bravo, mail string }{
		{noPostroad, noPostroad, inClear},
		{"require", noPostroad, waits},
		{noPostroad, "require", waits},
		{"prefer", noPostroad, inClear},
		{noPostroad, "prefer", inClear},
		{"latch", noPostroad, inClear},
		{noPostroad, "latch", inClear},
	} {
		l.row(t, row.alpha, row.bravo, row.mail)
	}
	none := watch(l.ctx, t, l.Standard)
	for _, alpha := range []string{"require", "prefer", "latch"} {
		for _, bravo := range []string{"require", "prefer", "latch"} {
			l.row(t, alpha, bravo, inTunnel)
		}
	}
	none()
}

// A policyLab is one whose router counts the packets in clear that carry mail.
type policyLab struct {
	*lab.Standard
	ctx          context.Context
	alpha, bravo *lab.Postroad
	postfix      *lab.Postfix
	exim         lab.MailServer
}

// clearMail counts, by who began, what is more than an attempt: where one side has
// no postroad its SYN is on the wire before the other refuses it.
const clearMail = `table inet policies {
	counter alpha { }
	counter bravo { }
	counter charlie { }
	chain forward {
		type filter hook forward priority 0
		tcp flags & (ack | rst) == ack ip saddr %[1]s ip daddr %[3]s tcp dport 25 counter name alpha
		tcp flags & (ack | rst) == ack ip saddr %[3]s ip daddr %[1]s tcp sport 25 counter name alpha
		tcp flags & (ack | rst) == ack ip6 saddr %[2]s ip6 daddr %[4]s tcp dport 25 counter name alpha
		tcp flags & (ack | rst) == ack ip6 saddr %[4]s ip6 daddr %[2]s tcp sport 25 counter name alpha
		tcp flags & (ack | rst) == ack ip saddr %[3]s ip daddr %[1]s tcp dport 25 counter name bravo
		tcp flags & (ack | rst) == ack ip saddr %[1]s ip daddr %[3]s tcp sport 25 counter name bravo
		tcp flags & (ack | rst) == ack ip6 saddr %[4]s ip6 daddr %[2]s tcp dport 25 counter name bravo
		tcp flags & (ack | rst) == ack ip6 saddr %[2]s ip6 daddr %[4]s tcp sport 25 counter name bravo
		ip daddr %[5]s tcp dport 25 counter name charlie
		ip6 daddr %[6]s tcp dport 25 counter name charlie
	}
}`

// booting keeps two labs from starting their mail servers at once: Postfix takes
// its time where others want the processor.
var booting sync.Mutex

func newPolicyLab(t *testing.T) *policyLab {
	t.Helper()
	booting.Lock()
	defer booting.Unlock()
	ctx, s := newLab(t)
	l := &policyLab{Standard: s, ctx: ctx}
	err := s.Bravo.Sysctl("net.ipv4.tcp_syn_retries", "1") // Exim's own time-out does not count with TCP Fast Open
	must(t, err)
	must(t, s.Router.WriteFile("/run/policies.nft", fmt.Appendf(nil, clearMail, s.Alpha.IPv4, s.Alpha.IPv6, s.Bravo.IPv4, s.Bravo.IPv6,
		s.Charlie.IPv4, s.Charlie.IPv6), 0o644))
	run(ctx, t, s.Router, "nft", "-f", "/run/policies.nft")
	l.alpha, err = s.Alpha.Postroad(ctx, binary)
	must(t, err)
	l.bravo, err = s.Bravo.Postroad(ctx, binary)
	must(t, err)
	l.postfix = postfix(ctx, t, s.Alpha, "smtpd_junk_command_limit = 100000", "smtp_connect_timeout = 2s")
	l.exim, err = s.Bravo.Exim(ctx, "smtp_accept_max_nonmail = 100000")
	must(t, err)
	return l
}

// counted returns, by who began, the packets that carried mail in clear since it
// was asked last.
func (l *policyLab) counted(t *testing.T) map[string]int {
	t.Helper()
	var list struct {
		Nftables []struct {
			Counter struct {
				Name    string
				Packets int
			}
		}
	}
	must(t, json.Unmarshal([]byte(run(l.ctx, t, l.Router, "nft", "-j", "reset", "counters", "table", "inet", "policies")), &list))
	all := map[string]int{}
	for _, e := range list.Nftables {
		all[e.Counter.Name] += e.Counter.Packets
	}
	return all
}

// row starts what each side has, sends mail both ways, looks for it on the wire,
// and takes all away again.
func (l *policyLab) row(t *testing.T, alpha, bravo, want string) {
	t.Run(alpha+" and "+bravo, func(t *testing.T) {
		l.counted(t)
		var here []*lab.Postroad
		var starts errgroup.Group
		for _, side := range []struct {
			policy      string
			host, other *lab.Postroad
		}{{alpha, l.alpha, l.bravo}, {bravo, l.bravo, l.alpha}} {
			if side.policy == noPostroad {
				continue
			}
			here = append(here, side.host)
			must(t, side.host.Write(fmt.Sprintf("[host]\npolicy = %q\n", side.policy), side.other.Block()))
			starts.Go(func() error { return side.host.Start(l.ctx) })
		}
		must(t, starts.Wait())
		defer l.away(t, here)
		for _, p := range here {
			must(t, p.WaitState(l.ctx, l.otherOf(p).Site.Name, want))
		}
		l.mail(t, want)
		must(t, l.quiet())
		if n := l.counted(t); (n["alpha"] > 0) != (want == inClear) || (n["bravo"] > 0) != (want == inClear) {
			t.Errorf("packets that carried mail in clear, by who began: %v", n)
		}
	})
}

func (l *policyLab) otherOf(p *lab.Postroad) *lab.Postroad {
	if p == l.alpha {
		return l.bravo
	}
	return l.alpha
}

// mail sends one both ways, and waits for what should become of it.
func (l *policyLab) mail(t *testing.T, want string) {
	t.Helper()
	subject := rand.Text() // another one at each call: the mailboxes keep what came before
	there, err := l.postfix.Send(l.ctx, "alice@alpha.example", "bob@bravo.example", subject, "hello")
	must(t, err)
	back, err := l.exim.Send(l.ctx, "bob@bravo.example", "alice@alpha.example", subject, "hello")
	must(t, err)
	if want == waits {
		_, err = l.postfix.WaitDeferred(l.ctx, there)
		must(t, err)
		_, err = l.exim.WaitDeferred(l.ctx, back)
		must(t, err)
		return
	}
	must(t, l.postfix.Flush(l.ctx)) // or it remembers for a while that bravo could not be reached
	_, err = l.exim.WaitMail(l.ctx, "bob", subject)
	must(t, err)
	must(t, lab.Eventually(l.ctx, 30*time.Second, "mail for alice", func() error {
		mails, err := l.postfix.Mailbox("alice")
		if err != nil || strings.Contains(strings.Join(mails, ""), subject) {
			return err
		}
		_, err = l.Bravo.Run(l.ctx, "exim4", "-M", back) // Exim remembers it too
		return errors.Join(err, errors.New("it is not there"))
	}))
}

// quiet waits until all connections are closed.
func (l *policyLab) quiet() error {
	for _, site := range []*lab.Site{l.Alpha, l.Bravo} {
		err := lab.Eventually(l.ctx, 10*time.Second, "the end of all connections on "+site.Name, func() error {
			out, err := site.Run(l.ctx, "ss", "-Htan", "state", "connected", "exclude", "time-wait", "( sport = :25 or dport = :25 )")
			if err == nil && out != "" {
				err = errors.New(out)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// away makes hosts as if they had never had postroad.
func (l *policyLab) away(t *testing.T, hosts []*lab.Postroad) {
	t.Helper()
	for _, p := range hosts {
		_, err := p.Command(l.ctx, "down")
		must(t, err)
		exitStatus(t, p.Wait(l.ctx), 3)
		run(l.ctx, t, p.Site.Host, "rm", "-r", "/var/lib/postroad")
	}
}
