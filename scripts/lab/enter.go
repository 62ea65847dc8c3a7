package lab

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// namespaces are those a host has of its own.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET | unix.CLONE_NEWPID

// enter calls f on a thread that is in the host's namespaces ns: files f opens and processes f starts are the
// host's. The thread stays locked when its goroutine ends, so the runtime throws it away.
func (h *Host) enter(ns int, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() { // the main thread cannot be thrown away: keep it busy and take another
			defer runtime.UnlockOSThread()
			done <- h.enter(ns, f)
			return
		}
		done <- h.enterThread(ns, f)
	}()
	return <-done
}

func (h *Host) enterThread(ns int, f func() error) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil { // without a root directory of its own a thread cannot change mounts
		return fmt.Errorf("leaving the shared root directory: %w", err)
	}
	if err := unix.Setns(h.pidfd, ns); err != nil {
		return fmt.Errorf("entering %s: %w", h.Name, err)
	}
	return f()
}
