package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postroad/scripts/lab"
)

// What is sent in a round: enough for the clock of processor time, 10 ms a tick.
const (
	messages    = 200
	messageSize = 500_000 // bytes
	sessions    = 4
)

// packets compares what mail to the one peer that answers costs here and on a host
// that has no other peer, in turn.
func (r *row) packets(ctx context.Context, s *stage) (err error) {
	one, err := newStage(ctx, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, one.Close()) }()
	stages := []*stage{one, s}
	for _, s := range stages {
		if err := s.listen(ctx); err != nil {
			return err
		}
	}
	for round := range *rounds + 1 { // the first warms up
		var spent, took [2]float64
		for i, s := range stages {
			if spent[i], took[i], err = s.send(ctx); err != nil {
				return err
			}
		}
		if round > 0 {
			r.spent, r.wall = append(r.spent, spent[1]/spent[0]), append(r.wall, took[1]/took[0])
		}
	}
	return nil
}

// listen has bravo take mail and throw it away.
func (s *stage) listen(ctx context.Context) error {
	if _, err := s.Bravo.Host.Start("smtp-sink", "-u", "root", smtp(s), "100"); err != nil {
		return err
	}
	return lab.Eventually(ctx, 5*time.Second, "smtp-sink", func() error { return s.Bravo.Listening(25) })
}

func smtp(s *stage) string { return fmt.Sprintf("%s:25", s.Bravo.IPv4) }

// send sends a round's messages, and returns the seconds of processor time that
// both daemons took, and the seconds that passed.
func (s *stage) send(ctx context.Context) (spent, took float64, err error) {
	before, err := s.both()
	if err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	err = s.Alpha.Source(ctx, "-s", fmt.Sprint(sessions), "-m", fmt.Sprint(messages), "-l", fmt.Sprint(messageSize), smtp(s))
	after, afterErr := s.both()
	return (after - before).Seconds(), time.Since(begin).Seconds(), errors.Join(err, afterErr)
}

// both returns the processor time of both daemons.
func (s *stage) both() (time.Duration, error) {
	alpha, err := processor(s.alpha)
	bravo, bravoErr := processor(s.bravo)
	return alpha + bravo, errors.Join(err, bravoErr)
}
