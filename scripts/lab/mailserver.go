package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// A MailServer is a running mail server of a host, [Postfix] or [Exim]: it takes mail for the host's domain on ports 25, 465
// and 587, over both families, and for other domains from the host itself.
type MailServer interface {
	// Send hands a message to the server as a program of the host would, and returns its queue id.
	Send(ctx context.Context, from, to, subject, body string) (queueID string, err error)
	// Submit is Send for who needs no queue id, which takes reading the log.
	Submit(ctx context.Context, from, to, subject, body string) error
	// Take takes a user's messages out of his mailbox, if the server has the setting [PostfixMaildir] or [EximMaildir].
	Take(user string) ([]string, error)
	// WaitMail waits for a message that contains the marker, its subject say, in a user's mailbox, and returns it.
	WaitMail(ctx context.Context, user, marker string) (mail string, err error)
	// WaitDeferred waits until the message was tried and could not be delivered, and returns the server's reason.
	WaitDeferred(ctx context.Context, queueID string) (reason string, err error)
	// Flush tries every queued message now.
	Flush(ctx context.Context) error
	// Log is the server's log so far.
	Log() (string, error)
	// Stop stops the server; its queue and mailboxes stay for the next one.
	Stop(ctx context.Context) error
}

var (
	_ MailServer = (*Postfix)(nil)
	_ MailServer = (*Exim)(nil)
)

// mailHost is what mail servers have in common: mailboxes in /var/mail, and a process.
type mailHost struct {
	host *Host
	proc *Proc
}

// Mailbox returns a user's messages, oldest first, headers and all.
func (m *mailHost) Mailbox(user string) ([]string, error) {
	data, err := m.host.ReadFile("/var/mail/" + user)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var messages []string
	for mail := range strings.SplitSeq("\n"+string(data), "\nFrom ") {
		if mail = strings.TrimPrefix(mail, "\n"); mail != "" {
			messages = append(messages, mail)
		}
	}
	return messages, err
}

// Take takes a user's messages out of the mailbox of a server that has the setting [PostfixMaildir] or [EximMaildir].
func (m *mailHost) Take(user string) (messages []string, err error) {
	err = m.host.enter(namespaces, func() error {
		files, err := filepath.Glob("/home/" + user + "/Maildir/new/*") // only whole messages are there
		for _, file := range files {
			data, errRead := os.ReadFile(file)
			messages = append(messages, string(data))
			err = errors.Join(err, errRead, os.Remove(file))
		}
		return err
	})
	return messages, m.host.wrap(err, "taking mail")
}

// WaitMail waits for a message that contains the marker, its subject say, in a user's mailbox, and returns it.
func (m *mailHost) WaitMail(ctx context.Context, user, marker string) (mail string, err error) {
	err = m.proc.Until(ctx, 30*time.Second, fmt.Sprintf("mail for %s with %q", user, marker), func() error {
		messages, err := m.Mailbox(user)
		for _, message := range messages {
			if strings.Contains(message, marker) {
				mail = message
				return nil
			}
		}
		return errors.Join(err, fmt.Errorf("none among %d", len(messages)))
	})
	return mail, err
}

// find waits until a regular expression is found in a log, and returns what its last group matches.
func (m *mailHost) find(ctx context.Context, timeout time.Duration, log func() (string, error), pattern string) (found string, err error) {
	line := regexp.MustCompile(pattern)
	err = m.proc.Until(ctx, timeout, "a line in the mail log that matches "+pattern, func() error {
		text, err := log()
		if match := line.FindStringSubmatch(text); match != nil {
			found = match[len(match)-1]
			return nil
		}
		return errors.Join(err, errors.New("it is not there"))
	})
	return found, err
}

// submit hands a message to a program that takes sendmail's words, and returns its Message-ID.
func (m *mailHost) submit(ctx context.Context, program, from, to, subject, body string) (id string, err error) {
	id = rand.Text() + "@" + m.host.Name
	_, err = m.host.run(ctx, message(id, from, to, subject, body), program, "-i", "-f", from, "--", to)
	return id, err
}

// message is one to send.
func message(id, from, to, subject, body string) string {
	return fmt.Sprintf("From: %s\nTo: %s\nSubject: %s\nMessage-ID: <%s>\n\n%s\n", from, to, subject, id, body)
}

// ReceivedFrom tells whether the server that wrote a message to the mailbox had it from a client with that address: what its
// Received line has in brackets, with or without "IPv6:" (RFC 5321, 4.1.3), as servers differ.
func ReceivedFrom(mail string, client netip.Addr) bool {
	_, received, _ := strings.Cut(mail, "\nReceived: from ")
	from, _, found := strings.Cut(received, "by ")
	return found && (strings.Contains(from, "["+client.String()+"]") || strings.Contains(from, "[IPv6:"+client.String()+"]"))
}
