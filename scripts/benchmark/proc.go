package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of processor times in /proc: USER_HZ is 100 everywhere (proc(5)).
const tick = 10 * time.Millisecond

// machineTime is the processor time that everything on the machine has used since it started.
func machineTime() (time.Duration, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return busy(string(data))
}

// busy reads the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq.
func busy(stat string) (time.Duration, error) {
	line, _, _ := strings.Cut(stat, "\n")
	f := strings.Fields(line)
	if len(f) < 8 || f[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	return ticks(f[1], f[2], f[3], f[6], f[7])
}

// ticks adds up times.
func ticks(fields ...string) (sum time.Duration, err error) {
	for _, f := range fields {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading a processor time: %w", err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

// daemonTime is the processor time that the contender's processes have used, those on both hosts together.
func (t *trial) daemonTime() (sum time.Duration, err error) {
	for _, d := range t.daemons {
		for _, pid := range tree(d.Pid()) {
			used, err := processTime(pid)
			if err != nil {
				return 0, err
			}
			sum += used
		}
	}
	return sum, nil
}

// processTime is the processor time that a process has used, with children that it waited for; none if it is gone.
func processTime(pid int) (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return used(string(data))
}

// used reads /proc/PID/stat. The program's name is in parentheses and may have anything in it.
func used(stat string) (time.Duration, error) {
	_, rest, ok := cutLast(stat, ")")
	f := strings.Fields(rest)
	if !ok || len(f) < 15 {
		return 0, fmt.Errorf("a process's stat is %q", stat)
	}
	return ticks(f[11:15]...) // utime stime cutime cstime
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// tree is a process with all that it started, and they.
func tree(pid int) []int {
	all := []int{pid}
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		data, _ := os.ReadFile(list) // gone: no children
		for f := range strings.FieldsSeq(string(data)) {
			if child, err := strconv.Atoi(f); err == nil {
				all = append(all, tree(child)...)
			}
		}
	}
	return all
}

// memory is the resident memory of the contender, in MB: that of the host where it is more.
func (t *trial) memory() float64 { return t.most("VmRSS") }

// peakMemory is the most it was since [trial.resetPeak].
func (t *trial) peakMemory() float64 { return t.most("VmHWM") }

// most adds up a field of /proc/PID/status for each process that was started, with its children, and returns the most.
func (t *trial) most(field string) (megabytes float64) {
	for _, d := range t.daemons {
		sum := 0
		for _, pid := range tree(d.Pid()) {
			data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // gone: nothing
			sum += kilobytes(string(data), field)
		}
		megabytes = max(megabytes, float64(sum)*1024/1e6)
	}
	return megabytes
}

var sizes = regexp.MustCompile(`(?m)^(\w+):\s+(\d+) kB$`)

// kilobytes reads a field of /proc/PID/status.
func kilobytes(status, field string) int {
	for _, m := range sizes.FindAllStringSubmatch(status, -1) {
		if m[1] == field {
			n, _ := strconv.Atoi(m[2]) // digits
			return n
		}
	}
	return 0
}

// resetPeak makes the kernel forget how large the processes have been (proc(5), clear_refs).
func (t *trial) resetPeak() error {
	for _, d := range t.daemons {
		for _, pid := range tree(d.Pid()) {
			err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
			if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		}
	}
	return nil
}
