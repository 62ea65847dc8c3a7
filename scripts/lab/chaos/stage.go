package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postroad/scripts/lab"
)

// A stage is two mail hosts with a road between them, mail both ways, and watches
// on every wire.
type stage struct {
	*lab.Standard
	hosts   []*host
	streams []*stream
	watch   *lab.Watch
	dns     *lab.DNS // knows bravo's addresses, which alpha asks for
}

// A host is a mail host that faults befall.
type host struct {
	*lab.Postroad
	peer  *host
	mail  lab.MailServer
	file  []string // parts of its peers file
	v6    bool     // mail leaves over IPv6
	begin resources
}

func newStage(ctx context.Context, r *rand.Rand) (_ *stage, err error) {
	s := &stage{}
	if s.Standard, err = lab.NewStandard(ctx); err != nil {
		return nil, err
	}
	if err := s.build(ctx, r); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *stage) build(ctx context.Context, r *rand.Rand) error {
	if err := s.answer(ctx); err != nil {
		return err
	}
	alpha, bravo, err := s.Pave(ctx, lab.Binary())
	if err != nil {
		return err
	}
	postfix, err := s.Alpha.Postfix(ctx, lab.PreferIPv4, fmt.Sprintf("relayhost = [%s]:25", s.Bravo.IPv4),
		"minimal_backoff_time = 2s", "maximal_backoff_time = 5s", "queue_run_delay = 2s", "smtp_connect_timeout = 5s", "smtp_helo_timeout = 20s",
		"smtp_data_xfer_timeout = 20s", "smtp_data_done_timeout = 20s", "mailbox_size_limit = 0", "smtpd_client_connection_count_limit = 0", "default_process_limit = 300")
	if err != nil {
		return err
	}
	exim, err := s.Bravo.Exim(ctx, lab.EximRoute(s.Alpha.IPv6.String(), 25), "smtp_accept_max = 300", "ANSWER == 20s", "TIMEOUT == 5s")
	if err != nil {
		return err
	}
	byName := fmt.Sprintf("[[peer]]\nname = %q\npublic_key = %q\nendpoint = \"%s:%d\"\n", s.Bravo.Name, bravo.Key, s.Bravo.IPv4, lab.TunnelPort)
	a := &host{Postroad: alpha, mail: postfix, file: []string{"[host]\n", byName}}
	b := &host{Postroad: bravo, mail: exim, v6: true, file: []string{"[host]\n", alpha.Block()}}
	a.peer, b.peer = b, a
	s.hosts = []*host{a, b}
	s.streams = []*stream{
		{name: "out", from: "alice@alpha.example", to: "bob@bravo.example", sender: postfix, receiver: exim, random: rand.New(rand.NewPCG(r.Uint64(), 1))},
		{name: "back", from: "bob@bravo.example", to: "alice@alpha.example", sender: exim, receiver: postfix, random: rand.New(rand.NewPCG(r.Uint64(), 2))},
	}
	if s.watch, err = s.WatchClear(ctx); err != nil {
		return err
	}
	if err := errors.Join(a.Write(a.file...), a.Hangup()); err != nil {
		return err
	}
	if err := a.WaitState(ctx, s.Bravo.Name, "protected"); err != nil {
		return err
	}
	for _, h := range s.hosts {
		if h.begin, err = h.resources(ctx); err != nil {
			return err
		}
	}
	return s.flows(ctx)
}

// answer has charlie say where bravo is, for a second each time.
func (s *stage) answer(ctx context.Context) (err error) {
	records := fmt.Sprintf("%[1]s. 1 A %[2]s\n%[1]s. 1 AAAA %[3]s\n", s.Bravo.Name, s.Bravo.IPv4, s.Bravo.IPv6)
	if s.dns, err = s.Charlie.DNS(ctx, map[string]string{s.Bravo.Domain(): records}); err != nil {
		return err
	}
	return s.dns.Serve(s.Charlie.IPv4, s.Alpha.Host)
}

// flows says whether a mail server is reached, now, from each host at the other.
func (s *stage) flows(ctx context.Context) error {
	for _, h := range s.hosts {
		if err := h.reaches(ctx); err != nil {
			return err
		}
	}
	return nil
}

// reaches says whether the peer's mail server greets us, or says that it has too
// much to do (421, RFC 5321, section 3.8).
func (h *host) reaches(ctx context.Context) error {
	out, err := h.Site.Run(ctx, "timeout", "2", "bash", "-c", fmt.Sprintf("exec 3<>/dev/tcp/%s/25 && read -r line <&3 && echo $line", h.peer.Site.Addr(h.v6)))
	if err == nil && !strings.HasPrefix(out, "220 ") && !strings.HasPrefix(out, "421 ") {
		err = fmt.Errorf("it says %q", out)
	}
	if err != nil {
		return fmt.Errorf("%s does not reach %s: %w", h.Site.Name, h.peer.Site.Name, err)
	}
	return nil
}

// recover waits until mail flows both ways, and returns how long that took.
func (s *stage) recover(ctx context.Context, patience time.Duration) (time.Duration, error) {
	begin := time.Now()
	for {
		err := s.flows(ctx)
		took := time.Since(begin)
		if err == nil || ctx.Err() != nil {
			return took, ctx.Err()
		}
		if took > patience {
			return took, err
		}
	}
}

// stop ends the daemon as an operator would.
func (h *host) stop(ctx context.Context) error { return h.Stop(ctx, unix.SIGTERM) }

// settle has all mail delivered, if it still is somewhere.
func (s *stage) settle(ctx context.Context, patience time.Duration) (total account, err error) {
	for deadline := time.Now().Add(patience); ; {
		total = account{}
		for _, m := range s.streams {
			a, err := m.account()
			if err != nil {
				return total, err
			}
			total = total.plus(a)
		}
		if total.lost == 0 || time.Now().After(deadline) || ctx.Err() != nil {
			return total, ctx.Err()
		}
		for _, h := range s.hosts {
			err = errors.Join(err, h.mail.Flush(ctx))
		}
		if err != nil {
			return total, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(3 * time.Second):
		}
	}
}
