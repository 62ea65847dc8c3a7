package lab

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"
)

//go:embed main.cf
var mainCF string

// Settings for [Host.Postfix]: which of a mail host's addresses to try first, and mailboxes for Take.
const (
	PreferIPv4     = "smtp_address_preference = ipv4"
	PreferIPv6     = "smtp_address_preference = ipv6"
	PostfixMaildir = "home_mailbox = Maildir/"
)

// Postfix is a running mail server. It knows nothing of postroad.
type Postfix struct {
	mailHost // its process is postfix(1), whose grandchild is the server
}

// A QueuedMail is a message in a Postfix queue, as postqueue -j tells it.
type QueuedMail struct {
	Queue      string `json:"queue_name"`
	ID         string `json:"queue_id"`
	Sender     string `json:"sender"`
	Recipients []struct {
		Address string `json:"address"`
		Reason  string `json:"delay_reason"` // why it was not delivered at the last try; empty before one
	} `json:"recipients"`
}

// Postfix starts the host's mail server, on ports 25, 465 and 587, as an ordinary Internet site for the host's domain.
// More settings, each a line of main.cf, go after the ordinary ones.
func (h *Host) Postfix(ctx context.Context, settings ...string) (*Postfix, error) {
	if err := h.configurePostfix(settings); err != nil {
		return nil, fmt.Errorf("configuring Postfix: %w", err)
	}
	proc, err := h.Start("postfix", "start-fg")
	if err != nil {
		return nil, err
	}
	p := &Postfix{mailHost{host: h, proc: proc}}
	err = p.proc.Until(ctx, 20*time.Second, "Postfix on "+h.Name, func() error {
		return errors.Join(h.Listening(25), h.Listening(465), h.Listening(587))
	})
	if err != nil {
		log, _ := p.Log()
		return nil, fmt.Errorf("%w: %s", err, log)
	}
	return p, h.quiet(ctx, "newaliases") // not before: with no server to log to, it waits for one
}

// age makes main.cf look an hour old: every program of Postfix waits a second or two for a file just written to settle.
func (h *Host) age() error {
	hourAgo := time.Now().Add(-time.Hour)
	return h.enter(namespaces, func() error { return os.Chtimes("/etc/postfix/main.cf", hourAgo, hourAgo) })
}

func (h *Host) configurePostfix(settings []string) error {
	names := strings.NewReplacer("@HOST@", h.Name, "@DOMAIN@", h.Domain())
	main := override(names.Replace(mainCF), settings)
	master, err := h.ReadFile("/usr/share/postfix/master.cf.dist")
	if err != nil {
		return err
	}
	return errors.Join(
		h.WriteFile("/etc/postfix/main.cf", []byte(main), 0o644),
		h.WriteFile("/etc/postfix/master.cf", []byte(masterCF(string(master))), 0o644),
		h.WriteFile("/etc/aliases", []byte("postmaster: root\n"), 0o644),
		h.Sysctl("net/unix/max_dgram_qlen", "512"), // as systemd has it: in the kernel's 10 a burst of log lines stands still
		h.age(),
	)
}

// override puts settings in the place of the ordinary ones of the same names. With both in the file each program of Postfix would
// warn of it as it starts; postlogd would warn itself, and wait for ever if others' lines fill its socket just then.
func override(main string, settings []string) string {
	for _, s := range settings {
		name, _, _ := strings.Cut(s, "=")
		line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(strings.TrimSpace(name)) + ` *=.*\n`)
		main = line.ReplaceAllLiteralString(main, "") + s + "\n"
	}
	return main
}

// Domain is the host's name without its first label: the domain it takes mail for.
func (h *Host) Domain() string {
	_, domain, _ := strings.Cut(h.Name, ".")
	return domain
}

var chrooted = regexp.MustCompile(`(?m)^(\S+\s+(?:inet|unix|pass)\s+\S+\s+\S+\s+)y`)

// masterCF is Debian's master.cf without chroot, where /etc/hosts is not seen, and with the two submission services.
func masterCF(dist string) string {
	return chrooted.ReplaceAllString(dist, "${1}n") + `
submission inet n - n - - smtpd
  -o syslog_name=postfix/submission
submissions inet n - n - - smtpd
  -o syslog_name=postfix/submissions
  -o smtpd_tls_wrappermode=yes
`
}

// Set changes settings, each a line of main.cf, of the running server.
func (p *Postfix) Set(ctx context.Context, settings ...string) error {
	err := errors.Join(p.host.quiet(ctx, "postconf", append([]string{"-e"}, settings...)...), p.host.age())
	if err != nil {
		return err
	}
	return p.Reload(ctx)
}

// Reload has the server read its configuration again, and waits until it has: `postfix reload` does not, and mail would go the
// way that was set before, or stand still between a queue manager that ends and the next.
func (p *Postfix) Reload(ctx context.Context) error {
	before, err := p.reloads()
	if err != nil {
		return err
	}
	if err := p.host.quiet(ctx, "postfix", "reload"); err != nil {
		return err
	}
	return p.proc.Until(ctx, 10*time.Second, "Postfix to be reloaded", func() error {
		if n, err := p.reloads(); err != nil || n <= before {
			return errors.Join(err, errors.New("it says nothing of it"))
		}
		return nil
	})
}

// reloads counts them by the log.
func (p *Postfix) reloads() (int, error) {
	log, err := p.Log()
	return strings.Count(log, ": reload -- version "), err
}

// Stop stops the server; its queue and mailboxes stay for the next one.
func (p *Postfix) Stop(ctx context.Context) error {
	return p.end(ctx, "postfix", "stop")
}

// Kill ends all of the server's processes at once.
func (p *Postfix) Kill(ctx context.Context) error {
	return p.end(ctx, "sh", "-c", "read pid </var/spool/postfix/pid/master.pid; kill -9 -$pid")
}

// end runs a program that ends the server, and waits until postfix(1) has ended too, which is no error however it does.
func (p *Postfix) end(ctx context.Context, name string, args ...string) error {
	if err := p.host.quiet(ctx, name, args...); err != nil {
		return err
	}
	select {
	case <-p.proc.Exited():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for Postfix on %s to end: %w", p.host.Name, ctx.Err())
	}
}

// Submit hands a message to sendmail(1), as any program of the host would.
func (p *Postfix) Submit(ctx context.Context, from, to, subject, body string) error {
	_, err := p.submit(ctx, "sendmail", from, to, subject, body)
	return err
}

// Send is [Postfix.Submit], and returns the message's queue id.
func (p *Postfix) Send(ctx context.Context, from, to, subject, body string) (string, error) {
	id, err := p.submit(ctx, "sendmail", from, to, subject, body)
	if err != nil {
		return "", err
	}
	// a line such as "postfix/cleanup[123]: 4D0C21: message-id=<ID>"
	return p.find(ctx, 10*time.Second, p.Log, `: (\w+): message-id=<`+regexp.QuoteMeta(id)+">")
}

// Queue lists the messages not yet delivered.
func (p *Postfix) Queue(ctx context.Context) ([]QueuedMail, error) {
	out, err := p.host.Run(ctx, "postqueue", "-j")
	if err != nil {
		return nil, err
	}
	var queue []QueuedMail
	for dec := json.NewDecoder(strings.NewReader(out)); ; {
		var m QueuedMail
		switch err := dec.Decode(&m); {
		case errors.Is(err, io.EOF):
			return queue, nil
		case err != nil:
			return nil, fmt.Errorf("reading the queue of %s: %w", p.host.Name, err)
		}
		queue = append(queue, m)
	}
}

// WaitDeferred waits until the message was tried and could not be delivered, and returns Postfix' reason.
func (p *Postfix) WaitDeferred(ctx context.Context, queueID string) (reason string, err error) {
	err = p.proc.Until(ctx, 60*time.Second, "message "+queueID+" to be deferred", func() error {
		queue, err := p.Queue(ctx)
		for _, m := range queue {
			if m.ID == queueID && m.Queue == "deferred" && len(m.Recipients) > 0 {
				reason = m.Recipients[0].Reason
			}
		}
		if reason == "" {
			return errors.Join(err, errors.New("it is not deferred"))
		}
		return nil
	})
	return reason, err
}

// Flush tries every queued message now.
func (p *Postfix) Flush(ctx context.Context) error { return p.host.quiet(ctx, "postqueue", "-f") }

// Log is the mail log so far.
func (p *Postfix) Log() (string, error) {
	data, err := p.host.ReadFile("/var/log/mail.log")
	return string(data), err
}
