package lab

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// EximPackages are the Debian packages with the libraries that Exim is linked with: see [Host.Exim].
var EximPackages = []string{
	"libcrypt1",
	"libdb5.3",
	"libgnutls-dane0",
	"libgnutls30",
	"libidn12",
	"libidn2-0",
	"libnsl2",
	"libpcre2-8-0",
}

//go:embed exim.conf
var eximConf string

// Settings for [Host.Exim]. [EximRoute] and [EximSource] are two more.
const (
	EximIPv4   = "dns_ipv4_lookup = *" // over IPv4 only; without it, IPv6 is tried first
	EximUseDNS = "DNS = yes"           // MX records, and no /etc/hosts
	EximNoTLS  = "NOTLS == *"          // no TLS as a client

	EximMaildir = "MAILDIR = yes" // mailboxes for Take
)

// EximRoute sends all mail for others to a port of an address; on port 465 with TLS from the start.
func EximRoute(addr string, port uint16) string {
	protocol := "smtp"
	if port == 465 {
		protocol = "smtps"
	}
	host := strings.ReplaceAll(addr, ":", "::") // a colon alone is between two
	return fmt.Sprintf("ROUTE == %s byname\nPORT == %d\nPROTOCOL == %s", host, port, protocol)
}

// EximSource has mail for others leave from addresses of the host's: one, or one of each family with "; " between.
func EximSource(addrs string) string { return "SOURCE = " + addrs }

// Exim is a running mail server. It knows nothing of postroad. It conflicts with Postfix as a package only.
type Exim struct {
	mailHost
}

// Exim starts the host's mail server, on ports 25, 465 and 587, as an ordinary Internet site for the host's domain. More
// settings, each a line of Exim's configuration, go into its main part; exim.conf has the macros that they may set. The
// program is $POSTROAD_EXIM, or else what scripts/exim has fetched.
func (h *Host) Exim(ctx context.Context, settings ...string) (*Exim, error) {
	if err := h.installExim(ctx, settings); err != nil {
		return nil, fmt.Errorf("configuring Exim: %w", err)
	}
	proc, err := h.Start("exim4", "-bdf", "-q5m")
	if err != nil {
		return nil, err
	}
	e := &Exim{mailHost{host: h, proc: proc}}
	if err := e.listening(ctx); err != nil {
		log, _ := e.Log()
		return nil, fmt.Errorf("%w: %s", err, log)
	}
	return e, nil
}

func (e *Exim) listening(ctx context.Context) error {
	return e.proc.Until(ctx, 20*time.Second, "Exim on "+e.host.Name, func() error {
		return errors.Join(e.host.Listening(25), e.host.Listening(465), e.host.Listening(587))
	})
}

// prepareExim makes what Debian's package makes when it is installed. The program changes its user, and must be set-user-ID.
const prepareExim = `set -e
chmod 4755 /run/bin/exim4
grep -q ^Debian-exim: /etc/passwd || echo Debian-exim:x:2100:2100::/var/spool/exim4:/bin/false >>/etc/passwd
grep -q ^Debian-exim: /etc/group || echo Debian-exim:x:2100: >>/etc/group
install -d -o Debian-exim -g Debian-exim -m 750 /var/spool/exim4 /var/log/exim4
install -m 644 /etc/ssl/certs/ssl-cert-snakeoil.pem /etc/exim4/exim.crt
install -o Debian-exim -m 600 /etc/ssl/private/ssl-cert-snakeoil.key /etc/exim4/exim.key`

func (h *Host) installExim(ctx context.Context, settings []string) error {
	program := os.Getenv("POSTROAD_EXIM")
	if program == "" {
		var err error
		if program, err = runScript(ctx, "exim"); err != nil {
			return err
		}
	}
	if err := h.installAs(program, "exim4"); err != nil {
		return err
	}
	return errors.Join(h.configureExim(settings), h.quiet(ctx, "sh", "-c", prepareExim))
}

func (h *Host) configureExim(settings []string) error {
	conf := strings.NewReplacer("@HOST@", h.Name, "@DOMAIN@", h.Domain(), "@SETTINGS@", strings.Join(settings, "\n"))
	return h.WriteFile("/etc/exim4/exim4.conf", []byte(conf.Replace(eximConf)), 0o644)
}

// Set replaces the settings of the running server.
func (e *Exim) Set(ctx context.Context, settings ...string) error {
	if err := e.host.configureExim(settings); err != nil {
		return err
	}
	return e.host.quiet(ctx, "exim4", "-bV") // it reads the file; the server itself does for each message
}

// Stop stops the server; its queue and mailboxes stay for the next one.
func (e *Exim) Stop(ctx context.Context) error { return e.proc.Stop(ctx, unix.SIGTERM) }

// Submit hands a message to exim(8), as any program of the host would.
func (e *Exim) Submit(ctx context.Context, from, to, subject, body string) error {
	_, err := e.submit(ctx, "exim4", from, to, subject, body)
	return err
}

// Send is [Exim.Submit], and returns the message's queue id.
func (e *Exim) Send(ctx context.Context, from, to, subject, body string) (string, error) {
	id, err := e.submit(ctx, "exim4", from, to, subject, body)
	if err != nil {
		return "", err
	}
	// a line such as "2026-01-02 03:04:05 1uXYZ0-0000AB-CD <= alice@alpha.example U=root P=local S=305 id=ID"
	return e.find(ctx, 10*time.Second, e.Log, `(?m)^\S+ \S+ (\S+) <= .* id=`+regexp.QuoteMeta(id))
}

// WaitDeferred waits until the message was tried and could not be delivered, and returns Exim's reason.
func (e *Exim) WaitDeferred(ctx context.Context, queueID string) (reason string, err error) {
	// a line such as "2026-01-02 03:04:05 1uXYZ0-0000AB-CD == bob@bravo.example R=remote T=remote defer (110): Connection timed out"
	return e.find(ctx, 60*time.Second, e.Log, `(?m)^\S+ \S+ `+regexp.QuoteMeta(queueID)+` == .* defer (.*)`)
}

// Flush tries every queued message now, one after the other, however they fared before. It does not wait for the end of it.
func (e *Exim) Flush(context.Context) error {
	_, err := e.host.Start("exim4", "-qff")
	return err
}

// Log is the main log so far, and what Exim has to complain of itself.
func (e *Exim) Log() (string, error) {
	main, err := e.host.ReadFile("/var/log/exim4/mainlog")
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if panics, err := e.host.ReadFile("/var/log/exim4/paniclog"); err == nil {
		main = append(main, panics...)
	}
	return string(main), err
}
