package main

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

func TestBusy(t *testing.T) {
	got, err := busy("cpu  100 20 30 4000 500 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n")
	if want := 1630 * time.Millisecond; err != nil || got != want {
		t.Errorf("got %v, %v, want %v: neither idle nor waiting nor stolen", got, err, want)
	}
	for _, bad := range []string{"", "cpu0 1 2 3 4 5 6 7 8", "cpu  1 2 3", "cpu  1 2 x 4 5 6 7 8"} {
		if _, err := busy(bad); err == nil {
			t.Errorf("%q is taken for /proc/stat", bad)
		}
	}
}

func TestUsed(t *testing.T) {
	const stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 1 2 3 4 11 22 33 44 20 0 5 0 123 456 789"
	got, err := used(stat)
	if want := 1100 * time.Millisecond; err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, bad := range []string{"", "42 (x) S 1", "42 x S 1 42 42 0 -1 4194560 1 2 3 4 11 22 33 44"} {
		if _, err := used(bad); err == nil {
			t.Errorf("%q is taken for a process's stat", bad)
		}
	}
}

func TestProcessTimeOfNobody(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if got, err := processTime(cmd.Process.Pid); got != 0 || err != nil {
		t.Errorf("a process that is gone used %v, %v", got, err)
	}
}

func TestKilobytes(t *testing.T) {
	const status = "Name:\tVmRSS\nVmHWM:\t  5432 kB\nVmRSS:\t  1234 kB\nThreads:\t4\n"
	for field, want := range map[string]int{"VmHWM": 5432, "VmRSS": 1234, "VmSwap": 0, "Threads": 0} {
		if got := kilobytes(status, field); got != want {
			t.Errorf("%s is %d, want %d", field, got, want)
		}
	}
}

// A process's tree has what it started, and what that started.
func TestTree(t *testing.T) {
	cmd := exec.Command("sh", "-c", "exec 3<&0; cat <&3 & wait")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if all := tree(os.Getpid()); len(all) >= 3 && all[0] == os.Getpid() && slices.Contains(all, cmd.Process.Pid) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the tree is %v", tree(os.Getpid()))
		}
	}
}
