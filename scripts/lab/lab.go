// Package lab makes mail hosts out of namespaces: isolated machines with real Postfix, real tcpdump and real
// wires between them, on one Linux box. The demo and the root test-suite both run in it.
//
// Nothing in a lab has a name outside it, and a host lives no longer than the process which made it: its init reads
// a pipe held by that process only. However that process ends, the kernel closes the pipe, init ends, and every
// process, mount and link of the host ends with it.
//
// It needs root, /dev/net/tun, and the programs in [Packages]; no systemd, no cgroups, no overlayfs.
package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Packages are the Debian packages a lab needs, each with the programs it is needed for.
var Packages = map[string][]string{
	"coreutils":       {"cat", "cp"},
	"iproute2":        {"ip"},
	"iputils-ping":    {"ping"},
	"mount":           {"mount"},
	"netcat-openbsd":  {"nc"},
	"nftables":        {"nft"},
	"postfix":         {"postfix", "postconf", "postqueue", "sendmail", "newaliases", "smtp-sink", "smtp-source"},
	"tcpdump":         {"tcpdump"},
	"util-linux":      {"nsenter"},
	"wireguard-go":    {"wireguard-go"},
	"wireguard-tools": {"wg"},
}

// searchPath is where programs are looked for, on the machine and in hosts; /run/bin holds what [Host.Install] put there.
const searchPath = "/run/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// A Lab is a set of hosts and the wires between them.
type Lab struct {
	mu    sync.Mutex
	hosts []*Host
}

// New returns an empty lab, or an error that names everything this machine lacks for one, and how to get it.
func New(ctx context.Context) (*Lab, error) {
	if err := errors.Join(ctx.Err(), checkRoot(), checkTUN(), checkPrograms()); err != nil {
		return nil, fmt.Errorf("making a lab: %w", err)
	}
	return &Lab{}, nil
}

// Close ends every host and waits until they are gone. Closing twice is harmless.
func (l *Lab) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, h := range slices.Backward(l.hosts) {
		errs = append(errs, h.close())
	}
	l.hosts = nil
	return errors.Join(errs...)
}

func checkRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("making namespaces needs root: run it with sudo")
	}
	return nil
}

func checkTUN() error {
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return fmt.Errorf("looking for the TUN device: %w: try modprobe tun", err)
	}
	return nil
}

func checkPrograms() error {
	var missing []string
	for pkg, programs := range Packages {
		if slices.ContainsFunc(programs, func(name string) bool { return lookPath(name) == "" }) {
			missing = append(missing, pkg)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return fmt.Errorf("programs are missing: try apt-get install %s", strings.Join(missing, " "))
}

// lookPath returns the path of a program, or "" if there is none.
func lookPath(name string) string {
	if strings.Contains(name, "/") {
		return name
	}
	for dir := range strings.SplitSeq(searchPath, ":") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	return ""
}

// Patience is how many times slower than an ordinary machine this one may be: $POSTROAD_TEST_PATIENCE, or else 1. Every
// deadline of a lab is that much longer, so that an emulated machine is held to what it does and not to when.
func Patience() time.Duration {
	if n, err := strconv.Atoi(os.Getenv("POSTROAD_TEST_PATIENCE")); err == nil && n > 1 {
		return time.Duration(n)
	}
	return 1
}

// Eventually calls try until it returns nil, and gives up when the timeout, times [Patience], or ctx ends, with try's last
// error.
func Eventually(ctx context.Context, timeout time.Duration, what string, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout*Patience())
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w: %w", what, context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}
