package main

import (
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// A notifier tells the service manager how the daemon fares, by sd_notify(3).
// Where there is none nothing is told: so its errors do not matter.
type notifier struct {
	every time.Duration // how often to say that the daemon is alive; zero: nobody watches
}

// newNotifier finds out what the service manager wants to know.
func newNotifier() notifier {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return notifier{}
	}
	return notifier{every: limit / 3}
}

func (notifier) ready() { _, _ = daemon.SdNotify(false, daemon.SdNotifyReady) }

func (n notifier) alive() {
	if n.every > 0 {
		_, _ = daemon.SdNotify(false, daemon.SdNotifyWatchdog)
	}
}

func (notifier) tell(words string) { _, _ = daemon.SdNotify(false, "STATUS="+words) }
