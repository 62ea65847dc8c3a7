package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"postroad/scripts/lab"
)

// A post is the mail servers of two peers: Postfix on alpha, Exim on bravo.
type post struct {
	l     *lab.Standard
	alpha *lab.Postfix
	bravo *lab.Exim
}

func newPost(ctx context.Context, t *testing.T, l *lab.Standard) *post {
	t.Helper()
	alpha := postfix(ctx, t, l.Alpha)
	bravo, err := l.Bravo.Exim(ctx)
	must(t, err)
	return &post{l, alpha, bravo}
}

// bothWays exchanges mail between the peers' ordinary addresses of a family.
func (p *post) bothWays(ctx context.Context, t *testing.T, v6 bool) {
	t.Helper()
	p.toBravo(ctx, t, v6)
	p.toAlpha(ctx, t, v6)
}

func (p *post) toBravo(ctx context.Context, t *testing.T, v6 bool) {
	t.Helper()
	must(t, p.alpha.Set(ctx, fmt.Sprintf("relayhost = [%s]:25", p.l.Bravo.Addr(v6))))
	arrives(ctx, t, p.alpha, "alice@alpha.example", p.bravo, "bob@bravo.example", p.l.Alpha.Addr(v6))
}

func (p *post) toAlpha(ctx context.Context, t *testing.T, v6 bool) {
	t.Helper()
	must(t, p.bravo.Set(ctx, lab.EximRoute(p.l.Alpha.Addr(v6).String(), 25)))
	arrives(ctx, t, p.bravo, "bob@bravo.example", p.alpha, "alice@alpha.example", p.l.Bravo.Addr(v6))
}

// arrives sends a mail, and waits until it is there, from the given address.
func arrives(ctx context.Context, t *testing.T, from lab.MailServer, sender string, to lab.MailServer, recipient string, source netip.Addr) {
	t.Helper()
	marker := rand.Text()
	_, err := from.Send(ctx, sender, recipient, marker, "hello")
	must(t, err)
	user, _, _ := strings.Cut(recipient, "@")
	mail, err := to.WaitMail(ctx, user, marker)
	if err != nil {
		log, _ := from.Log()
		t.Fatalf("%v\n%s", err, log)
	}
	if !lab.ReceivedFrom(mail, source) {
		t.Errorf("the mail is not from %s:\n%s", source, mail)
	}
}
