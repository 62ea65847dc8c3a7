package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// A Sink is a running smtp-sink(1): an SMTP server that takes everything and keeps it.
type Sink struct {
	*Proc
	host *Host
	dir  string
}

// Sink listens on an address such as "198.51.100.20:25"; "0.0.0.0:25" is all of IPv4 and "[::]:25" all of IPv6, and
// none is both. Flags are smtp-sink's.
func (h *Host) Sink(ctx context.Context, addr string, flags ...string) (*Sink, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("starting a sink: %w", err)
	}
	table := "tcp"
	if at.Addr().Is6() {
		table = "tcp6"
	}
	s := &Sink{host: h, dir: fmt.Sprintf("/var/spool/sink/%s-%d", table, at.Port())}
	args := append([]string{"-u", "root", "-d", s.dir + "/mail."}, flags...)
	if s.Proc, err = h.Start("smtp-sink", append(args, "inet:"+addr, "100")...); err != nil {
		return nil, err
	}
	return s, s.Until(ctx, 5*time.Second, "smtp-sink", func() error { return h.listening(table, at.Port()) })
}

// Messages returns what arrived, a message each, after a few X- headers of smtp-sink's that tell the session.
func (s *Sink) Messages() (messages [][]byte, err error) {
	err = s.host.enter(namespaces, func() error {
		files, err := filepath.Glob(s.dir + "/mail.*")
		if err != nil {
			return err
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			messages = append(messages, data)
		}
		return nil
	})
	return messages, s.host.wrap(err, "reading the sink")
}

// Source runs smtp-source(1) to its end, as in h.Source(ctx, "-m", "10", "-l", "1000000", "198.51.100.20:25").
func (h *Host) Source(ctx context.Context, args ...string) error {
	return h.quiet(ctx, "smtp-source", args...)
}
