package main

import (
	"context"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"postroad/scripts/lab"
)

// clockFaults are faults where it is said that this machine's clock is ours to set,
// and none elsewhere.
func clockFaults() []fault {
	if os.Getenv("POSTROAD_TEST_CLOCK") == "" {
		return nil
	}
	return []fault{
		{name: "clock set forward", within: timers, do: setClock(time.Hour)},
		{name: "clock set back", within: timers, do: setClock(-time.Hour)},
	}
}

// setClock sets the clock, which is all hosts' at once, sees mail flow, and sets it
// right again. No session begins meanwhile, as all are new.
func setClock(off time.Duration) infliction {
	return func(ctx context.Context, s *stage, _ *host, _ *rand.Rand) (func(context.Context) error, error) {
		err := s.forget(ctx)
		if err == nil {
			err = step(off)
		}
		if err == nil {
			_, err = s.recover(ctx, timers)
		}
		return func(context.Context) error { return step(-off) }, err
	}
}

// step sets the clock by so much.
func step(off time.Duration) error {
	tv := unix.NsecToTimeval(time.Now().Add(off).UnixNano())
	return unix.Settimeofday(&tv)
}

// forget ends all sessions, and has all hosts begin anew: but for what each knows of
// the others' times, which WireGuard keeps, as it does when its private key changes.
func (s *stage) forget(ctx context.Context) error {
	for _, h := range s.hosts {
		if err := shell(rekeyed, h.Site.Host)(ctx); err != nil {
			return err
		}
	}
	_, err := s.recover(ctx, timers)
	return err
}

const rekeyed = "wg genkey | wg set postroad0 private-key /dev/stdin; wg set postroad0 private-key " + lab.KeyFile
