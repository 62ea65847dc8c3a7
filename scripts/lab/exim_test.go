package lab

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestExim(t *testing.T) {
	s := newStandard(t)
	var alpha MailServer = startPostfix(t, s.Alpha, "smtp_connect_timeout = 2s")
	exim := startExim(t, s.Bravo)
	var bravo MailServer = exim
	for _, v6 := range []bool{false, true} {
		family, familyExim := PreferIPv4, EximIPv4
		if v6 {
			family, familyExim = PreferIPv6, ""
		}
		if err := errors.Join(alpha.(*Postfix).Set(t.Context(), family), exim.Set(t.Context(), familyExim)); err != nil {
			t.Fatal(err)
		}
		t.Run(fmt.Sprintf("to Exim/v6=%v", v6), func(t *testing.T) {
			must[string](t)(alpha.Send(t.Context(), "alice@alpha.example", "bob@bravo.example", t.Name(), "Hello Bob."))
			mail := must[string](t)(bravo.WaitMail(t.Context(), "bob", "Subject: "+t.Name()))
			if !ReceivedFrom(mail, s.Alpha.Addr(v6)) {
				t.Errorf("not from %s:\n%s", s.Alpha.Addr(v6), mail)
			}
		})
		t.Run(fmt.Sprintf("from Exim/v6=%v", v6), func(t *testing.T) {
			must[string](t)(bravo.Send(t.Context(), "bob@bravo.example", "alice@alpha.example", t.Name(), "Hello Alice."))
			mail := must[string](t)(alpha.WaitMail(t.Context(), "alice", "Subject: "+t.Name()))
			if !ReceivedFrom(mail, s.Bravo.Addr(v6)) || ReceivedFrom(mail, s.Bravo.Addr(!v6)) {
				t.Errorf("not from %s:\n%s", s.Bravo.Addr(v6), mail)
			}
		})
	}
	t.Run("to itself", func(t *testing.T) {
		must[string](t)(bravo.Send(t.Context(), "bob@bravo.example", "bob@bravo.example", t.Name(), "Hello me."))
		must[string](t)(bravo.WaitMail(t.Context(), "bob", "Subject: "+t.Name()))
	})
}

// Another port, with and without TLS from the start, and a source address of one's own choice.
func TestEximSettings(t *testing.T) {
	s := newStandard(t)
	alpha := startPostfix(t, s.Alpha)
	second := "198.51.100.21"
	must[string](t)(s.Bravo.Run(t.Context(), "ip", "address", "add", second+"/24", "dev", "eth0"))
	exim := startExim(t, s.Bravo, "local_interfaces = <; 0.0.0.0 ; ::0")
	for _, port := range []uint16{25, 465, 587} {
		if err := exim.Set(t.Context(), EximIPv4, EximRoute(s.Alpha.Name, port), EximSource(second)); err != nil {
			t.Fatal(err)
		}
		marker := fmt.Sprint("port ", port)
		must[string](t)(exim.Send(t.Context(), "bob@bravo.example", "alice@alpha.example", marker, "Hello Alice."))
		mail := must[string](t)(alpha.WaitMail(t.Context(), "alice", marker))
		if !strings.Contains(mail, "["+second+"]") {
			t.Errorf("%s: not from %s:\n%s", marker, second, mail)
		}
		must[string](t)(exim.find(t.Context(), 10*time.Second, exim.Log, regexp.QuoteMeta(fmt.Sprintf("[%s]:%d ", s.Alpha.IPv4, port))))
	}
}

func TestEximQueue(t *testing.T) {
	s := newStandard(t)
	alpha := startPostfix(t, s.Alpha)
	bravo := startExim(t, s.Bravo, "TIMEOUT == 2s")
	if err := s.Alpha.Link.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	id := must[string](t)(bravo.Send(t.Context(), "bob@bravo.example", "alice@alpha.example", "later", "Hello Alice."))
	reason := must[string](t)(bravo.WaitDeferred(t.Context(), id))
	if !strings.Contains(reason, "unreachable") && !strings.Contains(reason, "timed out") {
		t.Errorf("reason: %q", reason)
	}
	if err := bravo.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.Bravo.Listening(25) == nil {
		t.Error("a stopped server listens")
	}
	bravo = startExim(t, s.Bravo)
	if err := errors.Join(s.Alpha.Link.Up(t.Context()), bravo.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	must[string](t)(alpha.WaitMail(t.Context(), "alice", "Subject: later"))
}

// startExim starts Exim, and shows its log when the test fails.
func startExim(t *testing.T, h *Site, settings ...string) *Exim {
	t.Helper()
	e := must[*Exim](t)(h.Exim(t.Context(), settings...))
	t.Cleanup(func() {
		if t.Failed() {
			log, err := e.Log()
			t.Logf("Exim on %s: %s (%v)", h.Name, log, err)
		}
	})
	return e
}
