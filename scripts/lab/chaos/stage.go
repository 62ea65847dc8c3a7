package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"postroad/scripts/lab"
)

// A stage is some mail hosts with a road between any two, mail on each both ways,
// and watches on every wire.
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
	user  string // who has its mail
	mail  lab.MailServer
	inbox inbox
	peers []*host
	file  []string // parts of its peers file
	v6    bool     // it looks for its peers over IPv6
	begin resources
}

// users are whose mailboxes are used, in the hosts' order.
var users = []string{"alice", "bob", "dave", "erin"}

func newStage(ctx context.Context, r *rand.Rand, hosts int) (_ *stage, err error) {
	s := &stage{}
	if s.Standard, err = lab.NewStandard(ctx); err != nil {
		return nil, err
	}
	if err := s.build(ctx, r, hosts); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *stage) build(ctx context.Context, r *rand.Rand, hosts int) error {
	sites, err := s.sites(ctx, hosts)
	if err != nil {
		return err
	}
	if err := s.answer(ctx); err != nil {
		return err
	}
	if err := s.pave(ctx, sites); err != nil {
		return err
	}
	s.write(r)
	if s.watch, err = s.WatchBetween(ctx, sites); err != nil {
		return err
	}
	alpha, bravo := s.hosts[0], s.hosts[1]
	if err := errors.Join(alpha.Write(alpha.file...), alpha.Hangup(), alpha.WaitState(ctx, bravo.Site.Name, "protected")); err != nil {
		return err
	}
	for _, h := range s.hosts {
		if h.begin, err = h.resources(ctx); err != nil {
			return err
		}
	}
	return s.flows(ctx)
}

// sites are where hosts are. Charlie is none of them: he has the name server, and
// shows that the watch sees.
func (s *stage) sites(ctx context.Context, hosts int) ([]*lab.Site, error) {
	sites := []*lab.Site{s.Alpha, s.Bravo}
	for _, more := range [][3]string{{"mx.delta.example", "198.18.4.40", "2001:db8:d::40"}, {"mx.echo.example", "198.18.5.50", "2001:db8:e::50"}}[:hosts-2] {
		site, err := s.Join(ctx, more[0], more[1], more[2])
		if err != nil {
			return nil, err
		}
		sites = append(sites, site)
	}
	return sites, nil
}

// answer has charlie say where bravo is, for a second each time.
func (s *stage) answer(ctx context.Context) (err error) {
	records := fmt.Sprintf("%[1]s. 1 A %[2]s\n%[1]s. 1 AAAA %[3]s\n", s.Bravo.Name, s.Bravo.IPv4, s.Bravo.IPv6)
	if s.dns, err = s.Charlie.DNS(ctx, map[string]string{s.Bravo.Domain(): records}); err != nil {
		return err
	}
	return s.dns.Serve(s.Charlie.IPv4, s.Alpha.Host)
}

// pave makes hosts of the sites, with a mail server each, and peers of each other.
func (s *stage) pave(ctx context.Context, sites []*lab.Site) error {
	daemons, err := s.PaveBetween(ctx, sites, lab.Binary())
	if err != nil {
		return err
	}
	for i, p := range daemons {
		h := &host{Postroad: p, user: users[i], v6: i%2 == 1}
		if h.v6 {
			h.mail, err = exim(ctx, h.Site)
		} else {
			h.mail, err = postfix(ctx, h.Site, sites)
		}
		if err != nil {
			return err
		}
		s.hosts = append(s.hosts, h)
	}
	for i, h := range s.hosts {
		h.peers, h.file = slices.Concat(s.hosts[:i], s.hosts[i+1:]), []string{"[host]\n"}
		for _, p := range h.peers {
			block := p.Block()
			if h.Site == s.Alpha && p.Site == s.Bravo { // by its name
				block = fmt.Sprintf("[[peer]]\nname = %q\npublic_key = %q\nendpoint = \"%s:%d\"\n", p.Site.Name, p.Key, p.Site.IPv4, lab.TunnelPort)
			}
			h.file = append(h.file, block)
		}
	}
	return nil
}

// postfix is a mail server that asks nobody where the others are.
func postfix(ctx context.Context, at *lab.Site, sites []*lab.Site) (lab.MailServer, error) {
	var ways []string
	for _, to := range sites {
		if to != at {
			ways = append(ways, fmt.Sprintf("%s=smtp:[%s]:25", to.Domain(), to.IPv4))
		}
	}
	return at.Postfix(ctx, lab.PostfixMaildir, "transport_maps = inline:{"+strings.Join(ways, ", ")+"}",
		"minimal_backoff_time = 2s", "maximal_backoff_time = 5s", "queue_run_delay = 2s", "smtp_connect_timeout = 5s",
		"smtp_helo_timeout = "+patiently(20), "smtp_data_xfer_timeout = "+patiently(20), "smtp_data_done_timeout = "+patiently(20),
		"smtpd_client_connection_count_limit = 0", "default_process_limit = 300")
}

func exim(ctx context.Context, at *lab.Site) (lab.MailServer, error) {
	return at.Exim(ctx, lab.EximMaildir, "smtp_accept_max = 300", "ANSWER == "+patiently(20), "TIMEOUT == 5s")
}

func patiently(seconds int) string { return fmt.Sprintf("%ds", seconds*int(lab.Patience())) }

// write makes a stream from each host to each.
func (s *stage) write(r *rand.Rand) {
	for _, h := range s.hosts {
		for _, p := range h.peers {
			m := &stream{
				name: h.user + "-" + p.user, from: h.user + "@" + h.Site.Domain(), to: p.user + "@" + p.Site.Domain(),
				sender: h.mail, random: rand.New(rand.NewPCG(r.Uint64(), 1)),
			}
			s.streams = append(s.streams, m)
			p.inbox.streams = append(p.inbox.streams, m)
		}
	}
}

// flows says whether a mail server is reached, now, from each host at each other.
func (s *stage) flows(ctx context.Context) error {
	var g errgroup.Group
	for _, h := range s.hosts {
		for _, p := range h.peers {
			g.Go(func() error { return h.reaches(ctx, p) })
		}
	}
	return g.Wait()
}

// reaches says whether a peer's mail server greets us, or says that it has too
// much to do (421, RFC 5321, section 3.8).
func (h *host) reaches(ctx context.Context, p *host) error {
	within := fmt.Sprint(2 * int(slow)) // an emulated one's greeting comes late; TCP is not to try for longer
	out, err := h.Site.Run(ctx, "timeout", within, "bash", "-c", fmt.Sprintf("exec 3<>/dev/tcp/%s/25 && read -r line <&3 && echo $line", p.Site.Addr(h.v6)))
	if err == nil && !strings.HasPrefix(out, "220 ") && !strings.HasPrefix(out, "421 ") {
		err = fmt.Errorf("it says %q", out)
	}
	if err != nil {
		return fmt.Errorf("%s does not reach %s: %w", h.Site.Name, p.Site.Name, err)
	}
	return nil
}

// recover waits until mail flows everywhere, and returns how long that took.
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

// words are what all daemons have said.
func (s *stage) words() string {
	var all strings.Builder
	for _, h := range s.hosts {
		fmt.Fprintf(&all, "%s:\n%s\n", h.Site.Name, h.Output())
	}
	return all.String()
}

// stop ends the daemon as an operator would.
func (h *host) stop(ctx context.Context) error { return h.Stop(ctx, unix.SIGTERM) }

// collect takes note of the mail that has arrived, which then is no more: in the
// course of hours it would fill memory.
func (s *stage) collect() error {
	for _, h := range s.hosts {
		mails, err := h.mail.Take(h.user)
		if err != nil {
			return err
		}
		h.inbox.take(mails)
	}
	return nil
}

// settle has all mail delivered, if it still is somewhere.
func (s *stage) settle(ctx context.Context, patience time.Duration) (total account, err error) {
	for deadline := time.Now().Add(patience); ; {
		if err := s.collect(); err != nil {
			return total, err
		}
		total = account{}
		for _, h := range s.hosts {
			total = total.plus(h.inbox.account())
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
