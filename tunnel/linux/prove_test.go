package linux

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"postroad/tunnel/doctor"
)

// talkTo has the prover speak with a server, and returns what it found and how
// the session failed.
func talkTo(t *testing.T, server func(c net.Conn)) (p doctor.Proof, err error) {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer theirs.Close()
		server(theirs)
	}()
	err = prover{name: "mx.alpha.example", full: 1500}.talk(ours, &p)
	ours.Close()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the server is still being listened to")
	}
	return p, err
}

func TestTalk(t *testing.T) {
	var heard []string
	p, err := talkTo(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "220-wait\r\n220 mx.bravo.example ESMTP\r\n")
		lines := bufio.NewScanner(c)
		for lines.Scan() {
			heard = append(heard, lines.Text())
			_, _ = io.WriteString(c, "250-mx.bravo.example\r\n250 fine\r\n")
		}
	})
	if err != nil || p.Greeting != "220 mx.bravo.example ESMTP" || !p.Large {
		t.Errorf("%+v, %v", p, err)
	}
	if len(heard) != 3 || heard[0] != "EHLO mx.alpha.example" || len(heard[1]) < 1500 || !strings.HasPrefix(heard[1], "NOOP ") || heard[2] != "QUIT" {
		t.Errorf("it said %d lines: %.60q", len(heard), heard)
	}
}

func TestTalkWithOthersThanMailServers(t *testing.T) {
	for name, server := range map[string]func(c net.Conn){
		"another protocol": func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH\r\n") },
		"refuses":          func(c net.Conn) { _, _ = io.WriteString(c, "554 no\r\n") },
		"hangs up":         func(net.Conn) {},
		"an empty line":    func(c net.Conn) { _, _ = io.WriteString(c, "\r\n") },
		"refuses EHLO": func(c net.Conn) {
			_, _ = io.WriteString(c, "220 hello\r\n")
			_, _ = bufio.NewReader(c).ReadString('\n')
			_, _ = io.WriteString(c, "500 what?\r\n")
		},
		"a line without end": func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, strings.Repeat("220", 1000)); err != nil {
					return
				}
			}
		},
		"a reply without end": func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, "220-more\r\n"); err != nil {
					return
				}
			}
		},
	} {
		if p, err := talkTo(t, server); err == nil || p.LargeDone {
			t.Errorf("%s: taken for a session that works: %+v", name, p)
		}
	}
}
