package main

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// A Machine is where the figures are from.
type Machine struct {
	Processor string `json:"processor"`
	Cores     int    `json:"cores"`
	Kernel    string `json:"kernel"`
	Go        string `json:"go"`
	Virtual   bool   `json:"emulated,omitempty"` // its clock counts instructions

	Load float64 `json:"load"` // the average of the minute before (proc(5), loadavg)
}

var model = regexp.MustCompile(`(?m)^model name\s*: (.*)$`)

func thisMachine() Machine {
	m := Machine{Processor: runtime.GOARCH, Cores: runtime.NumCPU(), Go: runtime.Version()}
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if found := model.FindSubmatch(data); found != nil {
			m.Processor = string(found[1])
		}
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	if data, err := os.ReadFile("/proc/loadavg"); err == nil {
		fmt.Sscan(string(data), &m.Load)
	}
	m.Virtual = strings.HasPrefix(m.Processor, "QEMU")
	return m
}

// String is a line about the machine.
func (m Machine) String() string {
	text := fmt.Sprintf("%s, %d cores, %s, %s", m.Processor, m.Cores, m.Kernel, m.Go)
	if m.Virtual {
		text += "; a nanosecond is an instruction"
	}
	if m.Load >= 1 {
		text += fmt.Sprintf("; others used it, too: load %.1f before", m.Load)
	}
	return text
}
