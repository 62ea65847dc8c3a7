// Command chaos breaks things on purpose on mail hosts that roads connect, and
// accounts for every message. scripts/chaos builds and runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"postroad/scripts/lab"
)

// What there is to choose.
var (
	minutes = flag.Float64("minutes", 0, "how long to inflict faults")
	hours   = flag.Float64("hours", 0, "the same in hours")
	seed    = flag.Uint64("seed", uint64(time.Now().UnixNano())%1e9, "decides which faults come when; a run's is printed")
	hosts   = flag.Int("hosts", 3, "how many hosts there are: 2 to 4, each a peer of each")
	only    = flag.String("only", "", "faults to inflict, separated by commas, by parts of their names")
	list    = flag.Bool("list", false, "list the faults")
	_       = flag.Bool("vm", false, "in a virtual machine, which scripts/chaos sees to")
	frozen  = flag.Duration("frozen", 10*time.Second, "how long SIGSTOP lasts; it ends sessions from 90 s on")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	if err := chaos(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "chaos: %v\nthe same again: scripts/chaos%s\n", err, again())
		os.Exit(1)
	}
}

// again is what to choose for the same again.
func again() (words string) {
	flag.Visit(func(f *flag.Flag) {
		switch {
		case f.Value.String() == "true":
			words += " --" + f.Name
		case f.Name != "seed":
			words += fmt.Sprintf(" --%s %q", f.Name, f.Value)
		}
	})
	return fmt.Sprintf("%s --seed %d", words, *seed)
}

func chaos(ctx context.Context) (err error) {
	if *hosts < 2 || *hosts > 4 {
		return fmt.Errorf("%d hosts: there can be 2 to 4", *hosts)
	}
	kinds := chosen(*only)
	if *list {
		for _, f := range kinds {
			fmt.Println(f.name)
		}
		return nil
	}
	if len(kinds) == 0 {
		return fmt.Errorf("no fault is named %q: --list names them", *only)
	}
	r := rand.New(rand.NewPCG(*seed, 0))
	s, err := newStage(ctx, r, *hosts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	fmt.Printf("seed %d, %d hosts, %s backend\n", *seed, *hosts, lab.Backend())
	return s.run(ctx, kinds, r)
}

// chosen returns the faults that words name: all if there are none.
func chosen(words string) (kinds []fault) {
	for _, f := range faults() {
		for word := range strings.SplitSeq(words, ",") {
			if strings.Contains(f.name, word) {
				kinds = append(kinds, f)
				break
			}
		}
	}
	return kinds
}

// lastWord is when a message that has not arrived is lost. Until then it may be in
// a mail server that waits for an answer on a connection that a fault has cut, by
// RFC 5321, section 4.5.3.2, for ten minutes.
const lastWord = 12 * time.Minute

// run inflicts faults with mail under way, and then looks at what became of it
// and of the hosts.
func (s *stage) run(ctx context.Context, kinds []fault, r *rand.Rand) error {
	var g errgroup.Group
	mail, enough := context.WithCancel(ctx)
	every := sendEvery * time.Duration(len(s.streams)) * lab.Patience()
	for _, m := range s.streams {
		g.Go(func() error { return m.run(mail, every) })
	}
	t, begin := newTable(kinds), time.Now()
	failure := s.inflict(ctx, kinds, r, t)
	enough()
	if err := g.Wait(); err != nil {
		return errors.Join(failure, err)
	}
	patience := lastWord
	if failure != nil { // the hosts are in the midst of it
		patience = 0
	}
	total, err := s.settle(ctx, patience)
	clearPackets, errWatch := s.watch.Finish(ctx)
	if err := errors.Join(err, errWatch); err != nil {
		return errors.Join(failure, err)
	}
	t.print(os.Stdout)
	fmt.Printf("%d faults in %s; messages: %s; packets in clear: %d\n", t.times(), time.Since(begin).Round(time.Second), total, clearPackets)
	if failure != nil {
		return fmt.Errorf("stopped, and messages under way count as lost: %w", failure)
	}
	return errors.Join(t.late(), s.verdict(ctx, total, clearPackets))
}

// inflict inflicts all faults in turn, in a new order each time, until time is up.
func (s *stage) inflict(ctx context.Context, kinds []fault, r *rand.Rand, t *table) error {
	end := time.Now().Add(time.Duration(*minutes*float64(time.Minute) + *hours*float64(time.Hour)))
	for first := true; first || time.Now().Before(end); first = false {
		for _, i := range r.Perm(len(kinds)) {
			h := s.hosts[r.IntN(len(s.hosts))]
			if err := s.befall(ctx, kinds[i], h, r, t); err != nil {
				return fmt.Errorf("%s on %s: %w", kinds[i].name, h.Site.Name, err)
			}
			if !first && time.Now().After(end) {
				return nil
			}
		}
	}
	return nil
}

// befall inflicts one fault on a host that has connections open to a peer, takes it
// away, and waits until mail flows.
func (s *stage) befall(ctx context.Context, f fault, h *host, r *rand.Rand, t *table) (err error) {
	crowd, err := h.crowd(ctx, h.peers[r.IntN(len(h.peers))])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, crowd.Kill(), crowd.Discard()) }()
	begin := time.Now()
	undo, err := f.do(ctx, s, h, r)
	if err != nil {
		return fmt.Errorf("inflicting it: %w", err)
	}
	for held := time.Now(); time.Since(held) < f.hold; {
		if f.flows {
			if err := s.flows(ctx); err != nil {
				return fmt.Errorf("mail stood still: %w\n%s", err, s.words())
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	if err := undo(ctx); err != nil {
		return fmt.Errorf("taking the cause away: %w", err)
	}
	took, err := s.recover(ctx, 2*time.Minute)
	if err != nil {
		return fmt.Errorf("mail does not flow again: %w\n%s", err, s.words())
	}
	t.add(f, took, time.Since(begin))
	if took > f.within {
		fmt.Fprint(os.Stderr, s.words())
	}
	fmt.Fprintf(os.Stderr, "%s  %s on %s: back after %.1f s\n", time.Now().Format(time.TimeOnly), f.name, h.Site.Name, took.Seconds())
	return s.collect()
}

// tidy is in what a daemon is to be as it was. Buffers of a burst are given back at
// Go's second collection, and Go collects every two minutes where little is going on.
const tidy = 6 * time.Minute

// verdict says what is wrong at the end.
func (s *stage) verdict(ctx context.Context, total account, clearPackets int) (err error) {
	if total.sent == 0 || total.lost > 0 || total.altered > 0 {
		err = fmt.Errorf("messages: %s", total)
	}
	if clearPackets > 0 {
		err = errors.Join(err, fmt.Errorf("%d packets in clear:\n%s", clearPackets, s.watch.Tell(ctx, 5)))
	}
	for _, h := range s.hosts {
		var wrong []string
		errSettle := lab.Eventually(ctx, tidy, "all to be as it was", func() error {
			now, err := h.resources(ctx)
			if wrong = append(now.more(h.begin), h.leftovers(ctx)...); err != nil || len(wrong) > 0 {
				return errors.Join(err, errors.New(strings.Join(wrong, "; ")))
			}
			return nil
		})
		if errSettle != nil {
			err = errors.Join(err, fmt.Errorf("%s is not as it was: %w", h.Site.Name, errSettle))
		}
	}
	return err
}
