package lab

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// A host that joins is known to all, and its clear SMTP is seen by who looks between it and another.
func TestJoin(t *testing.T) {
	s := newStandard(t)
	delta := must[*Site](t)(s.Join(t.Context(), "mx.delta.example", "198.18.4.40", "2001:db8:d::40"))
	watch := must[*Watch](t)(s.WatchBetween(t.Context(), []*Site{s.Alpha, s.Bravo, delta}))
	for _, from := range []*Site{s.Alpha, s.Charlie} {
		must[string](t)(from.Run(t.Context(), "ping", "-n", "-c", "1", "-W", "2", delta.Name))
		from.Run(t.Context(), "nc", "-z", "-w", "1", delta.Name, "25") // refused: nobody listens
	}
	n := must[int](t)(watch.Finish(t.Context()))
	if n < 4 {
		t.Errorf("%d packets, want a SYN of alpha's and the answer, on both wires", n)
	}
	if text := watch.Tell(t.Context(), 100); strings.Contains(text, s.Charlie.IPv4.String()) || strings.Contains(text, s.Charlie.IPv6.String()) {
		t.Errorf("charlie's is none of it: %s", text)
	}
}

// What is taken out of a mailbox is whole, and is there no more.
func TestTake(t *testing.T) {
	s := newStandard(t)
	for user, server := range map[string]MailServer{"alice": startPostfix(t, s.Alpha, PostfixMaildir), "bob": startExim(t, s.Bravo, EximMaildir)} {
		address := user + "@localhost"
		var mails []string
		for _, subject := range []string{"one", "two"} {
			if err := server.Submit(t.Context(), address, address, subject, "Hello me.\nend of it"); err != nil {
				t.Fatal(err)
			}
			err := Eventually(t.Context(), 20*time.Second, "mail for "+user, func() (err error) {
				if mails, err = server.Take(user); err == nil && len(mails) == 0 {
					err = errors.New("none")
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(mails) != 1 || !strings.Contains(mails[0], "Subject: "+subject+"\n") || !strings.HasSuffix(mails[0], "\nend of it\n") {
				t.Errorf("%s has %q, not %s alone", user, mails, subject)
			}
		}
	}
}
