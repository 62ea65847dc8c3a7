package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"time"

	"postroad/scripts/lab"
)

const (
	sendEvery  = 500 * time.Millisecond
	largestRaw = 30 << 10 // bytes of a message, before base64
)

// A stream is mail from one user to another, as long as it runs. Each message
// says which one it is, and what its words sum up to.
type stream struct {
	name     string // marks its messages
	from, to string
	sender   lab.MailServer
	receiver interface {
		lab.MailServer
		Mailbox(user string) ([]string, error)
	}
	random *rand.Rand

	mu   sync.Mutex
	sent []string // checksums, by number
}

// run sends until ctx ends. What a mail server has taken is to arrive.
func (s *stream) run(ctx context.Context) error {
	for tick := time.Tick(sendEvery); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
		}
		s.mu.Lock()
		number := len(s.sent)
		s.mu.Unlock()
		body, sum := s.message(number)
		if _, err := s.sender.Send(context.WithoutCancel(ctx), s.from, s.to, "chaos", body); err != nil {
			return fmt.Errorf("handing message %d to the mail server of %s: %w", number, s.from, err)
		}
		s.mu.Lock()
		s.sent = append(s.sent, sum)
		s.mu.Unlock()
	}
}

func (s *stream) message(number int) (body, sum string) {
	raw := make([]byte, 1+s.random.IntN(largestRaw))
	for i := range raw {
		raw[i] = byte(s.random.Uint32())
	}
	words := wrap(base64.StdEncoding.EncodeToString(raw))
	sum = checksum(words)
	return fmt.Sprintf("chaos %s %d %s\n%s\nend of it\n", s.name, number, sum, words), sum
}

func wrap(s string) string {
	var lines []string
	for len(s) > 76 {
		lines, s = append(lines, s[:76]), s[76:]
	}
	return strings.Join(append(lines, s), "\n")
}

func checksum(words string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(words))) }

// An account is what became of a stream's messages.
type account struct{ sent, lost, doubled, altered int }

func (a account) String() string {
	return fmt.Sprintf("%d sent, %d lost, %d altered, %d delivered twice", a.sent, a.lost, a.altered, a.doubled)
}

func (a account) plus(b account) account {
	return account{a.sent + b.sent, a.lost + b.lost, a.doubled + b.doubled, a.altered + b.altered}
}

var marked = regexp.MustCompile(`(?s)\nchaos (\S+) (\d+) ([0-9a-f]{64})\n(.*?)\nend of it\n`)

// account looks at what has arrived.
func (s *stream) account() (account, error) {
	user, _, _ := strings.Cut(s.to, "@")
	mails, err := s.receiver.Mailbox(user)
	if err != nil {
		return account{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return count(s.name, s.sent, mails), nil
}

// count finds each message that was sent among those of a mailbox.
func count(name string, sent, mails []string) account {
	a, times := account{sent: len(sent)}, make([]int, len(sent))
	for _, mail := range mails {
		m := marked.FindStringSubmatch(strings.ReplaceAll(mail, "\r\n", "\n"))
		var number int
		switch {
		case m == nil, m[1] != name:
			a.altered++
			continue
		default:
			fmt.Sscan(m[2], &number)
		}
		if number >= len(sent) || m[3] != sent[number] || checksum(m[4]) != m[3] {
			a.altered++
			continue
		}
		times[number]++
	}
	for _, n := range times {
		switch {
		case n == 0:
			a.lost++
		case n > 1:
			a.doubled++
		}
	}
	return a
}
