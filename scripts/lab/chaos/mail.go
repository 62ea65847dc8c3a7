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
	sendEvery  = 250 * time.Millisecond // in all, however many hosts there are
	largestRaw = 30 << 10               // bytes of a message, before base64
)

// A stream is mail from one user to another, as long as it runs. Each message
// says which one it is, and what its words sum up to.
type stream struct {
	name     string // marks its messages
	from, to string
	sender   lab.MailServer
	random   *rand.Rand

	mu   sync.Mutex
	sent []sent // by number
}

// sent is what is known of a message that a mail server was given.
type sent struct {
	sum   string
	times int // that it has arrived
}

// run sends until ctx ends. What a mail server has taken is to arrive.
func (s *stream) run(ctx context.Context, every time.Duration) error {
	for tick := time.Tick(every); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
		}
		if err := s.sender.Submit(context.WithoutCancel(ctx), s.from, s.to, "chaos", s.next()); err != nil {
			return fmt.Errorf("handing a message to the mail server of %s: %w", s.from, err)
		}
	}
}

// next makes the next message up.
func (s *stream) next() (body string) {
	raw := make([]byte, 1+s.random.IntN(largestRaw))
	for i := range raw {
		raw[i] = byte(s.random.Uint32())
	}
	words := wrap(base64.StdEncoding.EncodeToString(raw))
	sum := checksum(words)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, sent{sum: sum})
	return fmt.Sprintf("chaos %s %d %s\n%s\nend of it\n", s.name, len(s.sent)-1, sum, words)
}

func wrap(s string) string {
	var lines []string
	for len(s) > 76 {
		lines, s = append(lines, s[:76]), s[76:]
	}
	return strings.Join(append(lines, s), "\n")
}

func checksum(words string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(words))) }

// arrived takes note of a message, and says whether it is one that was sent.
func (s *stream) arrived(number int, sum string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if number >= len(s.sent) || s.sent[number].sum != sum {
		return false
	}
	s.sent[number].times++
	return true
}

// account is what became of the stream's messages so far.
func (s *stream) account() (a account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.sent = len(s.sent)
	for _, m := range s.sent {
		switch {
		case m.times == 0:
			a.lost++
		case m.times > 1:
			a.doubled++
		}
	}
	return a
}

// An account is what became of messages.
type account struct{ sent, lost, doubled, altered int }

func (a account) String() string {
	return fmt.Sprintf("%d sent, %d lost, %d altered, %d delivered twice", a.sent, a.lost, a.altered, a.doubled)
}

func (a account) plus(b account) account {
	return account{a.sent + b.sent, a.lost + b.lost, a.doubled + b.doubled, a.altered + b.altered}
}

// An inbox is where streams end.
type inbox struct {
	streams []*stream
	altered int // messages that are none of theirs
}

var marked = regexp.MustCompile(`(?s)\nchaos (\S+) (\d+) ([0-9a-f]{64})\n(.*?)\nend of it\n`)

// take takes note of messages that have arrived.
func (in *inbox) take(mails []string) {
	for _, mail := range mails {
		if !in.knows(mail) {
			in.altered++
		}
	}
}

func (in *inbox) knows(mail string) bool {
	m := marked.FindStringSubmatch(strings.ReplaceAll(mail, "\r\n", "\n"))
	if m == nil || checksum(m[4]) != m[3] {
		return false
	}
	var number int
	fmt.Sscan(m[2], &number)
	for _, s := range in.streams {
		if s.name == m[1] {
			return s.arrived(number, m[3])
		}
	}
	return false
}

// account is what became of all streams' messages so far.
func (in *inbox) account() account {
	a := account{altered: in.altered}
	for _, s := range in.streams {
		a = a.plus(s.account())
	}
	return a
}
