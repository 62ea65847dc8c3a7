package e2e

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"postroad/scripts/lab"
)

// An operator has a mail host and a bare postroad, and types commands.
type operator struct {
	*lab.Postroad
	commands int
}

// newOperator puts the program on a host, and nothing else of ours.
func newOperator(t *testing.T, s *lab.Site) *operator {
	t.Helper()
	must(t, s.Host.Install(binary))
	return &operator{Postroad: &lab.Postroad{Site: s}}
}

// types runs a postroad command with something pasted into it, and returns what
// it prints.
func (o *operator) types(ctx context.Context, t *testing.T, pasted string, words ...string) string {
	t.Helper()
	o.commands++
	out, err := o.paste(ctx, pasted, words...)
	if err != nil {
		t.Fatalf("postroad %s on %s: %v\n%s", strings.Join(words, " "), o.Site.Name, err, out)
	}
	return out
}

func (o *operator) paste(ctx context.Context, pasted string, words ...string) (string, error) {
	cmd := o.Site.Host.Command(ctx, "postroad", words...)
	cmd.Stdin = strings.NewReader(pasted)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Two operators who have never met: from bare hosts with a running mail server
// to protected mail with at most four commands each, no editor, and no restart
// of the mail server.
func TestOnboarding(t *testing.T) {
	ctx, l := newLab(t)
	alice, bob := newOperator(t, l.Alpha), newOperator(t, l.Bravo)
	from, to := postfix(ctx, t, l.Alpha), postfix(ctx, t, l.Bravo)
	send := func(marker string) {
		t.Helper()
		_, err := from.Send(ctx, "alice@alpha.example", "bob@bravo.example", marker, "hello")
		must(t, err)
		_, err = to.WaitMail(ctx, "bob", marker)
		must(t, err)
	}
	send("before")
	cards := map[*operator]string{}
	for _, o := range []*operator{alice, bob} {
		o.types(ctx, t, "", "init")
		must(t, o.Start(ctx)) // as the service does
		cards[o] = o.types(ctx, t, "", "card")
	}
	digits := regexp.MustCompile(`(?m)^  ((\d{5} ){5}\d{5})$`)
	seen := map[string]bool{}
	for o, other := range map[*operator]*operator{alice: bob, bob: alice} {
		out := o.types(ctx, t, quoted(cards[other]), "peer", "add", "--apply")
		if !strings.Contains(out, "the peers file is in force") || !digits.MatchString(out) {
			t.Fatalf("peer add says:\n%s", out)
		}
		seen[digits.FindStringSubmatch(out)[1]] = true
	}
	if len(seen) != 1 {
		t.Errorf("the operators see different digits: %v", seen)
	}
	must(t, alice.WaitState(ctx, l.Bravo.Name, "protected"))
	must(t, bob.WaitState(ctx, l.Alpha.Name, "protected"))
	for _, o := range []*operator{alice, bob} {
		if out := o.types(ctx, t, "", "status"); !strings.Contains(out, "protected") {
			t.Errorf("status says:\n%s", out)
		}
		if o.commands > 4 {
			t.Errorf("the operator of %s typed %d commands", o.Site.Name, o.commands)
		}
	}
	sealed, _, err := l.Sealed(ctx)
	must(t, err)
	none := watch(ctx, t, l)
	send("after")
	none()
	if now, _, err := l.Sealed(ctx); err != nil || now < sealed+10 {
		t.Errorf("%d packets in the tunnel for a mail, %v", now-sealed, err)
	}
}

// quoted is a card in a mail that answers another.
func quoted(card string) string {
	return "Dear colleague,\n\nyou wrote:\n> " + strings.ReplaceAll(strings.TrimSpace(card), "\n", "\n> ") + "\n\nThank you!\n-- \nThe postmaster\n"
}

// stranger is the card of a peer that nobody has met.
func stranger(ctx context.Context, t *testing.T, o *operator, i int) string {
	t.Helper()
	private, err := o.Command(ctx, "genkey")
	must(t, err)
	public, err := o.paste(ctx, private, "pubkey")
	must(t, err)
	return fmt.Sprintf("[[peer]]\nname = \"mx%d.example\"\npublic_key = %q\naddresses = [\"203.0.113.%d\"]\n", i, strings.TrimSpace(public), 100+i)
}

// Peers that are added at the same time are all there afterwards.
func TestPeerAddAtOnce(t *testing.T) {
	const n = 6
	ctx, l := newLab(t)
	o := newOperator(t, l.Alpha)
	o.types(ctx, t, "", "init")
	var wait sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		card := stranger(ctx, t, o, i)
		wait.Go(func() {
			out, err := o.paste(ctx, card, "peer", "add")
			if errs[i] = err; err != nil {
				errs[i] = fmt.Errorf("%w: %s", err, out)
			}
		})
	}
	wait.Wait()
	must(t, errors.Join(errs...))
	list := o.types(ctx, t, "", "peer", "list")
	for i := range n {
		if !strings.Contains(list, fmt.Sprintf("mx%d.example", i)) {
			t.Errorf("mx%d.example is lost:\n%s", i, list)
		}
	}
}

// On a full disk nothing is lost and nothing is left lying about; with space
// again, the same command does it.
func TestPeerAddOnFullDisk(t *testing.T) {
	ctx, l := newLab(t)
	o := newOperator(t, l.Alpha)
	run(ctx, t, l.Alpha.Host, "mkdir", "-p", "/etc/postroad")
	run(ctx, t, l.Alpha.Host, "mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", "/etc/postroad")
	o.types(ctx, t, "", "init")
	before, err := l.Alpha.ReadFile(lab.PeersFile)
	must(t, err)
	_, err = l.Alpha.Run(ctx, "sh", "-c", "head -c 32768 /dev/zero >/etc/postroad/fill") // as much as fits
	if err == nil {
		t.Fatal("the disk is not full")
	}
	card := stranger(ctx, t, o, 1)
	out, err := o.paste(ctx, card, "peer", "add")
	exitStatus(t, err, 1)
	if !strings.Contains(out, "no space left on device") || !strings.Contains(out, "which is as it was") {
		t.Errorf("it says:\n%s", out)
	}
	if after, err := l.Alpha.ReadFile(lab.PeersFile); err != nil || string(after) != string(before) {
		t.Errorf("the peers file is changed: %v\n%s", err, after)
	}
	if left := run(ctx, t, l.Alpha.Host, "ls", "-A", "/etc/postroad"); left != "fill\npostroad.toml\nprivate.key" {
		t.Errorf("the folder has %q", left)
	}
	run(ctx, t, l.Alpha.Host, "rm", "/etc/postroad/fill")
	o.types(ctx, t, card, "peer", "add")
}
