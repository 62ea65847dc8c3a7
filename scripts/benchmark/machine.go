package main

import (
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
	Virtual   bool   `json:"emulated,omitempty"` // everything is slow there, and not all of it alike
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
	m.Virtual = strings.HasPrefix(m.Processor, "QEMU")
	return m
}
