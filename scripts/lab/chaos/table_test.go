package main

import (
	"strings"
	"testing"
	"time"
)

// A kind that took too long once is told, whatever the others and later times did.
func TestLate(t *testing.T) {
	slow, quick, flowing := fault{name: "slow", within: soon}, fault{name: "quick", within: soon}, fault{name: "flowing", within: soon, flows: true}
	all := newTable([]fault{slow, quick, flowing})
	for _, took := range []time.Duration{time.Second, soon + time.Millisecond, time.Second} {
		all.add(slow, took, 2*took)
	}
	all.add(quick, soon, soon)
	err := all.late()
	if err == nil || !strings.Contains(err.Error(), "slow: mail flowed only 5.0 s") || strings.Contains(err.Error(), "quick") {
		t.Errorf("got %v", err)
	}
	var text strings.Builder
	all.print(&text)
	for _, want := range []string{"| slow    | 3     | 5.0 s                   | 5s       | 10.0 s ", "| quick   | 1     | 5.0 s ", "| flowing | 0     | 0.0 s                   | 5s       | flowed on"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, &text)
		}
	}
}

func TestChosen(t *testing.T) {
	for words, want := range map[string]int{"": len(faults()), "no such": 0, "disk": 1, "disk,upgrade": 2, "packets": 3} {
		if got := len(chosen(words)); got != want {
			t.Errorf("%q: got %d, want %d", words, got, want)
		}
	}
	names := map[string]bool{}
	for _, f := range faults() {
		if names[f.name] || f.within == 0 || f.do == nil || f.flows && f.hold == 0 {
			t.Errorf("%q is there twice, or lacks something", f.name)
		}
		names[f.name] = true
	}
}
