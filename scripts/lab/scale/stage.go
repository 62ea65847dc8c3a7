package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"postroad/scripts/lab"
)

// A stage is a lab whose alpha has n peers: bravo, and others that nobody answers
// for.
type stage struct {
	*lab.Standard
	alpha, bravo *lab.Postroad
	n            int
	changes      int           // of the peers file
	took         time.Duration // from alpha's start to ready
	spent        time.Duration // processor time, the same
}

func newStage(ctx context.Context, n int) (_ *stage, err error) {
	s := &stage{n: n}
	if s.Standard, err = lab.NewStandard(ctx); err != nil {
		return nil, err
	}
	if err := s.build(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *stage) build(ctx context.Context) (err error) {
	if s.alpha, err = s.Alpha.Postroad(ctx, lab.Binary()); err != nil {
		return err
	}
	if s.bravo, err = s.Bravo.Postroad(ctx, lab.Binary()); err != nil {
		return err
	}
	if err := errors.Join(s.bravo.Write("[host]", s.alpha.Block()), s.write()); err != nil {
		return err
	}
	if err := s.bravo.Start(ctx); err != nil {
		return err
	}
	return s.start(ctx)
}

// write writes alpha's peers file: at each time the last peer is another.
func (s *stage) write() error {
	if s.n == 1 {
		return s.alpha.Write("[host]", s.bravo.Block(fmt.Sprintf("keepalive = \"%ds\"\n", 1000+s.changes)))
	}
	return s.alpha.Write("[host]", s.bravo.Block(), lab.ManyPeers(0, s.n-2), lab.ManyPeers(s.n-2+s.changes, 1))
}

// start starts alpha's daemon, and waits until it says that it is ready, however
// long that takes.
func (s *stage) start(ctx context.Context) (err error) {
	begin := time.Now()
	if s.alpha.Proc, err = s.Alpha.Host.Start("postroad", "run"); err != nil {
		return err
	}
	for !strings.Contains(s.alpha.Output(), "ready:") {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.alpha.Exited():
			return errors.New("the daemon has ended: " + s.alpha.Output())
		case <-time.After(5 * time.Millisecond):
		}
	}
	s.took = time.Since(begin)
	s.spent, err = processor(s.alpha)
	return errors.Join(err, s.alpha.WaitState(ctx, s.Bravo.Name, "protected"))
}

// reload changes one peer, and returns how long the command takes that puts it in
// force.
func (s *stage) reload(ctx context.Context) (time.Duration, error) {
	s.changes++
	if err := s.write(); err != nil {
		return 0, err
	}
	begin := time.Now()
	_, err := s.alpha.Command(ctx, "reload")
	return time.Since(begin), err
}

const (
	tries      = 2 * 5170 * time.Millisecond // in which a peer that is called is sent two packets (REKEY_TIMEOUT, with its jitter)
	callsSend  = 8 * 18                      // packets a second: calls to peers that do not answer (callsPerSecond), of 90 seconds each
	quietSends = callsSend * 5 / 4           // the same, of a daemon that greets nobody
)

// quiet waits until the daemon has given up those peers that it greeted at its
// start and that do not answer.
func (s *stage) quiet(ctx context.Context) error {
	for end := time.Now().Add(*settle); *settle > 0; {
		before, err := s.sent()
		if err == nil {
			err = wait(ctx, tries)
		}
		after, afterErr := s.sent()
		rate := float64(after-before) / tries.Seconds()
		switch err := errors.Join(err, afterErr); {
		case err != nil:
			return err
		case rate <= quietSends:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("after %s it still sends %.0f packets a second", *settle, rate)
		}
	}
	return nil
}

// sent counts the packets that alpha has sent on the wire.
func (s *stage) sent() (n int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", s.alpha.Pid()))
	for line := range strings.Lines(string(text)) {
		name, counts, _ := strings.Cut(strings.TrimSpace(line), ":")
		if fields := strings.Fields(counts); len(fields) == 16 && name != "lo" && name != "postroad0" {
			packets, convErr := strconv.Atoi(fields[9])
			n, err = n+packets, errors.Join(err, convErr)
		}
	}
	return n, err
}

// processor returns the processor time that a daemon has taken so far.
func processor(p *lab.Postroad) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid()))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	var user, system int // ticks: utime and stime of proc(5)
	if _, err := fmt.Sscan(strings.Join(append(strings.Fields(rest)[11:13], ""), " "), &user, &system); err != nil {
		return 0, fmt.Errorf("reading processor time: %w", err)
	}
	return time.Duration(user+system) * (time.Second / ticks), nil
}

// ticks are how many the kernel counts in a second for programs, see USER_HZ.
const ticks = 100
