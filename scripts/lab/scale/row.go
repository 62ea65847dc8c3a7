package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A row is what was measured of a number of peers.
type row struct {
	peers       int
	ready       []time.Duration // from start to ready
	readySpent  []time.Duration // processor time, the same
	busy        []time.Duration // reload of one change, with the command's own start, while silent peers are greeted
	reloads     []time.Duration // the same, when that is over
	looks       []time.Duration // a pass that finds nothing to do
	resident    int             // kB, settled
	peak        int             // kB, until then
	idle        float64         // processor time per time, of one processor
	spent, wall []float64       // what a message costs against one peer: processor time of both daemons, and time
}

// start measures a first start, and a reload right after it.
func (r *row) start(ctx context.Context) error {
	s, err := newStage(ctx, r.peers)
	if err != nil {
		return err
	}
	r.ready, r.readySpent = append(r.ready, s.took), append(r.readySpent, s.spent)
	took, err := s.reload(ctx)
	r.busy = append(r.busy, took)
	return errors.Join(err, s.Close())
}

// rest looks at the daemon that has nothing to do.
func (r *row) rest(ctx context.Context, s *stage) error {
	if err := s.quiet(ctx); err != nil {
		return err
	}
	before, err := processor(s.alpha)
	if err == nil {
		err = wait(ctx, *idle)
	}
	after, afterErr := processor(s.alpha)
	r.idle = float64(after-before) / float64(*idle)
	r.resident, r.peak = memory(s, "VmRSS:"), memory(s, "VmHWM:")
	return errors.Join(err, afterErr)
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// memory returns what proc(5) says of alpha's daemon under a key, in kB.
func memory(s *stage, key string) (kB int) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.alpha.Pid()))
	_, rest, _ := strings.Cut(string(status), key)
	_, _ = fmt.Sscan(rest, &kB)
	return kB
}

// reload measures reloads of one change, and from what the daemon counts a pass
// that finds nothing to do: reading the system, comparing, and judging.
func (r *row) reload(ctx context.Context, s *stage) error {
	for range max(*runs, 1) {
		took, err := s.reload(ctx)
		if err != nil {
			return err
		}
		r.reloads = append(r.reloads, took)
		if err := wait(ctx, 2*time.Second); err != nil {
			return err
		}
		look, err := s.pass(ctx)
		if err != nil {
			return err
		}
		r.looks = append(r.looks, look)
	}
	return nil
}

// pass has the daemon look, by a change that is none of its business, and returns
// how long it takes.
func (s *stage) pass(ctx context.Context) (time.Duration, error) {
	passes, seconds, err := s.passes(ctx)
	if err != nil {
		return 0, err
	}
	if _, err := s.Alpha.Run(ctx, "ip", "link", "set", "lo", "mtu", strconv.Itoa(60000+s.changes)); err != nil {
		return 0, err
	}
	for {
		now, nowSeconds, err := s.passes(ctx)
		if now > passes || err != nil {
			return time.Duration((nowSeconds - seconds) / (now - passes) * float64(time.Second)), err
		}
		if err := wait(ctx, 20*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// metricsTries is how often to ask: with very many peers a daemon may be busy for
// longer than the command waits.
const metricsTries = 5

// passes returns how many there were, and the seconds that they took together.
func (s *stage) passes(ctx context.Context) (n, seconds float64, err error) {
	text := ""
	for range metricsTries {
		if text, err = s.alpha.Command(ctx, "metrics"); err == nil {
			break
		}
	}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch name {
		case "postroad_passes_total":
			n, _ = strconv.ParseFloat(value, 64)
		case "postroad_pass_seconds_total":
			seconds, _ = strconv.ParseFloat(value, 64)
		}
	}
	return n, seconds, err
}

func median[T int | float64 | time.Duration](all []T) (m T) {
	if len(all) == 0 {
		return m
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}
