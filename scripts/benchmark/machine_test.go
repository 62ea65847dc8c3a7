package main

import (
	"strings"
	"testing"
)

func TestThisMachine(t *testing.T) {
	m := thisMachine()
	if m.Processor == "" || m.Cores < 1 || !strings.HasPrefix(m.Kernel, "Linux ") || !strings.HasPrefix(m.Go, "go") {
		t.Errorf("got %+v", m)
	}
}

func TestMachineTellsLoadAndClock(t *testing.T) {
	m := Machine{Processor: "Abacus", Cores: 2, Kernel: "Linux 6.18", Go: "go1.26", Load: 0.9}
	if got, want := m.String(), "Abacus, 2 cores, Linux 6.18, go1.26"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	m.Virtual = true
	if got, want := m.String(), "Abacus, 2 cores, Linux 6.18, go1.26; a nanosecond is an instruction"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	m.Virtual, m.Load = false, 2.345
	if got, want := m.String(), "Abacus, 2 cores, Linux 6.18, go1.26; others used it, too: load 2.3 before"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
