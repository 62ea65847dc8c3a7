// Command demo shows postroad's main job on two mail hosts in namespaces: real
// Postfix, real mail, a capture on the wire. scripts/demo builds and runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postroad/scripts/lab"
)

func main() {
	keep := flag.Bool("keep", false, "leave the lab up to play in, until Ctrl-C")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	begin := time.Now()
	if err := demo(ctx, *keep); err != nil && ctx.Err() != nil {
		fmt.Println("\ninterrupted; all of it is gone again")
		os.Exit(1)
	} else if err != nil {
		fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		os.Exit(1)
	}
	fmt.Printf("\nAll of it is gone again; it took %.0f seconds.\n", time.Since(begin).Seconds())
}

// A show is the demo on its stage.
type show struct {
	*lab.Standard
	alpha, bravo         *lab.Postroad
	alphaMail, bravoMail *lab.Postfix
}

func demo(ctx context.Context, keep bool) (err error) {
	short, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	l, err := lab.NewStandard(short)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	s := &show{Standard: l}
	for _, act := range []func(context.Context) error{s.stage, s.withoutRoad, s.layRoad, s.mail, s.kill, s.doctor} {
		if err := act(short); err != nil {
			return err
		}
	}
	if keep {
		s.keep(ctx)
	}
	return nil
}

func title(text string) { fmt.Printf("\n\033[1m%s\033[0m\n", text) }

// indented prints text as a quotation.
func indented(text string) {
	for line := range strings.Lines(strings.Trim(text, "\n")) {
		fmt.Printf("    %s\n", strings.TrimRight(line, "\n"))
	}
}

func (s *show) stage(ctx context.Context) (err error) {
	title("1. Two mail hosts, and a router between that sees all they say")
	indented(`
alice@alpha.example                            bob@bravo.example
mx1.alpha.example ---------- router ---------- mx.bravo.example
192.0.2.10                  tcpdump            198.51.100.20
2001:db8:a::10                                 2001:db8:b::20`)
	if s.alphaMail, err = s.Alpha.Postfix(ctx); err != nil {
		return err
	}
	s.bravoMail, err = s.Bravo.Postfix(ctx)
	fmt.Println("Each runs Debian's Postfix as an ordinary \"Internet Site\".")
	return err
}

// withoutRoad sends one mail without postroad: if the capture did not see that
// one, seeing none later would mean nothing.
func (s *show) withoutRoad(ctx context.Context) error {
	title("2. Without postroad: a mail from alice to bob")
	w, err := s.WatchClear(ctx)
	if err != nil {
		return err
	}
	if _, err := s.send(ctx, s.alphaMail, "alice@alpha.example", s.bravoMail, "bob", "bravo.example", "without-postroad"); err != nil {
		return err
	}
	n, err := w.Finish(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("It arrived. The router saw, on its two wires, \033[1m%d packets of SMTP in clear\033[0m, such as:\n", n)
	indented(readable(w.Tell(ctx, 20), 4))
	if n == 0 {
		return errors.New("the capture does not work: a mail crossed the wire unseen")
	}
	return nil
}

// readable returns the first lines of a capture that have SMTP to read in them.
func readable(capture string, n int) string {
	var all []string
	for line := range strings.Lines(capture) {
		if way, words, ok := strings.Cut(line, "SMTP: "); ok && len(all) < n {
			_, way, _ = strings.Cut(way, " ")
			way, _, _ = strings.Cut(way, ": Flags")
			all = append(all, way+": "+strings.TrimSpace(words))
		}
	}
	return strings.Join(all, "\n")
}

func (s *show) layRoad(ctx context.Context) (err error) {
	title("3. postroad on both: a key each, the other one in the peers file, and start")
	if s.alpha, s.bravo, err = s.Pave(ctx, lab.Binary()); err != nil {
		return err
	}
	file, err := s.Alpha.ReadFile(lab.PeersFile)
	if err != nil {
		return err
	}
	fmt.Printf("%s on mx1.alpha.example:\n", lab.PeersFile)
	indented(string(file))
	out, err := s.alpha.Command(ctx, "status")
	fmt.Println("postroad status:")
	indented(out)
	fmt.Println("Nothing was changed in Postfix; it was not even restarted.")
	return err
}

func (s *show) mail(ctx context.Context) error {
	title("4. With postroad: a mail each way")
	w, before, err := s.watch(ctx)
	if err != nil {
		return err
	}
	toBob, err := s.send(ctx, s.alphaMail, "alice@alpha.example", s.bravoMail, "bob", "bravo.example", "from-alice")
	if err != nil {
		return err
	}
	toAlice, err := s.send(ctx, s.bravoMail, "bob@bravo.example", s.alphaMail, "alice", "alpha.example", "from-bob")
	if err != nil {
		return err
	}
	fmt.Println("As bob got his (the other host's ordinary name and public address):")
	indented(received(toBob))
	fmt.Println("As alice got hers:")
	indented(received(toAlice))
	return s.count(ctx, w, before)
}

func (s *show) kill(ctx context.Context) error {
	title("5. kill -9 of postroad on mx1.alpha.example, and another mail to bob")
	w, before, err := s.watch(ctx)
	if err != nil {
		return err
	}
	if err := s.alpha.Kill(); err != nil {
		return err
	}
	id, err := s.alphaMail.Send(ctx, "alice@alpha.example", "bob@bravo.example", "while-dead", "Are you there?")
	if err != nil {
		return err
	}
	reason, err := s.alphaMail.WaitDeferred(ctx, id)
	if err != nil {
		return err
	}
	fmt.Println("WireGuard ran within the daemon (backend userspace), so the tunnel is gone; the kernel's would have gone on.")
	fmt.Printf("Postfix keeps the mail in its queue (%s), and says why:\n", id)
	indented(reason)
	n, err := w.Clear(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("SMTP packets in clear meanwhile: %d\n", n)
	fmt.Println("postroad is started again, and the queue flushed:")
	if err := s.alpha.Start(ctx); err != nil {
		return err
	}
	if err := s.alphaMail.Flush(ctx); err != nil {
		return err
	}
	mail, err := s.bravoMail.WaitMail(ctx, "bob", "while-dead")
	if err != nil {
		return err
	}
	indented(received(mail))
	return s.count(ctx, w, before)
}

// doctor has postroad look for trouble, and prove that there is none.
func (s *show) doctor(ctx context.Context) error {
	title("6. postroad doctor on mx1.alpha.example: is anything wrong?")
	out, err := s.alpha.Command(ctx, "doctor")
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	indented(out)
	return nil
}

// watch begins to count, in clear and encrypted.
func (s *show) watch(ctx context.Context) (*lab.Watch, uint64, error) {
	before, _, err := s.Sealed(ctx)
	if err != nil {
		return nil, 0, err
	}
	w, err := s.WatchClear(ctx)
	return w, before, err
}

// count tells what the router saw, and fails the demo if it is not as promised.
func (s *show) count(ctx context.Context, w *lab.Watch, before uint64) error {
	n, err := w.Finish(ctx)
	if err != nil {
		return err
	}
	after, _, err := s.Sealed(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("The router saw: \033[1m%d encrypted packets, %d packets of SMTP in clear\033[0m.\n", after-before, n)
	if n > 0 || after == before {
		return errors.New("that is not what was promised")
	}
	return nil
}

// send sends a mail and returns it as it arrived.
func (s *show) send(ctx context.Context, from *lab.Postfix, sender string, to *lab.Postfix, user, domain, subject string) (string, error) {
	if _, err := from.Send(ctx, sender, user+"@"+domain, subject, "Hello!"); err != nil {
		return "", err
	}
	return to.WaitMail(ctx, user, subject)
}

// received returns the line of a mail that says where it came from, and its subject.
func received(mail string) string {
	_, rest, _ := strings.Cut(mail, "Received: ")
	line, _, _ := strings.Cut(rest, "\n")
	_, rest, _ = strings.Cut(mail, "Subject: ")
	subject, _, _ := strings.Cut(rest, "\n")
	return "Received: " + line + "\nSubject: " + subject
}

func (s *show) keep(ctx context.Context) {
	title("The lab stays up. In another terminal:")
	for _, h := range []*lab.Host{s.Alpha.Host, s.Bravo.Host, s.Charlie.Host, s.Router} {
		fmt.Printf("    sudo nsenter -t %d -n -m -u -i -p --wd=/ env PATH=/run/bin:$PATH bash   # %s\n", h.Pid(), h.Name)
	}
	fmt.Println("Try: postroad status; ip rule; nft list table inet postroad; sendmail bob@bravo.example; tcpdump -ni eth0")
	fmt.Println("Ctrl-C ends it.")
	<-ctx.Done()
}
