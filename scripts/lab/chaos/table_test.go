package main

import (
	"fmt"
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
	limit, once, twice := soon.String(), fmt.Sprintf("%.1f s", soon.Seconds()), fmt.Sprintf("%.1f s", 2*soon.Seconds()) // patience lengthens it
	if err == nil || !strings.Contains(err.Error(), "slow: mail flowed only "+once) || strings.Contains(err.Error(), "quick") {
		t.Errorf("got %v", err)
	}
	var text strings.Builder
	all.print(&text)
	got := strings.Join(strings.Fields(text.String()), " ")
	for _, want := range []string{"| slow | 3 | " + once + " | " + limit + " | " + twice + " |", "| quick | 1 | " + once + " |", "| flowing | 0 | 0.0 s | " + limit + " | flowed on |"} {
		if !strings.Contains(got, want) {
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
