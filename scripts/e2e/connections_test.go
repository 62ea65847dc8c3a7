package e2e

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"postroad/scripts/lab"
)

// Both sides count the SMTP connections that are open between them, of both
// families, and no others.
func TestConnectionsAreCounted(t *testing.T) {
	ctx, r := newRoad(t)
	for _, site := range []*lab.Site{r.Bravo, r.Charlie} {
		for _, all := range []string{"0.0.0.0:25", "[::]:25"} {
			_, err := site.Sink(ctx, all)
			must(t, err)
		}
	}
	counted := func(want int) {
		t.Helper()
		check(t, connections(ctx, r.alpha, r.Bravo.Name, want))
		check(t, connections(ctx, r.bravo, r.Alpha.Name, want))
	}
	counted(0)
	newSession(ctx, t, r.Alpha, r.Charlie.IPv4.String()) // no peer
	ipv4 := newSession(ctx, t, r.Alpha, r.Bravo.IPv4.String())
	counted(1)
	ipv6 := newSession(ctx, t, r.Alpha, r.Bravo.IPv6.String())
	counted(2)
	for i, s := range []*session{ipv4, ipv6} {
		_, err := io.WriteString(s.in, "QUIT\r\n")
		must(t, err)
		counted(1 - i)
	}
}

func connections(ctx context.Context, p *lab.Postroad, peer string, want int) error {
	return lab.Eventually(ctx, 5*time.Second, fmt.Sprintf("%d connections on %s", want, p.Site.Name), func() error {
		s, err := p.Peer(ctx, peer)
		if err == nil && s.Connections != want {
			err = fmt.Errorf("there are %d", s.Connections)
		}
		return err
	})
}
