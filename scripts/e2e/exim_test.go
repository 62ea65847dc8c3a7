package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"postroad/scripts/lab"
)

// Mail both ways where the other side has another mail server, over both families
// and all three ports.
func TestMailWithExim(t *testing.T) {
	ctx, r := newRoad(t)
	alpha := postfix(ctx, t, r.Alpha)
	bravo := exim(ctx, t, r.Bravo)
	none := watch(ctx, t, r.Standard)
	for v6, ports := range map[bool][]int{false: {25, 465, 587}, true: {25}} {
		for _, port := range ports {
			name := fmt.Sprintf("v6=%v/%d", v6, port)
			t.Run(name+"/to Exim", func(t *testing.T) {
				must(t, alpha.Set(ctx, route(r.Bravo, v6, port)...))
				carry(ctx, t, alpha, r.Alpha, "alice", bravo, r.Bravo, "bob", v6)
			})
			t.Run(name+"/from Exim", func(t *testing.T) {
				settings := []string{lab.EximRoute(r.Alpha.Name, uint16(port))}
				if !v6 {
					settings = append(settings, lab.EximIPv4)
				}
				if port != 465 {
					settings = append(settings, lab.EximNoTLS)
				}
				must(t, bravo.Set(ctx, settings...))
				carry(ctx, t, bravo, r.Bravo, "bob", alpha, r.Alpha, "alice", v6)
			})
		}
	}
	none()
	if n, _, err := r.Sealed(ctx); err != nil || n < 50 {
		t.Errorf("only %d encrypted packets: the mail took another way (%v)", n, err)
	}
}

// exim starts Exim, whose log is shown when the test fails.
func exim(ctx context.Context, t *testing.T, s *lab.Site, settings ...string) *lab.Exim {
	t.Helper()
	e, err := s.Exim(ctx, settings...)
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			log, err := e.Log()
			t.Logf("Exim on %s: %s (%v)", s.Name, log, err)
		}
	})
	return e
}

// carry sends one mail from a mail server to another, whichever they are, and
// looks at where the recipient's says that it comes from.
func carry(ctx context.Context, t *testing.T, from lab.MailServer, fromSite *lab.Site, sender string,
	to lab.MailServer, toSite *lab.Site, recipient string, v6 bool) {
	t.Helper()
	marker := strings.ReplaceAll(t.Name(), "/", "_")
	_, err := from.Send(ctx, sender+"@"+fromSite.Domain(), recipient+"@"+toSite.Domain(), marker, "hello")
	must(t, err)
	mail, err := to.WaitMail(ctx, recipient, marker)
	must(t, err)
	if !lab.ReceivedFrom(mail, fromSite.Addr(v6)) {
		t.Errorf("the mail is not from %s:\n%s", fromSite.Addr(v6), mail)
	}
}
