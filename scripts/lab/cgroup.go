package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// cgroupPrefix begins the name of each cgroup of ours; the process's id and a number follow.
const cgroupPrefix = "postroad-lab-"

var cgroups atomic.Int64 // made so far

// hierarchies are the directories where cgroups are made: one on a machine with cgroup v2 only. A hybrid one has v1's
// systemd as well; a systemd in a container uses no others.
func hierarchies() (dirs []string) {
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err == nil {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// newCgroup makes a cgroup of a new name in each hierarchy, and removes those that runs which were killed left behind.
func newCgroup() (dirs []string, err error) {
	name := fmt.Sprintf("%s%d-%d", cgroupPrefix, os.Getpid(), cgroups.Add(1))
	for _, root := range hierarchies() {
		sweepCgroups(root)
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return dirs, fmt.Errorf("making a cgroup: %w", err)
		}
		dirs = append(dirs, dir)
	}
	if dirs == nil {
		return nil, errors.New("making a cgroup: no hierarchy is mounted at /sys/fs/cgroup")
	}
	return dirs, nil
}

// sweepCgroups removes the cgroups of processes that are gone. One that is in use cannot be removed, whatever its name.
func sweepCgroups(root string) {
	dirs, _ := filepath.Glob(filepath.Join(root, cgroupPrefix+"*")) // the pattern is a good one
	for _, dir := range dirs {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), cgroupPrefix), "-")
		if _, err := os.Stat("/proc/" + pid); errors.Is(err, fs.ErrNotExist) {
			removeCgroup(dir)
		}
	}
}

// removeCgroup removes a cgroup with those in it, the innermost first.
func removeCgroup(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() {
			err = errors.Join(err, removeCgroup(filepath.Join(dir, e.Name())))
		}
	}
	if e := unix.Rmdir(dir); e != nil && e != unix.ENOENT { // not os.Remove: it would try to unlink too
		err = errors.Join(err, fmt.Errorf("removing %s: %w", dir, e))
	}
	return err
}

// removeCgroups removes cgroups whose processes are gone. The kernel takes its time to notice.
func removeCgroups(dirs []string) (err error) {
	for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err = nil
		for _, dir := range dirs {
			err = errors.Join(err, removeCgroup(dir))
		}
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
