package main

import (
	"context"
	"errors"
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
// right again. Each time all begin their sessions anew: so each has told each a time
// that is still to come, and WireGuard takes no earlier one from it (whitepaper,
// section 5.1).
func setClock(off time.Duration) infliction {
	return func(ctx context.Context, s *stage, _ *host, _ *rand.Rand) (func(context.Context) error, error) {
		err := step(off)
		for _, h := range s.hosts { // in turn: each is to be the one that begins
			if err == nil {
				err = h.forget(ctx)
			}
			if err == nil {
				_, err = s.recover(ctx, timers)
			}
		}
		return func(ctx context.Context) error {
			err := step(-off)
			for _, h := range s.hosts {
				err = errors.Join(err, h.forget(ctx))
			}
			return err
		}, err
	}
}

// step sets the clock by so much.
func step(off time.Duration) error {
	tv := unix.NsecToTimeval(time.Now().Add(off).UnixNano())
	return unix.Settimeofday(&tv)
}

// forget ends all sessions of the host, but not what it knows of its peers' times:
// WireGuard does so when its private key changes.
func (h *host) forget(ctx context.Context) error { return shell(rekeyed, h.Site.Host)(ctx) }

const rekeyed = "wg genkey | wg set postroad0 private-key /dev/stdin; wg set postroad0 private-key " + lab.KeyFile
