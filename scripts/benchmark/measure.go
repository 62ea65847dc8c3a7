package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postroad/scripts/lab"
)

// A reading is what had been used when a measurement began.
type reading struct {
	machine time.Duration // processor time of everything on the machine
	daemons time.Duration // of it, the contender's processes'
}

// A meter reads the machine around the part of a workload that counts.
type meter struct {
	start reading
	err   error
}

// begin begins to count: a workload calls it when it has found out how much to do.
func (t *trial) begin() {
	t.meter.err = t.resetPeak()
	t.meter.start = t.read()
}

// read reads the meter.
func (t *trial) read() (r reading) {
	var errs [2]error
	r.machine, errs[0] = machineTime()
	r.daemons, errs[1] = t.daemonTime()
	t.meter.err = errors.Join(t.meter.err, errs[0], errs[1])
	return r
}

// measure runs a workload and makes sure that it was carried as the contender promises: a figure of what was not is none.
func (t *trial) measure(ctx context.Context, w workload, length time.Duration) (Figures, error) {
	ctx, cancel := context.WithTimeout(ctx, (20*time.Second+10*length)*lab.Patience())
	defer cancel()
	clear, err := t.clear(ctx)
	if err != nil {
		return nil, err
	}
	crossed, err := t.crossed()
	if err != nil {
		return nil, err
	}
	done, err := w.run(ctx, t, length)
	end := t.read()
	if err := errors.Join(err, t.meter.err); err != nil {
		return nil, err
	}
	if err := t.carried(ctx, clear, crossed, done.bytes); err != nil {
		return nil, err
	}
	t.add(done, end)
	return done.figures, nil
}

// add adds to a workload's own figures what the machine spent.
func (t *trial) add(done *work, end reading) {
	if done.units > 0 {
		done.figures[processorTime] = (end.machine - t.meter.start.machine).Seconds() / done.units
		if len(t.daemons) > 0 {
			done.figures[daemonTime] = (end.daemons - t.meter.start.daemons).Seconds() / done.units
		}
	}
	if peak := t.peakMemory(); peak > 0 {
		done.figures[peakMemory] = peak
	}
}

// carried is an error unless what a workload did has crossed the wire since, in clear or not as the contender says.
func (t *trial) carried(ctx context.Context, clearBefore, crossedBefore int, bytes float64) error {
	clear, err := t.clear(ctx)
	if err != nil {
		return err
	}
	crossed, err := t.crossed()
	if err != nil {
		return err
	}
	if err := verdict(t.bare, clear-clearBefore, crossed-crossedBefore, bytes); err != nil {
		return fmt.Errorf("refused: %w", err)
	}
	return nil
}

// verdict is what carried says.
func verdict(bare bool, clear, crossed int, bytes float64) error {
	switch {
	case bare && clear == 0:
		return errors.New("no packet in clear was seen where all of them are: the counter does not work")
	case !bare && clear > 0:
		return fmt.Errorf("%d packets crossed the wire in clear", clear)
	case float64(crossed) < bytes:
		return fmt.Errorf("%d bytes crossed the wire where %.0f were sent", crossed, bytes)
	}
	return nil
}

// idle is what a contender needs that carries nothing.
func (t *trial) idle() Figures {
	f := Figures{}
	if m := t.memory(); m > 0 {
		f[idleMemory] = m
	}
	return f
}
